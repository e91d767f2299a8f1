"""Money leaves exactly once, whatever the bank does with the request and the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from prometheus_client import REGISTRY

import bank_desk
from bank_desk import BankDesk, a_bank_desk
from molam.payments.banks import commands, inquiries, queries
from molam.payments.banks.model import BankAccount

BANKS = ["bp_http", "bp_wave", "bp_orange"]


@pytest.fixture
async def desk(worker_db, db, tmp_path) -> AsyncIterator[BankDesk]:
    async with a_bank_desk(worker_db, db, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("bank", BANKS)
async def test_payment_is_made_once_and_its_owner_told(desk: BankDesk, bank: str):
    await desk.owned("po_1", 75_000, bank=bank)

    await desk.send("po_1")
    await desk.until_paid("po_1")

    assert desk.booked("po_1", bank) == 1
    assert [each.state for each in await desk.attempts("po_1")] == ["settled"]


@pytest.mark.parametrize("bank", BANKS)
async def test_sending_again_sends_nothing(desk: BankDesk, bank: str):
    await desk.owned("po_1", 75_000, bank=bank)

    for _ in range(3):
        await desk.send("po_1")
    await desk.until_paid("po_1")
    await desk.queue_again("po_1")
    await desk.send("po_1")

    assert desk.booked("po_1", bank) == 1
    assert len(await desk.attempts("po_1")) == 1


@pytest.mark.parametrize("bank", BANKS)
async def test_answer_lost_after_booking_is_unknown_until_asked(desk: BankDesk, bank: str):
    desk.temper(bank, die="after", callbacks="lost")
    await desk.owned("po_1", 75_000, bank=bank)

    await desk.send("po_1")

    assert (await desk.attempts("po_1"))[0].state == "unknown"
    assert await desk.told("po_1") == ["unknown"]

    await desk.inquire("po_1")

    assert await desk.state("po_1") == "paid"
    assert (await desk.attempts("po_1"))[0].confirmed_by == "polling"
    assert desk.booked("po_1", bank) == 1


@pytest.mark.parametrize("bank", BANKS)
async def test_same_key_is_sent_again_only_once_the_bank_says_it_never_saw_it(
    desk: BankDesk, bank: str
):
    desk.temper(bank, die="before")
    await desk.owned("po_1", 75_000, bank=bank)
    await desk.send("po_1")
    assert desk.booked("po_1", bank) == 0

    desk.temper(bank)
    await desk.inquire("po_1")
    await desk.until_paid("po_1")

    (attempt,) = await desk.attempts("po_1")
    assert attempt.sends == 2
    assert desk.booked("po_1", bank) == 1


async def test_request_that_may_still_be_on_its_way_is_not_sent_again(worker_db, db, tmp_path):
    slow = bank_desk.Patience(lease_s=3, resend_after_s=60, asks_s=(0,))
    async with a_bank_desk(worker_db, db, tmp_path, patience=slow) as desk:
        desk.temper(die="before")
        await desk.owned("po_1", 75_000)
        await desk.send("po_1")
        desk.temper()

        await desk.inquire("po_1")

        (attempt,) = await desk.attempts("po_1")
        assert (attempt.state, attempt.sends) == ("unknown", 1)


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize("answers", ["garbage", "huge"])
async def test_surprising_answer_is_unknown_and_asked_about(
    desk: BankDesk, bank: str, answers: str
):
    desk.temper(bank, answers=answers, callbacks="lost")
    await desk.owned("po_1", 75_000, bank=bank)

    await desk.send("po_1")
    (attempt,) = await desk.attempts("po_1")
    await desk.inquire("po_1")

    assert (attempt.state, attempt.code) == ("unknown", "surprising-answer")
    assert await desk.state("po_1") == "paid"


async def test_slow_answer_is_unknown_and_not_failed(worker_db, db, tmp_path):
    async with a_bank_desk(worker_db, db, tmp_path, timeout_s=0.3) as desk:
        desk.temper(latency_s=1.0, callbacks="lost")
        await desk.owned("po_1", 75_000)

        await desk.send("po_1")
        (attempt,) = await desk.attempts("po_1")
        desk.temper()
        await desk.inquire("po_1")

        assert (attempt.state, attempt.code) == ("unknown", "no-answer")
        assert await desk.state("po_1") == "paid"


@pytest.mark.parametrize("bank", ["bp_http", "bp_wave"])
async def test_answer_about_another_amount_is_kept_for_a_person(desk: BankDesk, bank: str):
    desk.temper(bank, answers="wrong_amount", callbacks="lost")
    await desk.owned("po_1", 75_000, bank=bank)

    await desk.send("po_1")

    (attempt,) = await desk.attempts("po_1")
    assert (attempt.state, attempt.code) == ("unknown", "amount-differs")
    assert attempt.contradiction == "75000 XOF was sent. It says 75001 XOF."


async def test_bank_under_maintenance_books_nothing_and_is_asked_later(desk: BankDesk):
    desk.temper(maintenance=True)
    await desk.owned("po_1", 75_000)

    await desk.send("po_1")
    await desk.inquire("po_1")
    assert (await desk.attempts("po_1"))[0].state == "unknown"

    desk.temper()
    await desk.until_paid("po_1")
    assert desk.booked("po_1") == 1


@pytest.mark.parametrize("bank", ["bp_http", "bp_wave"])
async def test_rejection_is_told_with_its_code(desk: BankDesk, bank: str):
    desk.temper(bank, reject_rate=1.0, callbacks="lost")
    await desk.owned("po_1", 75_000, bank=bank)

    await desk.send("po_1")

    (attempt,) = await desk.attempts("po_1")
    assert (attempt.state, attempt.code) == ("rejected", "limit-exceeded")
    assert await desk.told("po_1") == ["rejected"]


@pytest.mark.parametrize("bank", ["bp_http", "bp_wave"])
async def test_closed_account_asks_for_other_details(desk: BankDesk, bank: str):
    desk.temper(bank, reject_rate=1.0, reject_code="account-closed", callbacks="lost")
    await desk.owned("po_1", 75_000, bank=bank)

    await desk.send("po_1")

    assert await desk.told("po_1") == ["needs_details"]


@pytest.mark.parametrize("bank", BANKS)
async def test_new_attempt_after_a_rejection_keeps_the_outward_key(desk: BankDesk, bank: str):
    desk.temper(bank, reject_rate=1.0, callbacks="lost")
    await desk.owned("po_1", 75_000, bank=bank)
    await desk.send("po_1")
    await desk.inquire("po_1")
    desk.temper(bank)

    await desk.queue_again("po_1")
    await desk.send("po_1")
    await desk.until_paid("po_1")

    attempts = await desk.attempts("po_1")
    assert [each.state for each in attempts] == ["rejected", "settled"]
    assert {each.outward_key for each in attempts} == {"payout-po_1"}


async def test_old_rejection_heard_late_does_not_end_the_new_attempt(desk: BankDesk):
    desk.temper(reject_rate=1.0, callbacks="late", late_s=0.6)
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    desk.temper(settle_after_s=5.0, callbacks="lost")
    await desk.queue_again("po_1")
    await desk.send("po_1")

    async with asyncio.timeout(10):
        while not desk.callbacks_received:
            await asyncio.sleep(0.05)
    await desk.take_callbacks()

    assert [each.state for each in await desk.attempts("po_1")] == ["rejected", "accepted"]


async def test_old_rejection_found_by_asking_does_not_end_a_new_attempt_that_was_lost(
    desk: BankDesk,
):
    desk.temper(reject_rate=1.0, callbacks="lost")
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    desk.temper(die="before")
    await desk.queue_again("po_1")
    await desk.send("po_1")
    desk.temper(callbacks="lost")

    await desk.inquire("po_1")
    await desk.until_paid("po_1")

    assert desk.booked("po_1") == 1


@pytest.mark.parametrize("bank", ["bp_http", "bp_wave"])
async def test_money_that_comes_back_is_returned_by_callback(desk: BankDesk, bank: str):
    desk.temper(bank, return_after_s=0.3)
    await desk.owned("po_1", 75_000, bank=bank)
    await desk.send("po_1")

    async with asyncio.timeout(10):
        while await desk.state("po_1") != "returned":
            await desk.take_callbacks()
            await asyncio.sleep(0.05)

    assert (await desk.attempts("po_1"))[0].state == "returned"


async def test_inquiry_that_finds_what_no_callback_told_is_counted(desk: BankDesk):
    def counted() -> float:
        name, labels = "molam_payments_silent_callbacks_total", {"bank": "bp_orange"}
        return REGISTRY.get_sample_value(name, labels) or 0.0

    before = counted()
    desk.temper("bp_orange", callbacks="lost")
    await desk.owned("po_1", 75_000, bank="bp_orange")

    await desk.send("po_1")
    await desk.until_paid("po_1")

    assert counted() == before + 1


async def test_full_bank_gives_the_claim_back(desk: BankDesk, db):
    await bank_desk.a_bank(
        db, "bp_small", connector="http_bank", url=f"{desk.url}/bp_small", at_once_max=1
    )
    desk.temper("bp_small", latency_s=1.0)
    await desk.owned("po_1", 75_000, bank="bp_small")
    await desk.owned("po_2", 75_000, bank="bp_small")

    first = asyncio.create_task(desk.send("po_1"))
    async with asyncio.timeout(5):
        while not await desk.attempts("po_1"):
            await asyncio.sleep(0.02)
    with pytest.raises(commands.NotNow):
        await desk.send("po_2")
    await first

    assert await desk.state("po_2") == "queued"


async def test_slow_bank_does_not_delay_the_others(desk: BankDesk):
    desk.temper("bp_wave", latency_s=1.5)
    await desk.owned("po_slow", 75_000, bank="bp_wave")
    await desk.owned("po_fast", 75_000)
    slow = asyncio.create_task(desk.send("po_slow"))

    await asyncio.wait_for(desk.send("po_fast"), 1.0)

    assert not slow.done()
    await slow


async def test_circuit_opens_after_silences_and_lets_one_probe_through(worker_db, db, tmp_path):
    patience = bank_desk.Patience(
        lease_s=3, resend_after_s=0, asks_s=(0,), failures_max=2, probe_s=0.5
    )
    async with a_bank_desk(worker_db, db, tmp_path, patience=patience) as desk:
        desk.temper(die="before")
        for number in (1, 2):
            await desk.owned(f"po_{number}", 75_000)
            await desk.send(f"po_{number}")
        await desk.owned("po_3", 75_000)
        with pytest.raises(commands.NotNow):
            await desk.send("po_3")

        desk.temper()
        await asyncio.sleep(0.6)
        await desk.send("po_3")

        assert desk.booked("po_3") == 1
        (circuit,) = await desk.rows("select state, failures from payments.bank_circuits")
        assert tuple(circuit) == ("closed", 0)


async def test_bank_not_in_use_is_not_sent_to(desk: BankDesk, db):
    async with db.transaction("tests.suspend") as tx:
        await tx.connection.execute("update payments.bank_profiles set status = 'suspended'")
    await desk.owned("po_1", 75_000)

    with pytest.raises(commands.NotNow):
        await desk.send("po_1")

    assert await desk.state("po_1") == "queued"


async def test_dead_senders_attempt_is_found_and_asked_about(desk: BankDesk, db):
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    async with db.transaction("tests.kill") as tx:
        # As if the sender had died after the bank booked and before anything was recorded.
        await tx.connection.execute("alter table payments.bank_attempts disable trigger user")
        await tx.connection.execute(
            "update payments.bank_attempts set state = 'sending', provider_ref = null,"
            " lease_until = now() - interval '1 s', next_inquiry_at = now()"
        )
        await tx.connection.execute("alter table payments.bank_attempts enable trigger user")
        await tx.connection.execute("update public.owned set state = 'in_transit'")

    assert await inquiries.enqueue_due(desk.teller, desk.db) == 1
    await desk.inquire("po_1")

    assert await desk.state("po_1") == "paid"
    assert desk.booked("po_1") == 1


async def test_living_senders_attempt_is_left_alone(desk: BankDesk):
    desk.temper(latency_s=0.5)
    await desk.owned("po_1", 75_000)
    sending = asyncio.create_task(desk.send("po_1"))
    async with asyncio.timeout(5):
        while not await desk.attempts("po_1"):
            await asyncio.sleep(0.02)

    await desk.inquire("po_1")

    assert (await desk.attempts("po_1"))[0].state == "sending"
    await sending


async def test_repointed_payout_is_asked_about_at_the_bank_that_got_it(desk: BankDesk, db):
    desk.temper(die="after", callbacks="lost")
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    async with db.transaction("tests.repoint") as tx:
        await tx.connection.execute("update public.owned set bank = 'bp_wave'")

    await desk.inquire("po_1")

    assert await desk.state("po_1") == "paid"
    assert desk.booked("po_1", "bp_wave") == 0


async def test_account_goes_to_a_bank_and_not_into_a_wallet(desk: BankDesk):
    account = BankAccount("Awa Diop", "SN", iban="SN08SN0100152000048500003035")
    await desk.owned("po_1", 75_000, bank="bp_wave", destination=account)

    await desk.send("po_1")

    (attempt,) = await desk.attempts("po_1")
    assert (attempt.state, attempt.code) == ("rejected", "not-a-wallet")


async def test_wallet_that_takes_money_back_silently_is_found_out(worker_db, db, tmp_path):
    patience = bank_desk.Patience(lease_s=3, resend_after_s=0, asks_s=(0,), watch_every_s=0)
    async with a_bank_desk(worker_db, db, tmp_path, patience=patience) as desk:
        desk.temper("bp_wave", callbacks="lost", return_after_s=0.3)
        await desk.owned("po_1", 75_000, bank="bp_wave")
        await desk.send("po_1")
        assert await desk.state("po_1") == "paid"
        await asyncio.sleep(0.4)

        assert await inquiries.enqueue_due(desk.teller, desk.db) == 1
        await desk.inquire("po_1")

        assert await desk.state("po_1") == "returned"


async def test_bank_that_pays_for_good_is_not_asked_about_afterwards(desk: BankDesk, db):
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    async with db.transaction("tests.later") as tx:
        await tx.connection.execute("update payments.bank_attempts set next_inquiry_at = now()")

    assert await inquiries.enqueue_due(desk.teller, desk.db) == 0


async def test_bank_that_never_takes_it_ends_as_a_rejection(worker_db, db, tmp_path):
    patience = bank_desk.Patience(lease_s=3, resend_after_s=0, asks_s=(0,), sends_max=2)
    async with a_bank_desk(worker_db, db, tmp_path, patience=patience) as desk:
        desk.temper(die="before")
        await desk.owned("po_1", 75_000)
        await desk.send("po_1")

        await desk.inquire("po_1")
        await desk.inquire("po_1")

        (attempt,) = await desk.attempts("po_1")
        assert (attempt.state, attempt.code, attempt.sends) == ("rejected", "never-seen", 2)
        assert await desk.state("po_1") == "failed"


async def test_bank_that_forgets_what_it_accepted_contradicts_itself(desk: BankDesk):
    desk.temper(settle_after_s=60, callbacks="lost")
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    desk.books.forget_everything()

    await desk.inquire("po_1")

    (attempt,) = await desk.attempts("po_1")
    assert (attempt.state, attempt.contradiction) == ("accepted", "accepted, then never seen")
    assert await desk.state("po_1") == "in_transit"


async def test_attempt_once_written_is_not_changed(desk: BankDesk, db):
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")

    for change in ("amount = 1", "outward_key = 'other'", "state = 'sending'"):
        with pytest.raises(asyncpg.RestrictViolationError):
            async with db.transaction("tests.change") as tx:
                await tx.connection.execute(f"update payments.bank_attempts set {change}")

    assert (await desk.attempts("po_1"))[0].amount == 75_000


async def test_second_attempt_beside_an_open_one_is_refused_by_the_database(desk: BankDesk, db):
    desk.temper(settle_after_s=60, callbacks="lost")
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")

    with pytest.raises(asyncpg.UniqueViolationError, match="one_at_a_time"):
        async with db.transaction("tests.second") as tx:
            await tx.connection.execute(
                "insert into payments.bank_attempts select gen_random_uuid(), kind, object_id,"
                " merchant_id, 2, bank_profile_id, outward_key, wire_key, amount, currency,"
                " destination, reference, 'sending', request_hash, null, null, null, null, null,"
                " '{}', null, 1, 0, now(), now() from payments.bank_attempts"
            )

    assert len(await desk.attempts("po_1")) == 1


async def test_merchant_sees_its_own_attempts_only(desk: BankDesk, web_db):
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    seen = []

    for merchant in (bank_desk.MERCHANT, "merchant-2"):
        async with web_db.transaction("tests.see", merchant_id=merchant) as tx:
            seen.append(len(await queries.attempts_of(tx, kind="payout", object_id="po_1")))

    assert seen == [1, 0]
