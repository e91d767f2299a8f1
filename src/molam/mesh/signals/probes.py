"""Asking each member every minute whether it is there, so that silence is noticed at night."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.kernel.refusals import Outage
from molam.mesh.signals import metrics, probe_store
from molam.payments.banks import signals, store
from molam.payments.banks.connectors.interface import Bank, Connector
from molam.payments.banks.model import SurprisingAnswer
from molam.payments.banks.store import BankRow
from molam.payments.banks.teller import Teller
from molam.platform.db import Database
from molam.platform.jobs import Cron
from molam.sira.health_signal import OutcomeClass, Signal

AT_ONCE_MAX = 20
TIMEOUT_S = 10.0
BANKS_MAX = 500


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
    banks = []
    for row in await db.read(probe_store.LIST_PROBED, limit=BANKS_MAX):
        banks.extend(await db.read(store.FIND_BANK, id=row.id))
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


def crons(teller: Teller) -> list[Cron]:
    async def probe(db: Database) -> None:
        await probe_all(teller, db)

    return [Cron("mesh.probe", "* * * * *", probe)]
