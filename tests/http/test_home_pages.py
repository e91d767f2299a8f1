"""The operations' home without a browser: what it shows, arranges, and keeps to each person."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from ops_console import ABSENT, ASKS, FIRST, SECOND, Console

from alerting import a_transition, happen
from home_page import ALERTS, APPROVALS, CHART, GAUGE, furnish, the_recommendation
from molam.ops.dashboard import pages, pages_arrange, recommendations
from molam.ops.dashboard.model import MetricUnknown
from molam.platform.db import Database

# What a form without fields sends in a browser: the token that bearers need not have.
NOTHING = {"csrf_token": "-"}


def widgets(page: str) -> list[str]:
    return re.findall(r'data-widget="([^"]+)"', page)


async def test_the_home_says_what_is_known_and_what_waits(console: Console, db: Database) -> None:
    await furnish(db)
    await console.freeze()

    page = await console.page("/")

    assert "How much is traded?" in page
    assert re.search(r"Volume traded.*?150,000", page, re.DOTALL)
    assert "Freeze a merchant · Boutique Sandaga" in page
    assert "Add 600,000" in page
    assert "See the figures behind the chart" in page
    assert "data-plot=" in page


async def test_the_home_speaks_french(console: Console, db: Database) -> None:
    await furnish(db)

    page = await console.page("/", lang="fr")
    timeline = page[page.index("dash-timeline") :]

    assert "au float de Kiosque Médina" in timeline
    assert "échange-t-il\u202f?" in page
    assert "au float de Kiosque Médina" in page


async def test_a_home_without_figures_says_what_to_do_next(console: Console) -> None:
    page = await console.page("/")

    assert "Nothing is known of this yet" in page
    assert "SIRA has nothing to recommend." in page
    assert "No approval waits." in page


def break_the_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = pages.widgets.data_of

    async def data_of(tx: Any, widget: Any, **asked: Any) -> dict[str, Any]:
        if str(widget.id) == CHART:
            raise MetricUnknown("It is gone.")
        return await usual(tx, widget, **asked)

    monkeypatch.setattr("molam.ops.dashboard.pages.widgets.data_of", data_of)


async def test_a_widget_that_fails_leaves_the_others_alone(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_the_chart(monkeypatch)

    page = await console.page("/")

    assert "These figures cannot be had now." in page
    assert "Do payments succeed?" in page


async def test_a_widget_that_is_not_caught_takes_the_page_with_it(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test above: without the safety it fails."""

    class Nothing(Exception):
        pass

    break_the_chart(monkeypatch)
    monkeypatch.setattr("molam.ops.dashboard.pages.Refusal", Nothing)

    answer = await console.get("/")

    assert answer.status_code == 422
    assert "Do payments succeed?" not in answer.text


async def test_a_point_of_a_chart_leads_to_the_rows_behind_it(
    console: Console, db: Database
) -> None:
    await furnish(db)
    page = await console.page("/?range=24h")

    bucket = re.findall(r'<a href="(/dashboard/rows\?metric=gmv&from=[^"]+)"', page)[2]
    empty = re.findall(r'<a href="(/dashboard/rows\?metric=gmv&from=[^"]+)"', page)[8]

    assert "tx_home_2" in await console.page(bucket)
    assert "tx_home_26" not in await console.page(bucket)
    assert "There is nothing behind this figure" in await console.page(empty)


async def test_a_point_without_its_times_would_lead_to_others_rows(
    console: Console, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test above: without the safety it fails."""

    def timeless(scope: Any, metric: str, *_: Any, currency: str | None) -> str:
        found: str = scope.address("/dashboard/rows", metric=metric, currency=currency)
        return found

    monkeypatch.setattr("molam.ops.dashboard.pages_panels.rows_address", timeless)
    await furnish(db)
    page = await console.page("/?range=24h")

    bucket = re.findall(r'<a href="(/dashboard/rows[^"]*metric=gmv[^"]*)"', page)[2]

    assert "tx_home_26" in await console.page(bucket)


async def test_a_figure_leads_to_what_it_is_made_of(console: Console, db: Database) -> None:
    await furnish(db)

    page = await console.page("/dashboard/rows?metric=gmv&currency=XOF")

    assert "Payment tx_home_2<" in page
    assert "tx_home_26" in page
    assert "/ops/transactions/tx_home_2?merchant=merchant-123" in page
    assert (await console.get("/dashboard/rows?metric=nonsense")).status_code == 422
    assert (
        (await console.get("/dashboard/rows?metric=float_available"))
        .headers["location"]
        .startswith("/agents")
    )


async def test_a_bucket_names_the_alerts_that_began_in_it(console: Console, db: Database) -> None:
    await happen(db, a_transition())
    now = datetime.now(UTC)
    hour = "/dashboard/rows?metric=gmv&from={:%Y-%m-%dT%H:%M:%SZ}&to={:%Y-%m-%dT%H:%M:%SZ}"

    here = await console.page(hour.format(now - timedelta(hours=1), now + timedelta(hours=1)))
    before = await console.page(hour.format(now - timedelta(hours=3), now - timedelta(hours=2)))
    home = await console.page("/")

    assert "Which alerts began in this time?" in here
    assert "The float of" in here
    assert "Which alerts began in this time?" not in before
    assert "The float of" in home


async def test_the_home_can_be_about_one_tenant(console: Console, db: Database) -> None:
    await furnish(db)

    choice = await console.page("/dashboard/scope?tenant_type=merchant&search=Bouti")
    address = re.findall(r'href="(/\?tenant_type=merchant&tenant_id=merchant-123[^"]*)"', choice)[0]
    page = await console.page(address)
    other = await console.page("/?tenant_type=merchant&tenant_id=nobody")

    assert "Boutique Sandaga" in page
    assert "150,000" in page
    assert '<span class="badge">The whole platform</span>' in page
    assert "Nothing is known of this yet" in other


async def test_arranging_is_kept_for_one_person_alone(console: Console) -> None:
    before = widgets(await console.page("/"))

    moved = await console.post("/dashboard/arrange", widget_id=CHART, step="down")
    assert moved.headers["location"] == f"/?arrange=1&at={CHART}"
    assert widgets(await console.page("/")).index(CHART) > before.index(CHART)
    await console.post("/dashboard/arrange", widget_id=ALERTS, step="hide")

    mine, hers = await console.page("/?arrange=1"), await console.page("/", SECOND)
    assert ALERTS not in widgets(mine)
    assert 'value="show"' in mine
    assert widgets(hers) == before

    await console.post("/dashboard/arrange", widget_id=ALERTS, step="show")
    assert ALERTS in widgets(await console.page("/"))
    await console.post("/dashboard/reset", **NOTHING)
    assert widgets(await console.page("/")) == before


async def test_every_kind_of_widget_is_drawn(console: Console, db: Database) -> None:
    await furnish(db)

    page = await console.page("/")

    assert "These figures cannot be had now." not in page
    assert 'class="dash-spark"' in page
    assert 'class="zone zone-red"' in page
    assert "100.0%" in page
    assert 'class="heat-4"' in page
    assert "dash-timeline" in page
    assert "Senegal" in page
    assert "against the same time before" in page


async def test_a_widget_is_made_for_everybody_and_taken_away(console: Console) -> None:
    made = await console.post(
        "/dashboard/widgets", name="Refunds a day", kind="chart_bar", metric="refunds_count"
    )
    id_ = re.findall(r"at=([0-9a-f-]{36})", made.headers["location"])[0]

    assert "Refunds a day" in await console.page("/", SECOND)
    for fields in ({"kind": "chart_bar", "metric": "nonsense"}, {"kind": "nonsense"}):
        refused = await console.post("/dashboard/widgets", name="x", **fields)
        assert refused.status_code in {400, 422}
    forbidden = await console.post(
        "/dashboard/widgets", "mariama.cisse", name="x", kind="map", metric="gmv"
    )
    assert forbidden.status_code == 403

    await console.post("/dashboard/arrange", widget_id=id_, step="hide")
    link = f"/dashboard/widgets/{id_}/remove"
    assert f'href="{link}"' in await console.page("/?arrange=1")
    asked = await console.page(link)
    assert "It goes from the home page of everybody" in asked
    assert "Refunds a day" in await console.page("/", SECOND)
    assert (await console.get(link, "mariama.cisse")).status_code == 403

    removed = await console.post("/dashboard/widgets/remove", widget_id=id_)
    assert removed.headers["location"] == "/?arrange=1&said=widget-removed"
    assert "Refunds a day" not in await console.page("/", SECOND)


async def test_what_the_page_came_with_can_only_be_hidden(console: Console) -> None:
    await console.post("/dashboard/arrange", widget_id=CHART, step="hide")
    page = await console.page(f"/?arrange=1&at={CHART}")

    refused = await console.post("/dashboard/widgets/remove", widget_id=CHART)

    assert "/remove" not in page
    assert 'value="show" id="move-focus"' in page
    assert refused.status_code == 422
    assert (await console.get(f"/dashboard/widgets/{CHART}/remove")).status_code == 422
    assert CHART in widgets(await console.page("/", SECOND))


async def test_what_nobody_keeps_goes_from_everybodys_page(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test above: without the safety it fails."""
    monkeypatch.setattr("molam.ops.dashboard.widgets.check_removable", lambda _: None)

    await console.post("/dashboard/widgets/remove", widget_id=CHART)

    assert CHART not in widgets(await console.page("/", SECOND))


async def test_figures_on_top_are_of_the_time_that_is_chosen(
    console: Console, db: Database
) -> None:
    await furnish(db)

    for chosen, sold in (("", "150,000"), ("?range=24h", "75,000"), ("?range=30d", "150,000")):
        tiles = _tiles(await console.page(f"/{chosen}"))
        period = {"": "7 days", "?range=24h": "24 hours", "?range=30d": "30 days"}[chosen]
        assert sold in tiles["Volume traded"]
        assert all(period in tiles[name] for name in ("Volume traded", "Success rate", "Disputes"))
        assert sum(">now<" in tile for tile in tiles.values()) == 2
    behind = re.findall(r'href="([^"]+metric=gmv[^"]+)"', await console.page("/?range=24h"))[0]
    assert "tx_home_26" not in await console.page(behind)


def _tiles(page: str) -> dict[str, str]:
    found = re.findall(r'<a class="card kpi dash-kpi".*?</a>', page, re.DOTALL)
    return {re.findall(r'kpi-label">([^<]*)', each)[0]: each for each in found}


async def test_an_approval_that_waits_says_of_whom_and_how_much(console: Console) -> None:
    await console.float(1_000_000)
    await console.freeze()

    page = await console.page("/")
    waiting = page[page.index(f'id="b-{APPROVALS}"') :].split("</section>")[0]

    assert "Kiosque Médina" in waiting
    assert "1,000,000" in waiting
    assert "Boutique Sandaga" in waiting


async def test_an_order_of_an_old_page_loses_no_widget(console: Console) -> None:
    before = widgets(await console.page("/"))
    dropped = f"{GAUGE},{ABSENT},nonsense,{CHART}"

    answer = await console.post("/dashboard/order", order=dropped, at=GAUGE)

    after = widgets(await console.page("/"))
    assert answer.status_code == 303
    assert after[:2] == [GAUGE, CHART]
    assert sorted(after) == sorted(before)


async def test_an_order_that_drops_what_it_does_not_name_loses_widgets(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test above: without the safety it fails."""
    whole = pages_arrange.ordered

    def named_only(placed: Any, wanted: Any) -> Any:
        return [
            each if str(each.widget_id) in wanted else _hidden(each)
            for each in whole(placed, wanted)
        ]

    monkeypatch.setattr(pages_arrange, "ordered", named_only)
    before = widgets(await console.page("/"))

    await console.post("/dashboard/order", order=f"{GAUGE},{CHART}", at=GAUGE)

    assert sorted(widgets(await console.page("/"))) != sorted(before)


def _hidden(place: Any) -> Any:
    return pages_arrange.Place(
        place.widget_id, place.row, place.col, place.width, place.height, hidden=True
    )


async def test_lists_say_that_they_changed_and_figures_do_not(
    console: Console, db: Database
) -> None:
    await furnish(db)
    before = _mark(await console.page("/"))

    await console.freeze()
    changed = _mark(await console.page("/"))

    assert changed != before
    assert _mark(await console.page("/")) == changed
    assert APPROVALS in widgets(await console.page("/"))


def _mark(page: str) -> str:
    return re.findall(r'data-lists="([^"]+)"', page)[0]


async def test_agents_are_ranked_and_found_around_a_place(console: Console, db: Database) -> None:
    await furnish(db)

    ranked = await console.page("/agents")
    near = await console.page("/agents?lat=14.7&lon=-17.45&km=20")
    far = await console.page("/agents?lat=0&lon=0&km=1")

    assert "/ops/agents/agent-123" in ranked
    assert 'class="dot dot-low"' in ranked
    assert "km away" in near
    assert "No agent is here" in far
    assert (await console.get("/agents?lat=91&lon=0")).status_code == 400


async def test_a_recommendation_shows_why_and_of_whom_it_would_be_asked(
    console: Console, db: Database
) -> None:
    await furnish(db)
    id_ = await the_recommendation(db)

    page = await console.page(f"/recommendations/{id_}")

    assert "Days on which it would run low" in page
    assert "+0.61" in page
    assert "Who must agree?" in page
    assert "1,100,000" in page
    assert "This is the first of its kind." not in page
    assert f"/recommendations/{id_}/apply" in page
    assert (await console.get(f"/recommendations/{ABSENT}")).status_code == 404


async def test_applying_asks_for_the_action_once(console: Console, db: Database) -> None:
    await furnish(db)
    id_ = await the_recommendation(db)

    first = await console.post(f"/recommendations/{id_}/apply", FIRST, **NOTHING)
    again = await console.post(f"/recommendations/{id_}/apply", ASKS, **NOTHING)

    action = re.fullmatch(r"/ops/actions/([0-9a-f-]{36})\?said=created", first.headers["location"])
    assert action is not None
    assert again.headers["location"] == first.headers["location"]
    assert await console.state(str(UUID(action[1]))) == "pending"
    page = await console.page(f"/recommendations/{id_}")
    assert f"/ops/actions/{action[1]}" in page
    assert "/apply" not in page


async def test_applying_that_forgot_what_it_asked_for_asks_again(
    console: Console, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test above: without the safety it fails."""
    usual, asked = recommendations.request_of, list[Any]()

    async def forget(*_: Any, **__: Any) -> None:
        pass

    def anew(row: Any, origin: str, suffix: str) -> Any:
        asked.append(row)
        return usual(row, origin, f"{suffix}-{len(asked)}")

    monkeypatch.setattr(recommendations, "_set", forget)
    monkeypatch.setattr(recommendations, "request_of", anew)
    await furnish(db)
    id_ = await the_recommendation(db)

    first = await console.post(f"/recommendations/{id_}/apply", FIRST, **NOTHING)
    again = await console.post(f"/recommendations/{id_}/apply", ASKS, **NOTHING)

    assert again.headers.get("location") != first.headers["location"]


async def test_a_rejection_says_why_and_ends_the_recommendation(
    console: Console, db: Database
) -> None:
    await furnish(db)
    id_ = await the_recommendation(db)

    short = await console.post(f"/recommendations/{id_}/reject", reason="no")
    await console.post(f"/recommendations/{id_}/reject", reason="The kiosk closes tomorrow.")
    late = await console.post(f"/recommendations/{id_}/apply", **NOTHING)

    assert short.status_code == 422
    assert "The kiosk closes tomorrow." in await console.page(f"/recommendations/{id_}")
    assert late.status_code == 422
    assert "no longer open" in late.text
    assert id_ in await console.page("/recommendations?status=rejected")


async def test_who_may_not_apply_sees_no_button(console: Console, db: Database) -> None:
    await furnish(db)
    id_ = await the_recommendation(db)

    page = await console.page(f"/recommendations/{id_}", "mariama.cisse")

    assert "/apply" not in page
    answer = await console.post(f"/recommendations/{id_}/apply", "mariama.cisse", **NOTHING)
    assert answer.status_code == 403


async def test_a_button_that_nobody_guards_is_shown_to_whoever_looks(
    console: Console, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test above: without the safety it fails."""
    monkeypatch.setattr("molam.ops.dashboard.pages_recommendations.may", lambda *_: True)
    await furnish(db)

    id_ = await the_recommendation(db)

    assert "/apply" in await console.page(f"/recommendations/{id_}", "mariama.cisse")
    lead = await console.get(f"/dashboard/sira/recommendations/{id_}")
    assert lead.headers["location"] == f"/recommendations/{id_}"
