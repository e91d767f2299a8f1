"""Predictions are SIRA's word for word, or they are none."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from bank_health import (
    BANK,
    KEY,
    a_member,
    a_mesh,
    believed,
    drain,
    heard,
    jobs_named,
    tell,
)
from molam.kernel.clock import ManualClock, SystemClock
from molam.kernel.refusals import Outage
from molam.mesh.signals import monitor, outages, predictions, remote
from molam.mesh.signals.commands import DECIDE
from molam.mesh.signals.model import NoHealthData, PredictionUnavailable
from molam.mesh.signals.outages import Announced
from molam.mesh.signals.predictions import About, PredictionRow
from molam.platform.db import Database
from molam.platform.settings import Secret
from molam.sira import content as sira_content
from molam.sira import health_client
from molam.sira.health import RecentCounts

ABOUT = About(BANK, "region_cedeao", "bank", "XOF")


@pytest.fixture
async def member(worker_db: Database, db: Database) -> str:
    await a_member(db)
    at = time.time() - 30
    await tell(worker_db, *(heard(at=at) for _ in range(40)))
    await drain(worker_db)
    return BANK


async def predict(db: Database, mesh: Any = None) -> PredictionRow:
    async with db.transaction("tests.predict") as tx:
        return await predictions.predict(
            tx,
            mesh or a_mesh(),
            bank_profile_id=BANK,
            mesh_region_id="region_cedeao",
            rail="bank",
            currency="XOF",
        )


async def valid(db: Database, mesh: Any = None) -> list[PredictionRow]:
    async with db.transaction("tests.valid") as tx:
        return await predictions.valid(tx, mesh or a_mesh(), currency="XOF", rail="bank")


async def rows(db: Database, sql: str, *values: object) -> list[Any]:
    async with db.transaction("tests.rows") as tx:
        return list(await tx.connection.fetch(sql, *values))


async def test_prediction_is_kept_signed_and_told(worker_db, db, member):
    made = await predict(worker_db)

    (kept,) = await valid(worker_db)
    assert kept == made
    assert kept.predicted_score > 95
    assert kept.served_by == "tier1"
    assert kept.valid_until - kept.valid_from == timedelta(minutes=10)
    interval = kept.sira_confidence_intervals
    assert interval["p10"] <= float(kept.predicted_score) <= interval["p90"]
    (event,) = await rows(
        db, "select payload::jsonb as p from platform.events where topic = 'mesh.predictions'"
    )
    assert event["p"]["data"]["prediction_id"] == made.id
    assert event["p"]["data"]["recommendation"] == "monitor"


async def test_contributions_add_up_to_the_log_odds_of_being_down(worker_db, db, member):
    made = await predict(worker_db)

    parts = sum(part["log_odds"] for part in made.explanation["contributions"])
    assert pow(2.718281828, parts) == pytest.approx(made.p_down / (1 - made.p_down), rel=0.02)


class _Undo(Exception):
    pass


async def test_prediction_of_which_any_word_was_altered_is_none(db, worker_db, member):
    await a_member(db, "bp_other")
    await predict(worker_db)
    changes = [
        "predicted_score = 99.99 - predicted_score / 2",
        "confidence = 0.9999",
        "p_down = 0.5",
        "recommended_action = 'failover'",
        "risk_factors = '{latency_spike}'",
        "prediction_reason = 'Trust me.'",
        "rail = 'wallet:wave'",
        "currency = 'EUR'",
        "bank_profile_id = 'bp_other'",
        "mesh_region_id = 'region_eu'",
        "served_by = 'tier2'",
        "sira_model_version = 'another'",
        "prediction_window_minutes = 61",
        "valid_until = valid_until + interval '1 hour'",
        "sira_confidence_intervals = jsonb_set(sira_confidence_intervals, '{p10}', '1')",
        "explanation = jsonb_set(explanation, '{n_eff}', '1000')",
        "sira_signature = ''",
        "token_id = 'another'",
    ]
    for change in changes:
        with contextlib.suppress(_Undo):
            async with db.transaction("tests.alter") as tx:
                await tx.connection.execute(f"update mesh.bank_health_predictions set {change}")
                for rail in ("bank", "wallet:wave"):
                    for code in ("XOF", "EUR"):
                        found = await predictions.valid(tx, a_mesh(), currency=code, rail=rail)
                        assert found == [], change
                raise _Undo

    assert len(await valid(worker_db)) == 1


async def test_prediction_signed_by_somebody_else_is_none(worker_db, db, member):
    made = await predict(worker_db)
    forged = sira_content.sign_content(
        "prediction",
        predictions.content_of(made),
        key=Secret("a key that anybody could have made up"),
        now=made.valid_from,
        ttl_s=600,
    )

    await rows(
        db,
        "update mesh.bank_health_predictions set sira_signature = $1, token_id = $2",
        forged.token,
        forged.token_id,
    )

    assert await valid(worker_db) == []


async def test_token_of_a_proposal_signs_no_prediction(worker_db, db, member):
    made = await predict(worker_db)
    other = sira_content.sign_content(
        "proposal", predictions.content_of(made), key=KEY, now=made.valid_from, ttl_s=600
    )

    await rows(
        db,
        "update mesh.bank_health_predictions set sira_signature = $1, token_id = $2",
        other.token,
        other.token_id,
    )

    assert await valid(worker_db) == []


async def test_signature_of_an_earlier_prediction_does_not_fit_the_next(worker_db, db, member):
    first = await predict(worker_db)
    second = await predict(worker_db)

    await rows(db, "update mesh.bank_health_predictions set token_id = token_id || '-'")
    await rows(
        db,
        "update mesh.bank_health_predictions set sira_signature = $2, token_id = $3 where id = $1",
        *(second.id, first.sira_signature, first.token_id),
    )

    assert await valid(worker_db) == []


async def test_prediction_holds_for_ten_minutes(worker_db, db, member):
    await predict(worker_db)

    later = ManualClock(SystemClock().now() + timedelta(minutes=11))

    assert await valid(worker_db, a_mesh(clock=later)) == []


async def test_of_a_bank_that_nothing_was_heard_of_nothing_is_predicted(worker_db, db, member):
    async with worker_db.transaction("tests.silent") as tx:
        with pytest.raises(NoHealthData):
            await predictions.predict(
                tx,
                a_mesh(),
                bank_profile_id=BANK,
                mesh_region_id=None,
                rail="wallet:wave",
                currency="EUR",
            )


async def test_level_that_is_passed_makes_a_new_prediction(worker_db, db, member):
    at = time.time() - 20
    await tell(worker_db, *(heard("bank_technical", at=at + n) for n in range(9)))
    await drain(worker_db)

    (made,) = await valid(worker_db)
    assert made.p_down > 0.99
    assert made.recommended_action == "failover"
    assert made.predicted_score < 60


async def test_members_are_predicted_anew_by_the_clock(worker_db, db, member):
    await predictions.refresh_all(worker_db, a_mesh())
    await predictions.refresh_all(worker_db, a_mesh())

    assert len(await valid(worker_db)) == 1
    assert len(await rows(db, "select 1 from mesh.bank_health_predictions")) == 2


async def test_remote_sira_is_asked_by_a_job_after_the_commit(worker_db, db, member):
    mesh = a_mesh(sira_url="http://127.0.0.1:1")

    await predictions.refresh_all(worker_db, mesh)
    await predictions.refresh_all(worker_db, mesh)

    assert await jobs_named(db, predictions.PREDICT) == [
        {
            "bank_profile_id": BANK,
            "mesh_region_id": "region_cedeao",
            "rail": "bank",
            "currency": "XOF",
            "version": 1,
        }
    ]


async def test_fallback_serves_while_sira_is_down_and_says_so(worker_db, db, member):
    here = await predict(worker_db)
    made = await remote.predict(worker_db, a_mesh(sira_url="http://127.0.0.1:1"), ABOUT)

    assert made.served_by == "fallback"
    assert made.confidence == Decimal("0.6000")
    wide, narrow = made.sira_confidence_intervals, here.sira_confidence_intervals
    assert wide["p90"] - wide["p10"] > narrow["p90"] - narrow["p10"]
    assert made.id in {each.id for each in await valid(worker_db)}


async def test_without_a_fallback_there_is_no_prediction(worker_db, db, member):
    mesh = a_mesh(sira_url="http://127.0.0.1:1", fallback_enabled=False)

    with pytest.raises(PredictionUnavailable):
        await remote.predict(worker_db, mesh, ABOUT)

    assert await valid(worker_db) == []


async def test_what_a_remote_sira_says_is_kept_under_our_signature(
    worker_db, db, member, monkeypatch
):
    asked: list[Any] = []
    real = await predict(worker_db)

    async def ask(_sira: Any, request: Any) -> Any:
        asked.append(request)
        async with worker_db.transaction("tests.inside") as tx:  # None is open around it.
            row = await predictions.health_row(tx, ABOUT)
        forecast = predictions.predict_by(
            a_mesh().serving(),
            row.belief,
            window_minutes=60,
            at=time.time(),
            recent=RecentCounts(),
        )
        return health_client.Heard(forecast, {}, "token", "jti", real.valid_until)

    monkeypatch.setattr(health_client, "ask", ask)
    made = await remote.predict(worker_db, a_mesh(sira_url="http://sira"), ABOUT)

    assert made.id in {each.id for each in await valid(worker_db)}
    assert asked[0].historical_data[0]["attempts"] == 40


async def test_prediction_that_sira_did_not_sign_is_as_good_as_none(
    worker_db, db, member, monkeypatch
):
    async def ask(_sira: Any, _request: Any) -> Any:
        raise Outage("SIRA")

    monkeypatch.setattr(health_client, "ask", ask)
    made = await remote.predict(worker_db, a_mesh(sira_url="http://sira"), ABOUT)

    assert made.served_by == "fallback"


async def test_announced_outage_is_believed_while_it_lasts(worker_db, db, member):
    mesh = a_mesh()
    async with worker_db.transaction("tests.announce") as tx:
        row = await outages.announce(tx, mesh, Announced(BANK, note="Core move"), by="binta")

    assert (await believed(db)).p_down >= 0.9
    assert (await believed(db)).score <= 10
    assert {job["rail"] for job in await jobs_named(db, DECIDE)} >= {"bank", "wallet:wave"}
    (made,) = await valid(worker_db)
    assert made.p_down >= 0.9

    async with worker_db.transaction("tests.end") as tx:
        await outages.end(tx, mesh, row.id, ends_at=None)

    assert (await believed(db)).p_down < 0.2
    assert not (await believed(db)).is_announced_down


async def test_outage_that_is_planned_counts_from_its_beginning(worker_db, db, member):
    soon = SystemClock().now() + timedelta(hours=1)
    async with worker_db.transaction("tests.announce") as tx:
        await outages.announce(tx, a_mesh(), Announced(BANK, begins_at=soon), by="binta")
    assert (await believed(db)).p_down < 0.2
    assert await jobs_named(db, DECIDE) == []

    await rows(db, "update mesh.declared_outages set begins_at = now() - interval '1 second'")
    await outages.tell_due(worker_db, a_mesh())
    asked = len(await jobs_named(db, DECIDE))
    await outages.tell_due(worker_db, a_mesh())

    assert (await believed(db)).p_down >= 0.9
    assert len(await jobs_named(db, DECIDE)) == asked > 0


async def test_outage_of_one_rail_leaves_the_others_alone(worker_db, db, member):
    await tell(worker_db, heard(at=time.time(), rail="wallet:wave"))
    await drain(worker_db)
    async with worker_db.transaction("tests.announce") as tx:
        await outages.announce(tx, a_mesh(), Announced(BANK, rail="wallet:wave"), by="binta")

    assert (await believed(db)).p_down < 0.2
    assert (await believed(db, rail="wallet:wave")).p_down >= 0.9


async def test_monitor_tells_members_and_the_topic_how_banks_are(worker_db, db, member):
    await tell(
        worker_db, *(heard("bank_technical", at=time.time(), rail="wallet:wave") for _ in range(9))
    )
    await drain(worker_db)

    await monitor.publish_health(worker_db, a_mesh())

    (told,) = await rows(
        db,
        "select m.current_health_score, m.last_health_update, b.health_status, b.availability"
        " from mesh.mesh_members m join payments.bank_profiles b on b.id = m.bank_profile_id",
    )
    assert told["current_health_score"] < 60
    assert told["health_status"] == "down"
    assert told["availability"] == Decimal("81.63")
    (event,) = await rows(
        db, "select payload::jsonb as p from platform.events where topic = 'mesh.health'"
    )
    assert set(event["p"]["data"]) == {
        *("bank_profile_id", "health_score", "latency_ms", "success_rate"),
        *("volume_last_hour", "timestamp"),
    }
    assert await drain(worker_db) >= 1  # Our own word is passed over.
    assert (await believed(db)).signals == 40


async def test_usual_is_learnt_from_minutes_in_which_the_bank_was_well(worker_db, db, member):
    await rows(
        db,
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, attempts,"
        " latency_sum_ms, latency_max_ms, latencies, p_down)"
        " select $1, 'bank', 'XOF', date_trunc('hour', now()) - interval '7 days'"
        " + n * interval '1 minute', 2, 400, 300, 2, case when n < 40 then 0 else 0.9 end"
        " from generate_series(0, 59) as n",
        BANK,
    )

    await monitor.learn_usual(worker_db, a_mesh())

    (usual,) = await rows(db, "select * from mesh.hourly_baselines")
    assert usual["p99_ms"] == 300
    assert usual["minutes"] in {40, 41}


async def test_what_is_old_is_forgotten(worker_db, db, member):
    await predict(worker_db)
    await predict(worker_db)
    await rows(
        db,
        "update mesh.bank_health_predictions set created_at = now() - interval '40 days'"
        " where id = (select min(id) from mesh.bank_health_predictions)",
    )
    await rows(db, "update mesh.bank_health_logs set checked_at = checked_at - interval '200 days'")

    await monitor.purge(worker_db)

    assert len(await rows(db, "select 1 from mesh.bank_health_predictions")) == 1
    assert await rows(db, "select 1 from mesh.bank_health_logs") == []
