"""The pages of refunds, without a browser: what they say before, and what they lead to after."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from callers import bearer

from builders import balance_of
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from refunding import Till, a_sale, a_shop, pay

RESERVED = "merchant:merchant-123:reserved:XOF"
REVIEW = "/refunds/new?txn_id=tx_123&amount=50+000&reason=wrong_item"
pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
async def shop(db: Database) -> None:
    await a_shop(db)
    await a_sale(db)
    await a_sale(db, "tx_big", 300_000)


class Browser:
    """Somebody who looks at pages and sends their forms."""

    def __init__(self, client: httpx2.AsyncClient, keys: IssuerKeys, **claims: object) -> None:
        self.client = client
        self.headers = {**bearer(keys, lang="en", **claims), "Accept": "text/html"}

    async def look(self, path: str, status: int = 200) -> str:
        answer = await self.client.get(path, headers=self.headers)
        assert answer.status_code == status, answer.text
        return answer.text

    async def send(self, path: str, **fields: object) -> httpx2.Response:
        return await self.client.post(path, data=fields, headers=self.headers)


@pytest.fixture
def awa(client: httpx2.AsyncClient, keys: IssuerKeys) -> Browser:
    return Browser(client, keys, acr=AAL2)


@pytest.fixture
def moussa(client: httpx2.AsyncClient, keys: IssuerKeys) -> Browser:
    return Browser(client, keys, sub="moussa.ndiaye", name="Moussa Ndiaye", acr=AAL2)


def fields_of(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that goes to *action*."""
    form = page.split(f'action="{action}"')[1].split("</form>", maxsplit=1)[0]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))


async def test_payment_offers_its_refund(awa: Browser):
    assert 'href="/refunds/new?txn_id=tx_123"' in await awa.look("/transactions/tx_123")


async def test_who_may_not_refund_is_offered_none(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    async with db.transaction("tests.roles") as tx:
        await tx.connection.execute(
            "update tenancy.role_grants set role = 'merchant_support' where person_id = 'awa.diop'"
        )

    page = await Browser(client, keys, roles=["merchant_support"]).look("/transactions/tx_123")

    assert "/refunds/new" not in page


async def test_first_step_offers_all_that_is_left(awa: Browser):
    page = await awa.look("/refunds/new?txn_id=tx_123")

    assert 'value="75000"' in page
    assert "Can be refunded" in page


async def test_review_shows_the_effect_before_it_happens(awa: Browser, db: Database):
    page = await awa.look(REVIEW)

    assert "This is what will happen" in page
    assert "None needed: it is sent at once." in page
    for balance in ("875", "825"):
        assert balance in page
    assert await balance_of(db, RESERVED) == 0


async def test_review_of_a_large_refund_says_who_must_agree(awa: Browser):
    page = await awa.look("/refunds/new?txn_id=tx_big&amount=150000&reason=wrong_item")

    assert "Moussa Ndiaye must agree by" in page
    assert "Ask for approval of" in page


async def test_review_of_an_impossible_refund_says_why_and_offers_no_button(awa: Browser):
    page = await awa.look("/refunds/new?txn_id=tx_123&amount=75001&reason=wrong_item")

    assert "This refund is not possible" in page
    assert "That is more than is left of the payment" in page
    assert 'action="/refunds"' not in page


@pytest.mark.parametrize("typed", ["abc", "0", "1e3", "1.5", "-3"])
async def test_amount_that_is_none_is_asked_for_again(awa: Browser, typed: str):
    page = await awa.look(f"/refunds/new?txn_id=tx_123&amount={typed}&reason=wrong_item")

    assert "Type an amount with digits only" in page


async def test_reason_is_asked_for(awa: Browser):
    page = await awa.look("/refunds/new?txn_id=tx_123&amount=100&reason=")

    assert "Choose a reason, or write one." in page


async def test_confirming_twice_refunds_once_and_leads_to_the_same_page(awa: Browser, db: Database):
    fields = fields_of(await awa.look(REVIEW), "/refunds")

    first = await awa.send("/refunds", **fields)
    second = await awa.send("/refunds", **fields)

    assert (first.status_code, second.status_code) == (303, 303)
    assert first.headers["Location"] == second.headers["Location"]
    assert await balance_of(db, RESERVED) == 50_000
    assert "The refund is on its way." in await awa.look(first.headers["Location"])


async def test_review_that_went_stale_is_shown_again_with_the_reason(
    awa: Browser, money_db: Database, db: Database
):
    fields = fields_of(await awa.look(REVIEW), "/refunds")
    await Till(money_db).ask(10_000)

    answer = await awa.send("/refunds", **fields)

    assert answer.status_code == 409
    assert "Another amount can be refunded by now" in answer.text
    assert await balance_of(db, RESERVED) == 10_000


async def test_large_refund_leads_to_a_fresh_proof_and_back_to_the_review(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    plain = Browser(client, keys)
    page = await plain.look("/refunds/new?txn_id=tx_big&amount=150000&reason=wrong_item")

    answer = await plain.send("/refunds", **fields_of(page, "/refunds"))

    asked = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert asked["acr_values"] == [AAL2]
    assert "This is what will happen" in await plain.look(asked["next"][0])
    assert "You are confirmed" in await plain.look(asked["next"][0])


async def a_waiting_refund(awa: Browser) -> str:
    page = await awa.look("/refunds/new?txn_id=tx_big&amount=150000&reason=wrong_item")
    answer = await awa.send("/refunds", **fields_of(page, "/refunds"))
    return str(urlsplit(answer.headers["Location"]).path)


async def test_waiting_refund_shows_the_other_administrator_what_agreeing_does(
    awa: Browser, moussa: Browser
):
    path = await a_waiting_refund(awa)

    own, others = await awa.look(path), await moussa.look(path)

    assert "Take it back" in own
    assert "Agree and refund" not in own
    assert "leaves your balance for the customer at once" in others
    assert "Take it back" not in others


async def test_agreeing_on_the_page_sends_the_refund(awa: Browser, moussa: Browser):
    path = await a_waiting_refund(awa)

    answer = await moussa.send(
        f"{path}/approve", **fields_of(await moussa.look(path), f"{path}/approve")
    )

    page = await moussa.look(answer.headers["Location"])
    assert "You agreed. The refund is on its way." in page
    assert "About to be sent" in page
    assert "Moussa Ndiaye agreed." in page


async def test_saying_no_takes_a_reason(awa: Browser, moussa: Browser, db: Database):
    path = await a_waiting_refund(awa)

    short = await moussa.send(f"{path}/reject", comment="no")
    said = await moussa.send(f"{path}/reject", comment="The customer kept the goods.")

    assert (short.status_code, said.status_code) == (409, 303)
    assert await balance_of(db, RESERVED) == 0
    page = await awa.look(path)
    assert page.count("Moussa Ndiaye said no.") == 2
    assert "Reason: The customer kept the goods." in page


async def test_own_refund_is_taken_back(awa: Browser, db: Database):
    path = await a_waiting_refund(awa)

    answer = await awa.send(f"{path}/cancel", comment="")

    assert "You took it back." in await awa.look(answer.headers["Location"])
    assert await balance_of(db, RESERVED) == 0


async def test_list_says_for_whom_a_refund_waits_and_how_long(awa: Browser):
    await a_waiting_refund(awa)

    page = await awa.look("/refunds?show=waiting")

    assert "Waits for Moussa Ndiaye" in page
    assert "minutes left" in page


@pytest.mark.parametrize("show", ["", "?show=waiting", "?show=moving", "?show=done", "?show=ended"])
async def test_empty_list_says_what_to_do_next(awa: Browser, show: str):
    page = await awa.look(f"/refunds{show}")

    assert ("No refund yet" if not show else "Nothing here at present") in page


async def test_missing_wallet_is_asked_for_and_the_refund_goes_on(
    awa: Browser, worker_db: Database, money_db: Database, db: Database
):
    await a_sale(db, "tx_card", channel="card", provider="visa", customer={"name": "A"})
    row = await Till(money_db).ask(5_000, transaction_id="tx_card")
    await pay(worker_db, row.id)
    path = f"/refunds/{row.id}"
    page = await awa.look(path)
    wallet = {"provider": "wave", "phone": "+221 77 000 01 23", "holder": "A"}

    answer = await awa.send(f"{path}/details", **fields_of(page, f"{path}/details"), **wallet)

    assert "Where should the money go?" in page
    assert "being sent again" in await awa.look(answer.headers["Location"])


async def test_payment_shows_the_refunds_asked_for(awa: Browser, money_db: Database):
    row = await Till(money_db).ask(5_000)

    assert f'href="/refunds/{row.id}"' in await awa.look("/transactions/tx_123")


@pytest.mark.parametrize("path", ["/refunds/re_none", "/refunds/new?txn_id=tx_none"])
async def test_what_is_not_there_is_absent(awa: Browser, path: str):
    await awa.look(path, status=404)


async def test_reason_is_text_and_never_markup(awa: Browser, money_db: Database):
    row = await Till(money_db).ask(5_000, reason="<script>alert(1)</script>")

    for path in ("/refunds", f"/refunds/{row.id}", "/transactions/tx_123"):
        assert "<script>alert(1)" not in await awa.look(path)
