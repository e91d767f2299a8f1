"""Taking in what is heard of banks: each thing moves each belief once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

import msgspec
import structlog

from molam.kernel.clock import Instant
from molam.mesh.runtime import Mesh
from molam.mesh.signals import (
    folding,
    heartbeats,
    intake_store,
    messages,
    metrics,
    monitor,
    predictions,
    store,
)
from molam.mesh.signals.commands import Crossing, ask_to_decide, tell_pages
from molam.mesh.signals.folding import Evidence, Folded, Silence, Sla, instant
from molam.mesh.signals.messages import Noted, Posted
from molam.mesh.signals.model import HealthMalformed, Key, crosses, level
from molam.payments.banks import inquiries
from molam.platform.db import Database, Tx
from molam.platform.events import Consumer
from molam.sira.health_filter import Belief, fresh
from molam.sira.health_signal import Signal, sla_ms

log = structlog.get_logger()

GROUP = "mesh"
BATCH_MAX = 500
TOLD_EVERY_S = 1.0

_SLOT_S = 10
_TOGETHER_S = 60.0
_END_FACTOR = 3

# Note [Each thing once]
#
# An event moves a belief in the transaction that moves the reader past it: both happen,
# or neither. One that comes a second time, as the way through Kafka allows, is known by
# its id. A belief is read under its lock and written before that is let go, so that two
# readers add up instead of one undoing the other.


class Intake:
    """Applies events about banks' health, and says when a decision is due."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._told_at = -TOLD_EVERY_S

    async def handle(self, tx: Tx, texts: list[str]) -> None:
        """
        Take in a batch of events.

        Raises:
            HealthMalformed: one of them cannot be believed; the reader finds out which.
        """
        now = self._mesh.clock.now()
        heard = await _heard_first(tx, [messages.read(text, now=now) for text in texts])
        if not heard:
            return
        crossings = await take_in(tx, heard, now=now)
        if crossings:
            await tell_crossings(tx, self._mesh, crossings)
        if crossings or time.monotonic() - self._told_at >= TOLD_EVERY_S:
            self._told_at = time.monotonic()
            await tell_pages(tx)


async def tell_crossings(tx: Tx, mesh: Mesh, crossings: Sequence[Crossing]) -> None:
    """Let everybody act who acts on a level that was passed."""
    await ask_to_decide(tx, crossings)
    await predictions.refresh(tx, mesh, {_key(each) for each in crossings})
    await monitor.tell_members(tx, {each.bank_profile_id for each in crossings})
    for bank in sorted({each.bank_profile_id for each in crossings if not each.level}):
        await inquiries.enqueue_asking_again(tx, bank)


def consumer(mesh: Mesh, *, group: str = "") -> Consumer:
    return Consumer(group or GROUP, messages.TOPICS, Intake(mesh).handle, batch_max=BATCH_MAX)


async def take_in(tx: Tx, heard: Sequence[Signal | Posted], *, now: Instant) -> list[Crossing]:
    """
    Let each of *heard* move what is believed, and return which levels were passed.

    Raises:
        HealthMalformed: it is about a bank that there is not.
    """
    slas = await _slas(tx, {each.bank_profile_id for each in heard})
    batches = await _by_key(tx, heard, slas)
    metrics.TAKEN_IN.inc(len(heard))
    return await _move(tx, batches, slas, now=now)


async def take_in_silence(tx: Tx, banks: Collection[str], *, now: Instant) -> list[Crossing]:
    """Let the silence of *banks* move what is believed of all that they serve."""
    slas = await _slas(tx, banks)
    silence = Silence(now.timestamp())
    return await _move(tx, {key: [silence] for key in slas}, slas, now=now)


async def listen(db: Database, mesh: Mesh) -> None:
    """Doubt banks whose heartbeats have stopped, each time as half a failure."""
    now = mesh.clock.now()
    async with db.transaction("mesh.listen") as tx:
        silent = await heartbeats.silent(tx, now=now.timestamp())
        crossings = await take_in_silence(tx, silent, now=now) if silent else []
        if crossings:
            await tell_crossings(tx, mesh, crossings)
            await tell_pages(tx)
    metrics.SILENT.set(len(silent))


async def _slas(tx: Tx, banks: Collection[str]) -> dict[Key, Sla]:
    served = await tx.all(store.LIST_SERVED, bank_ids=sorted(banks))
    return {
        (row.bank_profile_id, row.rail, row.currency): _sla(row.p99_ms, row.avg_delay_sec)
        for row in served
    }


async def _move(
    tx: Tx, batches: Mapping[Key, Sequence[Evidence]], slas: Mapping[Key, Sla], *, now: Instant
) -> list[Crossing]:
    if not batches:
        return []
    before = await _lock(tx, sorted(batches))
    folded = {
        key: folding.fold(
            msgspec.convert(row.belief, Belief),
            row.probes_ok_in_row,
            batches[key],
            slas.get(key, _sla(None, 0)),
        )
        for key, row in before.items()
    }
    await _write(tx, folded)
    return _crossings(before, folded, now)


async def _heard_first(tx: Tx, read: Sequence[Noted | Posted | None]) -> list[Signal | Posted]:
    """Pass over signals that have come before: the way through Kafka may repeat them."""
    noted = {each.event_id: each.signal for each in read if isinstance(each, Noted)}
    new = await tx.all(intake_store.TAKE_SIGNALS, ids=sorted(noted)) if noted else []
    return [
        *(noted[row.event_id] for row in new),
        *(each for each in read if isinstance(each, Posted)),
    ]


async def _by_key(
    tx: Tx, heard: Sequence[Signal | Posted], slas: Mapping[Key, Sla]
) -> dict[Key, list[Evidence]]:
    batches: dict[Key, list[Evidence]] = defaultdict(list)
    for signal in await _blamed(tx, [each for each in heard if isinstance(each, Signal)]):
        batches[signal.bank_profile_id, signal.rail, signal.currency].append(signal)
    for told in await _first_told(tx, [each for each in heard if isinstance(each, Posted)]):
        keys = [key for key in slas if key[0] == told.bank_profile_id]
        for key in keys:
            batches[key].append(told.report)
    return batches


async def _first_told(tx: Tx, told: Sequence[Posted]) -> list[Posted]:
    """Keep the first report about each bank in each ten seconds, whoever repeats it."""
    if not told:
        return []
    first: dict[tuple[str, int], Posted] = {}
    for each in told:
        first.setdefault((each.bank_profile_id, int(each.report.at) // _SLOT_S), each)
    banks = sorted({bank for bank, _ in first})
    known = await tx.all(intake_store.LIST_KNOWN, bank_ids=banks)
    if len(known) < len(banks):
        raise HealthMalformed("No bank profile has this id.")
    slots = sorted(first)
    taken = await tx.all(
        intake_store.TAKE_REPORTS,
        bank_ids=[bank for bank, _ in slots],
        slots=[slot for _, slot in slots],
    )
    heard = [first[row.bank_profile_id, row.slot] for row in taken]
    await heartbeats.hear(
        tx, [(each.bank_profile_id, each.report.at) for each in heard if each.is_beat]
    )
    return heard


async def _blamed(tx: Tx, signals: Sequence[Signal]) -> list[Signal]:
    """
    Decide about requests that never left.

    From one bank only, it is that bank that cannot be reached. From two within a minute
    it is our side, and moves nobody's health. The other bank's may be known only after
    the first one's was counted: one of them is far from enough for anything.
    """
    unreached = [each for each in signals if each.outcome == "network_local"]
    if not unreached:
        return list(signals)
    await tx.run(
        intake_store.APPEND_UNREACHED,
        bank_ids=[each.bank_profile_id for each in unreached],
        ats=[instant(each.at) for each in unreached],
    )
    rows = await tx.all(
        intake_store.LIST_UNREACHED,
        begin=instant(min(each.at for each in unreached) - _TOGETHER_S),
        end=instant(max(each.at for each in unreached) + _TOGETHER_S),
    )
    times = [(row.bank_profile_id, row.at.timestamp()) for row in rows]

    def is_alone(signal: Signal) -> bool:
        return not any(
            bank != signal.bank_profile_id and abs(at - signal.at) <= _TOGETHER_S
            for bank, at in times
        )

    return [
        msgspec.structs.replace(each, outcome="bank_timeout_unknown")
        if each.outcome == "network_local" and is_alone(each)
        else each
        for each in signals
    ]


async def _lock(tx: Tx, keys: Sequence[Key]) -> dict[Key, store.BeliefRow]:
    columns = {
        "bank_ids": [bank for bank, _, _ in keys],
        "rails": [rail for _, rail, _ in keys],
        "currencies": [currency for _, _, currency in keys],
    }
    nothing = Folded(fresh(), 0)
    score, low, high = nothing.scores()
    await tx.run(
        store.INSERT_MISSING,
        **columns,
        belief=msgspec.to_builtins(nothing.belief),
        p_down=nothing.p_down,
        score=score,
        score_low=low,
        score_high=high,
    )
    rows = await tx.all(store.LOCK_BELIEFS, **columns)
    return {(row.bank_profile_id, row.rail, row.currency): row for row in rows}


async def _write(tx: Tx, folded: Mapping[Key, Folded]) -> None:
    beliefs: list[dict[str, object]] = []
    minutes: list[dict[str, object]] = []
    for (bank, rail, currency), each in folded.items():
        name = {"bank_profile_id": bank, "rail": rail, "currency": currency}
        score, low, high = each.scores()
        beliefs.append(
            {
                **name,
                "belief": msgspec.to_builtins(each.belief),
                "p_down": each.p_down,
                "score": score,
                "score_low": low,
                "score_high": high,
                "signals": each.signals,
                "last_signal_at": _moment(each.last_at),
                "last_failure_at": _moment(each.last_failure_at),
                "probes_ok_in_row": each.probes_ok_in_row,
                "short_of_funds_until": _moment(each.short_until),
            }
        )
        minutes.extend(
            {
                **name,
                "checked_at": instant(at),
                **asdict(minute),
                "health_score": score,
                "p_down": each.p_down,
            }
            for at, minute in each.minutes.items()
        )
    await tx.run(store.SET_BELIEFS, rows=beliefs)
    if minutes:
        await tx.run(store.ADD_MINUTES, rows=minutes)


def _crossings(
    before: Mapping[Key, store.BeliefRow], folded: Mapping[Key, Folded], now: Instant
) -> list[Crossing]:
    crossings = []
    for key, each in folded.items():
        was, is_ = before[key].p_down, each.p_down
        if crosses(was, is_):
            crossings.append(Crossing(*key, level(is_)))
            log.info(
                "mesh.health.crossed",
                bank=key[0],
                rail=key[1],
                currency=key[2],
                before=round(was, 4),
                p_down=round(is_, 4),
                behind_s=round(now.timestamp() - (each.last_at or now.timestamp()), 3),
            )
    return crossings


def _key(crossing: Crossing) -> Key:
    return crossing.bank_profile_id, crossing.rail, crossing.currency


def _sla(p99_ms: int | None, avg_delay_sec: int) -> Sla:
    answer_ms = sla_ms(p99_ms)
    return Sla(answer_ms, max(answer_ms, _END_FACTOR * 1000 * avg_delay_sec))


def _moment(at: float | None) -> Instant | None:
    return None if at is None else instant(at)
