"""The operations' home in a real browser: arranged by hand and by keys, and opened up."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from console import a_freeze, clear
from playwright.async_api import Page, expect
from shop import Open, Product
from test_page_quality import FIRST_LOAD_BYTES_MAX, TOUCH_PX_MIN, violations, weight

from builders import a_transaction
from home_page import ALERTS, APPROVALS, CHART, GAUGE, furnish, the_recommendation
from molam.ops.dashboard import aggregates

pytestmark = pytest.mark.browser

ARRANGER = "mariama.cisse"


@pytest.fixture(scope="session")
async def furnished(console: Product) -> Product:
    """The console with something to show on its home."""
    await furnish(console.db)
    return console


async def order(page: Page) -> list[str]:
    found: list[str] = await page.evaluate(
        "[...document.querySelectorAll('[data-widget]')].map(each => each.dataset.widget)"
    )
    return found


def handle(page: Page, widget: str) -> Any:
    return page.locator(f"#w-{widget} [data-handle]")


@pytest.mark.usefixtures("furnished")
async def test_arranging_by_keyboard_is_kept(sit_down: Open) -> None:
    page = await sit_down("/", who=ARRANGER)
    before = await order(page)
    await page.get_by_role("link", name="Arrange").click()

    await handle(page, CHART).focus()
    await page.keyboard.press("ArrowRight")
    await expect(page).to_have_url(re.compile(f"at={CHART}"))
    await expect(handle(page, CHART)).to_be_focused()
    await page.keyboard.press("Shift+ArrowLeft")
    await expect(page.locator(f"#w-{CHART}")).to_have_class(re.compile(r"\bs-7\b"))
    await handle(page, ALERTS).focus()
    await page.keyboard.press("Delete")
    await expect(page.locator(f"#w-{ALERTS}")).to_have_count(0)
    back = page.get_by_role("button", name=re.compile("What is wrong now"))
    await expect(back).to_be_focused()

    await page.goto("/")
    after = await order(page)
    assert [each for each in before if each not in after] == [ALERTS]
    await expect(page.locator(f"#w-{CHART}")).to_have_class(re.compile(r"\bs-7\b"))

    await page.goto("/?arrange=1")
    await page.get_by_role("button", name=re.compile("What is wrong now")).click()
    await expect(page.locator(f"#w-{ALERTS}")).to_be_visible()
    await page.get_by_role("button", name="As it was at first").click()
    await expect(page.locator(f"#w-{CHART}")).to_have_class(re.compile(r"\bs-8\b"))
    assert await order(page) == before


@pytest.mark.usefixtures("furnished")
async def test_arranging_by_dragging_is_kept(sit_down: Open) -> None:
    page = await sit_down("/?arrange=1", who=ARRANGER)
    before = await order(page)
    start = await handle(page, ALERTS).bounding_box()
    target = await page.locator(f"#w-{CHART}").bounding_box()
    assert start is not None
    assert target is not None

    await page.mouse.move(start["x"] + 10, start["y"] + 10)
    await page.mouse.down()
    await page.mouse.move(target["x"] + 40, target["y"] + 40, steps=4)
    await page.mouse.up()
    await expect(page).to_have_url(re.compile(f"at={ALERTS}"))
    await page.reload()

    after = await order(page)
    assert after.index(ALERTS) < after.index(CHART)
    assert sorted(after) == sorted(before)
    await page.get_by_role("button", name="As it was at first").click()
    await expect(page).to_have_url(re.compile(r"arrange=1$"))


@pytest.mark.usefixtures("furnished")
async def test_arranging_works_without_scripts(sit_down: Open) -> None:
    page = await sit_down("/?arrange=1", who=ARRANGER, java_script_enabled=False)

    await page.locator(f"#w-{GAUGE}").get_by_role("button", name="Wider").click()

    await expect(page.locator(f"#w-{GAUGE}")).to_have_class(re.compile(r"\bs-4\b"))
    await page.get_by_role("button", name="As it was at first").click()
    await expect(page.locator(f"#w-{GAUGE}")).to_have_class(re.compile(r"\bs-3\b"))


@pytest.mark.usefixtures("furnished")
async def test_a_click_on_a_chart_opens_the_rows_behind_it(sit_down: Open) -> None:
    page = await sit_down("/?live=0")
    chart = page.locator(f"#w-{CHART} .u-over")
    box = await chart.bounding_box()
    assert box is not None

    await page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 20)
    await expect(page.locator(f"#w-{CHART} .chart-tip")).to_be_visible()
    await page.mouse.down()
    await page.mouse.up()

    await expect(page).to_have_url(re.compile("/dashboard/rows"))
    await expect(page.locator("main")).to_contain_text("What is this figure made of?")


async def test_figures_move_and_lists_wait_for_their_reader(
    sit_down: Open, furnished: Product
) -> None:
    page = await sit_down("/")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    title = page.locator(f"#t-{CHART}")
    before = await title.bounding_box()
    now = datetime.now(UTC)

    await a_transaction(furnished.db, id_="tx_home_live", amount=7_777, occurred_at=now)
    await aggregates.refresh(furnished.db)
    await aggregates.refresh_snapshots(furnished.db, now=now)
    await expect(page.locator("#dash-tiles")).to_contain_text("157,777")
    assert await title.bounding_box() == before

    await clear(furnished)
    await a_freeze(furnished)
    async with furnished.db.transaction("e2e.tell") as tx:
        await tx.connection.execute("notify dashboard")
    await expect(page.locator("#dash-fresh")).to_be_visible()
    assert await page.locator(f"#w-{APPROVALS}", has_text="Freeze a merchant").count() == 0
    await page.locator("#dash-fresh a").click()
    await expect(page.locator(f"#w-{APPROVALS}")).to_contain_text("Freeze a merchant")
    await clear(furnished)


async def paths(console: Product) -> list[str]:
    return [
        "/",
        "/?arrange=1",
        "/agents",
        "/recommendations",
        f"/recommendations/{await the_recommendation(console.db)}",
        "/dashboard/rows?metric=gmv",
        "/dashboard/scope?tenant_type=merchant",
    ]


# Each theme and each language on both a phone and a desk; together, every pair.
@pytest.mark.parametrize(
    ("theme", "language", "width"),
    [("light", "fr", 360), ("dark", "fr", 1366), ("light", "en", 768), ("dark", "en", 390)],
)
async def test_pages_are_readable_reachable_and_no_wider_than_the_screen(
    sit_down: Open, furnished: Product, theme: str, language: str, width: int
) -> None:
    page = await sit_down("/", theme=theme, language=language, width=width, bypass_csp=True)
    for path in await paths(furnished):
        await page.goto(path)
        assert await violations(page) == [], path
        excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert excess <= 0, path
        small = await page.evaluate(
            """least => [...document.querySelectorAll(
                'a.btn, button, summary.btn, .tabbar a, .tabbar summary, .segments a, .chip, '
                + 'input:not([type=hidden], [type=checkbox], [type=radio]), select')]
              .filter(e => e.checkVisibility())
              .map(e => [e.outerHTML.slice(0, 120), e.getBoundingClientRect().height])
              .filter(([, height]) => height && height < least)""",
            TOUCH_PX_MIN - 0.5,
        )
        assert small == [], path


async def test_pages_break_no_policy_and_weigh_little(sit_down: Open, furnished: Product) -> None:
    await clear(furnished)
    complaints: list[str] = []
    page = await sit_down("/ops/audit")
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in await paths(furnished):
        await page.goto(path)
        await expect(page.locator("#main")).to_be_visible()
    await page.goto("/ops/audit")

    assert 20_000 < await weight(page, "/", fresh=True) <= FIRST_LOAD_BYTES_MAX
    assert complaints == []
