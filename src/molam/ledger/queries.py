"""Questions about balances, entries and exchange rates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from molam.ledger import model, store
from molam.platform.db import Database, Tx


async def entries_of(tx: Tx, *, merchant_id: str, cause_ids: Sequence[str]) -> list[store.EntryRow]:
    """List both sides of every transfer that these facts caused, oldest first."""
    return await tx.all(store.LIST_ENTRIES, merchant_id=merchant_id, cause_ids=list(cause_ids))


async def balances_of(tx: Tx, *, merchant_id: str) -> list[store.BalanceRow]:
    """List what a merchant has: free, promised to customers, and on its way to its bank."""
    return await tx.all(store.LIST_BALANCES, merchant_id=merchant_id)


async def rates_on(db: Database, on: date) -> model.Rates:
    """Read the rates in force on a day."""
    return _rates(await db.read(store.LIST_RATES, on=on))


async def rates_in(tx: Tx, on: date) -> model.Rates:
    """Read the rates in force on a day, as part of the caller's transaction."""
    return _rates(await tx.all(store.LIST_RATES, on=on))


def _rates(rows: Sequence[store.RateRow]) -> model.Rates:
    return model.Rates.of(
        (
            row.base_currency,
            row.quote_currency,
            model.Rate(Fraction(row.rate), row.as_of_date, row.source, row.indicative),
        )
        for row in rows
    )


async def imbalances(db: Database) -> list[store.ImbalanceRow]:
    """List accounts whose balance is not the sum of their entries; normally none."""
    return await db.read(store.LIST_IMBALANCES)
