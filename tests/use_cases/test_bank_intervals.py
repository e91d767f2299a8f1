"""Intervals of predictions hold four times in five: those that do not are drawn out."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import REGISTRY

from bank_health import BANK, a_member, a_mesh, drain, heard, tell
from molam.mesh.signals import intervals, predictions
from molam.mesh.signals.interval_store import EndedRow, StateRow
from molam.mesh.signals.predictions import PredictionRow
from molam.platform.db import Database
from molam.sira import health_calibration

KEY = (BANK, "bank", "XOF")


@pytest.fixture
async def member(worker_db: Database, db: Database) -> str:
    await a_member(db)
    at = time.time() - 30
    failed = (heard("bank_technical", at=at - 7200) for _ in range(3))
    await tell(worker_db, *failed, *(heard(at=at) for _ in range(200)))
    await drain(worker_db)
    return BANK


async def rows(db: Database, sql: str, *values: object) -> list[Any]:
    async with db.transaction("tests.rows") as tx:
        return list(await tx.connection.fetch(sql, *values))


async def predict(db: Database) -> PredictionRow:
    async with db.transaction("tests.predict") as tx:
        return await predictions.predict(
            tx,
            a_mesh(),
            bank_profile_id=BANK,
            mesh_region_id="region_cedeao",
            rail="bank",
            currency="XOF",
        )


async def predicted(db: Database, *, minutes_ago: int) -> PredictionRow:
    made = await predict(db)
    await rows(
        db,
        "update mesh.bank_health_predictions set created_at = now() - make_interval(mins => $2)"
        " where id = $1",
        *(made.id, minutes_ago),
    )
    return made


async def came(db: Database, *, failures: int, attempts: int = 100, ago: int = 30) -> None:
    await rows(
        db,
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, attempts,"
        " failures) values ($1, 'bank', 'XOF',"
        " date_trunc('minute', now() - make_interval(mins => $2)), $3, $4)",
        *(BANK, ago, attempts, failures),
    )


async def state(db: Database) -> Any:
    found = await rows(db, "select alpha, judged, held from mesh.interval_states")
    return tuple(found[0]) if found else None


async def test_an_interval_that_missed_makes_the_next_one_wider(worker_db, db, member):
    before = await predicted(worker_db, minutes_ago=70)
    await came(db, failures=60)

    await intervals.judge_ended(worker_db)

    assert await state(db) == (pytest.approx(0.2 - 0.005 * 0.8), 1, 0)
    assert REGISTRY.get_sample_value("molam_mesh_interval_coverage") == 0
    await rows(db, "update mesh.interval_states set alpha = 0.02")
    after = await predict(worker_db)
    assert _width(after) > 1.5 * _width(before)
    ends = after.sira_confidence_intervals
    assert 0 <= ends["p10"] <= ends["p50"] <= ends["p90"] <= 100
    assert ends["p10"] <= float(after.predicted_score) <= ends["p90"]
    async with worker_db.transaction("tests.valid") as tx:
        (valid,) = await predictions.valid(tx, a_mesh(), currency="XOF", rail="bank")
    assert valid.id == after.id, "what is signed is the wider one"


def _width(row: PredictionRow) -> float:
    return row.sira_confidence_intervals["p90"] - row.sira_confidence_intervals["p10"]


async def test_an_interval_that_held_makes_the_next_one_hardly_narrower(worker_db, db, member):
    made = await predicted(worker_db, minutes_ago=70)
    inside = 100 - made.sira_confidence_intervals["p50"]
    await came(db, attempts=10_000, failures=round(100 * inside))

    await intervals.judge_ended(worker_db)

    assert await state(db) == (pytest.approx(0.2 + 0.005 * 0.2), 1, 1)


async def test_each_prediction_is_judged_once_and_not_before_its_window_has_passed(
    worker_db, db, member
):
    await predicted(worker_db, minutes_ago=64)
    await came(db, failures=60)
    await intervals.judge_ended(worker_db)
    assert await state(db) is None

    await predicted(worker_db, minutes_ago=70)
    for _ in range(2):
        await intervals.judge_ended(worker_db)
    assert (await state(db))[1] == 1


async def test_an_hour_in_which_little_was_seen_says_nothing(worker_db, db, member):
    await predicted(worker_db, minutes_ago=70)
    await came(db, attempts=19, failures=19)
    await intervals.judge_ended(worker_db)
    assert await state(db) == (pytest.approx(0.2), 0, 0)


def ended(at: datetime, *, failed: int = 0, seen: int = 100) -> EndedRow:
    return EndedRow(*KEY, at, 97.0, 99.5, seen, Decimal(failed))


def test_predictions_of_one_minute_count_as_one():
    at = datetime(2030, 1, 1, tzinfo=UTC)
    found = intervals.learnt({}, [ended(at), ended(at + timedelta(seconds=30))])
    assert found[KEY].judged == 1
    found = intervals.learnt(found, [ended(at + timedelta(seconds=59))])
    assert found == {}


def test_four_in_five_hold_in_the_end_whatever_the_intervals_were_made_for():
    assert _held() == pytest.approx(0.8, abs=0.02)


def test_without_learning_they_hold_as_often_as_they_happen_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health_calibration, "GAMMA", 0.0)
    assert _held() == pytest.approx(0.75, abs=0.01)


def _held() -> float:
    at, states = datetime(2030, 1, 1, tzinfo=UTC), dict[Any, StateRow]()
    held = 0
    for step in range(3000):
        alpha = states[KEY].alpha if states else 0.2
        # A bank whose every fourth hour is bad, and a model that finds out only when it
        # is made to say more than nine in ten.
        failed = 30 if step % 4 == 0 and alpha > 0.1 else 2
        before = states[KEY].held if states else 0.0
        row = ended(at + timedelta(minutes=5 * step), failed=failed)
        states = intervals.learnt(states, [row])
        held += states[KEY].held > before * intervals.KEPT + 0.5
    return held / 3000
