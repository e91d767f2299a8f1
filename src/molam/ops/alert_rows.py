"""Behind an alert: the very rows of which its value was counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from molam.alerts.episodes import queries
from molam.alerts.episodes.model import AlertAbsent, AlertRow
from molam.kernel.clock import Instant
from molam.ledger import floats
from molam.ops import alert_rows_store as store
from molam.ops import permissions
from molam.ops.action_pages import id_of
from molam.ops.alert_pages import headline
from molam.ops.alert_rows_store import RowBehind
from molam.ops.shell import framed, may, zone_of
from molam.platform.db import Database, Query, Tx
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of

routes = Routes()

ROWS_MAX = 100


@dataclass(frozen=True, slots=True)
class Counted:
    """What a type of alert counts, and how far back."""

    query: Query[RowBehind]
    hours: int


_COUNTED: Mapping[str, Counted] = MappingProxyType(
    {
        "recon_match_drop": Counted(store.LIST_LINES, 8 * 24),
        "refund_spike": Counted(store.LIST_REFUNDS, 24),
        "payout_fail_rate": Counted(store.LIST_ATTEMPTS, 1),
        "dlq_growth": Counted(store.LIST_HELD, 24),
        "fraud_score_high": Counted(store.LIST_SCORES, 24),
        "conversion_drop": Counted(store.LIST_PAYMENTS, 6),
        "chargeback_spike": Counted(store.LIST_DISPUTES, 28 * 24),
    }
)

_JOINT = Counted(store.LIST_PAYMENTS, 12)
"""Several figures together, whatever type they are an alert of."""


def _counted(row: AlertRow) -> Counted | None:
    is_joint = str(row.metric.get("metric", "")).endswith(".joint.unusual")
    return _JOINT if is_joint else _COUNTED.get(row.alert_type)


@routes.get(
    "/alerts/{id:uuid}/rows",
    needs=permissions.USE_CONSOLE,
    page=True,
    refuses=(AlertAbsent,),
)
async def rows(request: Request, caller: Caller) -> Response:
    """List the rows of which the alert's value was counted, from its beginning on."""
    state = request.app.state
    row = await queries.get_alert(state.db, id_of(request))
    now = state.clock.now()
    begins, ends = window_of(row, now=now)
    found = await behind(state.db, row, times=(begins, ends))
    sees_lines = may(caller, permissions.RECONCILIATION)
    if row.alert_type == "recon_match_drop" and not sees_lines:
        # Who pays us stands in these; whoever reconciles reads it.
        found = [replace(each, details="") for each in found]
    language = language_of(request, caller)
    return await framed(
        request,
        caller,
        "alert_rows.html",
        place="alerts",
        row=row,
        headline=headline(row, language, now=now, zone=zone_of(request)),
        begins=None if row.alert_type in {"float_low", "dlq_growth"} else begins,
        ends=ends,
        rows=found,
        is_full=len(found) == ROWS_MAX,
        sees_lines=sees_lines,
    )


async def behind(db: Database, row: AlertRow, *, times: tuple[Instant, Instant]) -> list[RowBehind]:
    """Read the newest of the rows behind *row*."""
    async with db.transaction("ops.alert_rows", readonly=True) as tx:
        counted = _counted(row)
        if counted is None:
            return await _movements(tx, row)
        known: dict[str, Any] = {
            "tenant_type": row.tenant_type,
            "tenant_id": row.tenant_id,
            "currency": row.currency,
            "begins": times[0],
            "ends": times[1],
            "rows_max": ROWS_MAX,
        }
        return await tx.all(counted.query, **{name: known[name] for name in counted.query.names})


def window_of(row: AlertRow, *, now: Instant) -> tuple[Instant, Instant]:
    """Say from when its value was counted as it opened, and until when it has been."""
    counted = _counted(row)
    hours = 24 if counted is None else counted.hours
    unusual = row.facts.get("unusual")
    if isinstance(unusual, Mapping) and isinstance(unusual.get("hours"), int):
        # Of an hour's value its beginning is told once the hour is over.
        hours = max(1, unusual["hours"]) + 1
    return row.fired_at - timedelta(hours=hours), row.resolved_at or now


async def _movements(tx: Tx, row: AlertRow) -> list[RowBehind]:
    if row.tenant_id is None or row.currency is None:
        return []
    moved = await floats.movements_of(tx, row.tenant_id, row.currency, limit=ROWS_MAX)
    return [
        RowBehind(
            kind="movement",
            id=str(each.cause_id),
            merchant_id=None,
            merchant_name=None,
            amount=each.amount,
            currency=each.currency,
            status=each.cause,
            details="",
            at=each.posted_at,
        )
        for each in moved
    ]
