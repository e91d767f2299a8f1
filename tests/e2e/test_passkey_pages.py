"""Passkeys in a real browser with a virtual authenticator; delegations and freezes beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from console import ASKER, OTHER_VOTER, VOTER, clear, engine, prove_identity
from playwright.async_api import CDPSession, Page, expect
from shop import Open, Product, type_password
from test_page_quality import violations

pytestmark = pytest.mark.browser

OPTIONS = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Phone:
    """A page with an authenticator in it, whose owner verifies, or does not."""

    def __init__(self, page: Page, cdp: CDPSession, id_: str) -> None:
        self.page = page
        self._cdp = cdp
        self._id = id_

    @classmethod
    async def of(cls, page: Page) -> Phone:
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("WebAuthn.enable")
        made: dict[str, Any] = await cdp.send(
            "WebAuthn.addVirtualAuthenticator", {"options": OPTIONS}
        )
        return cls(page, cdp, made["authenticatorId"])

    async def verifies(self, owner: bool) -> None:
        await self._cdp.send(
            "WebAuthn.setUserVerified",
            {"authenticatorId": self._id, "isUserVerified": owner},
        )


@pytest.fixture
async def money(console: Product) -> AsyncIterator[str]:
    """Money that waits for two operations administrators."""
    await clear(console)
    created = await engine(console).create_ops_action(
        origin="alert",
        action_type="ADJUST_FLOAT",
        params={"agent_id": "agent-123", "adjustment": "top_up", "amount": 250_000},
        created_by="sira-system",
    )
    yield str(created["id"])
    await clear(console)


async def sign_in(page: Page, who: str) -> None:
    """Sign in anew with the password alone."""
    await page.context.clear_cookies()
    await page.context.add_cookies([{"name": "molam_lang", "value": "en", "url": page.url}])
    await page.goto("/auth/sign-in?next=/ops/security")
    await type_password(page, who)
    await expect(page.get_by_role("heading", name="Security", level=1)).to_be_visible()


async def votes(console: Product, action: str) -> int:
    found = await engine(console).get_action_with_votes(action)
    return int(found["votes_approve"])


async def test_a_passkey_is_added_confirms_one_vote_and_is_removed(
    sit_down: Open, console: Product, money: str
) -> None:
    page = await sit_down("/sign-in", who=None)
    phone = await Phone.of(page)
    await sign_in(page, ASKER)
    await page.get_by_role("link", name="Confirm with my one-time code").click()
    await prove_identity(page, ASKER)
    await page.get_by_label("What to call it").fill("My phone")
    await page.get_by_role("button", name="Add it").click()
    await expect(page.locator("#said")).to_contain_text("The passkey is added.")
    await expect(page.locator("main")).to_contain_text("My phone")

    # With the password alone, money asks for more.
    await sign_in(page, ASKER)
    await page.goto(f"/ops/actions/{money}")
    await page.locator("#a > summary").click()
    approve = page.get_by_role("button", name="Approve with my passkey")

    await phone.verifies(False)
    await approve.click()
    await expect(page.locator("[data-passkey-trouble]")).to_contain_text("Nothing was recorded")
    assert await votes(console, money) == 0

    await phone.verifies(True)
    await page.locator("#approve-comment").fill("By passkey")
    await approve.click()
    await expect(page.locator("#said")).to_contain_text("Your approval is recorded.")
    await expect(page.locator("#votes")).to_contain_text("By passkey")
    [vote] = (await engine(console).get_action_with_votes(money))["votes"]
    assert vote["auth"]["amr"] == ["hwk", "user"]

    await page.goto("/ops/security")
    await expect(page.locator("main")).to_contain_text("last used")
    await expect(page.get_by_role("button", name="Remove")).to_have_count(0)
    async with console.db.transaction("e2e.age") as tx:
        await tx.connection.execute("delete from approvals.passkeys")


async def test_a_page_that_changed_is_not_signed(
    sit_down: Open, console: Product, money: str
) -> None:
    page = await sit_down("/sign-in", who=None)
    await Phone.of(page)
    await sign_in(page, OTHER_VOTER)
    async with console.db.transaction("e2e.passkey") as tx:
        await tx.connection.execute(
            "insert into approvals.passkeys (credential_id, person_id, public_key, sign_count,"
            " label, created_at) values ('x', $1, 'x', 0, 'x', now())",
            OTHER_VOTER,
        )
    await page.goto(f"/ops/actions/{money}?live=0")
    await page.locator("#a > summary").click()
    async with console.db.transaction("e2e.change") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set expires_at = expires_at + interval '1 hour'"
        )
        await tx.connection.execute("delete from approvals.passkeys where credential_id = 'y'")

    await page.get_by_role("button", name="Approve with my passkey").click()

    await expect(page.locator("[data-passkey-trouble]")).to_contain_text("has changed")
    assert await votes(console, money) == 0
    async with console.db.transaction("e2e.clear") as tx:
        await tx.connection.execute("delete from approvals.passkeys")


async def test_a_role_is_lent_and_given_back(sit_down: Open, console: Product) -> None:
    giver = await sit_down("/ops/delegations", who=OTHER_VOTER)
    await giver.get_by_label("To whom").select_option(VOTER)
    last = await giver.get_by_label("Last day").get_attribute("min")
    assert last is not None
    await giver.get_by_label("Last day").fill(last)
    await giver.get_by_label("Reason").fill("On leave")
    await giver.get_by_role("button", name="Lend it").click()
    await expect(giver.locator("#said")).to_contain_text("The role is lent.")

    taker = await sit_down("/ops/inbox", who=VOTER)
    await taker.get_by_role("link", name="A role is lent to you").click()
    await taker.get_by_role("button", name="Give it back").click()
    await expect(taker.locator("#said")).to_contain_text("The delegation has ended")
    await expect(taker.locator("main")).to_contain_text("taken back")


@pytest.mark.parametrize(
    ("theme", "language", "width"), [("light", "fr", 360), ("dark", "en", 1366)]
)
async def test_the_pages_are_sound_when_they_are_full(
    sit_down: Open, console: Product, theme: str, language: str, width: int
) -> None:
    async with console.db.transaction("e2e.fill") as tx:
        await tx.connection.execute(
            "insert into approvals.passkeys (credential_id, person_id, public_key, sign_count,"
            " label, created_at) values ('z', $1, 'x', 0, 'Téléphone', now())",
            VOTER,
        )
        await tx.connection.execute(
            "insert into approvals.freezes (id, reason, starts_at, created_by, created_at, ended_at)"
            " values (gen_random_uuid(), 'Une banque répond deux fois.', now(), $1, now(), null),"
            " (gen_random_uuid(), 'Essai', now(), $1, now(), now())",
            VOTER,
        )
        await tx.connection.execute(
            "insert into approvals.delegations (id, delegator_id, delegate_id, role, action_types,"
            " starts_at, ends_at, reason, created_at) values (gen_random_uuid(), $1, $2,"
            " 'ops_admin', '{FREEZE_MERCHANT}', now(), now() + interval '2 days', 'Congé', now())",
            VOTER, ASKER,
        )  # fmt: skip
    page = await sit_down("/ops", theme=theme, language=language, width=width, bypass_csp=True)
    found = []
    for path in ("/ops/delegations", "/ops/freezes", "/ops/security"):
        await page.goto(path)
        excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        found += [f"{path} {each}" for each in await violations(page)]
        found += [f"{path} is {excess} px too wide"] if excess > 0 else []
    async with console.db.transaction("e2e.empty") as tx:
        for table in ("passkeys", "freezes", "delegations"):
            await tx.connection.execute(f"delete from approvals.{table}")

    assert found == []
