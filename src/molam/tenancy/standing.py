"""How merchants and agents stand: frozen or not, at which fee, and whom that concerns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Tx
from molam.tenancy import standing_store as store
from molam.tenancy.queries import AgentAbsent, MerchantAbsent

ENDED_BY_ITSELF = "freeze-ended"
"""Who ended a freeze that had an end."""


class MerchantFrozen(Refusal):
    code = "merchant-frozen"
    kind = Kind.FORBIDDEN
    title = "This merchant account is frozen"


@dataclass(frozen=True, slots=True)
class Freeze:
    """Why a merchant is frozen now, and until when; None is until somebody ends it."""

    reason: str
    frozen_by: str
    frozen_at: Instant
    until: Instant | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A merchant as it stands at one moment. *status* is active, frozen or closed."""

    merchant: store.StandingRow
    status: str
    freeze: Freeze | None


def standing_at(row: store.StandingRow, now: Instant) -> Standing:
    """
    Read a merchant's row at *now*.

    A freeze whose end has come is none, whether or not anybody has cleared it away.
    """
    if row.freeze_id is None:
        return Standing(row, row.status, None)
    if row.until is not None and row.until <= now:
        return Standing(row, "active" if row.status == "frozen" else row.status, None)
    assert row.reason is not None
    assert row.frozen_by is not None
    assert row.frozen_at is not None
    return Standing(row, row.status, Freeze(row.reason, row.frozen_by, row.frozen_at, row.until))


async def standing_of(tx: Tx, merchant_id: str, *, now: Instant | None = None) -> Standing:
    """
    Tell how a merchant stands at *now*, or else by the database's clock.

    Raises:
        MerchantAbsent: nobody registered this merchant.
    """
    row = await tx.one(store.FIND_STANDING, id=merchant_id)
    if row is None:
        raise MerchantAbsent("Check the merchant id.")
    return standing_at(row, now or row.asked_at)


async def lock_standing(tx: Tx, merchant_id: str, *, now: Instant | None = None) -> Standing:
    """
    Tell how a merchant stands, and let nobody change that until *tx* ends.

    Raises:
        MerchantAbsent: nobody registered this merchant.
    """
    # Locked first and looked at afterwards: a statement that waited for the lock
    # would still see the freeze as it was before.
    await tx.one(store.LOCK_MERCHANT, id=merchant_id)
    return await standing_of(tx, merchant_id, now=now)


async def ensure_may_change(tx: Tx, merchant_id: str, *, now: Instant) -> None:
    """
    Let a merchant's own change pass unless the merchant is frozen or closed.

    Every command that a merchant gives calls this in its own transaction.

    Raises:
        MerchantFrozen: says why, and until when.
    """
    standing = await standing_of(tx, merchant_id, now=now)
    if standing.status == "active":
        return
    freeze = standing.freeze
    if freeze is None:
        raise MerchantFrozen("This account takes no changes. Ask support.")
    until = "" if freeze.until is None else f" It ends at {freeze.until:%Y-%m-%dT%H:%M:%SZ}."
    raise MerchantFrozen(f"Reason: {freeze.reason}.{until}", reason=freeze.reason)


async def freezes_of(tx: Tx, merchant_id: str, *, limit: int = 20) -> list[store.FreezeRow]:
    """List a merchant's freezes, newest first, ended ones too."""
    return await tx.all(store.LIST_FREEZES, merchant_id=merchant_id, limit=limit)


async def fee_on(tx: Tx, merchant_id: str, on: date) -> store.FeeRow | None:
    """Find what was agreed with a merchant for a day; None when nothing was."""
    return await tx.one(store.FIND_FEE, merchant_id=merchant_id, on=on)


async def lock_agent(tx: Tx, agent_id: str) -> store.AgentRow:
    """
    Raises:
        AgentAbsent: there is no such agent.
    """
    row = await tx.one(store.LOCK_AGENT, id=agent_id)
    if row is None:
        raise AgentAbsent("Check the agent id.")
    return row


async def register_agent(tx: Tx, agent: store.AgentRow) -> bool:
    """Add an agent; False when the id was taken already."""
    written = await tx.run(
        store.PUT_AGENT,
        id=agent.id,
        name=agent.name,
        city=agent.city,
        country=agent.country,
        currency=agent.currency,
        owner_id=agent.owner_id,
    )
    return written == 1
