"""What the dashboard tells of the hours, and how people arrange it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import combinations
from typing import get_args
from uuid import UUID, uuid4

import pytest

import builders
import facts
from builders import NOW
from molam.ops.dashboard import aggregates, layouts, queries, widgets
from molam.ops.dashboard.layouts import Place, Step
from molam.ops.dashboard.model import (
    METRICS,
    WIDGET_KINDS,
    MetricUnknown,
    RangeRefused,
    Span,
    Tenant,
    TenantRefused,
    WidgetRefused,
)
from molam.platform.db import Database, Tx

PLATFORM = Tenant("platform")
WEEK = Span.read("7d", "day", now=NOW)


@pytest.fixture
async def shop(db: Database, worker_db: Database) -> None:
    """Two customers and three payments of two days, and one in another currency."""
    await builders.a_merchant(db, id_="m-sn")
    await builders.a_merchant(db, id_="m-gh", country="GH", currency="GHS")
    who = {"merchant_id": "m-sn", "version": 2}
    yesterday = (NOW - timedelta(days=1)).isoformat()
    told = [
        facts.succeeded("tx-1", amount=1000, customer={"phone": "+1"}, **who),
        facts.succeeded("tx-2", amount=2000, customer={"phone": "+2"}, **who),
        facts.succeeded(
            "tx-3", amount=4000, customer={"phone": "+1"}, occurred_at=yesterday, **who
        ),
        facts.created("tx-4", merchant_id="m-sn", version=3, status="failed"),
        facts.succeeded("tx-5", merchant_id="m-gh", amount=77, currency="GHS", version=2),
    ]
    await facts.take_in(worker_db, told)
    await aggregates.refresh(worker_db)


@pytest.fixture
async def tx(ops_db: Database) -> AsyncIterator[Tx]:
    async with ops_db.transaction("tests.read") as tx:
        yield tx


async def values(tx: Tx, metric: str, tenant: Tenant = PLATFORM, **asked: object) -> list[object]:
    found = await queries.series(tx, metric, tenant, span=WEEK, currency="XOF", **asked)  # type: ignore[arg-type]
    return [point.value for point in found.points][-2:]


@pytest.mark.usefixtures("shop")
async def test_currencies_are_never_added_together(tx: Tx) -> None:
    assert await values(tx, "gmv") == [4000, 3000]
    found = await queries.series(tx, "gmv", PLATFORM, span=WEEK, currency="GHS")
    assert sum(point.value or 0 for point in found.points) == 77


@pytest.mark.usefixtures("shop")
async def test_rates_weigh_what_they_are_rates_of(tx: Tx) -> None:
    assert await values(tx, "conversion_rate") == [1.0, 0.6667]


@pytest.mark.usefixtures("shop")
async def test_a_customer_of_two_days_is_one_customer(tx: Tx) -> None:
    assert await values(tx, "unique_customers") == [1, 2]
    begins, ends = WEEK.start, WEEK.end
    found = await queries.total(
        tx, "unique_customers", PLATFORM, begins=begins, ends=ends, currency="XOF"
    )
    assert found == 2


@pytest.mark.usefixtures("shop")
async def test_an_hour_of_which_nothing_is_known_has_no_rate(tx: Tx) -> None:
    quiet = Span.read("1d", "hour", now=NOW - timedelta(days=3))
    found = await queries.series(tx, "conversion_rate", PLATFORM, span=quiet, currency="XOF")
    assert {point.value for point in found.points} == {None}


@pytest.mark.usefixtures("shop")
async def test_a_country_and_a_region_are_part_of_the_platform(tx: Tx) -> None:
    assert await values(tx, "gmv", Tenant("country", "SN")) == [4000, 3000]
    assert await values(tx, "gmv", Tenant("region", "WAEMU")) == [4000, 3000]
    assert await values(tx, "gmv", Tenant("country", "CI")) == [0, 0]
    both = await queries.narrowed(tx, PLATFORM, country="SN", region="WAEMU")
    assert both == Tenant("country", "SN")
    for tenant, region in ((Tenant("merchant", "m-sn"), None), (PLATFORM, "CEMAC")):
        with pytest.raises(TenantRefused):
            await queries.narrowed(tx, tenant, country="SN", region=region)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by", ["country", "region", "merchant", "agent", "bank"])
@pytest.mark.parametrize("metric", ["gmv", "unique_customers", "conversion_rate"])
async def test_whoever_has_most_comes_first(tx: Tx, by: queries.By, metric: str) -> None:
    first = {"country": "SN", "region": "WAEMU", "merchant": "m-sn"}
    asked = queries.Ranking(by, metric, WEEK)
    for tenant in (PLATFORM, *(Tenant(type_, id_) for type_, id_ in first.items())):  # type: ignore[arg-type]
        rows = await queries.ranking(tx, asked, tenant, currency="XOF")
        assert [row.id for row in rows] == [first[name] for name in first if name == by]
    for tenant in (Tenant("country", "GH"), Tenant("region", "ECOWAS"), Tenant("merchant", "m-gh")):
        assert await queries.ranking(tx, asked, tenant, currency="XOF") == []


@pytest.mark.usefixtures("shop")
async def test_the_rows_behind_a_figure_come_to_it(tx: Tx) -> None:
    times = (WEEK.start, WEEK.end)
    rows = await queries.behind(tx, "gmv", PLATFORM, times=times, currency="XOF")
    assert sum(row.amount for row in rows) == 7000
    for metric in METRICS:
        await queries.behind(tx, metric, Tenant("bank", "b"), times=times, currency="XOF")


async def test_what_is_earned_is_made_of_fees(db: Database, worker_db: Database) -> None:
    await builders.a_merchant(db)
    at = (NOW - timedelta(hours=2)).isoformat()
    sold = [facts.succeeded("tx-1", amount=5000, fee_molam=75, occurred_at=at, version=2)]
    await facts.take_in(worker_db, [*sold, facts.succeeded("tx-2", occurred_at=at, version=2)])
    async with db.transaction("tests.pay") as tx:
        await tx.connection.execute(
            "insert into payments.payouts (merchant_id, id, state, amount, fee, currency, occurred_at,"
            " version) values ('merchant-123', 'po-1', 'paid', 900, 20, 'XOF', $1, 1)",
            NOW - timedelta(hours=2),
        )
    await aggregates.refresh(worker_db)
    async with worker_db.transaction("tests.read", readonly=True) as tx:
        for metric, parts in (
            ("net_revenue", [-20, 75]),
            ("total_fees", [75]),
            ("partner_fees", [20]),
        ):
            span = {"begins": WEEK.start, "ends": WEEK.end, "currency": "XOF"}
            times = (WEEK.start, WEEK.end)
            rows = await queries.behind(tx, metric, PLATFORM, times=times, currency="XOF")
            assert sorted(row.amount for row in rows) == parts
            assert await queries.total(tx, metric, PLATFORM, **span) == sum(parts)  # type: ignore[arg-type]


@pytest.mark.usefixtures("shop")
async def test_nobody_elses_figures_are_a_tenants(tx: Tx) -> None:
    found = await queries.overview(tx, Tenant("merchant", "m-gh"))
    assert found.currency == "GHS"
    assert found.snapshot["float_available"] is None


async def test_an_unknown_figure_never_reaches_the_database(tx: Tx) -> None:
    with pytest.raises(MetricUnknown):
        await queries.series(tx, "gmv) from pg_user; --", PLATFORM, span=WEEK)


@pytest.mark.parametrize("text", ["", "0d", "7", "7y", "99999d", "401d", "-1d", "1 d"])
def test_a_time_that_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(RangeRefused):
        Span.read(text, "day", now=NOW)


def test_hours_are_not_shown_for_a_year() -> None:
    with pytest.raises(RangeRefused):
        Span.read("12m", "hour", now=NOW)


async def test_snapshots_of_the_platform_are_kept_once(
    db: Database, worker_db: Database, shop: None
) -> None:
    del shop
    for _ in range(2):
        await aggregates.refresh_snapshots(worker_db, now=NOW)
    async with db.transaction("tests.read") as tx:
        count = "select count(*) from ops.dash_snapshots where tenant_type = 'platform'"
        assert await tx.connection.fetchval(count) == 1
        found = "select ops.get_dashboard_snapshot('platform', null)"
        assert set(await tx.connection.fetchval(found)) <= {"XOF", "GHS"}


async def test_agents_are_listed_by_what_they_need(db: Database, worker_db: Database) -> None:
    await builders.an_agent(db, id_="poor", balance=100_000)
    await builders.an_agent(db, id_="rich", balance=9_000_000)
    await builders.an_agent(db, id_="accra", currency="GHS", country="GH", balance=1_900_000)
    await aggregates.refresh(worker_db)
    async with worker_db.transaction("tests.read", readonly=True) as tx:
        listed = [agent.id for agent in await queries.agents(tx)]
        assert listed == ["poor", "accra", "rich"]
        now = "select float_available from ops.dash_aggregates_hourly where scope = 'platform' and currency = 'XOF'"
        assert await tx.connection.fetchval(now) == 9_100_000


async def test_agents_nearby_are_those_within_the_distance(db: Database) -> None:
    places = {"dakar": (14.69, -17.44), "thies": (14.79, -16.93), "fiji": (-17.0, 179.9)}
    async with db.transaction("tests.places") as tx:
        for agent, (lat, lon) in places.items():
            await tx.connection.execute(
                "insert into tenancy.agents (id, name, country, currency) values ($1, $1, 'SN', 'XOF')",
                agent,
            )
            await tx.connection.execute(
                "insert into ops.agent_locations (agent_id, latitude, longitude, country)"
                " values ($1, $2::float8, $3::float8, 'SN')",
                *(agent, lat, lon),
            )
        near = await queries.agents_nearby(tx, 14.69, -17.44)
        assert [agent.id for agent in near] == ["dakar"]
        near = await queries.agents_nearby(tx, 14.69, -17.44, radius_km=60)
        assert [agent.id for agent in near] == ["dakar", "thies"]
        # Across the date line.
        near = await queries.agents_nearby(tx, -17.0, -179.9, radius_km=30)
        assert [agent.id for agent in near] == ["fiji"]


CONFIGS = {
    "chart_line": {"metric": "gmv"},
    "chart_bar": {"metric": "transaction_count", "time_range": "24h", "group_by": "hour"},
    "gauge": {"metric": "conversion_rate"},
    "metric": {"metric": "float_available"},
    "heatmap": {"metric": "gmv", "time_range": "4w"},
    "list": {"of": "agents"},
}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("kind", WIDGET_KINDS)
async def test_every_kind_of_widget_shows_something(tx: Tx, kind: str) -> None:
    at = widgets.Position(row=0, col=0, width=6, height=2)
    wanted = widgets.NewWidget("Shown", kind, CONFIGS.get(kind, {}), at, PLATFORM, True, ())
    made = await widgets.put(tx, wanted, by="ibrahima.ba", now=NOW)
    data = await widgets.data_of(tx, made, now=NOW, tenant=Tenant("merchant", "m-sn"))
    assert data
    assert made.id in {each.widget.id for each in await widgets.shown_to(tx, "a", ["ops_admin"])}


async def test_a_widget_that_could_show_nothing_is_refused(tx: Tx) -> None:
    at = widgets.Position(row=0, col=8, width=6, height=2)
    with pytest.raises(WidgetRefused):
        await widgets.put(
            tx,
            widgets.NewWidget("Wide", "list", {}, at, PLATFORM, True, ()),
            by="ibrahima.ba",
            now=NOW,
        )
    at = widgets.Position(row=0, col=0, width=6, height=2)
    with pytest.raises(WidgetRefused):
        await widgets.put(
            tx,
            widgets.NewWidget("Odd", "gauge", {"sql": "select 1"}, at, PLATFORM, True, ()),
            by="ibrahima.ba",
            now=NOW,
        )


def overlaps(one: Place, other: Place) -> bool:
    return (
        one.col < other.col + other.width
        and other.col < one.col + one.width
        and one.row < other.row + other.height
        and other.row < one.row + one.height
    )


async def test_whatever_is_moved_nothing_overlaps_or_is_lost(tx: Tx) -> None:
    start = [each.place for each in await widgets.shown_to(tx, "a", [])]
    for at in range(len(start)):
        for step in get_args(Step):
            places = layouts.stepped(start, start[at].widget_id, step)
            assert {each.widget_id for each in places} == {each.widget_id for each in start}
            shown = [each for each in places if not each.hidden]
            assert all(each.is_on_grid for each in places)
            assert not any(overlaps(*pair) for pair in combinations(shown, 2))


async def test_an_arrangement_is_one_persons_and_is_kept(tx: Tx) -> None:
    usual = await widgets.shown_to(tx, "fatou", [])
    await layouts.move(tx, "awa", [], widget_id=usual[0].widget.id, step="right")
    arranged = await widgets.shown_to(tx, "awa", [])
    assert [each.widget.id for each in arranged][:2] == [usual[1].widget.id, usual[0].widget.id]
    assert await widgets.shown_to(tx, "fatou", []) == usual
    await layouts.reset(tx, "awa")
    assert await widgets.shown_to(tx, "awa", []) == usual


async def test_a_place_off_the_grid_is_refused(tx: Tx) -> None:
    with pytest.raises(WidgetRefused):
        await layouts.save(tx, "awa", [Place(uuid4(), 0, 8, 6, 2)])
    await layouts.save(tx, "awa", [Place(UUID(int=0), 0, 0, 6, 2)])
