"""The currencies of the code and of the database are the same ones."""

from __future__ import annotations

from molam.kernel.currency import CURRENCIES
from molam.platform.db import Database


async def test_kernel_and_database_know_the_same_currencies(db: Database):
    async with db.transaction("tests.currencies") as tx:
        rows = await tx.connection.fetch("select code, exponent from tenancy.currencies")

    assert {row["code"]: row["exponent"] for row in rows} == {
        code: currency.exponent for code, currency in CURRENCIES.items()
    }
