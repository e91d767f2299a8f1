"""Disputes: money once a stage, deadlines, one answer, and reports in any order."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from dataclasses import replace

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_merchant, a_transaction
from disputing import (
    AVAILABLE,
    PDF,
    a_file,
    accept,
    add,
    balances,
    entries,
    in_hours,
    late,
    report,
    reported,
    stands,
    submit,
)
from facts import MERCHANT, look, refund, succeeded, take_in
from molam.payments.disputes import commands, intake, queries, recording
from molam.payments.disputes.jobs import pass_time
from molam.payments.disputes.model import (
    AnswerEmpty,
    AnswerFinal,
    DeadlinePassed,
    DisputeAbsent,
    DisputeNotOpen,
    Response,
    State,
)
from molam.platform.db import Database

STORY = [
    {"version": 1, "status": "open"},
    {"version": 2, "status": "under_review"},
    {"version": 3, "status": "won"},
    {"version": 4, "status": "escalated"},
    {"version": 5, "status": "lost"},
    {"version": 6, "status": "open"},
    {"version": 7, "status": "won"},
]


async def test_opening_holds_the_amount_and_takes_the_fee_apart(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)

    opened = await report(worker_db, fee_molam=15)

    assert (opened.state, opened.status, opened.stage_name) == ("needs_response", "open", "dispute")
    assert await balances(db) == {
        AVAILABLE: -715,
        "disputes:held:XOF": 700,
        "molam:fees:XOF": 15,
    }
    assert await entries(db) == [("dispute", -700), ("dispute_fee", -15)]


async def test_winning_gives_everything_back_once(db: Database, worker_db: Database) -> None:
    await a_merchant(db)
    await report(worker_db, fee_molam=15)

    for _ in range(3):
        won = await report(worker_db, status="won", fee_molam=15)

    assert (won.state, won.resolution) == (State.WON, "merchant_won")
    assert await balances(db) == {}
    assert [amount for _, amount in await entries(db)] == [-700, -15, 15, 700]


async def test_losing_moves_what_is_held_to_the_customer(db: Database, worker_db: Database) -> None:
    await a_merchant(db)
    await report(worker_db)

    await report(worker_db, status="lost")

    assert await balances(db) == {AVAILABLE: -700, "customers:wallet:XOF": 700}
    assert await entries(db) == [("dispute", -700)]


async def test_accepting_is_losing_and_the_network_saying_so_moves_nothing_more(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)

    accepted = await accept(money_db)
    again = await accept(money_db)
    lost = await report(worker_db, status="lost")

    assert (accepted.state, again, lost.state) == (State.ACCEPTED, accepted, State.LOST)
    assert await balances(db) == {AVAILABLE: -700, "customers:wallet:XOF": 700}


async def test_a_won_dispute_that_goes_on_is_debited_again_at_its_next_stage(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)
    await report(worker_db, status="won")

    reopened = await report(worker_db, status="escalated", version=3)

    assert (reopened.state, reopened.status) == (State.NEEDS_RESPONSE, "escalated")
    assert (reopened.stage, reopened.stage_name) == (2, "pre_arbitration")
    assert await balances(db) == {AVAILABLE: -700, "disputes:held:XOF": 700}


async def test_an_early_warning_takes_nothing_and_a_refund_in_time_prevents_it(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    warned = await report(worker_db, transaction_id="tx_1", metadata={"stage": "pre_dispute"})
    await take_in(worker_db, [succeeded("tx_1", amount=700)])
    before = await balances(db)

    await take_in(worker_db, [refund("rf_1", "tx_1", amount=700)])
    moved = await pass_time(worker_db)

    assert (warned.state, warned.status) == (State.EARLY_WARNING, "open")
    assert before == {AVAILABLE: 700, "customers:wallet:XOF": -700}
    assert moved == 1
    assert (await stands(db)).state is State.PREVENTED
    assert await balances(db) == {}


async def test_a_warning_that_was_not_prevented_becomes_a_dispute(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db, metadata={"stage": "pre_dispute"})

    opened = await report(worker_db, version=2, metadata={"stage": "dispute"})

    assert (opened.state, opened.stage) == (State.NEEDS_RESPONSE, 1)
    assert await balances(db) == {AVAILABLE: -700, "disputes:held:XOF": 700}


async def test_a_corrected_currency_moves_the_old_one_back(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)

    await report(worker_db, version=2, currency="GHS", amount=900)

    assert await balances(db) == {
        f"merchant:{MERCHANT}:available:GHS": -900,
        "disputes:held:GHS": 900,
    }


async def test_any_order_of_reports_ends_the_same_with_two_entries_a_stage(
    db: Database, worker_db: Database
) -> None:
    rounds = itertools.count()

    async def check(order: list[int], sizes: list[int]) -> None:
        merchant_id = f"merchant-{next(rounds)}"
        await a_merchant(db, id_=merchant_id)
        told = [reported(merchant_id=merchant_id, fee_molam=9, **STORY[index]) for index in order]
        for size in sizes:
            batch, told = told[:size], told[size:]
            if batch:
                await take_in(worker_db, batch)
        if told:
            await take_in(worker_db, told)
        await _assert_books(db, merchant_id, [STORY[index] for index in order])

    orders = st.lists(st.sampled_from(range(len(STORY))), min_size=1, max_size=12)
    loop = asyncio.get_running_loop()

    @settings(max_examples=25, deadline=None)
    @given(orders, st.lists(st.integers(1, 4), max_size=8))
    def search(order: list[int], sizes: list[int]) -> None:
        asyncio.run_coroutine_threadsafe(check(order, sizes), loop).result()

    await asyncio.to_thread(search)


async def _assert_books(db: Database, merchant_id: str, told: list[dict[str, object]]) -> None:
    """Compare one dispute with what its reports, sorted, say; and count its entries."""
    seen = sorted({int(str(each["version"])): str(each["status"]) for each in told}.items())
    last = seen[-1][1]
    dispute = await stands(db, merchant_id=merchant_id)
    rows = await look(
        db,
        "select e.cause, e.amount, t.id from ledger.entries e"
        " join ledger.transfers t on t.id = e.transfer_id"
        " where e.account_id = $1 and e.cause_id = 'dp_1'",
        f"merchant:{merchant_id}:available:XOF",
    )
    taken = {"won": 0}.get(last, -700)
    fee = {"won": 0}.get(last, -9)
    assert sum(amount for cause, amount, _ in rows if cause == "dispute") == taken
    assert sum(amount for cause, amount, _ in rows if cause == "dispute_fee") == fee
    stages = await look(
        db,
        "select stage, count(*) from payments.dispute_events where merchant_id = $1 group by 1",
        merchant_id,
    )
    counted: dict[str, int] = defaultdict(int)
    for cause, _, _ in rows:
        counted[cause] += 1
    assert counted["dispute"] <= 2 * len(stages)
    expected = {"won": State.WON, "lost": State.LOST, "under_review": State.UNDER_REVIEW}
    assert dispute.state is expected.get(last, State.NEEDS_RESPONSE)
    held = dispute.held_amount if dispute.state is State.LOST else 700 - dispute.held_amount
    assert held == (700 if last == "won" else 0)


async def test_without_looking_at_what_has_moved_repeated_reports_move_money_again(
    db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The twin of the property above: settling that forgets what a dispute has posted.
    await a_merchant(db)
    honest = recording.settle

    def forgetful(before, after, *, posts):  # type: ignore[no-untyped-def]
        return honest(None, replace(after, moves=after.moves + 1), posts=posts)

    monkeypatch.setattr(recording, "settle", forgetful)
    await report(worker_db)
    await report(worker_db, status="under_review")

    assert await balances(db) == {AVAILABLE: -1400, "disputes:held:XOF": 1400}


async def test_one_providers_dispute_is_not_taken_twice(db: Database, worker_db: Database) -> None:
    await a_merchant(db)
    theirs = {"provider": "visa", "metadata": {"provider_dispute_id": "VROL-1"}}
    await report(worker_db, **theirs)

    with pytest.raises(asyncpg.UniqueViolationError):
        await report(worker_db, "dp_2", **theirs)

    await report(worker_db, "dp_3", **{**theirs, "provider": "mastercard"})


async def test_an_answer_is_sent_once_and_is_final(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)
    await add(money_db, a_file())

    first = await submit(money_db)
    again = await submit(money_db)

    assert (first.is_new, again.is_new) == (True, False)
    assert again.submission == first.submission
    assert first.dispute.state is State.UNDER_REVIEW
    manifest = first.submission.manifest
    assert [(each["kind"], each["name"]) for each in manifest["files"]] == [("receipt", "reçu.pdf")]
    with pytest.raises(AnswerFinal):
        await submit(money_db, statement="On second thoughts.")
    with pytest.raises(AnswerFinal):
        await add(money_db, a_file(PDF + b" "))
    with pytest.raises(AnswerFinal):
        await accept(money_db)


async def test_what_was_sent_cannot_be_changed_even_by_the_owner_of_the_database(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)
    row = await add(money_db, a_file())
    await submit(money_db)

    for statement in (
        "update payments.dispute_evidence set removed_at = now(), removed_by = 'x'",
        "update payments.dispute_evidence set kind = 'other'",
        "delete from payments.dispute_evidence",
        "update payments.dispute_submissions set statement = 'x'",
        "delete from payments.dispute_submissions",
        "update payments.dispute_events set kind = 'opened'",
        "insert into payments.dispute_evidence select gen_random_uuid(), merchant_id, dispute_id,"
        " stage, kind, file_name, media_type, size_bytes, repeat('0', 64), 'elsewhere',"
        " description, uploaded_by, now(), null, null from payments.dispute_evidence",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            async with db.transaction("tests.tamper") as tx:
                await tx.connection.execute(statement)

    assert await look(db, "select id from payments.dispute_evidence") == [(row.id,)]


async def test_without_the_trigger_a_late_file_gets_in(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    # The twin: a writer that does not look at the dispute is stopped by the trigger alone.
    await a_merchant(db)
    await report(worker_db)
    await add(money_db, a_file())
    await submit(money_db)
    late_file = (
        "insert into payments.dispute_evidence select gen_random_uuid(), merchant_id, dispute_id,"
        " stage, kind, file_name, media_type, size_bytes, repeat('0', 64), 'elsewhere',"
        " description, uploaded_by, now(), null, null from payments.dispute_evidence"
    )

    async with db.transaction("tests.tamper") as tx:
        await tx.connection.execute(
            "alter table payments.dispute_evidence disable trigger evidence_is_open"
        )
        await tx.connection.execute(late_file)

    assert len(await look(db, "select 1 from payments.dispute_evidence")) == 2


async def test_an_empty_answer_is_not_sent(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)

    with pytest.raises(AnswerEmpty):
        await submit(money_db, statement=" \r\n ")


async def test_after_the_deadline_nothing_is_taken_and_the_refusal_says_when_it_was(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)
    await late(db)

    for attempt in (submit(money_db), accept(money_db), add(money_db, a_file())):
        with pytest.raises(DeadlinePassed) as refused:
            await attempt
        due = (await stands(db)).evidence_due_at
        assert f"{due:%Y-%m-%dT%H:%M:%SZ}" in refused.value.detail


async def test_an_unanswered_dispute_expires_and_a_week_later_is_lost(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)
    await late(db)
    await pass_time(worker_db)
    expired = await stands(db)
    held = await balances(db)
    await late(db, days=7.1)

    await pass_time(worker_db)
    await pass_time(worker_db)

    assert (expired.state, expired.status) == (State.EXPIRED, "lost")
    assert held == {AVAILABLE: -700, "disputes:held:XOF": 700}
    assert (await stands(db)).state is State.LOST
    assert await balances(db) == {AVAILABLE: -700, "customers:wallet:XOF": 700}


async def test_the_networks_word_after_the_deadline_still_decides(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)
    await late(db)
    await pass_time(worker_db)

    won = await report(worker_db, status="won")

    assert won.state is State.WON
    assert await balances(db) == {}


async def test_a_report_that_comes_late_does_not_undo_what_the_merchant_did(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db, version=5)
    await submit(money_db)

    still = await report(worker_db, version=3, reason="not_received")

    assert (still.state, still.response) == (State.UNDER_REVIEW, Response.SUBMITTED)
    assert still.reason == "not_received"


async def test_a_new_stage_may_be_answered_again(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)
    await submit(money_db)

    await report(
        worker_db, version=3, status="escalated", metadata={"evidence_due_at": in_hours(99)}
    )
    second = await submit(money_db, statement="As we said.")

    assert second.is_new
    assert (second.submission.stage, second.dispute.state) == (2, State.UNDER_REVIEW)


async def test_accepting_and_expiring_at_once_end_in_one_of_them(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    names = [f"dp_{number}" for number in range(12)]
    for name in names:
        await report(worker_db, name)

    async def try_to_accept(name: str) -> None:
        try:
            await accept(money_db, name)
        except (DeadlinePassed, DisputeNotOpen):
            return

    async def run_out(name: str) -> None:
        await late(db, name)
        await pass_time(worker_db)

    pairs = zip(map(try_to_accept, names), map(run_out, names), strict=True)
    await asyncio.gather(*itertools.chain.from_iterable(pairs))
    await pass_time(worker_db)

    states = {name: (await stands(db, name)).state for name in names}
    assert set(states.values()) <= {State.ACCEPTED, State.EXPIRED}
    given_away = 700 * sum(state is State.ACCEPTED for state in states.values())
    found = await balances(db)
    assert found[AVAILABLE] == -700 * len(names)
    assert found.get("customers:wallet:XOF", 0) == given_away
    assert found.get("disputes:held:XOF", 0) == 700 * len(names) - given_away


async def test_sending_and_adding_at_once_never_leave_a_file_behind(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    for number in range(8):
        name = f"dp_{number}"
        await report(worker_db, name)
        files = [a_file(PDF + bytes([65 + each])) for each in range(3)]
        kept = [replace(each, path=f"{each.path}/{number}") for each in files]

        outcomes = await asyncio.gather(
            *(add(money_db, each, name) for each in kept),
            submit(money_db, name),
            return_exceptions=True,
        )

        assert all(
            not isinstance(each, BaseException) or isinstance(each, AnswerFinal)
            for each in outcomes
        )
        sent = await look(
            db, "select manifest from payments.dispute_submissions where dispute_id = $1", name
        )
        manifest = sent[0][0] if isinstance(sent[0][0], dict) else json.loads(sent[0][0])
        stored = await look(
            db, "select id::text from payments.dispute_evidence where dispute_id = $1", name
        )
        assert {each["id"] for each in manifest["files"]} == {row[0] for row in stored}


async def test_an_open_dispute_is_found_by_its_payment_and_a_decided_one_is_not(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await a_transaction(db, id_="tx_1", amount=700)
    await report(worker_db, transaction_id="tx_1")

    async def found() -> tuple[str | None, int]:
        async with money_db.transaction("tests.find", merchant_id=MERCHANT) as tx:
            named = {"merchant_id": MERCHANT, "transaction_id": "tx_1"}
            dispute = await queries.open_dispute_of(tx, **named)
            return dispute and dispute.id, await queries.lost_amount_of(tx, **named)

    while_open = await found()
    await report(worker_db, status="lost", transaction_id="tx_1")

    assert (while_open, await found()) == (("dp_1", 0), (None, 700))


async def test_another_merchants_dispute_looks_absent(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await a_merchant(db, id_="merchant-other")
    await report(worker_db, merchant_id="merchant-other")

    with pytest.raises(DisputeAbsent):
        await submit(money_db)
    async with money_db.transaction("tests.spy", merchant_id=MERCHANT) as tx:
        assert await tx.connection.fetch("select 1 from payments.dispute_reports") == []


async def test_the_same_reports_again_change_and_tell_nothing(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    batch = f"[{reported()},{reported(status='under_review')}]"
    async with worker_db.transaction("tests.intake") as tx:
        first = await intake.take_in(tx, batch)
    before = await stands(db)

    async with worker_db.transaction("tests.intake") as tx:
        second = await intake.take_in(tx, batch)

    assert (first.merchants, len(first.transfers)) == ([MERCHANT], 1)
    assert (second.merchants, second.transfers) == ([], [])
    assert await stands(db) == before


async def test_the_clock_cannot_do_what_the_table_of_moves_forbids(
    db: Database, worker_db: Database
) -> None:
    await a_merchant(db)
    dispute = await report(worker_db, status="won")

    act = recording.Act("expired", "clock")
    after = replace(dispute, state=State.EXPIRED, response=Response.EXPIRED)
    change = recording.Change(dispute, after, act)

    async def forbidden() -> None:
        async with db.transaction("tests.move") as tx:
            await recording.record(tx, [change])

    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await forbidden()


async def test_the_statement_of_a_draft_is_what_is_sent_without_another(
    db: Database, worker_db: Database, money_db: Database
) -> None:
    await a_merchant(db)
    await report(worker_db)
    async with money_db.transaction("tests.draft", merchant_id=MERCHANT) as tx:
        await commands.save_draft(
            tx, merchant_id=MERCHANT, id_="dp_1", statement="From the draft.", by="awa.diop"
        )

    sent = await submit(money_db, statement=None)

    assert sent.submission.statement == "From the draft."
