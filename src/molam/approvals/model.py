"""What is asked for, who asks, and what the answer may be no to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal

REASON_LENGTH_MIN = 10
TEXT_LENGTH_MAX = 4000
SYSTEM_EXECUTOR = "system_auto_execute"
_UUID = "-".join(f"[0-9a-f]{{{length}}}" for length in (8, 4, 4, 4, 12))
RESERVED_KEYS = re.compile(rf"(alert|sira-rec)-{_UUID}(-.*)?|alert-group-.*", re.DOTALL)
"""Alerts and recommendations have their actions under these: a person who took one first would
keep the alert from its remedy."""
LIFT_FREEZE = "LIFT_FREEZE"
"""The one action type that no freeze holds back, or none could ever be lifted."""

VoteWord = Literal["approve", "reject", "abstain", "withdrawn"]


class ActionAbsent(Refusal):
    code = "action-absent"
    kind = Kind.ABSENT
    title = "No such action"


class IdempotencyMismatch(Refusal):
    code = "idempotency-mismatch"
    kind = Kind.BROKEN_RULE
    title = "This idempotency key was used for something else"


class TwinOpen(Refusal):
    code = "action-twin-open"
    kind = Kind.CONFLICT
    title = "The same action is already under way"


class Unsatisfiable(Refusal):
    code = "policy-unsatisfiable"
    kind = Kind.BROKEN_RULE
    title = "Nobody could approve this"


class TargetMismatch(Refusal):
    code = "action-target-mismatch"
    kind = Kind.BROKEN_RULE
    title = "The target is not that of the parameters"


class NotEligible(Refusal):
    code = "not-eligible"
    kind = Kind.FORBIDDEN
    title = "You may not decide this action"


class NoVote(Refusal):
    code = "no-vote"
    kind = Kind.CONFLICT
    title = "You have no vote to take back"


class StaleView(Refusal):
    code = "stale-view"
    kind = Kind.CONFLICT
    title = "The action has changed since you saw it"


class StaleVersion(Refusal):
    code = "stale-version"
    kind = Kind.CONFLICT
    title = "Somebody changed the action before you"


class ReasonRequired(Refusal):
    code = "reason-required"
    kind = Kind.BROKEN_RULE
    title = "Say why"


class ConfirmationRequired(Refusal):
    code = "confirmation-required"
    kind = Kind.BROKEN_RULE
    title = "Type the confirmation"


class ActionExpired(Refusal):
    code = "action-expired"
    kind = Kind.CONFLICT
    title = "The time to decide has passed"


class ExecutionFrozen(Refusal):
    code = "execution-frozen"
    kind = Kind.CONFLICT
    title = "Nothing is carried out at present"


class NotYet(Refusal):
    code = "action-not-yet"
    kind = Kind.CONFLICT
    title = "It is too early to carry this out"


class SameHands(Refusal):
    code = "same-hands"
    kind = Kind.FORBIDDEN
    title = "Somebody else has to do this"


class OriginRefused(Refusal):
    code = "origin-refused"
    kind = Kind.FORBIDDEN
    title = "You may not speak for that origin"


class KeyReserved(Refusal):
    code = "idempotency-key-reserved"
    kind = Kind.FORBIDDEN
    title = "This idempotency key is not for people"


class FieldsRefused(Refusal):
    code = "action-fields-refused"
    kind = Kind.MALFORMED
    title = "The request is not one"


@dataclass(frozen=True, slots=True)
class Auth:
    """How somebody proved who they are, as their token says."""

    acr: str
    auth_time: Instant | None
    amr: tuple[str, ...] = ()
    evidence: Mapping[str, str] | None = None
    """What a passkey signed, so that anybody can check it again."""

    def as_json(self) -> dict[str, object]:
        at = None if self.auth_time is None else self.auth_time.isoformat()
        said: dict[str, object] = {"acr": self.acr, "amr": list(self.amr), "auth_time": at}
        return said if self.evidence is None else {**said, "passkey": dict(self.evidence)}


@dataclass(frozen=True, slots=True)
class Actor:
    """
    Who does something to an action.

    *auth* None means that the caller vouches: code in this process, never HTTP.
    """

    id: str
    roles: frozenset[str] = frozenset()
    kind: Literal["user", "service", "system"] = "user"
    auth: Auth | None = None
    channel: str = "in-process"
    ip: str | None = None
    user_agent: str | None = None


class NewAction(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request to have something done, in the specification's fields."""

    origin: Literal["sira", "system", "ops_ui", "module", "alert"]
    action_type: str
    params: dict[str, Any]
    origin_id: str | None = None
    idempotency_key: str | None = None
    target_tenant_type: str | None = None
    target_tenant_id: str | None = None
    required_quorum: dict[str, Any] | None = None
    required_ratio: Any = None
    timeout_seconds: int | None = None
    escalation_role: str | None = None
    auto_execute: bool | None = None
    rollback_action: dict[str, Any] | None = None
    supersedes: str | None = None
    compensates: str | None = None
    on_behalf_of: str | None = None
    not_before: datetime | None = None
    context: dict[str, Any] = {}

    def tightening(self) -> dict[str, object]:
        """Return what the requester asks of the policy; it may only tighten it."""
        asked = {
            "required_quorum": self.required_quorum,
            "required_ratio": self.required_ratio,
            "timeout_seconds": self.timeout_seconds,
            "escalation_role": self.escalation_role,
            "auto_execute": self.auto_execute,
        }
        return {name: value for name, value in asked.items() if value is not None}


class VoteRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One person's decision. The hashes say what they were shown."""

    vote: VoteWord
    comment: str | None = None
    signed_jwt: str | None = None
    client_vote_id: str | None = None
    intent_hash: str | None = None
    view_hash: str | None = None
    confirmation: str | None = None


def parsed(value: object) -> Any:
    """
    Turn what code in this process passes into what parsing its JSON would give.

    A float becomes the decimal its shortest text says: 0.75 is three quarters.
    """
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {str(key): parsed(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [parsed(each) for each in value]
    return value


@dataclass(frozen=True, slots=True)
class Executed:
    """The answer to an execution, in the specification's words."""

    success: bool
    state: str
    result: dict[str, Any] | None = None
    error: str | None = None
    error_code: str | None = None


LEASE = timedelta(seconds=30)
