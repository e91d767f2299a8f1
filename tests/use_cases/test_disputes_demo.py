"""The demo's disputes, and the network that decides what was answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from disputing import a_file, add, stands
from facts import drain, look
from molam.merchant.dispute_queries import detail
from molam.payments.disputes import commands
from molam.payments.disputes.commands import Answer, By
from molam.platform.db import Database
from molam.simulator.disputes_demo import PATIENCE, decide, seed_disputes
from molam.simulator.seed import seed_demo


async def _seeded(db: Database, worker_db: Database) -> datetime:
    now = datetime.now(UTC)
    await seed_demo(db, now)
    await seed_disputes(db, now)
    await drain(worker_db)
    return now


async def test_there_is_a_dispute_of_every_kind(db: Database, worker_db: Database) -> None:
    now = await _seeded(db, worker_db)

    again = await seed_disputes(db, now)

    assert again == 0
    found = await look(
        db, "select id, state, stage from payments.disputes where id like 'dp_demo%' order by id"
    )
    assert found == [
        ("dp_demo_alerte", "early_warning", 0),
        ("dp_demo_appel", "needs_response", 2),
        ("dp_demo_carte", "needs_response", 1),
        ("dp_demo_gagne", "won", 1),
        ("dp_demo_livraison", "needs_response", 1),
        ("dp_demo_urgent", "needs_response", 1),
    ]


async def test_one_of_them_can_be_answered_without_a_file(
    db: Database, worker_db: Database
) -> None:
    await _seeded(db, worker_db)

    found = await detail(db, merchant_id="merchant-123", id_="dp_demo_livraison")

    assert found.is_complete
    assert "TTX-58213" in found.prepared["fr"]


async def test_the_network_decides_an_answer_once_and_alike(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    now = await _seeded(db, worker_db)
    for number in range(4):
        await add(money_db, a_file(f"%PDF-1.7 {number}\n%%EOF".encode()), "dp_demo_carte")
    async with money_db.transaction("tests.submit", merchant_id="merchant-123") as tx:
        await commands.submit(
            tx,
            merchant_id="merchant-123",
            id_="dp_demo_carte",
            answer=Answer("Conforme à la photo."),
            by=By("awa.diop"),
        )

    early = await decide(worker_db, now)
    later = now + PATIENCE + timedelta(minutes=1)
    counts = [await decide(worker_db, later), await decide(worker_db, later)]
    await drain(worker_db)

    assert (early, counts, await decide(worker_db, later)) == (0, [1, 1], 0)
    decided = await stands(worker_db, "dp_demo_carte")
    assert decided.state == "won"
