"""Every action there was: a list by filters that live in the address, and as CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import currency
from molam.kernel.money import Money
from molam.ops import permissions, store
from molam.ops.shell import framed, zone_of
from molam.ops.views import amount_of, line, sentence_of
from molam.platform.db import Database
from molam.platform.web import Caller, CursorRefused, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

PAGE_ROWS = 50
EXPORT_ROWS_MAX = 10_000

Status = Literal[
    "requested",
    "pending_approval",
    "escalated",
    "approved",
    "executing",
    "executed",
    "failed",
    "rejected",
    "expired",
    "cancelled",
    "rolled_back",
]
Text = Annotated[str, Meta(max_length=255)]

_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)
_LAST = UUID(int=2**128 - 1)
_YEARS = range(2000, 2200)


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The filters of the list, as they stand in the address."""

    status: Status | None = None
    type: Text | None = None
    target: Text | None = None
    risk: Literal["low", "medium", "high", "critical"] | None = None
    origin: Literal["sira", "system", "ops_ui", "module", "alert"] | None = None
    by: Text | None = None
    from_: date | None = msgspec.field(name="from", default=None)
    to: date | None = None
    cursor: Annotated[str, Meta(max_length=1024)] | None = None

    def pairs(self, **changed: object) -> dict[str, object]:
        """Return what is asked for, by its name in the address, with *changed* in place."""
        values = msgspec.structs.asdict(self) | changed
        return {key: value for key, value in values.items() if value is not None}

    @property
    def is_impossible(self) -> bool:
        """Whether the days are none that anything can have happened on."""
        days = [day for day in (self.from_, self.to) if day is not None]
        return days != sorted(days) or any(day.year not in _YEARS for day in days)

    def address(self, **changed: object) -> str:
        pairs = {key.rstrip("_"): str(value) for key, value in self.pairs(**changed).items()}
        return "/ops/actions" + (f"?{urlencode(pairs)}" if pairs else "")


class Position(msgspec.Struct, frozen=True):
    """Where a page begins: strictly beyond this action, newest first."""

    created_at: datetime
    id: UUID
    newer: bool = False


@routes.get(
    "/ops/actions",
    needs=permissions.USE_CONSOLE,
    page=True,
    query=Asked,
    refuses=(CursorRefused,),
)
async def actions(request: Request, caller: Caller, asked: Asked) -> Response:
    """List actions, newest first."""
    state, zone = request.app.state, zone_of(request)
    scope = ("actions", caller.subject, asked.pairs(cursor=None))
    beyond = None
    if asked.cursor is not None:
        beyond = state.ops_cursors.open(asked.cursor, Position, filters=scope)
    wrong = asked.is_impossible
    rows: list[store.ActionRow] = []
    has_newer = has_older = False
    if not wrong:
        rows, has_newer, has_older = await _page(state.db, asked, zone, beyond)

    def turned(row: store.ActionRow, *, newer: bool) -> str:
        position = Position(row.created_at, row.id, newer)
        return asked.address(cursor=state.ops_cursors.seal(position, filters=scope))

    chips = asked.pairs(cursor=None)
    language = language_of(request, caller)
    return await framed(
        request,
        caller,
        "actions.html",
        place="actions",
        asked=asked,
        errors=wrong,
        chips=chips,
        narrowed=bool(chips.keys() - {"target"}),
        statuses=get_args(Status),
        types=[each.action_type for each in await state.db.read(store.LIST_TYPES)],
        rows=[line(row, language, asked_by=row.created_by_name) for row in rows],
        newer=turned(rows[0], newer=True) if has_newer else None,
        older=turned(rows[-1], newer=False) if has_older else None,
        first_page=asked.address(cursor=None) if beyond else None,
        without=lambda name: asked.address(**{"cursor": None, name: None}),
        export=asked.address(cursor=None).replace("/ops/actions", "/ops/actions/export", 1),
    )


@routes.get(
    "/ops/actions/export",
    needs=permissions.USE_CONSOLE,
    page=True,
    query=Asked,
)
async def export(request: Request, caller: Caller, asked: Asked) -> Response:
    """Write what the filters show as CSV: plain decimals, instants in UTC."""
    rows: list[store.ActionRow] = []
    if not asked.is_impossible:
        rows = await request.app.state.db.read(
            store.LIST_OLDER,
            **_filters(asked, zone_of(request)),
            at=_END,
            id=_LAST,
            limit=EXPORT_ROWS_MAX,
        )
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    language = language_of(request, caller)
    writer.writerows([_safe(each) for each in _cells(row, language)] for row in rows)
    headers = {"Content-Disposition": 'attachment; filename="molam-actions.csv"'}
    return Response(
        text.getvalue(),
        status_code=HTTPStatus.OK,
        media_type="text/csv; charset=utf-8",
        headers=headers,
    )


_COLUMNS = (
    "id",
    "created_at",
    "action_type",
    "what",
    "target_type",
    "target_id",
    "target_name",
    "amount",
    "currency",
    "risk_level",
    "status",
    "state",
    "approvals",
    "rejections",
    "policy",
    "created_by",
    "decided_at",
    "executed_at",
)


def _cells(row: store.ActionRow, language: Language) -> list[str]:
    amount = amount_of(row.plan)
    return [
        str(row.id),
        _utc(row.created_at),
        row.action_type,
        sentence_of(row.plan, language),
        row.target_tenant_type,
        row.target_tenant_id,
        str(row.plan.get("target_name", "")),
        "" if amount is None else str(Money(amount.minor, currency(amount.currency)).decimal()),
        "" if amount is None else amount.currency,
        row.risk_level,
        row.status,
        row.state,
        str(row.votes_approve),
        str(row.votes_reject),
        f"{row.policy_name} {row.policy_version}",
        row.created_by,
        _utc(row.decided_at),
        _utc(row.executed_at),
    ]


def _safe(cell: str) -> str:
    # A spreadsheet would run a cell that begins like a formula.
    return f"'{cell}" if cell.startswith(("=", "+", "@", "\t")) else cell


def _utc(instant: datetime | None) -> str:
    if instant is None:
        return ""
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


async def _page(
    db: Database, asked: Asked, zone: str, beyond: Position | None
) -> tuple[list[store.ActionRow], bool, bool]:
    """Return a page's rows, newest first, and whether there are newer and older ones."""
    newer = beyond is not None and beyond.newer
    rows = await db.read(
        store.LIST_NEWER if newer else store.LIST_OLDER,
        **_filters(asked, zone),
        at=beyond.created_at if beyond else _END,
        id=beyond.id if beyond else _LAST,
        limit=PAGE_ROWS + 1,
    )
    more, rows = len(rows) > PAGE_ROWS, rows[:PAGE_ROWS]
    if newer:
        return rows[::-1], more, bool(rows)
    return rows, beyond is not None and bool(rows), more


def _filters(asked: Asked, zone: str) -> dict[str, object]:
    return {
        "status": asked.status,
        "action_type": asked.type,
        "target": asked.target,
        "risk": asked.risk,
        "origin": asked.origin,
        "created_by": asked.by,
        "from_at": _midnight(asked.from_, zone) if asked.from_ else _BEGINNING,
        "to_at": _midnight(asked.to + timedelta(days=1), zone) if asked.to else _END,
    }


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
