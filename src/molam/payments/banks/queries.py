"""Questions about banks: which one a payment takes, and how its attempts stand."""

from __future__ import annotations

from molam.payments.banks import attempt_store, store
from molam.payments.banks.model import BankAbsent, BankAccount, Destination, NoRoute
from molam.platform.db import Database, Tx

_ATTEMPTS_MAX = 100
_BANKS_MAX = 500


def rail_of(destination: Destination) -> str:
    """Name what reaches *destination*: ``bank``, or a wallet such as ``wallet:wave``."""
    if isinstance(destination, BankAccount):
        return "bank"
    return f"wallet:{destination.provider}"


async def route_for(tx: Tx, currency: str, destination: Destination, amount: int) -> store.RouteRow:
    """
    Find the bank that the route in force gives to a payment.

    Raises:
        NoRoute: none is set up, or none of its banks may be used now.
    """
    rail = rail_of(destination)
    row = await tx.one(store.FIND_ROUTE, currency=currency, rail=rail, amount=amount)
    if row is None:
        raise NoRoute(
            "No bank that is in use now carries this currency to such an account.",
            currency=currency,
            rail=rail,
        )
    return row


async def get_bank(tx: Tx, bank_profile_id: str) -> store.BankRow:
    """
    Read one bank's profile.

    Raises:
        BankAbsent: there is none of that id.
    """
    row = await tx.one(store.FIND_BANK, id=bank_profile_id)
    if row is None:
        raise BankAbsent("No bank profile has this id.", bank_profile_id=bank_profile_id)
    return row


async def attempts_of(
    tx: Tx, *, kind: str, object_id: str, merchant_id: str | None = None
) -> list[attempt_store.AttemptRow]:
    """List the attempts at sending one object, first to last, for its timeline."""
    return await tx.all(
        attempt_store.LIST_ATTEMPTS,
        kind=kind,
        object_id=object_id,
        merchant_id=merchant_id,
        limit=_ATTEMPTS_MAX,
    )


async def treasury(db: Database) -> list[store.BalanceRow]:
    """List our accounts at banks with what the ledger says is on them."""
    return await db.read(store.LIST_BALANCES, limit=_BANKS_MAX)


async def banks_now(db: Database) -> list[store.BankNowRow]:
    """List all banks with their circuit and what is open, unknown or contradictory there."""
    return await db.read(store.LIST_BANKS_NOW, limit=_BANKS_MAX)
