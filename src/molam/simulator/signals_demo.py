"""The last hours of the demo's banks, as probes and a few payments have shown them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from molam.kernel.clock import Instant
from molam.mesh.signals import intake, monitor
from molam.payments.banks import store
from molam.payments.banks.store import BankRow
from molam.platform.db import Database
from molam.simulator import store as simulator_store
from molam.sira.health_signal import OutcomeClass, Signal

HOURS = 3
_PAYMENTS_OF_100 = 30
_FAILS_OF_1000 = 8
"""The median share of technical failures of real banks."""


async def seed_signals(db: Database, now: Instant) -> int:
    """Let each member have been heard of lately, unless it has been; return how many were."""
    async with db.transaction("simulator.seed_signals") as tx:
        unheard = await tx.all(simulator_store.LIST_UNHEARD_MEMBERS)
        heard: list[Signal] = []
        for member in unheard:
            bank = await tx.one(store.FIND_BANK, id=member.id)
            assert bank is not None, "a member is a bank"
            heard.extend(_last_hours(bank, now))
        if heard:
            await intake.take_in(tx, heard, now=now)
            await monitor.tell_members(tx, [member.id for member in unheard])
    return len(unheard)


def _last_hours(bank: BankRow, now: Instant) -> Iterator[Signal]:
    """The same whenever it is made, but for the hour."""
    for minute in range(HOURS * 60, 0, -1):
        at = (now - timedelta(minutes=minute)).timestamp()
        delay_ms = 180 + _some(120, bank.id, minute)
        for rail in bank.rails:
            for currency in bank.currency_codes:
                key: dict[str, Any] = {
                    "bank_profile_id": bank.id,
                    "rail": rail,
                    "currency": currency,
                }
                yield Signal(**key, kind="active_probe", outcome="ok", at=at, latency_ms=delay_ms)
                said = (bank.id, minute, rail, currency)
                if _some(100, "pays", *said) < _PAYMENTS_OF_100:
                    fails = _some(1000, "fails", *said) < _FAILS_OF_1000
                    outcome: OutcomeClass = "bank_technical" if fails else "ok"
                    yield Signal(
                        **key,
                        kind="payout",
                        outcome=outcome,
                        at=at + _some(50, "at", *said),
                        latency_ms=delay_ms + _some(400, "delay", *said),
                        amount=500 * (5 + _some(400, "amount", *said)),
                    )


def _some(below: int, *said: object) -> int:
    return zlib.crc32(repr(said).encode()) % below
