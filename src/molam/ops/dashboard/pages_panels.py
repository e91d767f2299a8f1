"""Widgets as the page shows them: what was asked of the data, drawn and with links to its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from molam.alerts.episodes import sentences
from molam.kernel.clock import Instant
from molam.kernel.currency import CURRENCIES
from molam.ops.dashboard import pages_draw as draw
from molam.ops.dashboard.model import Tenant
from molam.ops.dashboard.recommendation_words import words
from molam.ops.dashboard.widgets import Placed
from molam.platform.web.l10n import Formats

CHARTS = frozenset({"chart_line", "chart_bar"})
LISTS = frozenset({"list", "alert_list", "timeline", "pending_approvals_list"})
"""Kinds with links to press: while somebody looks, they only say that they have changed."""

_HOUR = timedelta(hours=1)
_STEPS: Mapping[str, timedelta] = {"hour": _HOUR, "day": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Scope:
    """What the page is about: a tenant, a currency and a stretch of time, as the address says."""

    tenant: Tenant
    currency: str | None
    time_range: str | None

    def pairs(self) -> dict[str, str]:
        """Return the address's parameters, those left out that go without saying."""
        given = {
            "tenant_type": self.tenant.type if self.tenant.type != "platform" else None,
            "tenant_id": self.tenant.id,
            "currency": self.currency,
            "range": self.time_range,
        }
        return {key: value for key, value in given.items() if value}

    def address(self, path: str = "/", **changed: str | None) -> str:
        """Return the address of *path* about the same, but for what is *changed*."""
        pairs = {key: value for key, value in (self.pairs() | changed).items() if value}
        return f"{path}?{urlencode(pairs)}" if pairs else path


@dataclass(frozen=True, slots=True)
class Bucket:
    at: datetime
    label: str
    value: float | None
    href: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """An agent on the widgets' map and in their lists."""

    id: str
    name: str
    city: str | None
    currency: str
    float_available: int
    floor: int | None
    latitude: float | None
    longitude: float | None


@dataclass(frozen=True, slots=True)
class Panel:
    """One widget: where it stands, and what it shows."""

    placed: Placed
    data: dict[str, Any]
    buckets: Sequence[Bucket] = ()
    segments: Sequence[str] = ()
    bars: Sequence[draw.Bar] = ()
    plot: str = ""
    gauge: draw.Gauge | None = None
    dots: Sequence[draw.Dot[Place]] = ()
    agents: Sequence[Place] = ()
    heat: Sequence[Sequence[draw.Cell]] = ()
    rows: Sequence[dict[str, Any]] = field(default_factory=tuple)
    refused: bool = False

    @property
    def id(self) -> str:
        return str(self.placed.widget.id)

    @property
    def kind(self) -> str:
        return self.placed.widget.kind

    @property
    def metric(self) -> str:
        return str(self.data.get("metric") or self.placed.widget.config.get("metric") or "")

    @property
    def unit(self) -> str:
        return str(self.data.get("unit") or "count")

    @property
    def currency(self) -> str:
        return str(self.data.get("currency") or "")

    @property
    def is_live(self) -> bool:
        return self.kind not in LISTS

    @property
    def is_of_all(self) -> bool:
        """It is the reader's own, whomever the page is about."""
        return self.kind == "pending_approvals_list"

    @property
    def is_empty(self) -> bool:
        """Nothing is known that could be drawn."""
        if self.kind in CHARTS:
            return all(bucket.value is None for bucket in self.buckets)
        if self.kind in {"metric", "gauge"}:
            return self.data.get("value") is None
        if self.kind == "heatmap":
            return not any(cell.level for row in self.heat for cell in row)
        return not (self.rows or self.agents)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks: their language's formats and their zone."""

    formats: Formats
    zone: str
    now: Instant


def refused_panel(placed: Placed) -> Panel:
    """Stand for a widget whose figures could not be had; the others show theirs."""
    return Panel(placed, {}, refused=True)


def panel(placed: Placed, data: dict[str, Any], scope: Scope, reader: Reader) -> Panel:
    """Draw what a widget's data says."""
    kind = placed.widget.kind
    if kind in CHARTS or kind == "metric":
        return _chart(placed, data, scope, reader)
    if kind == "gauge":
        drawn = draw.gauge(
            data.get("value"),
            low=float(data.get("min") or 0),
            high=float(data.get("max") or 1),
            thresholds=_thresholds(data.get("thresholds") or ()),
        )
        return Panel(placed, data, gauge=drawn)
    if kind == "heatmap":
        cells = {(each["weekday"], each["hour"]): each["value"] for each in data.get("cells", ())}
        return Panel(placed, data, heat=draw.heat(cells))
    if "agents" in data:
        agents = [_place(each) for each in data["agents"]]
        dots = draw.scatter(agents) if kind == "map" else ()
        return Panel(placed, data, agents=agents, dots=dots)
    names = ("rows", "recommendations", "alerts", "events", "actions")
    rows = next((data[name] for name in names if name in data), ())
    return Panel(placed, data, rows=[_row(each, data, scope, reader) for each in rows])


def _row(row: dict[str, Any], data: dict[str, Any], scope: Scope, reader: Reader) -> dict[str, Any]:
    """Read a row's moments, say an alert in the reader's words, and find the page behind it."""
    shown = dict(row) | {"href": _ranked_address(row, data, scope)}
    shown |= {name: _moment(row[name]) for name in ("at", "created_at") if row.get(name)}
    if data.get("by") == "country":
        shown["name"] = reader.formats.country(row["id"])
    title = _title(row, reader)
    if title is not None:
        shown["title"] = title
    return shown


def _title(row: dict[str, Any], reader: Reader) -> str | None:
    """Say an alert or a recommendation in the reader's language, where its facts are known."""
    facts, language = row.get("facts"), reader.formats.language
    if not facts:
        return None
    kind = row.get("kind", "alert" if "alert_type" in row else "recommendation")
    type_ = row.get("type") or row.get("alert_type") or row.get("recommendation_type")
    if kind == "alert":
        return sentences.sentence(str(type_), facts, language, now=reader.now, zone=reader.zone)
    title, _ = words(str(type_), facts, language)
    return title


def _moment(value: object) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


def _ranked_address(row: dict[str, Any], data: dict[str, Any], scope: Scope) -> str | None:
    by = data.get("by")
    if by is None:
        return None
    return scope.address(tenant_type=str(by), tenant_id=row["id"], currency=data.get("currency"))


def _thresholds(given: Sequence[dict[str, Any]]) -> list[tuple[float, str]]:
    return [(float(each["value"]), str(each["color"])) for each in given]


def _place(row: dict[str, Any]) -> Place:
    return Place(
        id=row["id"],
        name=row["name"],
        city=row.get("city"),
        currency=row["currency"],
        float_available=row["float_available"],
        floor=row.get("floor"),
        latitude=row.get("latitude"),
        longitude=row.get("longitude"),
    )


def _chart(placed: Placed, data: dict[str, Any], scope: Scope, reader: Reader) -> Panel:
    points = data.get("data") or data.get("points") or ()
    group_by = str(data.get("group_by") or "day")
    metric = str(data.get("metric") or "")
    currency = data.get("currency")
    buckets = []
    for point in points:
        at = datetime.fromisoformat(point["timestamp"])
        href = rows_address(scope, metric, at, at + _STEPS.get(group_by, _HOUR), currency=currency)
        label = label_of(at, group_by, reader)
        buckets.append(Bucket(at, label, point["value"], href))
    values = [bucket.value for bucket in buckets]
    is_bar = placed.widget.kind == "chart_bar"
    return Panel(
        placed,
        data,
        buckets=buckets,
        segments=[] if is_bar else draw.segments(values),
        bars=draw.bars(values) if is_bar else [],
        plot=_plot(buckets, data, is_bar=is_bar, formats=reader.formats)
        if placed.widget.kind in CHARTS
        else "",
    )


def rows_address(
    scope: Scope, metric: str, start: datetime, end: datetime, *, currency: str | None
) -> str:
    """Return the page of the rows behind one bucket of a metric."""
    span = {"metric": metric, "from": iso(start), "to": iso(end)}
    return scope.address("/dashboard/rows", **span, currency=currency, range=None)


def iso(at: datetime) -> str:
    """Write an instant for an address."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def label_of(at: datetime, group_by: str, reader: Reader) -> str:
    """Name a bucket: its hour in the reader's zone, or its day, which is a day of UTC."""
    if group_by == "hour":
        local = at.astimezone(ZoneInfo(reader.zone))
        return f"{reader.formats.day_month(local.date())} {reader.formats.hour(local)}"
    return reader.formats.day_month(at.date())


def _plot(
    buckets: Sequence[Bucket], data: dict[str, Any], *, is_bar: bool, formats: Formats
) -> str:
    """Write what the script draws a chart from."""
    unit, code = data.get("unit"), data.get("currency")
    amount = unit == "amount" and bool(code)
    scale = 10 ** CURRENCIES[str(code)].exponent if amount else 1
    return json.dumps(
        {
            "kind": "bar" if is_bar else "line",
            "labels": [bucket.label for bucket in buckets],
            "values": [_scaled(bucket.value, unit, scale) for bucket in buckets],
            "hrefs": [bucket.href for bucket in buckets],
            "after": formats.symbol(str(code)) if amount else "%" if unit == "share" else "",
            "digits": CURRENCIES[str(code)].exponent if amount else 1 if unit == "share" else 0,
        },
        separators=(",", ":"),
    )


def _scaled(value: float | None, unit: object, scale: int) -> float | None:
    if value is None:
        return None
    return value * 100 if unit == "share" else value / scale
