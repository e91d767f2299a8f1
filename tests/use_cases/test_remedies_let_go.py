"""When an alert ends first, what waits to be done about it ends at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import builders
from molam.alerts.episodes import asking
from molam.alerts.episodes.model import OVER
from molam.alerts.remediation import jobs
from molam.platform.db import Database
from molam.platform.jobs import Job
from remedying import Desk, a_desk


@pytest.fixture
async def desk(db: Database, ops_db: Database) -> Desk:
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    found = await a_desk(db, ops_db)
    await found.enable()
    return found


async def waiting(desk: Desk) -> tuple[dict[str, Any], dict[str, Any]]:
    alert = await desk.low()
    action = await desk.alerts.trigger_remediation_flow(alert["id"])
    assert action is not None
    return alert, action


async def by_hand(desk: Desk, alert: dict[str, Any]) -> None:
    await desk.alerts.resolve_alert(alert["id"], "ops-admin-1", "Filled by hand")


async def by_its_value(desk: Desk, alert: dict[str, Any]) -> None:
    del alert
    await desk.sql("update alerts.metric_rules set keep_firing_s = 0, version = version + 1")
    await desk.alerts.process_metric_event(
        metric="float_available",
        value=2_000_000,
        tenant_type="agent",
        tenant_id="agent-123",
        timestamp=datetime.now(UTC),
    )


async def job_done(desk: Desk) -> int:
    """Do the jobs that the end of alerts asked for; returns how many there were."""
    (handler,) = [each for each in jobs.handlers(desk.watch) if each.name == OVER]
    rows = await desk.sql("select id, payload from jobs.pgqueuer where entrypoint = $1", OVER)
    for id_, payload in rows:
        await handler.run(Job(id_, OVER, payload, 1, desk.db))
    return len(rows)


@pytest.mark.parametrize("end", [by_hand, by_its_value])
async def test_what_waits_ends_with_its_alert(desk: Desk, end: Any) -> None:
    alert, action = await waiting(desk)
    await end(desk, alert)

    assert await job_done(desk) == 1
    after = await desk.engine.get_action_with_votes(action["id"])
    assert (after["state"], after["reason"]) == ("stale", "alert_over")


async def test_without_the_job_it_waits_for_the_minute(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(asking, "to_let_go", nothing)
    alert, action = await waiting(desk)
    await by_hand(desk, alert)

    assert await job_done(desk) == 0
    assert (await desk.engine.get_action_with_votes(action["id"]))["state"] == "pending"
