"""Callbacks: believed when signed, counted once, and never needed."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx2
import msgspec
import pytest

from bank_desk import ROOT_SECRET, BankDesk, a_bank_desk
from molam.payments.banks import callbacks
from molam.payments.banks.connectors.assembly import connectors_of
from molam.payments.banks.http import BankHttp
from molam.payments.banks.model import BankAbsent, CallbackRefused
from molam.payments.banks.secrets import BankSecrets
from molam.simulator.banks import dialects

SECRETS = BankSecrets(root=ROOT_SECRET)


@pytest.fixture
async def desk(worker_db, db, tmp_path) -> AsyncIterator[BankDesk]:
    async with a_bank_desk(worker_db, db, tmp_path) as opened:
        yield opened


async def heard(desk: BankDesk, count: int = 1) -> None:
    """Wait for callbacks to arrive by HTTP, then give them their effect."""
    async with asyncio.timeout(15):
        while len(desk.callbacks_received) < count:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.1)
    await desk.take_callbacks()


async def kept(desk: BankDesk) -> list[str]:
    return [row["state"] for row in await desk.rows("select state from payments.bank_callbacks")]


def signed(desk: BankDesk, id_: str, status: str, *, stamp: int | None = None) -> tuple:
    """What the HTTP bank would call back with about a payment it has booked."""
    transfer = desk.books.find("bp_http", f"payout-{id_}")
    secret = SECRETS.of("bp_http").callback_secret.reveal()
    stamp = int(time.time()) if stamp is None else stamp
    return dialects.callback(transfer, status, event_id="EV_1", secret=secret, stamp=stamp)


async def call(desk: BankDesk, bank: str, body: bytes, headers: dict[str, str]) -> int:
    async with httpx2.AsyncClient() as client:
        url = f"{desk.teller.callbacks_url}/{bank}/callbacks"
        return (await client.post(url, content=body, headers=headers)).status_code


@pytest.mark.parametrize("bank", ["bp_http", "bp_wave"])
async def test_signed_callback_settles_without_an_inquiry(desk: BankDesk, bank: str):
    desk.temper(bank, settle_after_s=0.3)
    await desk.owned("po_1", 75_000, bank=bank)
    await desk.send("po_1")
    assert await desk.state("po_1") == "in_transit"

    await heard(desk)

    (attempt,) = await desk.attempts("po_1")
    assert (attempt.state, attempt.confirmed_by) == ("settled", "callback")


async def test_callback_that_comes_twice_counts_once(desk: BankDesk):
    desk.temper(callbacks="twice", settle_after_s=0.3)
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")

    await heard(desk, 2)

    assert await kept(desk) == ["applied"]
    assert await desk.told("po_1") == ["accepted", "settled"]


async def test_callback_before_the_answer_is_not_undone_by_it(desk: BankDesk):
    desk.temper(callbacks="early", latency_s=1.0)
    await desk.owned("po_1", 75_000)
    sending = asyncio.create_task(desk.send("po_1"))
    await heard(desk)
    assert await desk.state("po_1") == "paid"

    await sending

    assert await desk.state("po_1") == "paid"
    assert await desk.told("po_1") == ["settled"]


async def test_callbacks_in_the_wrong_order_end_where_they_should(desk: BankDesk):
    desk.temper(callbacks="reversed", settle_after_s=0.3)
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")

    await heard(desk, 2)

    assert sorted(await kept(desk)) == ["applied", "late"]
    assert await desk.state("po_1") == "paid"


async def test_lost_callback_is_found_by_asking(desk: BankDesk):
    desk.temper(callbacks="lost", settle_after_s=0.2)
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    await asyncio.sleep(0.3)

    await desk.inquire("po_1")

    assert (await desk.attempts("po_1"))[0].confirmed_by == "polling"
    assert desk.callbacks_received == []


async def test_forged_notification_of_orange_money_only_makes_us_ask(desk: BankDesk):
    desk.temper("bp_orange", callbacks="lost", settle_after_s=60)
    await desk.owned("po_1", 75_000, bank="bp_orange")
    await desk.send("po_1")
    (attempt,) = await desk.attempts("po_1")
    forged = {"status": "SUCCESS", "notif_token": attempt.tokens["notif_token"], "txnid": "MP1"}

    await call(desk, "bp_orange", msgspec.json.encode(forged), {})
    await desk.take_callbacks()
    await desk.inquire("po_1")

    assert await kept(desk) == ["asked"]
    assert await desk.state("po_1") == "in_transit"


async def test_true_notification_of_orange_money_makes_us_ask_and_find_out(desk: BankDesk):
    desk.temper("bp_orange", settle_after_s=0.2)
    await desk.owned("po_1", 75_000, bank="bp_orange")
    await desk.send("po_1")

    await heard(desk)
    await desk.inquire("po_1")

    assert await desk.state("po_1") == "paid"


async def test_wrong_signature_is_refused_and_nothing_is_kept(desk: BankDesk):
    desk.temper(callbacks="lost", settle_after_s=60)
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    body, headers = signed(desk, "po_1", "settled")

    changed = await call(desk, "bp_http", body.replace(b"75000", b"75001"), headers)
    unsigned = await call(desk, "bp_http", body, {})
    other_bank = await call(desk, "bp_wave", body, headers)

    assert [changed, unsigned, other_bank] == [401, 401, 401]
    assert await kept(desk) == []


# Beyond the five minutes by more than the test itself may take.
@pytest.mark.parametrize("seconds", [-301, 360])
async def test_callback_too_old_or_of_the_future_is_refused(desk: BankDesk, seconds: int):
    desk.temper(callbacks="lost", settle_after_s=60)
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    body, headers = signed(desk, "po_1", "settled", stamp=int(time.time()) + seconds)

    assert await call(desk, "bp_http", body, headers) == 401


async def test_signed_callback_about_nothing_of_ours_is_kept_and_moves_nothing(desk: BankDesk):
    desk.temper(callbacks="lost")
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    transfer = desk.books.find("bp_http", "payout-po_1")
    secret = SECRETS.of("bp_http").callback_secret.reveal()
    body, headers = dialects.callback(
        dataclasses.replace(transfer, key="payout-other", id="HT0"),
        "settled",
        event_id="EV_9",
        secret=secret,
        stamp=int(time.time()),
    )

    assert await call(desk, "bp_http", body, headers) == 200
    await desk.take_callbacks()

    assert await kept(desk) == ["unmatched"]


async def test_signed_nonsense_is_kept_as_unreadable(desk: BankDesk):
    secret = SECRETS.of("bp_http").callback_secret.reveal()
    body = b'{"event_id": 3}'
    stamp = int(time.time())
    headers = {"Bank-Signature": dialects.signature(body, secret, stamp, separator=b".")}

    assert await call(desk, "bp_http", body, headers) == 200
    await desk.take_callbacks()

    assert await kept(desk) == ["unreadable"]


async def test_settlement_after_a_rejection_is_kept_for_a_person(desk: BankDesk):
    desk.temper(reject_rate=1.0, callbacks="lost")
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    body, headers = signed(desk, "po_1", "settled")

    await call(desk, "bp_http", body, headers)
    await desk.take_callbacks()

    (attempt,) = await desk.attempts("po_1")
    assert (attempt.state, attempt.contradiction) == ("rejected", "rejected, then settled")
    assert await desk.told("po_1") == ["rejected"]
    assert await kept(desk) == ["contradicts"]


async def test_role_of_the_merchant_app_may_take_callbacks(desk: BankDesk, money_db):
    desk.temper(callbacks="lost", settle_after_s=60)
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    body, headers = signed(desk, "po_1", "settled")
    lower = {name.lower(): value for name, value in headers.items()}
    now = datetime.now(UTC)
    async with BankHttp() as http:
        ear = callbacks.Ear(connectors_of(http), SECRETS)

        first = await callbacks.receive(ear, money_db, "bp_http", headers=lower, body=body, now=now)
        again = await callbacks.receive(ear, money_db, "bp_http", headers=lower, body=body, now=now)
        with pytest.raises(BankAbsent):
            await callbacks.receive(ear, money_db, "nowhere", headers=lower, body=body, now=now)
        with pytest.raises(CallbackRefused):
            await callbacks.receive(
                ear,
                money_db,
                "bp_http",
                headers=lower,
                body=body,
                now=now + timedelta(minutes=6),
            )

    assert (first, again) == (True, False)
    (job,) = await desk.rows(
        "select entrypoint from jobs.pgqueuer where entrypoint like '%callback'"
    )
    assert job["entrypoint"] == callbacks.TAKE
