"""Answering a dispute in a real browser: dropping files, reviewing, sending, accepting."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from shop import SUPPORT, Open, Product
from test_page_quality import TOUCH_PX_MIN, violations

from molam.simulator.disputes_demo import seed_disputes

pytestmark = pytest.mark.browser

PAGES = (
    "/disputes",
    "/disputes?show=all",
    "/disputes/dp_demo_livraison",
    "/disputes/dp_demo_livraison/review",
    "/disputes/dp_demo_gagne",
    "/disputes/dp_demo_alerte",
)

# What a browser does when somebody drops two files on the page.
_DROP = """
([name, text]) => {
  const given = new DataTransfer();
  given.items.add(new File([text], name, {type: 'application/pdf'}));
  given.items.add(new File([text + '\\n'], 'second-' + name, {type: 'application/pdf'}));
  const drop = new DragEvent('drop', {dataTransfer: given, bubbles: true, cancelable: true});
  document.getElementById('drop').dispatchEvent(drop);
}
"""
_PDF = "%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF"


@pytest.fixture
async def disputes(product: Product) -> None:
    """The demo's disputes, taken in."""
    await seed_disputes(product.db, datetime.now(UTC))
    async with asyncio.timeout(30):
        while True:
            async with product.db.transaction("e2e.disputes") as tx:
                found = await tx.connection.fetchval(
                    "select count(*) from payments.disputes where id like 'dp_demo%'"
                )
            if found == 6:
                return
            await asyncio.sleep(0.1)


async def seen(page: Page, name: str) -> None:
    """Keep a picture for whoever wants to look, where MOLAM_SCREENSHOTS says."""
    folder = os.environ.get("MOLAM_SCREENSHOTS")
    if folder:
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.usefixtures("disputes")
async def test_support_drops_files_reviews_and_sends(visit: Open) -> None:
    page = await visit("/disputes", who=SUPPORT)
    await page.get_by_role("link", name="Claire Mendy").click()
    await page.locator("#kind").select_option("product_description")

    await page.evaluate(_DROP, ["fiche.pdf", _PDF])

    await expect(page.locator(".files li")).to_have_count(2)
    await expect(page.get_by_role("link", name="second-fiche.pdf")).to_be_visible()
    await page.locator("#statement").fill("The bag is the one in the photo.")
    await page.get_by_role("button", name="Review and send").click()
    await expect(page.locator("h1")).to_have_text("Review your answer")
    await expect(page.locator(".answer-text")).to_have_text("The bag is the one in the photo.")
    await seen(page, "review")
    await page.get_by_role("button", name="Send it for good").click()
    await expect(page.get_by_role("status")).to_contain_text("Your answer was sent")
    await expect(page.locator(".timeline")).to_contain_text("Next: the network decides")


@pytest.mark.usefixtures("disputes")
async def test_a_file_that_is_refused_says_why_where_it_was_dropped(visit: Open) -> None:
    page = await visit("/disputes/dp_demo_urgent")

    await page.evaluate(_DROP, ["virus.pdf", "MZ not a document"])

    await expect(page.locator(".drop-progress .hue-red").first).to_contain_text(
        "virus.pdf was not added"
    )
    await expect(page.locator(".files li")).to_have_count(0)


@pytest.mark.usefixtures("disputes")
async def test_an_administrator_accepts_by_typing_the_amount(visit: Open) -> None:
    page = await visit("/disputes/dp_demo_appel")
    await page.get_by_text("Accept the dispute").click()
    await page.locator("#confirmation").fill("54000")

    await page.get_by_role("button", name="Accept for good").click()

    await expect(page.get_by_role("status")).to_contain_text("The dispute is accepted")


@pytest.mark.usefixtures("disputes")
async def test_a_file_is_added_without_scripts(visit: Open, tmp_path: Path) -> None:
    photo = tmp_path / "reçu.txt"
    photo.write_text("Livré à Mariama Ba", encoding="utf-8")
    page = await visit("/disputes/dp_demo_livraison", java_script_enabled=False)
    await page.locator("#file").set_input_files(photo)

    await page.get_by_role("button", name="Add it").click()

    await expect(page.get_by_role("link", name="reçu.txt")).to_be_visible()


@pytest.mark.usefixtures("disputes")
@pytest.mark.parametrize(
    ("theme", "language", "width"),
    [("light", "fr", 390), ("dark", "fr", 1366), ("light", "en", 1366), ("dark", "en", 390)],
)
async def test_axe_finds_nothing_on_disputes_and_they_fit(
    visit: Open, theme: str, language: str, width: int
) -> None:
    page = await visit(PAGES[0], theme=theme, language=language, width=width, bypass_csp=True)
    for path in PAGES:
        await page.goto(path)
        name = re.sub(r"\W+", "-", path)
        await seen(page, f"{name}-{theme}-{language}-{width}")
        assert await violations(page) == [], path
        excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert excess <= 0, path


@pytest.mark.usefixtures("disputes")
async def test_fingers_find_every_control_of_a_dispute(visit: Open) -> None:
    page = await visit("/disputes/dp_demo_livraison", width=390)

    small = await page.evaluate(
        "(least) => [...document.querySelectorAll('main button, main summary, main .btn')]"
        ".filter((each) => each.offsetParent && each.offsetHeight < least)"
        ".map((each) => each.outerHTML.slice(0, 120))",
        TOUCH_PX_MIN,
    )

    assert small == []
