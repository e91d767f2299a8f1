"""What a shop sees and does in the merchant app, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect
from shop import ACCOUNTANT, SUPPORT, Open, Product, sell, type_password

pytestmark = pytest.mark.browser


async def figure(page: Page, key: str) -> int:
    text = await page.locator(f"#{key}-value").inner_text()
    return int(re.sub(r"\D", "", text))


async def test_a_visitor_signs_in_from_the_landing_page_and_sees_figures(
    visit: Open, product: Product
) -> None:
    page = await visit("/", who=None)
    await expect(page).to_have_url(re.compile("/sign-in"))

    await page.get_by_role("link", name="Sign in with Molam ID").click()
    await type_password(page, "awa.diop")

    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    assert await figure(page, "sales") > 0


async def test_signing_out_ends_the_session(visit: Open, product: Product) -> None:
    page = await visit("/", who=None)
    await page.get_by_role("link", name="Sign in with Molam ID").click()
    await type_password(page, "moussa.ndiaye")
    await page.wait_for_url(f"{product.url}/**")

    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("link", name="Sign in with Molam ID")).to_be_visible()
    await page.goto("/transactions")

    await expect(page).to_have_url(re.compile("/sign-in"))


async def test_a_sale_moves_the_open_overview(visit: Open, product: Product) -> None:
    # Not today: in its first hour a day has no line to draw yet.
    page = await visit("/?period=last_7d")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    sales, count = await figure(page, "sales"), await figure(page, "transactions")

    await sell(product.db, amount=12_345, customer="Coumba Live")

    await expect(page.locator("#latest .c-link").first).to_have_text("Coumba Live")
    await expect(page.locator("#sales-value")).to_contain_text(f"{sales + 12_345:,}")
    assert await figure(page, "transactions") == count + 1
    assert await page.locator("#latest tr").count() == 8
    assert await page.locator("#sales-spark polyline").count() == 1


async def test_live_0_leaves_the_page_still(visit: Open, product: Product) -> None:
    page = await visit("/?period=today&live=0")
    before = await figure(page, "sales")

    await sell(product.db, amount=5_000)
    other = await visit("/?period=today")
    await expect(other.locator("#live")).to_have_attribute("data-state", "live")

    assert await figure(page, "sales") == before
    await expect(page.locator("#live-text")).to_have_text("Live updates off")


async def test_the_list_offers_new_transactions_without_moving(
    visit: Open, product: Product
) -> None:
    page = await visit("/transactions")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    first = await page.locator(".c-link").first.inner_text()

    await sell(product.db, amount=7_000, customer="Binta Nouvelle")

    offer = page.get_by_role("link", name="New transactions")
    await expect(offer).to_be_visible()
    assert await page.locator(".c-link").first.inner_text() == first
    await offer.click()
    await expect(page.locator(".c-link").first).to_have_text("Binta Nouvelle")


async def test_figures_are_there_without_javascript(visit: Open) -> None:
    page = await visit("/?period=today", java_script_enabled=False)

    assert await figure(page, "sales") > 0
    await expect(page.locator("#chart polyline.line-a")).to_have_count(1)
    await page.locator(".figures summary").click()
    assert await page.locator(".figures tbody tr").count() > 0


async def test_language_is_switched_and_remembered(visit: Open) -> None:
    page = await visit("/", language="fr")
    await expect(page.locator("html")).to_have_attribute("lang", "fr")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Vue d\u2019ensemble")
    await expect(page.locator("#sales-value .cur")).to_have_text(re.compile(r"F\sCFA"))

    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

    await page.goto("/transactions")
    await expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
async def test_theme_is_switched_and_remembered(visit: Open, *, scripts: bool) -> None:
    page = await visit("/transactions", theme="light", java_script_enabled=scripts)
    light = await page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")

    await page.get_by_role("button", name="Dark theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.reload()

    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dark = await page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert dark != light


async def test_the_period_changes_in_place(visit: Open) -> None:
    page = await visit("/?period=today")
    today = await figure(page, "sales")

    await page.get_by_role("link", name="7 days").click()

    await expect(page).to_have_url(re.compile("period=last_7d"))
    await expect(page.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")
    assert await figure(page, "sales") > today
    await expect(page.locator("#chart canvas")).to_have_count(1)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")


async def test_dates_that_are_no_period_are_explained_beside_the_fields(visit: Open) -> None:
    page = await visit("/?from=2026-05-02&to=2026-05-01")

    await expect(page.locator("#dates-error")).to_be_visible()
    await expect(page.locator("#sales-value")).to_be_visible()


async def test_filters_live_in_the_address_and_come_off_one_by_one(visit: Open) -> None:
    page = await visit("/transactions")
    await page.locator(".more-filters summary").click()
    await page.get_by_label("Status").select_option("failed")
    await page.get_by_label("Amount from").fill("1 000")
    await page.get_by_role("button", name="Show").click()

    await expect(page).to_have_url(re.compile("status=failed"))
    statuses = await page.locator(".list .status").all_inner_texts()
    assert statuses
    assert set(statuses) <= {"Failed", "Abandoned", "Cancelled"}

    await page.locator(".chip", has_text="Failed").click()
    await expect(page).not_to_have_url(re.compile("status"))
    await expect(page).to_have_url(re.compile("amount_min"))


async def test_pages_turn_to_older_and_back_to_newer(visit: Open) -> None:
    page = await visit("/transactions?live=0")
    first = await _listed(page)

    await page.get_by_role("link", name="Older").click()
    await expect(page.get_by_role("link", name="Newest")).to_be_visible()
    second = await _listed(page)
    await page.get_by_role("link", name="Newer").click()
    await expect(page.locator(".list .c-link").first).to_have_attribute("href", first[0])

    assert not set(first) & set(second)
    assert await _listed(page) == first


async def _listed(page: Page) -> list[str]:
    """List whither the rows lead: a refund may say the reference of its payment."""
    found: list[str] = await page.locator(".list .c-link").evaluate_all(
        "links => links.map(each => each.getAttribute('href'))"
    )
    return found


async def test_a_search_that_finds_nothing_says_what_to_do(visit: Open) -> None:
    page = await visit("/transactions?q=zzzzzz")

    await expect(page.get_by_role("heading", name="Nothing matches these filters")).to_be_visible()
    await expect(
        page.get_by_role("main").get_by_role("link", name="Clear all").first
    ).to_be_visible()


async def test_a_transaction_tells_its_story(visit: Open, product: Product) -> None:
    id_ = await sell(product.db, amount=40_000, customer="Awa Histoire")
    page = await visit("/?period=today")
    await page.locator("#latest .c-link", has_text="Awa Histoire").click()

    await expect(page).to_have_url(re.compile(id_))
    await expect(page.locator("#amount")).to_contain_text("40,000")
    await expect(page.locator(".timeline")).to_contain_text("Succeeded and booked")
    amounts = (
        await page.locator("section", has_text="Ledger entries")
        .locator("td:last-child")
        .all_inner_texts()
    )
    minors = [int(re.sub(r"[^\d-]", "", each.replace("\u2212", "-"))) for each in amounts]
    assert len(minors) >= 4
    assert sum(minors) == 0


async def test_another_merchants_transaction_is_not_there(visit: Open) -> None:
    page = await visit("/transactions/tx_of_somebody_else")

    await expect(page.get_by_role("heading", name="We cannot find that")).to_be_visible()


async def test_an_alert_is_acknowledged_once_seen(visit: Open, product: Product) -> None:
    async with product.db.transaction("e2e.alert") as tx:
        await tx.connection.execute(
            """
            insert into merchant.merchant_alerts
                   (id, merchant_id, alert_type, severity, title, description, episode, facts)
            values (gen_random_uuid(), 'merchant-123', 'threshold_breach', 'critical',
                    'Float is low', 'Float fell below its floor.', gen_random_uuid()::text, '{}')
            """
        )
    page = await visit("/alerts")
    alert = page.locator(".alert", has_text="Float is low")
    await expect(alert).to_contain_text("Float fell below its floor.")

    await alert.get_by_role("button", name="I have seen it").click()
    await expect(page.locator(".alert", has_text="Float is low")).to_have_count(0)

    await page.get_by_role("link", name="All of them").click()
    await expect(page.locator(".alert", has_text="Float is low")).to_contain_text(
        "Seen by awa.diop"
    )


async def test_support_staff_land_on_transactions_and_see_no_figures(visit: Open) -> None:
    page = await visit("/", who=SUPPORT)

    await expect(page).to_have_url(re.compile("/transactions"))
    links = await page.locator(".side-nav a").all_inner_texts()
    assert [text.strip() for text in links] == ["Transactions", "Refunds", "Disputes"]


async def test_an_accountant_is_shown_figures_but_no_alerts(visit: Open) -> None:
    page = await visit("/", who=ACCOUNTANT)

    await expect(page.locator("#sales-value")).to_be_visible()
    await expect(page.locator(".side-nav a", has_text="Alerts")).to_have_count(0)
    await page.goto("/alerts")
    await expect(page.get_by_role("heading", name="This page is not for your role")).to_be_visible()


async def test_everything_is_reached_by_keyboard(visit: Open) -> None:
    page = await visit("/")
    await page.keyboard.press("?")
    await expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")

    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await expect(page).to_have_url(re.compile("/transactions$"))

    await page.keyboard.press("/")
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.locator("body").click(position={"x": 700, "y": 5})
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(page.locator(".c-link").nth(1)).to_be_focused()
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(page.locator("#amount")).to_be_visible()


async def test_the_first_tab_stop_skips_to_the_content(visit: Open) -> None:
    page = await visit("/transactions")

    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")

    await expect(page.locator("#main")).to_be_focused()


async def test_a_lost_stream_is_said_with_its_time_and_heals(visit: Open) -> None:
    page = await visit("/?period=today")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")

    await page.route("**/live?*", lambda route: route.abort())
    await page.evaluate("document.getElementById('stream')._htmx.sse.reader.cancel()")
    await expect(page.locator("#live")).to_have_attribute("data-state", "lost")
    await expect(page.locator("#live-text")).to_have_text(
        re.compile(r"Reconnecting since \d\d:\d\d")
    )
    await expect(page.locator("#stale")).to_be_visible()

    await page.unroute("**/live?*")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(page.locator("#stale")).to_be_hidden()
