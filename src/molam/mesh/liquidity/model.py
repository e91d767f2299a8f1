"""What may be drawn from a pool, and what is refused; decided without I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from molam.kernel.refusals import Kind, Refusal

MovementKind = Literal["contribution", "draw", "return"]
Limit = Literal[
    "participant",
    "available",
    "max_single_draw",
    "daily_draw_limit",
    "contribution",
    "amount",
    "position",
]

FAIR_USE = 3
"""A bank may owe a pool at most this many times what was put in for it."""

REASON_LENGTH_MAX = 500
FORECAST_DAYS_MAX = 14
SHORT_BPS, HOLD_BPS = Decimal(200), Decimal(5)
"""What it costs to be short of an amount, and to hold it for a day, in basis points."""


class PoolAbsent(Refusal):
    code = "pool-absent"
    kind = Kind.ABSENT
    title = "There is no such pool"


class PoolRefused(Refusal):
    code = "pool-refused"
    kind = Kind.BROKEN_RULE
    title = "The pool cannot be made like this"


class DrawRefused(Refusal):
    code = "pool-draw-refused"
    kind = Kind.BROKEN_RULE
    title = "The pool does not allow this"


class DrawAbsent(Refusal):
    code = "pool-draw-absent"
    kind = Kind.ABSENT
    title = "There is no such draw"


class BankAccountAbsent(Refusal):
    code = "bank-account-absent"
    kind = Kind.ABSENT
    title = "We have no such account at a bank"


class HistoryRefused(Refusal):
    code = "flow-history-refused"
    kind = Kind.MALFORMED
    title = "The history cannot be read"


class PlanAbsent(Refusal):
    code = "rebalancing-plan-absent"
    kind = Kind.ABSENT
    title = "There is no such plan"


class PlanNotReady(Refusal):
    code = "rebalancing-plan-not-ready"
    kind = Kind.CONFLICT
    title = "The plan cannot be carried out"


class TransferAbsent(Refusal):
    code = "bank-transfer-absent"
    kind = Kind.ABSENT
    title = "There is no such transfer between banks"


@dataclass(frozen=True, slots=True)
class Share:
    """One bank's dealings with a pool, in minor units: what was put in, and what it still owes."""

    contributed: int = 0
    owed: int = 0

    @property
    def net(self) -> int:
        """Above zero it has given more than it uses."""
        return self.contributed - self.owed


@dataclass(frozen=True, slots=True)
class Room:
    """What a pool holds and allows at this moment; *drawn_today* counts draws that wait."""

    participants: Collection[str]
    total_available: int
    reserved: int
    drawn_today: int
    max_single_draw: int | None
    daily_draw_limit: int | None

    @property
    def free(self) -> int:
        return self.total_available - self.reserved


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that a draw would break, and how much it would allow."""

    limit: Limit
    allowed: int


_SENTENCES: dict[Limit, str] = {
    "participant": "The bank does not take part in this pool.",
    "available": "The pool does not hold that much that is free.",
    "max_single_draw": "It is more than one draw may take.",
    "daily_draw_limit": "Today's draws would exceed the pool's daily limit.",
    "contribution": f"The bank would owe more than {FAIR_USE} times what was put in for it.",
    "amount": "Name an amount of at least 1.",
    "position": "We do not have that much at the bank that is not spoken for.",
}


def breaches(room: Room, share: Share, bank_profile_id: str, amount: int) -> list[Breach]:
    """List every limit that drawing *amount* for a bank would break; none: it may be drawn."""
    if bank_profile_id not in room.participants:
        return [Breach("participant", 0)]
    limits: list[tuple[Limit, int | None]] = [
        ("available", room.free),
        ("max_single_draw", room.max_single_draw),
        (
            "daily_draw_limit",
            None if room.daily_draw_limit is None else room.daily_draw_limit - room.drawn_today,
        ),
        ("contribution", FAIR_USE * share.contributed - share.owed),
    ]
    found = [
        Breach(limit, max(0, allowed))
        for limit, allowed in limits
        if allowed is not None and amount > allowed
    ]
    return found if amount > 0 else [Breach("amount", 0)]


def sentence(limit: Limit) -> str:
    return _SENTENCES[limit]


def critical_quantile(short_bps: Decimal = SHORT_BPS, hold_bps: Decimal = HOLD_BPS) -> Decimal:
    """Return the newsvendor's quantile: how often what is held should be enough."""
    return short_bps / (short_bps + hold_bps)
