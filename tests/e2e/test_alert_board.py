"""Taking an alert on at the board, and what the pages of alerts keep to, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect
from shop import Open, Product
from test_page_quality import violations

from alerting import a_transition, happen

pytestmark = pytest.mark.browser

PAGES = ["/alerts", "/alerts?state=all&severity=critical", "/alerts/silences", "/alerts/rules",
         "/alerts/rules/edit?id=float_low"]  # fmt: skip


async def end_all(console: Product) -> None:
    async with console.db.transaction("e2e.end_alerts") as tx:
        await tx.connection.execute(
            "update alerts.alerts set state = 'resolved', resolved_by = 'tests',"
            " resolved_at = now() where resolved_at is null"
        )


async def test_an_alert_appears_and_is_taken_on_by_keyboard(
    sit_down: Open, console: Product
) -> None:
    await end_all(console)
    page = await sit_down("/alerts")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await happen(console.db, a_transition(episode=101))

    await page.locator("#fresh a").click()
    card = page.locator(".alert-card").first
    await expect(card).to_contain_text("under 1,000,000")
    button = card.get_by_role("button", name=re.compile("Take on"))
    await button.focus()
    await page.keyboard.press("Enter")

    await expect(page.locator("#said")).to_contain_text("You have taken it on")
    await expect(page.locator(".alert-card").first).to_contain_text("has taken it on")
    await page.keyboard.press("g")
    await page.keyboard.press("l")
    await expect(page).to_have_url(re.compile("/ops/actions$"))
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await expect(page).to_have_url(re.compile("/alerts$"))
    await end_all(console)


@pytest.mark.parametrize(
    ("theme", "language", "width"), [("light", "fr", 390), ("dark", "en", 1366)]
)
async def test_pages_of_alerts_are_for_everybody(
    sit_down: Open, console: Product, theme: str, language: str, width: int
) -> None:
    await end_all(console)
    (alert,) = await happen(console.db, a_transition(episode=102 + width))
    page = await sit_down("/alerts", theme=theme, language=language, width=width, bypass_csp=True)
    for path in [*PAGES, f"/alerts/{alert.id}"]:
        await page.goto(path)
        assert await violations(page) == [], path
        excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert excess <= 0, path
    await end_all(console)
