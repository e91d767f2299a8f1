"""Money that moves, as people at the shop move it: refunds, payouts, files, webhooks, the team."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from console import prove_identity
from playwright.async_api import Page, expect
from shop import ADMIN, MERCHANT, SUPPORT, Open, Product, receiver, sell, taken_in
from test_page_quality import TOUCH_PX_MIN, violations

from molam.entrypoints.workers import run_worker
from molam.simulator.banks_demo import seed_banks
from molam.simulator.payouts_demo import seed_payouts

pytestmark = pytest.mark.browser

OTHER_ADMIN = "moussa.ndiaye"


@pytest.fixture(scope="module", autouse=True)
async def _working(product: Product) -> AsyncIterator[None]:
    """Banks that answer, a payout that waits for tomorrow, and whoever does the jobs."""
    await seed_banks(product.db, datetime.now(UTC), banks_url=f"{product.settings.issuer}/banks")
    await seed_payouts(product.db, datetime.now(UTC))
    async with product.db.transaction("e2e.later") as tx:
        await tx.connection.execute(
            "update payments.payouts set scheduled_for = now() + interval '1 day'"
            " where state = 'scheduled'"
        )
    stop = asyncio.Event()
    parts = frozenset({"jobs", "webhooks"})
    worker = asyncio.create_task(run_worker(product.settings, parts, stop))
    yield
    stop.set()
    await worker


async def _paid(product: Product, amount: int, customer: str) -> str:
    """Let a customer pay, and wait until that is known here."""
    id_ = await sell(product.db, amount=amount, customer=customer)
    await taken_in(product.db, id_)
    return id_


async def _ask_back(page: Page, amount: str) -> None:
    await page.get_by_role("link", name="Give a refund").click()
    await page.locator("#amount").fill(amount)
    await page.locator("#reason").select_option("wrong_item")
    await page.get_by_role("button", name="See what it would do").click()
    await expect(page.get_by_role("heading", name="This is what will happen")).to_be_visible()


async def _comes_to(page: Page, words: str) -> None:
    """Look again until the state says *words*."""
    async with asyncio.timeout(40):
        while words not in await page.locator(".hero-line").first.inner_text():
            await asyncio.sleep(0.5)
            await page.goto(page.url.partition("?")[0])


async def test_a_small_refund_says_what_it_does_and_reaches_the_customer(
    visit: Open, product: Product
) -> None:
    id_ = await _paid(product, 30_000, "Rama Petite")
    page = await visit(f"/transactions/{id_}")

    await _ask_back(page, "5 000")
    main = page.get_by_role("main")
    await expect(main).to_contain_text("Rama Petite")
    await expect(main).to_contain_text("of 30,000")
    await expect(main).to_contain_text("None needed: it is sent at once.")
    await page.get_by_role("button", name="Refund 5,000").click()

    await expect(page.get_by_role("status")).to_contain_text("The refund is on its way")
    await _comes_to(page, "Refunded to the customer")
    steps = await page.locator(".timeline .step-title").all_inner_texts()
    assert len(steps) >= 3
    await expect(page.locator(".timeline")).to_contain_text("from 127.0.0.1")
    await page.goto(f"/transactions/{id_}")
    await expect(page.get_by_role("main")).to_contain_text("5,000")


async def test_a_large_refund_takes_a_code_and_another_administrator(
    visit: Open, product: Product
) -> None:
    id_ = await _paid(product, 400_000, "Sokhna Grande")
    page = await visit(f"/transactions/{id_}")
    await _ask_back(page, "250 000")
    await expect(page.get_by_role("main")).to_contain_text("Moussa Ndiaye must agree by")

    ask = page.get_by_role("button", name="Ask for approval of 250,000")
    await ask.click()
    await prove_identity(page, ADMIN)
    await expect(page.get_by_role("main")).to_contain_text("You are confirmed")
    await ask.click()
    await expect(page.get_by_role("status")).to_contain_text("Others have been asked")
    await expect(page.get_by_role("button", name="Agree and refund")).to_have_count(0)

    other = await visit("/refunds?show=waiting", who=OTHER_ADMIN)
    await other.goto(page.url.partition("?")[0])
    agree = other.get_by_role("button", name="Agree and refund 250,000")
    await agree.click()
    await prove_identity(other, OTHER_ADMIN)
    await agree.click()

    await expect(other.get_by_role("status")).to_contain_text("You agreed")
    await _comes_to(other, "Refunded to the customer")


async def test_a_refund_that_a_colleague_refuses_frees_the_money(
    visit: Open, product: Product
) -> None:
    id_ = await _paid(product, 300_000, "Penda Refusée")
    page = await visit(f"/transactions/{id_}", who=OTHER_ADMIN)
    await _ask_back(page, "300 000")
    ask = page.get_by_role("button", name="Ask for approval of 300,000")
    await ask.click()
    await prove_identity(page, OTHER_ADMIN)
    await ask.click()
    await expect(page.get_by_role("status")).to_contain_text("The amount is set aside")

    other = await visit(page.url.partition("?")[0])
    no = other.get_by_role("button", name="Say no")
    why = other.get_by_label("Why not? At least 10 characters.")
    await why.fill("The goods never came back.")
    await no.click()
    await prove_identity(other, ADMIN)
    await why.fill("The goods never came back.")
    await no.click()

    await expect(other.get_by_role("status")).to_contain_text("The amount is free again")
    await _comes_to(other, "Refused")
