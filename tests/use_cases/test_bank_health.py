"""What is heard of banks moves what is believed of them: each thing once, whoever brings it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

import builders
from bank_health import (
    BANK,
    a_member,
    a_mesh,
    believed,
    drain,
    heard,
    jobs_named,
    tell,
    tell_text,
)
from molam.mesh.signals import intake, store
from molam.mesh.signals.commands import DECIDE
from molam.payments.banks import inquiries
from molam.platform.db import Database, Query


@pytest.fixture
async def member(db: Database) -> str:
    await a_member(db)
    return BANK


def now() -> float:
    return time.time()


async def rows(db: Database, sql: str, *values: object) -> list[Any]:
    async with db.transaction("tests.rows") as tx:
        return list(await tx.connection.fetch(sql, *values))


async def test_good_signals_are_believed_and_counted_by_the_minute(worker_db, db, member):
    at = now() - 30
    await tell(worker_db, *(heard(at=at) for _ in range(20)))

    await drain(worker_db)

    row = await believed(db)
    assert row.signals == 20
    assert row.p_down < 0.01
    assert row.score > 98
    assert row.score_low <= row.score <= row.score_high
    (minute,) = await rows(db, "select * from mesh.bank_health_logs")
    assert (minute["attempts"], minute["failures"], minute["volume"]) == (20, 0, 20_000)
    assert minute["latency_sum_ms"] == 4_000
    assert minute["success_rate"] == 1


async def test_failures_in_a_row_are_an_outage_and_ask_for_a_decision_at_each_level(
    worker_db, db, member
):
    at = now() - 60
    await tell(worker_db, *(heard(at=at) for _ in range(50)))
    await drain(worker_db)
    assert await jobs_named(db, DECIDE) == []

    for number in range(9):
        await tell(worker_db, heard("bank_technical", at=at + number))
        await drain(worker_db)

    row = await believed(db)
    assert row.p_down > 0.99
    assert row.last_failure_at is not None
    asked = await jobs_named(db, DECIDE)
    assert 1 <= len(asked) <= 4
    assert asked[0] == {"currency": "XOF", "rail": "bank", "version": 1}


async def test_new_bank_is_taken_for_what_its_peers_are(worker_db, db, member):
    at = now() - 300
    for number in range(3):
        bank = f"bp_peer_{number}"
        await a_member(db, bank)
        await tell(
            worker_db,
            *(
                heard("bank_technical" if n % 20 == 0 else "ok", at=at + n / 10, bank=bank)
                for n in range(400)
            ),
        )
    await drain(worker_db)

    await tell(worker_db, heard(at=now()))
    await drain(worker_db)

    assert (await believed(db, "bp_peer_0")).belief.prior == 0.01
    assert 0.03 < (await believed(db)).belief.prior < 0.06


async def test_bank_that_is_back_is_asked_about_all_it_was_silent_about(worker_db, db, member):
    await builders.a_merchant(db, id_="merchant-1")
    await rows(
        db,
        "insert into payments.bank_attempts (id, kind, object_id, merchant_id, attempt_no,"
        " bank_profile_id, outward_key, wire_key, amount, currency, destination, reference, state,"
        " request_hash, lease_until, next_inquiry_at) select gen_random_uuid(), 'payout', n::text,"
        " 'merchant-1', 1, $1, n::text, n::text, 1000, 'XOF', '{}', 'x', 'unknown', '', now(),"
        " now() + interval '50 minutes' from generate_series(1, 3) as n",
        BANK,
    )
    at = now() - 60
    await tell(worker_db, *(heard("bank_technical", at=at) for _ in range(6)))
    await drain(worker_db)
    assert await jobs_named(db, inquiries.ASK_AGAIN) == []

    await tell(worker_db, *(heard(at=at + 1) for _ in range(90)))
    await drain(worker_db)

    assert [job["bank_profile_id"] for job in await jobs_named(db, inquiries.ASK_AGAIN)] == [BANK]
    async with worker_db.transaction("tests.hasten") as tx:
        assert await inquiries.hasten(tx, BANK) == 3
        assert await inquiries.hasten(tx, BANK) == 0


async def test_decision_that_waits_already_is_not_asked_for_twice(worker_db, db, member):
    at = now() - 60
    for turn in range(3):
        bad = [heard("bank_technical", at=at + turn) for _ in range(6)]
        good = [heard(at=at + turn + 0.5) for _ in range(60)]
        await tell(worker_db, *bad)
        await drain(worker_db)
        await tell(worker_db, *good)
        await drain(worker_db)

    keys = await rows(db, "select dedupe_key from jobs.pgqueuer where entrypoint = $1", DECIDE)
    assert len(keys) == len({row[0] for row in keys}) <= 5


async def test_what_is_nobodys_fault_at_the_bank_moves_nothing(worker_db, db, member):
    for outcome in ("customer", "compliance", "hub_common"):
        await tell(worker_db, *(heard(outcome, at=now()) for _ in range(10)))

    await drain(worker_db)

    row = await believed(db)
    assert row.belief.seen == 0
    assert row.last_failure_at is None
    (minute,) = await rows(
        db, "select sum(not_its_fault) as n, sum(attempts) as a from mesh.bank_health_logs"
    )
    assert (minute["n"], minute["a"]) == (30, 0)


async def test_account_that_is_short_limits_what_a_bank_can_pay_and_not_its_health(
    worker_db, db, member
):
    await tell(worker_db, heard("liquidity", at=now()))

    await drain(worker_db)

    row = await believed(db)
    assert row.short_of_funds_until is not None
    assert row.last_failure_at is None
    assert row.p_down < 0.2


async def test_requests_that_never_left_count_against_a_bank_alone(worker_db, db, member):
    at = now() - 10
    await tell(worker_db, *(heard("network_local", at=at + n) for n in range(5)))

    await drain(worker_db)

    assert (await believed(db)).p_down > 0.8


async def test_requests_that_never_left_for_two_banks_are_our_own_trouble(worker_db, db, member):
    await a_member(db, "bp_other")
    at = now() - 10
    lost = [
        heard("network_local", at=at + n, bank=bank)
        for n in range(5)
        for bank in (BANK, "bp_other")
    ]
    await tell(worker_db, *lost)

    await drain(worker_db)

    for bank in (BANK, "bp_other"):
        row = await believed(db, bank)
        assert row.last_failure_at is None
        assert row.p_down < 0.2


async def test_signal_that_comes_late_does_not_turn_back_the_clock(worker_db, db, member):
    at = now() - 5
    await tell(worker_db, *(heard(at=at) for _ in range(40)))
    await drain(worker_db)
    before = await believed(db)

    await tell(worker_db, *(heard("bank_technical", at=at - 6 * 3600) for _ in range(3)))
    await drain(worker_db)

    row = await believed(db)
    assert row.belief.at == before.belief.at
    assert row.last_signal_at == before.last_signal_at
    assert row.p_down < 0.2
    assert len(await rows(db, "select 1 from mesh.bank_health_logs")) == 2


async def test_order_of_arrival_within_a_batch_does_not_matter(worker_db, db, member):
    await a_member(db, "bp_other")
    at = now() - 60
    story = ["ok"] * 10 + ["bank_technical"] * 2 + ["ok"] * 3
    told = [heard(outcome, at=at + n) for n, outcome in enumerate(story)]
    mixed = [heard(outcome, at=at + n, bank="bp_other") for n, outcome in enumerate(story)]

    await tell(worker_db, *told)
    await tell(worker_db, *reversed(mixed))
    await drain(worker_db)

    assert (await believed(db)).belief == (await believed(db, "bp_other")).belief


async def test_events_have_their_effect_once_however_often_they_are_delivered(
    worker_db, db, member
):
    await tell(worker_db, *(heard(at=now()) for _ in range(30)))

    handle = intake.Intake(a_mesh()).handle
    failed = False

    async def fails_once(tx: Any, texts: list[str]) -> None:
        nonlocal failed
        await handle(tx, texts)
        if not failed:
            failed = True
            raise LookupError("the worker dies after the effect, and before the commit")

    dying = intake.Consumer(intake.GROUP, ("bank_signals", "mesh.health"), fails_once)
    with pytest.raises(LookupError):
        await drain(worker_db, dying)
    counts = await asyncio.gather(drain(worker_db), drain(worker_db))
    await drain(worker_db)

    row = await believed(db)
    assert sum(counts) == 30
    assert (row.signals, row.belief.seen > 29) == (30, True)


async def test_signal_that_the_way_through_kafka_repeats_counts_once(worker_db, db, member):
    await tell(worker_db, heard("bank_technical", at=now()), heard(at=now()))
    again = """
        insert into platform.events (topic, part, key, payload)
        select topic, part, key, payload from platform.events where topic = 'bank_signals'
    """
    await rows(db, again)
    await drain(worker_db)
    await rows(db, again)
    await drain(worker_db)

    assert (await believed(db)).signals == 2


async def _two_at_once(worker_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second reader take in its signal after the first has read, and before it writes."""
    has_read, has_written = asyncio.Event(), asyncio.Event()
    write = intake._write

    async def slow(tx: Any, folded: Any) -> None:
        if not has_read.is_set():
            has_read.set()
            with contextlib.suppress(TimeoutError):  # The other one waits for us, as it should.
                await asyncio.wait_for(has_written.wait(), 0.3)
        await write(tx, folded)

    monkeypatch.setattr(intake, "_write", slow)

    async def first() -> None:
        async with worker_db.transaction("tests.first") as tx:
            await intake.take_in(tx, [heard("bank_technical", at=now())], now=a_mesh().clock.now())

    async def second() -> None:
        await has_read.wait()
        async with worker_db.transaction("tests.second") as tx:
            await intake.take_in(tx, [heard("bank_technical", at=now())], now=a_mesh().clock.now())
        has_written.set()

    await asyncio.gather(first(), second())


async def test_two_readers_at_once_lose_no_signal(worker_db, db, member, monkeypatch):
    await tell(worker_db, heard(at=now() - 60))
    await drain(worker_db)

    await _two_at_once(worker_db, monkeypatch)

    assert (await believed(db)).belief.seen == pytest.approx(3, abs=0.01)


async def test_without_the_lock_a_signal_is_lost(worker_db, db, member, monkeypatch):
    await tell(worker_db, heard(at=now() - 60))
    await drain(worker_db)
    sql: Any = store.LOCK_BELIEFS.sql.replace("for update", "")
    monkeypatch.setattr(store, "LOCK_BELIEFS", Query(sql, row=store.BeliefRow))

    await _two_at_once(worker_db, monkeypatch)

    assert (await believed(db)).belief.seen == pytest.approx(2, abs=0.01)


def _report(**changed: object) -> dict[str, object]:
    stamp = a_mesh().clock.now().isoformat()
    return {
        "bank_profile_id": BANK,
        "health_score": 97.5,
        "latency_ms": 420,
        "success_rate": 0.99,
        "volume_last_hour": 1200,
        "timestamp": stamp,
        **changed,
    }


async def test_report_moves_everything_the_bank_serves(worker_db, db, member):
    await tell_text(worker_db, _report(success_rate=0.0))

    await drain(worker_db)

    for rail in ("bank", "wallet:wave"):
        assert (await believed(db, rail=rail)).signals == 1


async def test_report_that_is_repeated_counts_once(worker_db, db, member):
    stamp = "2026-11-22T07:00:03+00:00"
    mesh = a_mesh()
    stamp = mesh.clock.now().replace(second=3, microsecond=0).isoformat()
    for _ in range(3):
        await tell_text(worker_db, *[_report(success_rate=0.0, timestamp=stamp)] * 4)
        await drain(worker_db)

    assert (await believed(db)).signals == 1


async def test_what_we_publish_ourselves_is_not_heard(worker_db, db, member):
    await tell_text(
        worker_db,
        {"specversion": "1.0", "source": "molam/mesh", "type": "mesh.health", "data": _report()},
    )

    await drain(worker_db)

    assert await rows(db, "select 1 from mesh.member_health") == []


async def test_hostile_events_are_set_aside_and_their_neighbours_are_taken_in(
    worker_db, db, member
):
    hostile: list[Any] = [
        "[]",
        '"text"',
        "{}",
        _report(bank_profile_id="bp_nobody"),
        _report(bank_profile_id="b" * 300),
        _report(success_rate=1.5),
        _report(success_rate="1"),
        _report(health_score=-1),
        _report(latency_ms=10**12),
        _report(volume_last_hour=2**63),
        _report(timestamp="2026-11-22T07:00:00"),
        _report(timestamp="9999-12-31T23:59:59Z"),
        _report(extra="field"),
        {"specversion": "1.0", "type": "bank.signal", "data": {"at": 1}},
        {
            "specversion": "1.0",
            "type": "bank.signal",
            "data": {
                "bank_profile_id": BANK,
                "rail": "bank",
                "currency": "XOF",
                "kind": "payout",
                "outcome": "ok",
                "at": 1e300,
            },
        },
    ]
    await tell(worker_db, heard(at=now()))
    await tell_text(worker_db, *hostile)
    await tell(worker_db, heard(at=now()))

    await drain(worker_db)

    assert (await believed(db)).signals == 2
    assert len(await rows(db, "select 1 from platform.dead_letters")) == len(hostile)


async def test_history_is_no_news(worker_db, db, member):
    await tell(worker_db, heard("bank_technical", at=now() - 20 * 86_400))

    await drain(worker_db)

    assert await rows(db, "select 1 from mesh.member_health") == []
    assert await rows(db, "select 1 from platform.dead_letters") == []


async def test_probes_that_answer_in_a_row_are_counted(worker_db, db, member):
    at = now() - 10
    for number, outcome in enumerate(["ok", "bank_timeout_unknown", "ok", "ok"]):
        await tell(worker_db, heard(outcome, at=at + number, kind="active_probe"))
    await drain(worker_db)

    assert (await believed(db)).probes_ok_in_row == 2


async def test_completion_far_beyond_the_usual_time_counts_as_half_a_failure(worker_db, db, member):
    """The bank says that it takes 10 s; half a minute is allowed, and this took two."""
    late = heard(at=now(), latency_ms=120_000, observed_by="bank")
    await tell(worker_db, late, heard(at=now(), latency_ms=29_000, observed_by="bank"))

    await drain(worker_db)

    (minute,) = await rows(
        db,
        "select sum(sla_misses) as late, sum(latencies) as timed,"
        " sum(failures) as failed from mesh.bank_health_logs",
    )
    assert (minute["late"], minute["timed"], minute["failed"]) == (1, 0, 0)
