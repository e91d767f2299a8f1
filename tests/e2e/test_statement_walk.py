"""Finance operations at the console: a bank's file, what it leaves open, and the books."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import expect
from shop import Open, Product
from test_page_quality import violations

from molam.simulator.banks_demo import seed_banks
from molam.simulator.statements_demo import BANK, seed_statements

pytestmark = pytest.mark.browser

FINANCE = "ousmane.sow"


@pytest.fixture(scope="module", autouse=True)
async def _statements(console: Product) -> None:
    now = datetime.now(UTC)
    await seed_banks(console.db, now, banks_url=f"{console.settings.issuer}/banks")
    await seed_statements(console.db, now)


async def test_a_file_is_looked_at_and_taken_in_and_its_odd_line_written_off(
    sit_down: Open, tmp_path: Path
) -> None:
    day = datetime.now(UTC).date() - timedelta(days=1)
    file = tmp_path / "releve.csv"
    file.write_text(
        "booked_on,value_on,amount,currency,bank_ref,counterparty,text\n"
        f"{day},{day},-4200,XOF,BPL-99001,,TIMBRE FISCAL DIVERS\n",
        encoding="utf-8",
    )
    page = await sit_down("/ops/statements", who=FINANCE)
    await page.locator("#bank").select_option(BANK)
    await page.locator("#file").set_input_files(file)
    await page.get_by_role("button", name="Show what is in it").click()
    await expect(page.get_by_role("main")).to_contain_text("Nothing is kept yet")
    await expect(page.get_by_role("main")).to_contain_text("4,200")

    await page.get_by_role("button", name="Take it in").click()
    await page.goto(f"/ops/exceptions?bank={BANK}")
    await page.locator(".c-link", has_text="TIMBRE FISCAL DIVERS").click()
    await page.locator("#off-reason").fill("Stamp duty, seen on paper.")
    await page.get_by_role("button", name="Write it off").click()

    await expect(page.get_by_role("main")).to_contain_text("Stamp duty, seen on paper.")
    await page.goto(f"/ops/books?bank={BANK}&currency=XOF")
    await expect(page.get_by_role("main")).to_contain_text("Control difference")


@pytest.mark.parametrize(
    ("theme", "language", "width"),
    [("light", "fr", 390), ("dark", "en", 1366)],
)
async def test_axe_finds_nothing_on_statements_and_they_fit(
    sit_down: Open, console: Product, theme: str, language: str, width: int
) -> None:
    async with console.db.transaction("e2e.statement") as tx:
        statement = await tx.connection.fetchval("select id::text from payments.statements limit 1")
    page = await sit_down(
        "/ops/statements",
        who=FINANCE,
        theme=theme,
        language=language,
        width=width,
        bypass_csp=True,
    )
    for path in (
        "/ops/statements",
        f"/ops/statements/{statement}",
        f"/ops/statements/{statement}/lines/1",
        "/ops/exceptions",
        "/ops/books",
    ):
        await page.goto(path)
        assert await violations(page) == [], path
        excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert excess <= 0, path
