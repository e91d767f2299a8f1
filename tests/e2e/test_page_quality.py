"""What every page keeps to: accessibility, small screens, weight, a strict policy."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from shop import Open

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "assets" / "node_modules" / "axe-core" / "axe.min.js"

PAGES = [
    "/",
    "/?period=today",
    "/transactions",
    "/transactions?q=zzzzzz",
    "/transactions/tx_123",
    "/alerts",
    "/alerts?status=all",
    "/refunds",
    "/refunds/new?txn_id=tx_123",
    "/payouts",
    "/reports",
    "/settings",
    "/settings/payouts",
    "/settings/security",
    "/settings/audit",
    "/transactions/absent",
]
FIRST_LOAD_BYTES_MAX = 100_000
NEXT_PAGE_BYTES_MAX = 15_000
TOUCH_PX_MIN = 44


async def violations(page: Page) -> list[str]:
    if not AXE.is_file():
        pytest.fail("axe-core is missing; run make assets")
    await page.evaluate(_axe())
    # Whatever is as it should be is said of each element too, in megabytes.
    found: list[str] = await page.evaluate(
        """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
            .flatMap(each => each.nodes.map(node => `${each.id}: ${node.html.slice(0, 160)}`))"""
    )
    return found


@functools.cache
def _axe() -> str:
    return AXE.read_text()


async def too_wide(page: Page, widths: Sequence[int]) -> list[int]:
    """Return which of *widths* the page does not fit into."""
    found = []
    for width in widths:
        await page.set_viewport_size({"width": width, "height": 844})
        needed = await page.evaluate(
            """async () => {
                const drawn = () => new Promise(requestAnimationFrame);
                await drawn(); await drawn();
                return document.documentElement.scrollWidth;
            }"""
        )
        if needed > width:
            found.append(width)
    return found


# Each theme and each language on both a phone and a desk; together, every pair.
@pytest.mark.parametrize(
    ("theme", "language", "width"),
    [("light", "fr", 390), ("dark", "fr", 1366), ("light", "en", 1366), ("dark", "en", 390)],
)
async def test_axe_finds_nothing(visit: Open, theme: str, language: str, width: int) -> None:
    page = await visit(PAGES[0], theme=theme, language=language, width=width, bypass_csp=True)
    for path in PAGES:
        await page.goto(path)
        assert await violations(page) == [], path


async def test_axe_finds_nothing_before_signing_in(visit: Open) -> None:
    page = await visit("/sign-in", who=None, bypass_csp=True)

    assert await violations(page) == []


async def test_axe_would_notice(visit: Open) -> None:
    page = await visit("/transactions?live=0", bypass_csp=True)

    await page.evaluate("document.querySelector('#q').labels[0].remove()")
    await page.evaluate("document.querySelector('#q').removeAttribute('placeholder')")

    assert any(found.startswith("label") for found in await violations(page))


@pytest.mark.parametrize("widths", [(360, 390), (768, 1366)], ids=["phones", "desks"])
async def test_no_page_is_wider_than_its_screen(visit: Open, widths: tuple[int, int]) -> None:
    page = await visit(PAGES[0], width=widths[0], language="fr")
    for path in [*PAGES, "/sign-in"]:
        await page.goto(path)
        assert await too_wide(page, widths) == [], path


@pytest.mark.parametrize("widths", [(360, 390), (768, 1366)], ids=["phones", "desks"])
async def test_a_page_that_is_too_wide_would_be_noticed(
    visit: Open, widths: tuple[int, int]
) -> None:
    page = await visit("/settings", width=widths[0])

    await page.evaluate(
        "width => document.querySelector('#main').style.minWidth = `${width + 100}px`", widths[1]
    )

    assert await too_wide(page, widths) == list(widths)


async def test_fingers_find_every_control(visit: Open) -> None:
    page = await visit(PAGES[0], width=390, language="fr")
    for path in PAGES:
        await page.goto(path)
        small = await page.evaluate(
            """least => [...document.querySelectorAll(
                'a.btn, button, summary, .tabbar a, .segments a, .chip, .tick, select,'
                + 'input:not([type=hidden], .tick input)')]
              .filter(e => e.checkVisibility())
              .map(e => [e.outerHTML.slice(0, 120), e.getBoundingClientRect().height])
              .filter(([, height]) => height && height < least)""",
            TOUCH_PX_MIN - 0.5,
        )
        assert small == [], path


async def test_pages_break_no_policy_and_raise_no_error(visit: Open) -> None:
    page = await visit("/sign-in", who=None)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto("/sign-in")

    signed_in = await visit("/")
    signed_in.on(
        "console", lambda said: complaints.append(said.text) if said.type == "error" else None
    )
    signed_in.on("pageerror", lambda error: complaints.append(str(error)))
    for path in PAGES[:-1]:
        await signed_in.goto(path)
        await expect(signed_in.locator("#main")).to_be_visible()
        if await signed_in.locator("#stream").count():
            await expect(signed_in.locator("#live")).to_have_attribute("data-state", "live")

    assert complaints == []


async def test_the_first_load_weighs_little_and_the_next_page_less(visit: Open) -> None:
    page = await visit("/sign-in", who=None)
    cookies = await (await visit("/transactions")).context.cookies()
    await page.context.add_cookies([each for each in cookies if "merchant" in each["name"]])
    await page.context.clear_cookies(name="molam_theme")

    first = await weight(page, "/", fresh=True)
    following = await weight(page, "/transactions", fresh=False)

    assert 20_000 < first <= FIRST_LOAD_BYTES_MAX
    assert 1_000 < following <= NEXT_PAGE_BYTES_MAX


async def weight(page: Page, path: str, *, fresh: bool) -> int:
    """Return how many bytes come over the wire for *path*, streams aside."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Network.enable")
    if fresh:
        await devtools.send("Network.clearBrowserCache")
    sizes: list[float] = []
    devtools.on("Network.loadingFinished", lambda event: sizes.append(_size(event)))
    await page.goto(f"{path}?live=0")
    await page.wait_for_load_state("networkidle")
    await asyncio.sleep(0)
    await devtools.detach()
    return round(sum(sizes))


def _size(event: dict[str, Any]) -> float:
    size: float = event["encodedDataLength"]
    return size
