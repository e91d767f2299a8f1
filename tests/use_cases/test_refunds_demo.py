"""The demo's refunds are made once, and as people would make them."""

from __future__ import annotations

from datetime import UTC, datetime

from molam.platform.db import Database
from molam.simulator.refunds_demo import seed_refunds
from refunding import a_sale, a_shop


async def test_demo_has_a_refund_in_every_mood_however_often_it_is_seeded(db: Database):
    await a_shop(db, balance=0)
    for number, amount in enumerate((150_000, 130_000, 90_000)):
        await a_sale(db, f"tx_{number}", amount)
    await a_sale(db, "tx_older", 500_000, customer={"name": "Nobody"})

    first, again = [await seed_refunds(db, datetime.now(UTC)) for _ in range(2)]

    async with db.transaction("tests.states") as tx:
        rows = await tx.connection.fetch("select state from payments.refunds order by state")
    assert (first, again) == (3, 0)
    assert [row["state"] for row in rows] == ["awaiting_approval", "queued", "rejected"]
