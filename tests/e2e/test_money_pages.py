"""Money that moves, as people at the shop move it: refunds, payouts, files, webhooks, the team."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import Page, expect
from shop import ADMIN, MERCHANT, SUPPORT, Open, Product, receiver, sell, taken_in, type_password
from test_page_quality import violations

from molam.entrypoints.workers import run_worker
from molam.platform.auth.tokens import AAL2
from molam.simulator.banks_demo import seed_banks
from molam.simulator.payouts_demo import seed_payouts

pytestmark = pytest.mark.browser

OTHER_ADMIN = "moussa.ndiaye"
_PROOF_LASTS_S = 200.0
_proofs: dict[str, tuple[list[Any], float]] = {}


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


async def _paid(product: Product, amount: int, customer: str, *, days_ago: int = 0) -> str:
    """Let a customer pay, and wait until that is known here."""
    id_ = await sell(product.db, amount=amount, customer=customer, days_ago=days_ago)
    await taken_in(product.db, id_)
    return id_


async def _ask_back(page: Page, amount: str) -> None:
    await page.get_by_role("link", name="Give a refund").click()
    await page.locator("#amount").fill(amount)
    await page.locator("#reason").select_option("wrong_item")
    await page.get_by_role("button", name="See what it would do").click()
    await expect(page.get_by_role("heading", name="This is what will happen")).to_be_visible()


async def _enter(visit: Open, path: str, who: str, *, proved: bool = True) -> Page:
    """
    Open a page with the one-time code given lately, or else in a session of its own.

    A confirmation replaces the session, so these tests leave alone the one that others share.
    """
    cookies, at = _proofs.get(who, ([], -_PROOF_LASTS_S))
    page = await visit("/sign-in", who=None)
    if proved and time.monotonic() - at < _PROOF_LASTS_S:
        await page.context.add_cookies(cookies)
        await page.goto(path)
        return page
    asked = {"next": path} | ({"acr_values": AAL2, "max_age": "300"} if proved else {})
    await page.goto(f"/auth/sign-in?{urlencode(asked)}")
    await _confirm(page, who, with_code=proved)
    if proved:
        cookies = [each for each in await page.context.cookies() if "merchant" in each["name"]]
        _proofs[who] = cookies, time.monotonic()
    return page


async def _confirm(page: Page, who: str, *, with_code: bool = True) -> None:
    """Prove who one is to the issuer, whether or not it has met this browser, and come back."""
    code, name = page.locator("#otp"), page.locator("#username")
    await expect(code.or_(name).first).to_be_visible()
    if await name.count():
        await type_password(page, who)
    if with_code:
        # The page shows the next code that was not used yet.
        await code.fill(await page.locator("aside code").first.inner_text())
        await page.locator("main form button").click()
    await expect(page.locator(".top h1")).to_be_visible()


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
    page = await _enter(visit, f"/transactions/{id_}", ADMIN, proved=False)
    await _ask_back(page, "250 000")
    await expect(page.get_by_role("main")).to_contain_text("Moussa Ndiaye must agree by")

    ask = page.get_by_role("button", name="Ask for approval of 250,000")
    await ask.click()
    await _confirm(page, ADMIN)
    await expect(page.get_by_role("main")).to_contain_text("You are confirmed")
    await ask.click()
    await expect(page.get_by_role("status")).to_contain_text("Others have been asked")
    await expect(page.get_by_role("button", name="Agree and refund")).to_have_count(0)

    other = await _enter(visit, "/refunds?show=waiting", OTHER_ADMIN)
    await expect(other.locator(".list")).to_contain_text("Waits for Moussa Ndiaye")
    await other.locator(".c-link", has_text="Wrong item").first.click()
    await other.get_by_role("button", name="Agree and refund 250,000").click()

    await expect(other.get_by_role("status")).to_contain_text("You agreed")
    await _comes_to(other, "Refunded to the customer")


async def test_a_refund_that_a_colleague_refuses_frees_the_money(
    visit: Open, product: Product
) -> None:
    id_ = await _paid(product, 300_000, "Penda Refusée")
    page = await _enter(visit, f"/transactions/{id_}", OTHER_ADMIN)
    await _ask_back(page, "300 000")
    await page.get_by_role("button", name="Ask for approval of 300,000").click()
    await expect(page.get_by_role("status")).to_contain_text("The amount is set aside")

    other = await _enter(visit, page.url.partition("?")[0].removeprefix(product.url), ADMIN)
    await other.get_by_label("Why not? At least 10 characters.").fill("It never came back.")
    await other.get_by_role("button", name="Say no").click()

    await expect(other.get_by_role("status")).to_contain_text("The amount is free again")
    await _comes_to(other, "Refused")


async def test_a_schedule_shows_its_next_days_before_it_is_changed(visit: Open) -> None:
    page = await _enter(visit, "/settings/payouts", OTHER_ADMIN, proved=False)
    await expect(page.locator("#schedule")).to_have_value("daily")
    await page.get_by_role("link", name="Confirm now").click()
    await _confirm(page, OTHER_ADMIN)
    await page.locator("#schedule").select_option("weekly")
    await page.locator("#weekday").select_option("4")
    await page.get_by_role("button", name="Show what this means").click()

    proposal = page.locator("section", has=page.get_by_text("Your next payouts would be on"))
    await expect(proposal.locator(".todo li")).to_have_count(3)
    await expect(proposal).to_contain_text("Thursday")
    await page.get_by_role("button", name="Change the schedule").click()

    await expect(page.get_by_role("status")).to_contain_text("The schedule is changed")
    await expect(page.locator("#schedule")).to_have_value("weekly")
    await page.goto("/settings/audit")
    await expect(page.get_by_role("main")).to_contain_text("Moussa Ndiaye")


async def test_a_payout_says_what_it_is_made_of_and_can_be_called_off(visit: Open) -> None:
    page = await visit("/payouts")
    await page.locator(".list .c-link").first.click()
    await expect(page.get_by_role("main")).to_contain_text("You receive")
    assert await page.locator(".list .c-link").count() > 10

    await page.get_by_role("button", name="Cancel the payout").click()

    await expect(page.get_by_role("status")).to_contain_text("Its money is in your balance again")
    await expect(page.locator(".hero-line").first).to_contain_text("Called off")
    await expect(page.locator(".timeline li")).to_have_count(2)


async def test_paying_out_now_shows_the_balance_after_it(visit: Open, product: Product) -> None:
    # What came in today has to wait for its day.
    await _paid(product, 900_000, "Fatim Versée", days_ago=3)
    page = await visit("/payouts")
    await page.get_by_text("Pay out now instead of waiting").click()
    await expect(page.get_by_text("Your balance after it")).to_be_visible()

    await page.get_by_role("button", name="Pay out").click()

    await expect(page.get_by_role("status")).to_contain_text("The payout is made")
    await expect(page.locator(".timeline")).to_contain_text("Payout made")


@pytest.mark.parametrize(
    ("kind", "format_"), [("transactions", "csv"), ("refunds", "xlsx"), ("payouts", "pdf")]
)
async def test_a_file_is_written_and_downloaded(visit: Open, kind: str, format_: str) -> None:
    page = await visit("/reports")
    await page.locator("#kind").select_option(kind)
    await page.locator("#format").select_option(format_)

    await page.get_by_role("button", name="Write the file").click()
    link = page.locator("#files li").first.get_by_role("link", name="Download")
    await expect(link).to_be_visible()
    async with page.expect_download() as started:
        await link.click()

    assert (await started.value).suggested_filename.endswith(f".{format_}")


async def test_a_webhook_is_added_tried_and_switched_off(visit: Open) -> None:
    page = await _enter(visit, "/settings/webhooks", ADMIN)
    async with receiver() as (address, heard):
        await page.locator("#add-url").fill(address)
        await page.get_by_label("A payment succeeded").check()
        await page.get_by_role("button", name="Add the endpoint").click()
        await expect(page.locator(".secret")).to_contain_text("whsec_")

        await page.get_by_role("button", name="Send a test").click()
        await expect(page.locator("#tested")).to_contain_text("Delivered")
        await expect(page.locator(".secret")).to_have_count(0)

    assert heard[0]["webhook-signature"].startswith("v1,")
    await page.locator(".list .c-link").first.click()
    await expect(page.get_by_role("main")).to_contain_text("HTTP 204")
    await page.go_back()
    await page.get_by_role("button", name="Make a new secret").click()
    await expect(page.locator(".secret")).to_contain_text("whsec_")
    await page.get_by_role("button", name="Switch it off").click()
    await expect(page.get_by_role("button", name="Switch it on")).to_be_visible()


async def test_somebody_joins_the_team_and_leaves_it(visit: Open) -> None:
    page = await _enter(visit, "/settings/team", ADMIN)
    await page.locator("#name").fill("Khadija Essai")
    await page.locator("#email").fill("khadija.essai@example.com")
    await page.get_by_label("Customer support").last.check()
    await page.get_by_role("button", name="See what changes").last.click()
    await page.get_by_role("main").locator(".btn-primary").click()
    await expect(page.get_by_role("status")).to_contain_text("Added")

    person = page.locator(".people > li", has_text="Khadija Essai")
    await person.locator("summary").click()
    await person.get_by_role("button", name="Remove").click()
    await page.get_by_role("main").locator("button.btn").last.click()

    await expect(page.get_by_role("status")).to_contain_text("Removed")


async def test_a_stricter_rule_for_refunds_is_shown_before_it_is_saved(visit: Open) -> None:
    page = await visit("/settings")
    await page.locator("#threshold").fill("50 000")
    await page.locator("#refunds").get_by_role("button", name="See what changes").click()
    await expect(page.get_by_role("main")).to_contain_text("50,000")

    await page.get_by_role("main").locator(".btn-primary").click()

    await expect(page.get_by_role("status")).to_contain_text("Saved")
    await page.goto("/settings/audit")
    await expect(page.get_by_role("main")).to_contain_text("50,000")


async def test_support_staff_find_their_own_security_page(visit: Open) -> None:
    page = await visit("/transactions", who=SUPPORT, width=390)
    await page.locator(".account summary").click()

    await page.locator(".account").get_by_role("link", name="Security").click()

    await expect(page.locator("h1")).to_have_text("Security")
    await page.goto("/settings")
    await expect(page.get_by_role("heading", name="not for your role")).to_be_visible()


async def _found(product: Product) -> list[str]:
    """List a page of every kind that there is by now."""
    async with product.db.transaction("e2e.found") as tx:
        rows = await tx.connection.fetch(
            """
            (select '/refunds/' || id as path from payments.refunds
              where merchant_id = $1 order by created_at desc limit 3)
            union all
            (select '/payouts/' || id from payments.payouts
              where merchant_id = $1 and origin = 'molam' order by amount limit 2)
            union all
            (select '/settings/webhooks/' || 'we_' || id from webhooks.merchant_webhooks
              where false)
            """,
            MERCHANT,
        )
    return [
        "/refunds/new?txn_id=tx_123",
        "/refunds/new?txn_id=tx_123&amount=75000&reason=wrong_item",
        "/refunds/new?txn_id=tx_123&amount=75001&reason=wrong_item",
        "/settings/payouts?schedule=monthly&month_day=31&weekday=1&delay_days=2&minimum=5000",
        "/settings/webhooks",
        "/settings/team",
        "/settings/accounting",
        *(row["path"] for row in rows),
    ]


@pytest.mark.parametrize(
    ("theme", "language", "width"),
    [("light", "fr", 390), ("dark", "fr", 1366), ("light", "en", 1366), ("dark", "en", 360)],
)
async def test_axe_finds_nothing_where_money_has_moved_and_pages_fit(
    visit: Open, product: Product, theme: str, language: str, width: int
) -> None:
    page = await visit("/refunds", theme=theme, language=language, width=width, bypass_csp=True)
    for path in await _found(product):
        await page.goto(path)
        assert await violations(page) == [], path
        excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert excess <= 0, path
