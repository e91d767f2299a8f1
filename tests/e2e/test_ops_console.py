"""What people see and do at the operations' desk, in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from console import ASKER, OTHER_VOTER, VOTER, a_freeze, clear, engine, prove_identity
from playwright.async_api import Page, expect
from shop import Open, Product, type_password
from test_page_quality import FIRST_LOAD_BYTES_MAX, TOUCH_PX_MIN, too_wide, violations, weight

pytestmark = pytest.mark.browser


@pytest.fixture
async def freeze(console: Product) -> AsyncIterator[str]:
    """A freeze that waits for two operations administrators, and nothing beside it."""
    await clear(console)
    id_ = await a_freeze(console)
    yield id_
    await clear(console)


async def approve(page: Page, *, comment: str = "") -> None:
    await page.locator("#a > summary").click()
    if comment:
        await page.locator("#approve-comment").fill(comment)
    await page.locator("#a form button[type=submit]").click()
    await expect(page.locator("#said")).to_contain_text("Your approval is recorded.")


async def test_money_is_asked_for_approved_by_two_and_carried_out(
    sit_down: Open, console: Product
) -> None:
    asker = await sit_down("/ops/agents/agent-123", who=ASKER)
    await asker.get_by_role("link", name=re.compile("Adjust an agent")).click()
    await asker.get_by_label("Amount").fill("1 000 000")
    await asker.get_by_role("button", name="Show what it would do").click()
    await expect(asker.locator(".hero-sentence")).to_contain_text("to the float of agent agent-123")
    await expect(asker.locator(".is-after")).to_contain_text("1,500,000")
    await asker.get_by_label("Why should it be done?").fill("The kiosk runs out by noon.")
    await asker.get_by_role("button", name="Ask for it").click()
    await expect(asker.locator("#said")).to_contain_text("It is asked for.")
    address = asker.url.partition("?")[0].removeprefix(console.url)
    await expect(asker.locator(".act-approve > summary")).to_have_class(re.compile("is-off"))

    for who in (VOTER, OTHER_VOTER):
        # A session of their own: proving who one is ends the one before.
        page = await sit_down("/ops", who=None)
        await page.get_by_role("link", name="Sign in with Molam ID").click()
        await type_password(page, who)
        await page.locator(".task-link", has_text="agent-123").click()
        await page.locator("#a > summary").click()
        await page.get_by_role("link", name="Confirm with my one-time code").click()
        await prove_identity(page, who)
        await expect(page.locator("#said")).to_contain_text("Your identity is confirmed.")
        await approve(page, comment="Checked with the agent.")

    await asker.goto(address)
    await asker.locator("#x > summary").click()
    await asker.get_by_role("button", name="Carry it out now").click()
    await expect(asker.locator("#said")).to_contain_text("It is carried out.")
    await asker.goto("/ops/agents/agent-123")
    await expect(asker.locator(".hero-amount")).to_contain_text("1,500,000")


async def test_a_whole_decision_by_keyboard(sit_down: Open, console: Product, freeze: str) -> None:
    page = await sit_down("/ops")
    keys = page.keyboard

    await keys.press("j")
    await expect(page.locator(".task-link").first).to_be_focused()
    await keys.press("Enter")
    await expect(page.locator("#sentence")).to_be_visible()
    await keys.press("w")
    await expect(page.locator("#take-title")).to_be_focused()
    await keys.press("a")
    await expect(page.locator("#approve-comment")).to_be_focused()
    await keys.press("Escape")
    await expect(page.locator("#a > summary")).to_be_focused()
    assert (await engine(console).get_action_with_votes(freeze))["votes_total"] == 0

    await keys.press("a")
    await keys.type("By keyboard")
    await keys.press("Enter")
    await expect(page.locator("#said")).to_contain_text("Your approval is recorded.")
    await expect(page.locator("#votes")).to_contain_text("By keyboard")
    await keys.press("g")
    await keys.press("m")
    await expect(page).to_have_url(re.compile("/ops$"))
    await keys.press("/")
    await expect(page.locator("#q")).to_be_focused()
    await keys.press("Escape")
    await page.locator("body").click()
    await keys.press("?")
    await expect(page.locator("#help")).to_be_visible()


async def test_the_vote_form_works_without_scripts(sit_down: Open, freeze: str) -> None:
    page = await sit_down(f"/ops/actions/{freeze}", java_script_enabled=False)

    await page.locator("#r > summary").click()
    await page.locator("#reject-reason").fill("Nothing is wrong with this merchant.")
    await page.locator("#r form button").click()

    await expect(page.locator("#said")).to_contain_text("Your rejection is recorded.")
    await expect(page.locator("#votes")).to_contain_text("Nothing is wrong with this merchant.")


async def test_an_open_page_moves_but_its_buttons_do_not(
    sit_down: Open, console: Product, freeze: str
) -> None:
    page = await sit_down(f"/ops/actions/{freeze}")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    before = await page.locator("#a > summary").bounding_box()

    await engine(console).vote_on_action(freeze, OTHER_VOTER, [], "approve", "From elsewhere")

    await expect(page.locator("#standing")).to_contain_text("1/2")
    await expect(page.locator("#votes")).to_contain_text("From elsewhere")
    assert await page.locator("#a > summary").bounding_box() == before


async def test_a_page_whose_action_was_decided_lets_nobody_decide(
    sit_down: Open, console: Product, freeze: str
) -> None:
    page = await sit_down(f"/ops/actions/{freeze}")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")

    for who in (OTHER_VOTER, VOTER):
        await engine(console).vote_on_action(freeze, who, [], "approve")

    await expect(page.locator("#changed")).to_be_visible()
    await expect(page.locator("#a form button[type=submit]")).to_be_disabled()


async def test_the_list_offers_what_is_new_without_moving(sit_down: Open, console: Product) -> None:
    page = await sit_down("/ops")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")

    await a_freeze(console, "merchant-makola")

    await expect(page.get_by_role("link", name="The list has changed")).to_be_visible()
    assert await page.locator(".task-link", has_text="merchant-makola").count() == 0
    await page.get_by_role("link", name="The list has changed").click()
    await expect(page.locator(".task-link", has_text="merchant-makola")).to_be_visible()
    await clear(console)


async def test_hours_are_the_readers_own(sit_down: Open, freeze: str) -> None:
    page = await sit_down(f"/ops/actions/{freeze}", timezone_id="Asia/Tokyo")
    await page.reload()

    at = page.locator(".votes time, .timeline time").first
    shown, exact = await at.inner_text(), await at.get_attribute("title")

    assert exact is not None
    assert exact.endswith("UTC")
    assert (int(shown[-8:-6]) - int(exact[11:13])) % 24 == 9


async def paths(console: Product) -> list[str]:
    found = await engine(console).get_pending_actions(["ops_admin"])
    return [
        "/ops",
        "/ops?tab=done",
        "/ops/actions?status=requested",
        "/ops/search?q=merchant",
        "/ops/merchants/merchant-123",
        "/ops/agents/agent-123",
        "/ops/propose",
        "/ops/propose/ADJUST_FLOAT?agent_id=agent-123",
        "/ops/policies",
        "/ops/policies/new",
        "/ops/statistics",
        "/ops/delegations",
        "/ops/freezes",
        "/ops/security",
        "/ops/audit",
        "/ops/inbox?show=all",
        "/ops/merchants/nobody",
        *(f"/ops/actions/{each['id']}" for each in found[:1]),
    ]


# Each theme and each language on both a phone and a desk; together, every pair.
@pytest.mark.parametrize(
    ("theme", "language", "width"),
    [("light", "fr", 390), ("dark", "fr", 1366), ("light", "en", 1366), ("dark", "en", 390)],
)
@pytest.mark.usefixtures("freeze")
async def test_axe_finds_nothing(
    sit_down: Open, console: Product, theme: str, language: str, width: int
) -> None:
    page = await sit_down("/ops", theme=theme, language=language, width=width, bypass_csp=True)
    for path in await paths(console):
        await page.goto(path)
        assert await violations(page) == [], path
    if await page.locator("#a").count():
        await page.locator("#a > summary").click()
        assert await violations(page) == [], "the open panel"


@pytest.mark.parametrize("widths", [(360, 390), (768, 1366)], ids=["phones", "desks"])
@pytest.mark.usefixtures("freeze")
async def test_no_page_is_wider_than_its_screen(
    sit_down: Open, console: Product, widths: tuple[int, int]
) -> None:
    page = await sit_down("/ops", width=widths[0], language="fr")
    for path in [*await paths(console), "/sign-in"]:
        await page.goto(path)
        assert await too_wide(page, widths) == [], path


@pytest.mark.usefixtures("freeze")
async def test_fingers_find_every_control(sit_down: Open, console: Product) -> None:
    page = await sit_down("/ops", width=390, language="fr")
    for path in await paths(console):
        await page.goto(path)
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


@pytest.mark.usefixtures("freeze")
async def test_pages_break_no_policy_and_raise_no_error(sit_down: Open, console: Product) -> None:
    complaints: list[str] = []
    page = await sit_down("/ops")
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in await paths(console):
        if path.endswith("/nobody"):
            continue
        await page.goto(path)
        await expect(page.locator("#main")).to_be_visible()
        if await page.locator("#stream").count():
            await expect(page.locator("#live")).to_have_attribute("data-state", "live")

    assert complaints == []


async def test_the_first_load_weighs_little(sit_down: Open, freeze: str) -> None:
    page = await sit_down("/ops/audit")

    queue = await weight(page, "/ops", fresh=True)
    action = await weight(page, f"/ops/actions/{freeze}", fresh=True)

    assert 20_000 < queue <= FIRST_LOAD_BYTES_MAX
    assert 20_000 < action <= FIRST_LOAD_BYTES_MAX
