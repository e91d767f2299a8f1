"""Lets the demo's wallets speak as time passes."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator, Sequence
from datetime import timedelta

from molam.kernel.clock import Clock, Instant, SystemClock
from molam.platform.db import Database
from molam.simulator import store
from molam.simulator.profiles import PROFILES, Profile
from molam.simulator.seed import BATCH, PAYOUT, SEED, SOURCE, send
from molam.simulator.traffic import Happening, burst, scaled, transactions
from molam.tenancy.queries import MerchantAbsent

RATE_MAX = 1_000

# How far ahead happenings are made: each time costs the making of two weeks, from
# which today's refunds and disputes follow.
_AHEAD = timedelta(hours=1)
# Resuming repeats this much, in case the last batch ended between two happenings
# of one instant. A fact told twice counts once.
_OVERLAP = timedelta(seconds=1)


async def run(
    db: Database,
    *,
    stop: asyncio.Event,
    seed: int = SEED,
    rate: float = 1.0,
    profiles: Sequence[Profile] = PROFILES,
    clock: Clock | None = None,
) -> int:
    """
    Publish traffic until *stop* is set; return how many events.

    Goes on where the log ends, so that nothing is missing after a pause, however
    long. *rate* 5 adds four times the usual payments on top of the usual ones.
    """
    assert 1 <= rate <= RATE_MAX
    clock = clock or SystemClock()
    started = clock.now()
    known = (await db.read(store.FIND_TRAFFIC, source=SOURCE))[0]
    since = known.first_at or started
    cursor = started if known.last_at is None else min(started, known.last_at - _OVERLAP)
    crowd = [scaled(profile, rate - 1) for profile in profiles] if rate > 1 else []

    count = 0
    while not stop.is_set():
        until = max(cursor, clock.now()) + _AHEAD
        streams = [transactions(seed, profiles, cursor, until, since=since)]
        if crowd and until > started:
            begin = max(cursor, started)
            streams.append(transactions(seed + 1, crowd, begin, until, since=started))
        count += await _speak(db, heapq.merge(*streams), stop=stop, clock=clock)
        cursor = until
    return count


async def send_burst(
    db: Database, now: Instant, *, merchant_id: str, seed: int = SEED, minutes: int = 5
) -> int:
    """
    Publish several ordinary days of payments at once, all within the last *minutes*.

    Raises:
        MerchantAbsent: the demo has no such merchant.
    """
    profile = next((known for known in PROFILES if known.merchant_id == merchant_id), None)
    if profile is None:
        raise MerchantAbsent("Only the demo's merchants have customers to make up.")
    begin = now - timedelta(minutes=minutes, seconds=5)
    happenings = list(burst(seed, profile, begin, minutes=minutes))
    for first in range(0, len(happenings), BATCH):
        await send(db, happenings[first : first + BATCH])
    return len(happenings)


async def _speak(
    db: Database, happenings: Iterator[Happening], *, stop: asyncio.Event, clock: Clock
) -> int:
    """Publish each of *happenings* when its time has come, in batches when late."""
    count = 0
    due: list[Happening] = []
    for happening in happenings:
        if happening.topic == PAYOUT:
            # From the demo's first day on, payouts are made by ourselves and not reported.
            continue
        if due and (len(due) == BATCH or happening.at > clock.now()):
            await send(db, due)
            count += len(due)
            due = []
        wait_s = (happening.at - clock.now()).total_seconds()
        if await _is_stopped(stop, within_s=max(0.0, wait_s)):
            return count
        due.append(happening)
    if due:
        await send(db, due)
    return count + len(due)


async def _is_stopped(stop: asyncio.Event, *, within_s: float) -> bool:
    if within_s == 0:
        return stop.is_set()
    try:
        await asyncio.wait_for(stop.wait(), timeout=within_s)
    except TimeoutError:
        return False
    return True
