"""The demo's banks have been heard of before anybody looks."""

from __future__ import annotations

from datetime import UTC, datetime

from bank_health import a_mesh
from molam.mesh.signals import predictions, queries
from molam.simulator.banks_demo import seed_banks
from molam.simulator.mesh_demo import seed_mesh
from molam.simulator.signals_demo import HOURS, seed_signals


async def test_demos_banks_have_a_past_once_and_can_be_predicted(db):
    now = datetime.now(UTC)
    await seed_banks(db, now)
    await seed_mesh(db, now)

    assert await seed_signals(db, now) > 3
    assert await seed_signals(db, now) == 0

    async with db.transaction("tests.look") as tx:
        rows = await queries.health_of(tx, bank_ids=["bp_123"])
        minutes = await tx.connection.fetchval(
            "select count(distinct checked_at) from mesh.bank_health_logs"
            " where bank_profile_id = 'bp_123'"
        )
        rail, currency = await predictions.main_of(tx, "bp_123", rail=None, currency=None)
        made = await predictions.predict(
            tx,
            a_mesh(),
            bank_profile_id="bp_123",
            mesh_region_id="region_cedeao",
            rail=rail,
            currency=currency,
        )
    assert {row.p_down < 0.2 for row in rows} == {True}
    assert HOURS * 60 <= minutes <= HOURS * 60 + 1
    assert (rail, currency) == ("bank", "XOF")
    assert made.recommended_action == "monitor"
    assert made.confidence > 0.6
