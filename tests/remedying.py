"""Alerts, SIRA and the engine in one process, over an agent whose float runs low."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import builders
from molam.alerts.engine import Alerts
from molam.alerts.runtime import Watch
from molam.approvals.engine import Engine
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.platform.db import Database
from molam.platform.settings import Secret

KEY = Secret("a signing key of the tests, long enough")


@dataclass
class Desk:
    """What one process has, with a second pair of eyes on its tables."""

    alerts: Alerts
    engine: Engine
    db: Database

    @property
    def watch(self) -> Watch:
        return self.alerts.watch

    async def enable(self, alert_type: str = "float_low", **columns: Any) -> None:
        """Let alerts of a type lead to actions."""
        wanted = {"enabled": True, "share_of_targets": 1, **columns}
        sets = ", ".join(f"{name} = ${place}" for place, name in enumerate(wanted, start=2))
        await self.sql(
            f"update alerts.remediation_policies set {sets} where alert_type = $1",
            alert_type,
            *wanted.values(),
        )

    async def sql(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        async with self.db.transaction("tests.sql") as tx:
            return [tuple(row) for row in await tx.connection.fetch(statement, *args)]

    async def low(self, agent_id: str = "agent-123", value: int = 500_000) -> dict[str, Any]:
        """Measure a low float; returns the alert."""
        alert = await self.alerts.process_metric_event(
            metric="float_available",
            value=value,
            tenant_type="agent",
            tenant_id=agent_id,
            timestamp=datetime.now(UTC),
        )
        assert alert is not None
        return alert

    async def decisions(self, alert: dict[str, Any]) -> list[tuple[str, str]]:
        """What was decided about an alert, in two words each, oldest first."""
        found = await self.alerts.get_alert_decisions(alert["id"])
        return [(row["decision"]["action"], _why(row["decision"])) for row in found]

    async def approve(self, action: dict[str, Any]) -> None:
        for voter in ("finance-user-1", "finance-user-2"):
            await self.engine.vote_on_action(action["id"], voter, [], "approve")

    async def carry_out(self, action: dict[str, Any]) -> None:
        await self.approve(action)
        done = await self.engine.execute_action(action["id"], "ops-admin-1")
        assert done["success"] is True


def _why(decision: dict[str, Any]) -> str:
    details = decision["details"]
    return str(details.get("reason") or details.get("code") or "")


async def a_desk(db: Database, ops_db: Database) -> Desk:
    await builders.operations(db)
    await builders.a_policy(db)
    engine = Engine.of(ops_db, registry())
    watch = Watch(engine.runtime, SystemClock(), KEY)
    return Desk(Alerts(ops_db, watch), engine, db)
