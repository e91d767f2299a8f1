"""The pages of payouts: what will happen before, what happened after, and why it is late."""

from __future__ import annotations

import re

import httpx2
import pytest
from callers import bearer

import paying_out as pay
from builders import a_person, a_transaction
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

SPACES = str.maketrans({"\u00a0": " ", "\u202f": " "})


@pytest.fixture
async def payee(db: Database) -> str:
    await pay.a_bank(db)
    return await pay.a_payee(db)


@pytest.fixture
def admin(keys: IssuerKeys) -> dict[str, str]:
    return bearer(keys, lang="en")


@pytest.fixture
def proved(keys: IssuerKeys) -> dict[str, str]:
    return bearer(keys, lang="en", acr=AAL2, amr=["pwd", "otp"])


async def _text(client: httpx2.AsyncClient, address: str, who: dict[str, str]) -> str:
    answer = await client.get(address, headers=who)
    assert answer.status_code == 200, answer.text
    return re.sub(r"<[^>]+>", "", answer.text).translate(SPACES)


async def test_the_list_without_money_says_what_comes(
    client: httpx2.AsyncClient, admin: dict[str, str], payee: str
):
    text = await _text(client, "/payouts", admin)

    assert "There is nothing to pay out yet." in text
    assert "No payout is under way." in text
    assert "No payout has ended yet." in text


async def test_asking_shows_the_effect_before_and_the_timeline_after(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 12_500)
    page = (await client.get("/payouts", headers=admin)).text
    text = re.sub(r"<[^>]+>", "", page).translate(SPACES)
    assert "Pay out 12,500 F CFA" in text
    assert "Nobody has to approve it." in text
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.split('action="/payouts"')[1]))

    made = await client.post("/payouts", data=form, headers=admin)
    again = await client.post("/payouts", data=form, headers=admin)

    assert (made.status_code, again.status_code) == (303, 303), made.text
    assert made.headers["location"] == again.headers["location"]
    text = await _text(client, made.headers["location"], admin)
    assert "The payout is made." in text
    assert "Payout made from your balance" in text
    assert "Cancel this payout?" in text


async def test_less_than_was_shown_is_said_on_the_page_and_nothing_is_paid(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    form = {"currency": "XOF", "expected_amount": "5000", "idempotency_key": "k"}

    answer = await client.post("/payouts", data=form, headers=admin)

    assert answer.status_code == 409
    assert "Less can be paid out than you were shown" in answer.text
    assert await pay.one(db, "select count(*) from payments.payouts") == 0


async def test_a_cancelled_payout_says_where_its_money_is(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    await a_person(db, merchant_id=pay.MERCHANT)

    answer = await client.post(
        f"/payouts/{made.id}/cancel", data={"idempotency_key": "k"}, headers=admin
    )

    text = await _text(client, answer.headers["location"], admin)
    assert "Its money is in your balance again." in text
    assert "They are in your balance again, or in a later payout." in text
    assert "Awa Diop" in text.partition("What happened?")[2]


async def test_what_a_payout_pays_is_named_by_its_customer_where_that_is_known(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database, payee: str
):
    await a_transaction(db, id_="tx_named", merchant_id=pay.MERCHANT)
    await pay.sql(
        db,
        'update payments.wallet_transactions set customer = \'{"name": "Binta Sy"}\''
        " where id = 'tx_named'",
    )
    await pay.an_entry(db, 1_000, cause_id="tx_named")
    await pay.an_entry(db, 500, cause_id="tx_unnamed")
    made = await pay.ask(db)

    lines = (await _text(client, f"/payouts/{made.id}", admin)).partition("Which entries")[2]

    assert "Binta Sy" in lines
    assert "tx_named" not in lines
    assert "tx_unnamed" in lines


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize(
    "told", ["pending", "accepted", "unknown", "settled", "rejected", "returned"]
)
async def test_every_state_has_its_page_in_both_languages(
    client: httpx2.AsyncClient,
    keys: IssuerKeys,
    db: Database,
    payee: str,
    *,
    language: str,
    told: str,
):
    await pay.an_entry(db, 1_000)
    made = await pay.ask(db)
    if told != "pending":
        await pay.claim(db, made.id)
        await pay.settle(db, made.id, told, code="AC04", reason="closed")  # type: ignore[arg-type]

    who = bearer(keys, lang=language)

    assert (await client.get(f"/payouts/{made.id}", headers=who)).status_code == 200
    assert (await client.get("/payouts", headers=who)).status_code == 200


async def test_the_schedule_shows_its_next_dates_before_it_is_changed(
    client: httpx2.AsyncClient, proved: dict[str, str], db: Database, payee: str
):
    address = "/settings/payouts?currency=XOF&schedule=weekly&weekday=5&month_day=1&delay_days=2&minimum=5000"
    page = (await client.get(address, headers=proved)).text
    review = page.split('action="/settings/payouts/schedule"')
    dates = review[0].split("Your next payouts would be on")[1]
    assert dates.count("<li") == 3
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', review[1]))

    changed = await client.post("/settings/payouts/schedule", data=form, headers=proved)

    assert changed.status_code == 303, changed.text
    stored = await pay.sql(
        db, "select interval, weekday, delay_days, minimum from payments.payout_schedules"
    )
    assert stored == [("weekly", 5, 2, 5_000)]
    assert "The schedule is changed." in await _text(client, changed.headers["location"], proved)


async def test_changing_the_schedule_without_a_second_factor_leads_to_it_and_back(
    client: httpx2.AsyncClient, admin: dict[str, str], payee: str
):
    form = {
        "currency": "XOF",
        "schedule": "daily",
        "weekday": "1",
        "month_day": "1",
        "delay_days": "1",
        "minimum": "",
        "idempotency_key": "k",
    }

    answer = await client.post("/settings/payouts/schedule", data=form, headers=admin)

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=%2Fsettings%2Fpayouts")
    assert "acr_values" in answer.headers["location"]


async def test_a_schedule_that_is_none_is_explained_on_the_page(
    client: httpx2.AsyncClient, admin: dict[str, str], payee: str
):
    answer = await client.get(
        "/settings/payouts?currency=XOF&schedule=weekly&weekday=9", headers=admin
    )

    assert answer.status_code == 409
    assert "This is not a payout schedule" in answer.text


async def test_another_account_is_reviewed_before_it_counts(
    client: httpx2.AsyncClient, proved: dict[str, str], db: Database, payee: str
):
    typed = {
        "currency": "XOF",
        "kind": "wallet",
        "holder": "Boutique Sandaga",
        "provider": "wave",
        "phone": "+221 77 000 00 02",
    }
    review = await client.post("/settings/payouts/destination", data=typed, headers=proved)
    assert review.status_code == 200, review.text
    assert "wait for 24 hours" in review.text
    assert (
        await pay.one(db, "select destination ->> 'phone' from payments.payout_destinations")
        == "+221770000001"
    )
    confirm = review.text.split('aria-labelledby="review-title"')[1]
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', confirm))
    assert form["step"] == "confirm"

    done = await client.post("/settings/payouts/destination", data=form, headers=proved)

    assert done.status_code == 303, done.text
    assert (
        await pay.one(db, "select destination ->> 'phone' from payments.payout_destinations")
        == "+221770000002"
    )
    text = await _text(client, done.headers["location"], proved)
    assert "Payouts wait until" in text
    assert "+221770000002" not in text


async def test_a_wrong_iban_is_said_on_the_page(
    client: httpx2.AsyncClient, proved: dict[str, str], payee: str
):
    typed = {
        "currency": "XOF",
        "kind": "bank_account",
        "holder": "Boutique Sandaga",
        "country": "fr",
        "iban": "FR76 3000 6000 0112 3456 7890 188",
    }

    answer = await client.post("/settings/payouts/destination", data=typed, headers=proved)

    assert answer.status_code == 409
    assert "check digits" in answer.text
