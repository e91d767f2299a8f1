"""The KPI cache under somebody who asks for every period there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from builders import a_merchant
from facts import MERCHANT, look, succeeded
from molam.merchant import commands, model, queries
from molam.platform.db import Database

CUSTOM_ROWS = "select count(*) from merchant_kpis_cache where period like 'custom:%'"
CUSTOM_ROWS_MAX = 1000
FIGURES = len(model.KPI_KEYS)


async def sales(db: Database, period: str, now: datetime) -> object:
    found = await queries.summary(db, merchant_id=MERCHANT, period=period, currency="XOF", now=now)
    return found.kpis["sales"].value


async def counted(db: Database, event: str) -> int:
    async with db.transaction("tests.count") as tx:
        return (await commands.count_facts(tx, f"[{event}]", imported=False)).cached


async def test_asking_for_many_periods_neither_fills_the_cache_nor_slows_counting(
    db: Database, worker_db: Database, web_db: Database
) -> None:
    await a_merchant(db)
    # The cache goes by the database's clock.
    now = datetime.now(UTC)
    at = {"occurred_at": now.isoformat()}
    await counted(worker_db, succeeded("tx_1", amount=700, **at))
    last = now.date()
    periods = [f"custom:{last - timedelta(days=n)}:{last}" for n in range(100)]
    before = {await sales(web_db, period, now) for period in periods}
    await sales(web_db, "mtd", now)

    brought_along = await counted(worker_db, succeeded("tx_2", amount=50, **at))

    assert before == {700}
    assert brought_along == FIGURES, "those of mtd alone"
    assert (await look(db, CUSTOM_ROWS))[0][0] < CUSTOM_ROWS_MAX + FIGURES
    assert {await sales(web_db, period, now) for period in [*periods, "mtd"]} == {750}
