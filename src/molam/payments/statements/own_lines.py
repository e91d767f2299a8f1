"""Lines of statements that are our own money moving between our accounts."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from molam.payments.statements import hand_store, store
from molam.platform.db import Tx


@dataclass(frozen=True, slots=True)
class Own:
    """A line, and the movement of ours whose reference and amount it has."""

    line_id: int
    bank_profile_id: str
    currency: str
    movement_id: str
    leaves: bool


async def match(tx: Tx, own: Own) -> bool:
    """
    Match a line with a movement of our own; False when it was matched meanwhile.

    Nothing is posted for it: whoever made the movement has posted it, or does now.
    """
    account = {"bank_profile_id": own.bank_profile_id, "currency": own.currency}
    await tx.one(store.LOCK_BOOKS, **account)
    if not await tx.all(hand_store.IS_LINE_OPEN, line_id=own.line_id):
        return False
    leg = "sent" if own.leaves else "returned"
    expectation = f"transfer:{own.movement_id}"
    if await tx.one(hand_store.IS_TAKEN, expectation=expectation, leg=leg) is not None:
        return False
    match = {
        "line_id": own.line_id,
        "kind": "transfer",
        "expectation": expectation,
        "leg": leg,
        "object_id": own.movement_id,
        "difference": 0,
        "tier": "exact_ref",
        "score": 1,
        "explanation": {
            "en": "Our own money, moved between our accounts under this reference.",
            "fr": "Notre propre argent, déplacé entre nos comptes sous cette référence.",
        },
        "matched_by": "system",
    }
    made = await tx.one(
        hand_store.MATCH_BY_HAND, **account, match=msgspec.json.encode(match).decode()
    )
    assert made is not None
    return made.matches == 1
