"""What money a dispute moves, so that the books hold what it has come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from molam.kernel.ids import uuid8
from molam.payments.disputes.model import OPEN, TAKEN, Dispute


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that a change of a dispute moves; *id* once, ever."""

    id: UUID
    leg: str
    amount: int


def settle(
    before: Dispute | None, after: Dispute, *, posts: bool
) -> tuple[Dispute, list[Movement]]:
    """
    Say what money moves so that the books hold what *after* says, and write it down there.

    The merchant's balance gives the amount when a stage opens and gets it back when it
    is won; lost, it goes on to the customer. What moves is the difference to what has
    moved before, so reports in any order, and any number of times, end the same.
    """
    assert before is None or before.currency == after.currency, "reverse the old currency first"
    taken = after.amount if posts and after.state in TAKEN else 0
    held = taken if after.state in OPEN else 0
    fee = after.fee if posts and after.state in TAKEN else 0
    had_taken = 0 if before is None else before.posted_amount
    had_held = 0 if before is None else before.held_amount
    had_fee = 0 if before is None else before.posted_fee
    changes = {
        "amount": taken - had_taken,
        "paid": (taken - held) - (had_taken - had_held),
        "fee": fee - had_fee,
    }
    number = after.moves + 1
    scope = f"dispute/{after.merchant_id}/{after.id}/{after.stage}/{number}"
    movements = [
        Movement(uuid8(f"{scope}/{leg}"), leg, change) for leg, change in changes.items() if change
    ]
    booked = replace(
        after,
        posted_amount=taken,
        held_amount=held,
        posted_fee=fee,
        moves=number if movements else after.moves,
    )
    return booked, movements
