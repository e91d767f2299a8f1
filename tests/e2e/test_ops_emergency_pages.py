"""Deciding alone, reviewing it, and adding evidence, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from console import BREAKER, VOTER, a_freeze, a_risk, an_emergency, clear, prove_identity
from playwright.async_api import Page, expect
from shop import Open, Product, type_password
from test_page_quality import violations

from risk import EVIDENCE

pytestmark = pytest.mark.browser

REVIEWER = "mariama.cisse"
FILE = {"name": "facture.pdf", "mimeType": "application/pdf", "buffer": EVIDENCE}


@pytest.fixture
async def freeze(console: Product) -> AsyncIterator[str]:
    await clear(console)
    yield await a_freeze(console)
    await clear(console)


async def signed_in(sit_down: Open, who: str, path: str) -> Page:
    """Open *path* in a session of its own: proving who one is ends the one before."""
    page = await sit_down("/ops", who=None)
    await page.get_by_role("link", name="Sign in with Molam ID").click()
    await type_password(page, who)
    await page.goto(path)
    return page


async def test_one_person_decides_alone_and_another_reviews_it(sit_down: Open, freeze: str) -> None:
    path = f"/ops/actions/{freeze}"
    page = await signed_in(sit_down, BREAKER, path)
    await page.locator(".act-glass > summary").click()
    await page.get_by_role("link", name="Confirm with my one-time code").click()
    await prove_identity(page, BREAKER)
    await page.locator(".act-glass > summary").click()
    await page.locator("#glass-reason").fill("Refunds are leaving by the minute.")
    await page.get_by_role("button", name="Carry it out without votes").click()
    await expect(page.locator("#said")).to_contain_text("It is carried out without votes.")

    reviewer = await sit_down("/ops?tab=executing", who=REVIEWER)
    await reviewer.locator(".emergencies .c-link").first.click()
    await reviewer.locator(".act-review > summary").click()
    await reviewer.locator("#review-text").fill("It was one, and this was right.")
    await reviewer.get_by_role("button", name="Record my review").click()

    await expect(reviewer.locator("#said")).to_contain_text("Your review is recorded.")
    await expect(reviewer.locator(".emergency")).to_contain_text("It was one, and this was right.")


async def test_evidence_is_added_without_scripts(sit_down: Open, console: Product) -> None:
    page = await sit_down(f"/ops/actions/{await a_risk(console)}", java_script_enabled=False)

    await page.locator("summary", has_text="Add evidence").click()
    await page.locator("#evidence-file").set_input_files([FILE])
    await page.locator("#evidence-about").fill("The invoice.")
    await page.locator(".add-file button").click()

    await expect(page.locator("#said")).to_contain_text("The evidence is there.")
    await expect(page.locator(".files")).to_contain_text("The invoice.")
    async with page.expect_download() as coming:
        await page.locator(".files a").click()
    assert (await coming.value).suggested_filename == "facture.pdf"


async def test_a_file_that_another_site_sends_is_refused(sit_down: Open, console: Product) -> None:
    page = await sit_down(f"/ops/actions/{await a_risk(console)}")

    await page.locator("summary", has_text="Add evidence").click()
    await page.locator("#evidence-file").set_input_files([FILE])
    await page.evaluate("document.querySelector('.add-file [name=csrf_token]').value = 'forged'")
    async with page.expect_response("**/evidence") as answered:
        await page.locator(".add-file button").click()

    assert (await answered.value).status == 403


async def _paths(console: Product) -> list[str]:
    return [
        f"/ops/actions/{await an_emergency(console)}",
        f"/ops/actions/{await a_risk(console)}",
        "/ops?tab=executing",
    ]


@pytest.mark.parametrize(
    ("theme", "language", "width", "who"),
    [
        ("light", "fr", 390, BREAKER),
        ("dark", "fr", 1366, REVIEWER),
        ("light", "en", 1366, BREAKER),
        ("dark", "en", 390, REVIEWER),
        ("light", "fr", 360, VOTER),
    ],
)
async def test_axe_finds_nothing_and_nothing_is_too_wide(
    sit_down: Open, console: Product, theme: str, language: str, width: int, who: str
) -> None:
    await clear(console)
    options = {"theme": theme, "language": language, "width": width, "bypass_csp": True}
    page = await sit_down("/ops", who=who, **options)

    for path in await _paths(console):
        await page.goto(path)
        for panel in (".act-glass > summary", ".act-review > summary", ".figures > summary"):
            if await page.locator(panel).count():
                await page.locator(panel).last.click()
        excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert excess <= 0, path
        assert await violations(page) == [], path
