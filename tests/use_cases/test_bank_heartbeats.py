"""Banks that send heartbeats are doubted when they stop; nobody else is."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import rerouting
from bank_health import BANK, a_member, a_mesh, believed, drain, heard, tell, tell_text
from molam.kernel.clock import ManualClock
from molam.mesh.control import controller
from molam.mesh.signals import folding, intake, queries
from molam.platform.db import Database

OTHER = "bp_other"


@pytest.fixture
async def member(db: Database) -> str:
    await a_member(db)
    await a_member(db, OTHER)
    return BANK


def report(at: float, *, bank: str = BANK, kind: str | None = "heartbeat") -> dict[str, Any]:
    told = {
        "bank_profile_id": bank,
        "health_score": 99.0,
        "success_rate": 1.0,
        "timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
    }
    return told if kind is None else told | {"kind": kind}


async def beats(
    db: Database, *, until: float, count: int = 30, bank: str = BANK, kind: str | None = "heartbeat"
) -> None:
    """One a minute, the last one at *until*."""
    ats = [until - 60 * place for place in reversed(range(count))]
    await tell_text(db, *(report(at, bank=bank, kind=kind) for at in ats), key=bank)
    await drain(db)


async def listen(db: Database, *, at: float) -> None:
    clock = ManualClock(datetime.fromtimestamp(at, UTC))
    await intake.listen(db, a_mesh(clock=clock))


async def rows(db: Database, sql: str, *values: object) -> list[Any]:
    async with db.transaction("tests.rows") as tx:
        return list(await tx.connection.fetch(sql, *values))


async def silent_since(db: Database, bank: str = BANK) -> datetime | None:
    found = await rows(
        db, "select silent_since from mesh.heartbeats where bank_profile_id = $1", bank
    )
    return found[0][0] if found else None


async def test_silence_makes_a_bank_doubtful_and_a_beat_ends_it(worker_db, db, member):
    now = time.time()
    await beats(worker_db, until=now - 600)
    assert (await believed(db)).p_down < 0.05

    for minute in range(5, -1, -1):
        await listen(worker_db, at=now - 60 * minute)

    row = await believed(db)
    assert 0.2 < row.p_down <= folding.SILENCE_P_DOWN_MAX
    assert row.belief.evidence["heartbeat"] > 1
    assert await silent_since(db) == datetime.fromtimestamp(now - 600, UTC)
    assert row.silent_since is not None
    # It was no payment and no probe: minutes and the bank's last signal are as they were.
    assert await rows(db, "select from mesh.bank_health_logs") == []
    assert row.last_signal_at == datetime.fromtimestamp(now - 600, UTC)

    await beats(worker_db, until=now, count=1)
    assert await silent_since(db) is None
    assert (await believed(db)).p_down < row.p_down


async def test_silence_alone_never_makes_anybody_sure(worker_db, db, member):
    now = time.time()
    await beats(worker_db, until=now - 3600)
    for minute in range(55, -1, -1):
        await listen(worker_db, at=now - 60 * minute)
    assert (await believed(db)).p_down <= 0.5

    # With what fails besides, it adds up.
    await tell(worker_db, heard("bank_technical", at=now), heard("bank_technical", at=now))
    await drain(worker_db)
    assert (await believed(db)).p_down > 0.99


async def test_without_its_limit_silence_alone_would_lead_payouts_away(
    worker_db, db, member, monkeypatch
):
    monkeypatch.setattr(folding, "SILENCE_P_DOWN_MAX", 1.0)
    now = time.time()
    await beats(worker_db, until=now - 1800)
    for minute in range(20, -1, -1):
        await listen(worker_db, at=now - 60 * minute)
    assert (await believed(db)).p_down > 0.8


async def test_payments_that_arrive_speak_louder_than_silence(worker_db, db, member):
    now = time.time()
    await beats(worker_db, until=now - 600)
    for minute in range(5, -1, -1):
        await tell(worker_db, *(heard(at=now - 60 * minute) for _ in range(5)))
        await drain(worker_db)
        await listen(worker_db, at=now - 60 * minute)
    assert (await believed(db)).p_down < 0.2


@pytest.mark.parametrize("kind", [None, "report"])
async def test_who_never_sent_heartbeats_is_never_silent(worker_db, db, member, kind):
    now = time.time()
    await beats(worker_db, until=now - 3600, kind=kind)
    before = await believed(db)
    await listen(worker_db, at=now)
    assert (await believed(db)).version == before.version
    assert await rows(db, "select from mesh.heartbeats") == []


async def test_a_few_beats_are_no_habit(worker_db, db, member):
    now = time.time()
    await beats(worker_db, until=now - 3600, count=10)
    await listen(worker_db, at=now)
    assert await silent_since(db) is None


async def test_when_all_fall_silent_it_is_we_who_do_not_hear(worker_db, db, member):
    now = time.time()
    for bank in (BANK, OTHER):
        await beats(worker_db, until=now - 600, bank=bank)
    await listen(worker_db, at=now)
    assert [await silent_since(db, bank) for bank in (BANK, OTHER)] == [None, None]

    await beats(worker_db, until=now, count=1, bank=OTHER)
    await listen(worker_db, at=now)
    assert await silent_since(db) is not None
    assert await silent_since(db, OTHER) is None


async def test_silence_that_raises_a_level_asks_for_a_decision(worker_db, db, member):
    now = time.time()
    await beats(worker_db, until=now - 600)
    for minute in range(5, -1, -1):
        await listen(worker_db, at=now - 60 * minute)
    asked = await rows(db, "select count(*) from jobs.pgqueuer where entrypoint = 'mesh.decide'")
    assert asked[0][0] >= 1
    (predicted,) = await rows(
        db,
        "select explanation from mesh.bank_health_predictions where bank_profile_id = $1"
        " and rail = 'bank' and currency = 'XOF' order by created_at desc limit 1",
        BANK,
    )
    names = {part["name"] for part in predicted[0]["contributions"]}
    assert "heartbeat" in names


async def test_beats_are_kept_to_the_last_thousand_gaps(worker_db, db, member):
    now = datetime.now(UTC)
    await rows(
        db,
        "insert into mesh.heartbeats (bank_profile_id, last_at, gaps)"
        " values ($1, $2, array_fill(60::float8, array[1000]))",
        *(BANK, now - timedelta(minutes=2)),
    )
    await beats(worker_db, until=now.timestamp(), count=2)
    ((gaps, last_at),) = await rows(
        db,
        "select cardinality(gaps), last_at from mesh.heartbeats where bank_profile_id = $1",
        BANK,
    )
    assert gaps == 1000
    assert abs((last_at - now).total_seconds()) < 0.01


async def strikes_of_silent(db: Database, worker_db: Database) -> tuple[int, str]:
    """Look three times at a bank that payouts go to and whose heartbeats stopped."""
    await rerouting.a_region(db)
    await rerouting.payouts(db, 20)
    for other in (rerouting.B, rerouting.C):
        await rerouting.feel(db, other)
    assert 0.2 < await rerouting.feel(db, rerouting.A, failures=0.5) < 0.8
    await rows(
        db,
        "insert into mesh.heartbeats (bank_profile_id, last_at, gaps, silent_since)"
        " values ($1, now() - interval '5 minutes', array_fill(60::float8, array[20]), now())",
        rerouting.A,
    )
    await rerouting.let_it_act(db)
    await rows(
        db,
        "update mesh.mesh_policies set auto_confidence_threshold = 0.5,"
        ' rules = rules || \'{"auto_confidence_threshold": "0.5", "min_confidence_for_auto": "0.5"}\'',
    )
    for _ in range(3):
        verdict = await controller.decide(worker_db, rerouting.mesh_on(worker_db), "XOF", "bank")
    assert verdict is not None
    ((strikes,),) = await rows(
        db, "select strikes from mesh.member_health where bank_profile_id = $1", rerouting.A
    )
    return strikes, verdict.reason


async def test_silence_never_makes_another_bank_the_better_one(worker_db, db):
    assert await strikes_of_silent(db, worker_db) == (0, "well")


async def test_without_looking_at_silence_it_would_lead_payouts_away(worker_db, db, monkeypatch):
    heard_of = queries.health_of

    async def as_if_it_beat(tx: Any, **wanted: Any) -> list[Any]:
        return [replace(row, silent_since=None) for row in await heard_of(tx, **wanted)]

    monkeypatch.setattr(queries, "health_of", as_if_it_beat)
    _, reason = await strikes_of_silent(db, worker_db)
    assert reason != "well"
