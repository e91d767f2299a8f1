"""Whether a move was right is judged an hour later, and confidence learns from it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import REGISTRY

import rerouting
from molam.mesh.control import controller
from molam.mesh.control.model import Actor
from molam.mesh.routing import commands as routing
from molam.mesh.routing import outcomes, proposing
from molam.mesh.routing.model import Wanted
from molam.mesh.routing.store import ProposalRow
from molam.platform.db import Database
from rerouting import AUTO, PEOPLES, A, B, C, one, sql


async def _moved(
    db: Database,
    worker_db: Database,
    *,
    minutes_ago: int = 70,
    actor: Actor = AUTO,
    **fields: Any,
) -> ProposalRow:
    """A route that was applied some time ago."""
    mesh = rerouting.mesh_on(worker_db)
    status = "approved" if actor is PEOPLES else "simulated"
    row = await rerouting.a_proposal(db, mesh, status=status, **fields)
    await sql(
        db,
        "update mesh.mesh_routing_proposals set status = 'applied', reviewed_by = $2,"
        " applied_at = now() - make_interval(mins => $3) where id = $1",
        *(row.id, actor.id, minutes_ago),
    )
    return row


async def _hour(
    db: Database, bank: str, *, probes: int = 60, failures: int = 0, ago: int = 68, **more: int
) -> None:
    """What was seen of a bank in one minute of that hour."""
    columns = {"probes": probes, "probe_failures": failures, **more}
    await sql(
        db,
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at,"
        f" {', '.join(columns)}) values ($1, 'bank', 'XOF',"
        " date_trunc('minute', now() - make_interval(mins => $2)),"
        f" {', '.join(map(str, columns.values()))})",
        *(bank, ago),
    )


async def _judged(db: Database, row: ProposalRow) -> str | None:
    found: str | None = await one(
        db, "select outcome from mesh.move_outcomes where proposal_id = $1", row.id
    )
    return found


async def _learn(
    db: Database,
    worker_db: Database,
    *,
    right: int,
    wrong: int,
    p_down: float = 0.995,
    drills: bool = False,
) -> None:
    """So many judged moves of a confidence of 0.97, and a table learnt from them."""
    row = await _moved(db, worker_db, minutes_ago=200)
    await sql(
        db,
        "insert into mesh.mesh_routing_proposals (id, mesh_region_id, currency, proposal, created_by,"
        " sira_signature, token_id, expires_at, from_bank_id, to_bank_id, status, created_at,"
        " p_down)"
        " select 'old_' || n, mesh_region_id, currency, proposal, created_by, sira_signature,"
        " 'old_' || n, expires_at, from_bank_id, to_bank_id, 'rejected', now() - interval '1 day',"
        " $3 from mesh.mesh_routing_proposals, generate_series(1, $2::int) as n where id = $1",
        *(row.id, right + wrong, p_down),
    )
    await sql(
        db,
        "insert into mesh.move_outcomes (proposal_id, applied_at, is_automatic, is_drill, raw,"
        " confidence, from_seen, from_failed, to_seen, to_failed, outcome)"
        " select 'old_' || n, now() - interval '1 day', true, $3, 0.9700 + n / 10000.0, 0.97, 60, 9,"
        " 60, 0, case when n % $1::int < $2::int then 'right' else 'wrong' end"
        " from generate_series(0, $1 - 1) as m cross join lateral (select m + 1) as s(n)",
        *(right + wrong, right, drills),
    )
    await outcomes.judge_due(worker_db)


@pytest.fixture
async def region(db: Database) -> None:
    await rerouting.a_region(db)


@pytest.mark.parametrize(
    ("left", "chosen", "outcome"),
    [
        ({"failures": 20}, {"failures": 1}, "right"),
        ({"failures": 1}, {"failures": 1}, "wrong"),
        ({"failures": 0}, {"failures": 20}, "wrong"),
        # Half a failure more in 300 is less than what makes a move worth it.
        ({"probes": 300, "sla_misses": 1}, {"probes": 300}, "wrong"),
        ({"probes": 300, "sla_misses": 2}, {"probes": 300}, "right"),
        ({"probes": 19, "failures": 19}, {}, "unknown"),
        ({"failures": 60}, {"probes": 3}, "unknown"),
        ({"probes": 0, "attempts": 40, "failures": 0}, {"probes": 10, "attempts": 10}, "wrong"),
    ],
)
async def test_a_move_was_right_if_the_bank_that_was_left_failed_more(
    db: Database, worker_db: Database, region: None, left: Any, chosen: Any, outcome: str
) -> None:
    row = await _moved(db, worker_db)
    await _hour(db, A, **left)
    await _hour(db, B, **chosen)
    await outcomes.judge_due(worker_db)
    assert await _judged(db, row) == outcome


async def test_only_the_hour_after_the_move_counts(
    db: Database, worker_db: Database, region: None
) -> None:
    row = await _moved(db, worker_db)
    # What had made it move, and what came later than an hour.
    await _hour(db, A, failures=60, ago=70)
    await _hour(db, A, failures=60, ago=8)
    await _hour(db, A)
    await _hour(db, B)
    await outcomes.judge_due(worker_db)
    assert await _judged(db, row) == "wrong"


async def test_each_move_is_judged_once_and_when_its_hour_has_passed(
    db: Database, worker_db: Database, region: None
) -> None:
    early = await _moved(db, worker_db, minutes_ago=64)
    returned = await _moved(db, worker_db, kind="return")
    row = await _moved(db, worker_db)
    await outcomes.judge_due(worker_db)
    assert [await _judged(db, each) for each in (early, returned, row)] == [None, None, "unknown"]
    # Signals that come later still change nothing of it.
    await _hour(db, A, failures=60)
    await _hour(db, B)
    await outcomes.judge_due(worker_db)
    assert await _judged(db, row) == "unknown"


async def test_precision_counts_what_could_be_judged_and_no_drills(
    db: Database, worker_db: Database, region: None
) -> None:
    await sql(
        db,
        "insert into mesh.drills (id, bank_profile_id, severity, minutes, payouts, state, started_by,"
        " began_at, ends_at, ended_at) values ('d', $1, 1, 2, 1, 'ended', 'binta',"
        " now() - interval '100 minutes', now() - interval '80 minutes', now() - interval '80 minutes')",
        A,
    )
    drill = await _moved(db, worker_db, minutes_ago=90)
    for _ in range(2):
        await _moved(db, worker_db)
    await _moved(db, worker_db, to=(C,))
    await _moved(db, worker_db, actor=PEOPLES)
    await _hour(db, A, failures=20)
    await _hour(db, B)
    await outcomes.judge_due(worker_db)

    async with worker_db.transaction("tests.record") as tx:
        record = await outcomes.track_record(tx)
    assert record.automatic == outcomes.Count(right=2, wrong=0, unknown=1)
    assert record.by_people == outcomes.Count(right=1, wrong=0, unknown=0)
    assert [(each.low, each.moves, each.right) for each in record.bins] == [(0.95, 3, 3)]
    assert await one(db, "select is_drill from mesh.move_outcomes where proposal_id = $1", drill.id)
    assert REGISTRY.get_sample_value("molam_mesh_move_precision", {"by": "controller"}) == 1.0


async def _proposed(db: Database, worker_db: Database, *, failures: int = 12) -> ProposalRow:
    for bank in (B, C):
        await rerouting.feel(db, bank)
    await rerouting.feel(db, A, failures=failures)
    await rerouting.payouts(db, 3, prefix=f"po_{failures}_")
    async with worker_db.transaction("tests.propose") as tx:
        wanted = Wanted(mesh_region_id="CEDEAO", currency="XOF", kind="failover", from_bank_id=A)
        return await routing.propose(tx, rerouting.mesh_on(worker_db), wanted)


async def test_with_few_moves_confidence_is_what_signals_say(
    db: Database, worker_db: Database, region: None
) -> None:
    await _learn(db, worker_db, right=14, wrong=15)
    row = await _proposed(db, worker_db)
    assert row.confidence > Decimal("0.97")
    assert row.proposal["sureness"] == {
        "stratum": "emergency",
        "raw": f"{row.confidence}",
        "calibrated": f"{row.confidence}",
        "n_eff": row.proposal["sureness"]["n_eff"],
        "table": None,
        "moves": 0,
    }


async def test_moves_during_drills_teach_nothing(
    db: Database, worker_db: Database, region: None
) -> None:
    await _learn(db, worker_db, right=24, wrong=16, drills=True)
    assert await one(db, "select count(*) from mesh.confidence_tables") == 0


async def test_moves_that_were_wrong_make_the_next_one_less_sure(
    db: Database, worker_db: Database, region: None
) -> None:
    await _learn(db, worker_db, right=24, wrong=16)
    row = await _proposed(db, worker_db)
    sureness = row.proposal["sureness"]
    assert Decimal(sureness["raw"]) > Decimal("0.97")
    assert Decimal(sureness["calibrated"]) == row.confidence
    assert row.confidence < Decimal("0.7"), "24 of 40 such moves were right"
    assert sureness["moves"] == 40
    assert sureness["table"] == await one(db, "select digest from mesh.confidence_tables")


async def test_what_an_announcement_decided_teaches_nothing_about_signals(
    db: Database, worker_db: Database, region: None
) -> None:
    await sql(
        db,
        "insert into mesh.declared_outages (id, bank_profile_id, begins_at, source, created_by)"
        " values (gen_random_uuid(), $1, now() - interval '1 minute', 'bank', 'tests')",
        A,
    )
    row = await _proposed(db, worker_db)
    assert row.proposal["sureness"]["raw"] is None


async def test_each_stratum_learns_from_its_own_moves_alone(
    db: Database, worker_db: Database, region: None
) -> None:
    await _learn(db, worker_db, right=24, wrong=16, p_down=0.9)
    (table,) = await sql(db, "select stratum, digest from mesh.confidence_tables")
    assert table[0] == "ordinary"
    surely = (await _proposed(db, worker_db)).proposal["sureness"]
    assert (surely["stratum"], surely["table"]) == ("emergency", None)
    assert surely["calibrated"] == surely["raw"]
    likely = (await _proposed(db, worker_db, failures=1)).proposal["sureness"]
    assert (likely["stratum"], likely["table"]) == table
    assert float(likely["calibrated"]) < float(likely["raw"])


async def _emergency(db: Database, worker_db: Database) -> tuple[str, str]:
    """A bank is surely down, in a region whose controller may act; what does it do?"""
    await rerouting.people(db)
    await rerouting.let_it_act(db)
    for bank in (B, C):
        await rerouting.feel(db, bank)
    assert await rerouting.feel(db, A, failures=12) >= 0.99
    await rerouting.payouts(db, 3)
    verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    return verdict.word, verdict.reason


@pytest.mark.parametrize("mixed", [False, True])
async def test_wrong_guesses_about_others_do_not_veto_an_emergency(
    db: Database,
    worker_db: Database,
    region: None,
    monkeypatch: pytest.MonkeyPatch,
    mixed: bool,
) -> None:
    await _learn(db, worker_db, right=32, wrong=8, p_down=0.9)
    if mixed:
        # Without strata the table of ordinary moves decides, and people sleep.
        monkeypatch.setattr(proposing, "stratum_of", lambda *_: "ordinary")
    did = await _emergency(db, worker_db)
    assert did == (("ask", "not_sure_enough") if mixed else ("move", "surely_down"))
    assert await rerouting.where(db) == ({A: 3} if mixed else {B: 3})


async def test_a_controller_that_was_wrong_too_often_asks_people_instead(
    db: Database, worker_db: Database, region: None
) -> None:
    await _learn(db, worker_db, right=24, wrong=16)
    assert await _emergency(db, worker_db) == ("ask", "not_sure_enough")
    assert await rerouting.where(db) == {A: 3}
