"""A worker killed while it sends: every payout arrives, and none arrives twice."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest

from bank_desk import BankDesk, a_bank_desk
from molam.payments.banks.commands import enqueue_send

WORKER = Path(__file__).with_name("bank_worker.py")
PAYOUTS = 24
KILLS = 5

pytestmark = pytest.mark.processes


async def a_worker(dsn: str, desk: BankDesk, mode: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER), dsn, desk.teller.callbacks_url, mode),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 20)
    return process


async def paid(desk: BankDesk) -> int:
    rows = await desk.rows("select count(*) as n from public.owned where state = 'paid'")
    return int(rows[0]["n"])


async def booked_after_kills(
    desk: BankDesk, dsn: str, mode: str, *, banks: tuple[str, ...]
) -> list[int]:
    """Send payouts with workers that are killed now and then; count what banks booked for each."""
    chance = random.Random(7)
    for bank in banks:
        # Booked at once and answered late, so that most kills fall in between.
        desk.temper(bank, latency_s=0.3, callbacks="lost")
    ids = [f"po_{number}" for number in range(PAYOUTS)]
    for number, id_ in enumerate(ids):
        await desk.owned(id_, 10_000 + number * 100, bank=banks[number % len(banks)])
        async with desk.db.transaction("tests.enqueue") as tx:
            await enqueue_send(tx, kind="payout", object_id=id_, delay_s=chance.random() * 3)
    worker = await a_worker(dsn, desk, mode)
    for _ in range(KILLS):
        await asyncio.sleep(0.4 + chance.random() * 0.4)
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
        worker = await a_worker(dsn, desk, mode)
    try:
        async with asyncio.timeout(60):
            while await paid(desk) < PAYOUTS:
                await asyncio.sleep(0.2)
    finally:
        worker.kill()
        await worker.wait()
    keys = [
        transfer.key.partition("~")[0]
        for bank in banks
        for transfer in desk.books.recent(bank, limit=10_000)
    ]
    return [keys.count(f"payout-{id_}") for id_ in ids]


async def test_killed_sender_doubles_nothing_and_loses_nothing(dsn, db, worker_db, tmp_path):
    async with a_bank_desk(worker_db, db, tmp_path) as desk:
        banks = ("bp_http", "bp_wave", "bp_orange")
        assert await booked_after_kills(desk, dsn, "careful", banks=banks) == [1] * PAYOUTS


async def test_kills_double_payments_where_a_dead_sender_counts_as_failed(
    dsn, db, worker_db, tmp_path
):
    """The control: the same kills, without asking and with a new key for each attempt."""
    async with a_bank_desk(worker_db, db, tmp_path) as desk:
        # Orange Money never says in its answer that it has paid; whoever does not ask waits for ever.
        booked = await booked_after_kills(desk, dsn, "hasty", banks=("bp_http", "bp_wave"))
        assert max(booked) > 1
