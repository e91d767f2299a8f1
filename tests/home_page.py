"""The operations' home as tests see it: two days of sales, agents on a map, one recommendation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from builders import a_transaction
from molam.ops.dashboard import aggregates, recommendations, widgets
from molam.ops.dashboard.model import PLATFORM
from molam.ops.dashboard.recommending import Feature, Proposed
from molam.ops.dashboard.widgets import NewWidget
from molam.platform.db import Database

CHART, ALERTS, APPROVALS, GAUGE, MAP = (
    f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3, 5, 9)
)
SOLD = 75_000
MORE: dict[str, dict[str, Any]] = {
    "metric": {"metric": "gmv"},
    "chart_pie": {"metric": "gmv", "by": "country"},
    "heatmap": {"metric": "transaction_count"},
    "timeline": {},
}
"""The kinds that nobody finds on their home at first."""

TOP_UP = Proposed(
    subject="float/agent-123",
    tenant_type="agent",
    tenant_id="agent-123",
    recommendation_type="ADJUST_FLOAT",
    priority="high",
    action_type="ADJUST_FLOAT",
    params={
        "agent_id": "agent-123",
        "adjustment": "top_up",
        "amount": 600_000,
        "currency": "XOF",
    },
    features=(
        Feature("days_it_would_run_low", 6, Decimal("0.61")),
        Feature("low_now", 500_000, Decimal("0.07")),
    ),
    lasts=timedelta(days=1),
    facts={
        "name": "Kiosque Médina",
        "balance": 500_000,
        "floor": 1_000_000,
        "amount": 600_000,
        "currency": "XOF",
        "days_low": 6,
        "days": 7,
    },
    impact={"risk_reduction": 0.78, "at_stake": 200_000, "currency": "XOF"},
)


async def furnish(db: Database) -> None:
    """Let there be something to see; the demo's people and agents are there already."""
    now = datetime.now(UTC)
    for hours in (2, 26):
        at = now - timedelta(hours=hours)
        await a_transaction(db, id_=f"tx_home_{hours}", amount=SOLD, occurred_at=at)
    async with db.transaction("tests.home") as tx:
        for at, (kind, config) in enumerate(MORE.items()):
            position = widgets.Position(20 + 3 * at, 0, 6, 3)
            wanted = NewWidget(f"More: {kind}", kind, config, position, PLATFORM, True, ())
            await widgets.put(tx, wanted, by="tests", now=now)
        await recommendations.keep(tx, [TOP_UP], now=now)
    await aggregates.refresh(db)
    await aggregates.refresh_snapshots(db, now=now)


async def the_recommendation(db: Database) -> str:
    async with db.transaction("tests.recommendation") as tx:
        found = await recommendations.listing(tx)
    return str(found[0].id)
