"""The control room in a real browser: live figures, keys, small screens, accessibility."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect
from shop import Open, Product
from test_page_quality import (
    FIRST_LOAD_BYTES_MAX,
    NEXT_PAGE_BYTES_MAX,
    TOUCH_PX_MIN,
    violations,
    weight,
)

from mesh_room import ACTION_LOG, APPLIED_PROPOSAL, BETTER, FAILING, OPEN_PROPOSAL

pytestmark = pytest.mark.browser

PAGES = [
    "/",
    "/banks",
    f"/banks/{FAILING}?hours=6",
    "/proposals",
    "/proposals/new",
    f"/proposals/{OPEN_PROPOSAL}",
    f"/proposals/{APPLIED_PROPOSAL}",
    "/actions",
    f"/actions/{ACTION_LOG}",
    "/reconciliations",
    "/reconciliations?show=all",
    "/drill",
    "/treasury",
    "/liquidity",
    "/members",
    "/members/new",
    "/policies",
    "/switches",
    "/federation",
    "/proposals/absent",
]


# Those that look otherwise at a desk than on a phone.
AT_A_DESK = [
    "/",
    f"/banks/{FAILING}?hours=6",
    f"/proposals/{OPEN_PROPOSAL}",
    "/reconciliations",
    "/treasury",
]


async def cut_off(page: Page) -> list[str]:
    """List the texts of a page that do not fit where they stand."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll('#content *')]
          .filter(e => e.checkVisibility() && !e.childElementCount && e.textContent.trim()
            && !e.closest('.visually-hidden, svg') && e.clientWidth)
          .filter(e => getComputedStyle(e).overflowX === 'hidden'
            && e.scrollWidth > e.clientWidth + 1)
          .map(e => e.outerHTML.slice(0, 120))"""
    )
    return found


@pytest.mark.parametrize(
    ("theme", "language", "width", "paths"),
    [("dark", "fr", 360, PAGES), ("light", "en", 1366, AT_A_DESK)],
)
async def test_every_page_is_accessible_and_fits_its_screen(
    enter: Open, theme: str, language: str, width: int, paths: list[str]
) -> None:
    page = await enter("/drill", theme=theme, language=language, width=width, bypass_csp=True)
    for path in paths:
        await page.goto(path)
        assert await violations(page) == [], path
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert await cut_off(page) == [], path
        if width > TOUCH_PX_MIN * 10:
            continue
        small = await page.evaluate(
            """least => [...document.querySelectorAll(
                'a.btn, button, summary, .tabbar a, .segments a, .chip, select,'
                + 'input:not([type=hidden])')]
              .filter(e => e.checkVisibility())
              .map(e => [e.outerHTML.slice(0, 120), e.getBoundingClientRect().height])
              .filter(([, height]) => height && height < least)""",
            TOUCH_PX_MIN - 0.5,
        )
        assert small == [], path


async def test_the_first_page_moves_while_it_is_open(enter: Open, room: Product) -> None:
    page = await enter("/")
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(page.locator("#finding")).to_contain_text("payouts go to Banque Teranga")

    async with room.db.transaction("e2e.worse") as tx:
        await tx.connection.execute(
            "update mesh.member_health set p_down = 0.97, mode = 'left', left_at = now()"
            " where bank_profile_id = $1",
            BETTER,
        )
        await tx.connection.execute(
            "insert into payments.bank_gates (bank_profile_id, rail, currency, is_open, cause)"
            " values ($1, 'bank', 'XOF', false, 'left')",
            BETTER,
        )
        await tx.connection.execute("notify mesh")

    await expect(page.locator("#finding")).to_contain_text("payouts go to Banque de la Lagune")
    await expect(page.locator("#graph path.flow-cut")).to_have_count(3)
    assert complaints == []

    async with room.db.transaction("e2e.better") as tx:
        await tx.connection.execute(
            "update mesh.member_health set p_down = 0.01, mode = 'serving', left_at = null"
            " where bank_profile_id = $1",
            BETTER,
        )


async def test_the_keyboard_leads_everywhere_and_decides_nothing_by_itself(enter: Open) -> None:
    page = await enter("/?live=0")
    await page.keyboard.press("g")
    await page.keyboard.press("p")
    await expect(page).to_have_url(re.compile("/proposals$"))
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(f"/proposals/{OPEN_PROPOSAL}$"))
    await page.keyboard.press("r")
    await expect(page.locator("#reject-reason")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("/")
    await expect(page.locator("#q")).to_be_focused()
    await page.locator("#q").fill("po_room_1")
    await page.keyboard.press("Enter")
    await expect(page.locator(".settled")).to_contain_text("po_room_1")


async def test_everything_is_there_without_scripts(enter: Open) -> None:
    page = await enter("/", java_script_enabled=False)

    await expect(page.locator("#finding")).to_contain_text("Banque du Plateau is failing")
    await page.goto(f"/banks/{FAILING}")
    await expect(page.locator(".past-score").first).to_be_attached()
    await page.goto(f"/proposals/{APPLIED_PROPOSAL}")
    await page.locator(".act-rollback summary").click()
    await expect(page.locator("#undo-reason")).to_be_visible()


async def test_the_first_load_weighs_little_and_the_next_page_less(enter: Open) -> None:
    page = await enter("/sign-in", who=None)
    cookies = await (await enter("/drill")).context.cookies()
    await page.context.add_cookies([each for each in cookies if "mesh" in each["name"]])
    await page.context.clear_cookies(name="molam_theme")

    first = await weight(page, "/", fresh=True)
    following = await weight(page, f"/banks/{FAILING}", fresh=False)

    assert 20_000 < first <= FIRST_LOAD_BYTES_MAX
    assert 1_000 < following <= NEXT_PAGE_BYTES_MAX


_WIDE = """() => {
  for (const row of document.querySelectorAll('.accounts tbody tr')) {
    const cells = [...row.querySelectorAll('td')]
    const wide = cells[0].innerHTML.replace(/\\d+/, '888\\u202f888\\u202f888')
    for (const at of [0, 3, 4]) cells[at].innerHTML = wide
    for (const at of [1, 2]) cells[at].innerHTML = wide + ' <span class="small">(36)</span>'
    cells[5].innerHTML = wide + '<br>' + wide
    cells[7].innerHTML = '<progress class="bar"></progress> <span class="small">40 %</span>'
  }
  const table = document.querySelector('.accounts')
  return table.getBoundingClientRect().right - table.closest('.card').getBoundingClientRect().right
}"""


@pytest.mark.parametrize("width", [1000, 1280])
async def test_accounts_with_large_amounts_in_each_column_stay_within_their_card(
    enter: Open, width: int
) -> None:
    page = await enter("/treasury", language="fr", width=width)

    assert await page.evaluate(_WIDE) <= 0


async def test_a_text_that_is_cut_off_would_be_noticed(enter: Open) -> None:
    page = await enter("/drill?live=0", bypass_csp=True)
    await page.add_style_tag(
        content=".form-label { width: 1rem; overflow: hidden; white-space: nowrap }"
    )

    assert await cut_off(page) != []


async def test_a_drill_of_no_minutes_is_marked_where_it_was_typed(enter: Open) -> None:
    page = await enter("/drill", language="fr", width=390)
    await page.eval_on_selector("form.ask", "form => { form.noValidate = true }")
    await page.locator("#minutes").fill("0")
    await page.locator("#payouts").fill("7")
    await page.locator("form.ask button.btn-danger").click()

    await expect(page.locator("#wrong-field")).to_have_text("Écrivez un nombre entier de 1 à 60.")
    await expect(page.locator("#minutes")).to_be_focused()
    await expect(page.locator("#payouts")).to_have_value("7")
