"""Health logs as history to train on, and the hourly look at drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bank_health import BANK, a_member
from learned_health import a_model, as_files
from molam.platform.db import Database
from molam.sira import drift_watch, registry
from molam.sira.training import history

OTHER = "bp_124"


@pytest.fixture
async def logged(db: Database) -> datetime:
    """Two banks of one failure domain; three hours of one, and a minute of the other."""
    await a_member(db)
    await a_member(db, OTHER)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    async with db.transaction("tests.logged") as tx:
        run = tx.connection.execute
        await run("update mesh.mesh_members set failure_domains = '{core:a}'")
        await run(
            "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at,"
            " attempts, failures, probes, probe_failures, timeouts, latency_sum_ms, latency_max_ms,"
            " latencies, p_down)"
            " select $1, 'bank', 'XOF', $2::timestamptz - make_interval(mins => n),"
            "        3, 1, 1, 0, 1, 900, 500, 3, 0.25"
            "   from generate_series(1, 1700) as n where n <> 20",
            BANK,
            now,
        )
        await run(
            "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, probes)"
            " values ($1, 'bank', 'XOF', $2, 1), ($1, 'wallet', 'EUR', $3, 1)",
            OTHER,
            now - timedelta(minutes=5),
            now - timedelta(days=40),
        )
        await run(
            "insert into mesh.declared_outages (id, bank_profile_id, begins_at, ends_at, source,"
            " created_by, created_at) values"
            " (gen_random_uuid(), $1, $2, $3, 'bank', 'test', $4),"
            " (gen_random_uuid(), $1, $2, $3, 'operator', 'test', $3)",
            BANK,
            now - timedelta(hours=2),
            now - timedelta(hours=1),
            now - timedelta(days=2),
        )
    return now


async def test_logs_become_minutes_with_what_surrounds_them(worker_db: Database, logged: datetime):
    one, other = await history.recorded(worker_db, days=30)

    assert (one.bank, other.bank) == (f"{BANK}/bank/XOF", f"{OTHER}/bank/XOF")
    assert len(one.minutes) == 1699
    last = one.minutes[-1]
    assert last.at == logged.timestamp() - 60
    assert (last.attempts, last.failures, last.probes, last.timeouts) == (3, 1, 1, 1)
    assert (last.latency_sum_ms, last.latency_max_ms, last.latencies) == (900, 500, 3)
    assert one.neighbours == {other.bank}
    # An outage that was told of after it began was no announcement.
    assert one.maintenance == [(logged.timestamp() - 7200, logged.timestamp() - 3600)]
    assert other.maintenance == []


async def test_the_hourly_look_keeps_what_it_has_seen(worker_db: Database, logged, tmp_path):
    registry.keep(tmp_path, "health-1", as_files(a_model()))
    registry.point_to(tmp_path, "health-1")
    (cron,) = drift_watch.crons(tmp_path)

    await cron.run(worker_db)

    state = registry.kept_drift(tmp_path, "health-1")
    assert state is not None
    assert state.rows > 10
    await cron.run(worker_db)
    assert registry.kept_drift(tmp_path, "health-1") == state


async def test_without_a_model_nothing_is_looked_at(worker_db: Database, tmp_path):
    assert await drift_watch.look(worker_db, tmp_path) is None
