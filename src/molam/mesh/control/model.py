"""What is applied and rolled back, and why either may be refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from molam.kernel.refusals import Kind, Refusal

ActorKind = Literal["sira", "user", "system", "policy_engine"]
AFFECTED_MAX = 100_000
"""So many payouts are named in a log row; it counts them all."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who has a route applied: the controller, or the people whose votes sufficed."""

    kind: ActorKind
    id: str

    @property
    def is_automatic(self) -> bool:
        return self.kind in {"sira", "policy_engine"}


CONTROLLER = Actor("policy_engine", "mesh-controller")


class Inflow(msgspec.Struct, frozen=True):
    """What one bank was given."""

    bank_profile_id: str
    payouts: int
    value: int


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """
    A route that was applied. *remaining* payouts were busy, or found no room: they follow.

    Those that are *staying* keep their bank, because no other carries such amounts.
    """

    action_id: str
    proposal_id: str
    result: Literal["success", "partial"]
    share: int
    affected_payouts: int
    affected_value: int
    currency: str
    remaining_payouts: int
    remaining_value: int
    staying_payouts: int = 0
    staying_value: int = 0
    by_bank: tuple[Inflow, ...]
    duration_ms: int
    timings_ms: dict[str, int]
    replayed: bool = False


class Irreversible(msgspec.Struct, frozen=True):
    """A payout that stays where it is, and why: a word, which pages put into sentences."""

    payout_id: str
    why: Literal["sent", "ended", "moved_again", "changed"]


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """A route that was taken back. *not_reversible* names at most a thousand of them."""

    action_id: str
    proposal_id: str
    restored_payouts: int
    restored_value: int
    currency: str
    not_reversible_payouts: int
    not_reversible: tuple[Irreversible, ...]
    duration_ms: int
    replayed: bool = False


class ApplyKeyReused(Refusal):
    code = "apply-key-reused"
    kind = Kind.CONFLICT
    title = "The key belongs to another application"


class AlreadyUsed(Refusal):
    code = "advice-already-used"
    kind = Kind.CONFLICT
    title = "What SIRA signed has had its effect already"


class NotApproved(Refusal):
    code = "proposal-not-approved"
    kind = Kind.CONFLICT
    title = "Nobody has approved this"


class PolicyMoved(Refusal):
    code = "mesh-policy-changed"
    kind = Kind.CONFLICT
    title = "The region's policy has changed since"


class Stopped(Refusal):
    code = "mesh-stopped"
    kind = Kind.CONFLICT
    title = "A kill switch is engaged"


class NobodyTakes(Refusal):
    code = "no-bank-takes-it"
    kind = Kind.CONFLICT
    title = "None of the proposed banks can take these payouts"


class PracticeRefused(Refusal):
    code = "practice-refused"
    kind = Kind.CONFLICT
    title = "Nothing is practised now"


class MissingReason(Refusal):
    code = "missing-reason"
    kind = Kind.MALFORMED
    title = "Say why"


class RollbackTooLate(Refusal):
    code = "rollback-window-over"
    kind = Kind.CONFLICT
    title = "It is too late to roll this back"


class LaterRoute(Refusal):
    code = "later-route-applied"
    kind = Kind.CONFLICT
    title = "A later route has been applied"
