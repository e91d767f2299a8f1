"""
Asking each member every minute whether it is there, so that silence is noticed at night.

A bank that is probably down is asked six times a minute, so that its return is noticed soon.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.refusals import Outage
from molam.mesh.signals import metrics, probe_store
from molam.payments.banks import signals, store
from molam.payments.banks.connectors.interface import Bank, Connector
from molam.payments.banks.model import SurprisingAnswer
from molam.payments.banks.store import BankRow
from molam.payments.banks.teller import Teller
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler, enqueue
from molam.sira.health_signal import OutcomeClass, Signal

AT_ONCE_MAX = 20
TIMEOUT_S = 10.0
BANKS_MAX = 500

PROBE_AGAIN = "mesh.probe_again"
AGAIN_EVERY_S = 10.0
AGAIN_A_MINUTE = 5
AGAIN_BANKS_MAX = 20
"""Of banks in trouble at the same time, so many are asked faster; that many are our own trouble."""
TROUBLED_FROM = 0.2
_ANSWERED_MAX = 5
_JITTER_S = 2.5
_ATTEMPTS_MAX = 3


class ProbeAgain(msgspec.Struct, frozen=True):
    """Arguments of the job `PROBE_AGAIN`."""

    bank_profile_id: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Probed:
    """What one bank answered, and how long it took."""

    bank: BankRow
    outcome: OutcomeClass
    latency_ms: int
    at: Instant


async def probe_all(teller: Teller, db: Database) -> list[Probed]:
    """
    Probe every member once, some at a time, and note what each answered.

    A bank that takes files only is not probed: it has nobody to ask.
    """
    found = await db.read(probe_store.LIST_PROBED, limit=BANKS_MAX)
    return await _probe_these(teller, db, [row.id for row in found])


async def probe_again(teller: Teller, db: Database, bank_id: str) -> list[Probed]:
    """Probe one member, if it is still in trouble."""
    return await _probe_these(teller, db, await _troubled(db, bank_id))


async def enqueue_again(db: Database) -> int:
    """Let banks in trouble be probed some more before the next minute; return how many."""
    banks = await _troubled(db)
    async with db.transaction("mesh.probe_again") as tx:
        for bank in banks:
            for turn in range(1, AGAIN_A_MINUTE + 1):
                jitter_s = _JITTER_S * (secrets.randbelow(2001) / 1000 - 1)
                await enqueue(
                    tx,
                    PROBE_AGAIN,
                    ProbeAgain(bank),
                    delay_s=AGAIN_EVERY_S * turn + jitter_s,
                    once=f"{PROBE_AGAIN}/{bank}/{turn}",
                )
    return len(banks)


async def _troubled(db: Database, bank_id: str | None = None) -> list[str]:
    rows = await db.read(
        probe_store.LIST_TROUBLED,
        id=bank_id,
        p_down_min=TROUBLED_FROM,
        probes_ok_max=_ANSWERED_MAX,
        limit=AGAIN_BANKS_MAX,
    )
    return [row.id for row in rows]


async def _probe_these(teller: Teller, db: Database, bank_ids: Sequence[str]) -> list[Probed]:
    banks: list[BankRow] = []
    for id_ in bank_ids:
        banks.extend(await db.read(store.FIND_BANK, id=id_))
    room = asyncio.Semaphore(AT_ONCE_MAX)
    asked = await asyncio.gather(*(_probe(teller, row, room) for row in banks))
    probed = [each for each in asked if each is not None]
    for each in probed:
        metrics.PROBES.labels(each.bank.id, each.outcome).inc()
        async with db.transaction("mesh.note_probe") as tx:
            await signals.note(tx, _signals(each), now=each.at)
    return probed


async def _probe(teller: Teller, row: BankRow, room: asyncio.Semaphore) -> Probed | None:
    bank, connector = teller.bank(row), teller.connectors[row.connector]
    if bank is None or not connector.can_probe:
        return None
    async with room:
        began = time.perf_counter()
        outcome = await _answer(connector, bank)
        latency_ms = round(1000 * (time.perf_counter() - began))
    return Probed(row, outcome, latency_ms, teller.clock.now())


async def _answer(connector: Connector, bank: Bank) -> OutcomeClass:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await connector.probe(bank)
    except TimeoutError:
        return "bank_timeout_unknown"
    except (Outage, SurprisingAnswer) as silence:
        fault = signals.blame("unknown", signals.code_of(silence))
        assert fault is not None
        return fault
    return "ok"


def _signals(probed: Probed) -> list[Signal]:
    """One for each rail and currency: whoever does not answer serves none of them."""
    return [
        Signal(
            bank_profile_id=probed.bank.id,
            rail=rail,
            currency=currency,
            kind="active_probe",
            outcome=probed.outcome,
            at=probed.at.timestamp(),
            latency_ms=probed.latency_ms,
        )
        for rail in probed.bank.rails
        for currency in probed.bank.currency_codes
    ]


def handlers(teller: Teller) -> list[JobHandler]:
    async def again(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=ProbeAgain)
        await probe_again(teller, job.db, asked.bank_profile_id)

    return [JobHandler(PROBE_AGAIN, again, attempts_max=_ATTEMPTS_MAX)]


def crons(teller: Teller) -> list[Cron]:
    async def probe(db: Database) -> None:
        await probe_all(teller, db)
        await enqueue_again(db)

    return [Cron("mesh.probe", "* * * * *", probe)]
