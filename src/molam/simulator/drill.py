"""
Drills: a simulated bank is broken on purpose, while payouts are on their way to it.

A drill is a row and two jobs, so that it ends, and the bank recovers, whoever asked for
it and whatever becomes of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import httpx2
import msgspec
import structlog

from molam.kernel.clock import Clock, Instant
from molam.kernel.ids import show, uuid7
from molam.kernel.refusals import Kind, Outage, Refusal
from molam.payments import commands as payments
from molam.payments.payouts import commands as payouts
from molam.payments.payouts import run, settings
from molam.payments.payouts.calendar import Place, Schedule
from molam.payments.payouts.settings import Change
from molam.platform.db import Database, Tx
from molam.platform.jobs import Cron, Job, JobHandler, enqueue
from molam.simulator import drill_store as store
from molam.simulator.banks.temper import Temper
from molam.simulator.profiles import DRILLED
from molam.simulator.seed import envelope
from molam.simulator.traffic import Happening

log = structlog.get_logger()

BEGIN = "drills.begin"
END = "drills.end"

_DESTINATION: dict[str, object] = {
    "type": "bank_account",
    "holder": "Coopérative du Plateau",
    "country": "SN",
    "account_number": "SN0120010100000765432",
    "bic": "BPLTSNDA",
}
_RAIL = "bank"
_AT_ONCE = 4
"""So many payouts are due at the very beginning, to be the first that fail."""

_TIMEOUT_S = 10.0
_OVERDUE_MAX = 20


class DrillRefused(Refusal):
    code = "drill-refused"
    kind = Kind.BROKEN_RULE
    title = "This bank cannot be drilled now"


class Step(msgspec.Struct, frozen=True):
    """Arguments of both jobs."""

    drill_id: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Wish:
    """An outage to be made: *severity* is the share of requests that fail."""

    bank_profile_id: str
    severity: Decimal
    minutes: int
    payouts: int = 40
    started_by: str = "molam drill"


async def seed_drills(db: Database, now: Instant) -> None:
    """Say where the drilled merchant is paid; it is registered with the demo's others."""
    async with db.transaction("simulator.seed_drills") as tx:
        merchant = {"merchant_id": DRILLED.merchant_id, "currency": DRILLED.currency}
        await settings.put_destination(
            tx, **merchant, written=_DESTINATION, by="demo", hold_hours=0
        )
        await settings.set_schedule(
            tx,
            **merchant,
            wanted=Schedule("manual", delay_days=0),
            place=Place(DRILLED.timezone, DRILLED.country),
            change=Change("demo", now),
        )


async def start(db: Database, clock: Clock, wish: Wish) -> str:
    """
    Ask for a drill, and return its id; a worker begins it at once.

    Raises:
        DrillRefused: no simulated bank, not one that carries transfers in francs, or a drill of
            it runs already.
    """
    async with db.transaction("drills.start") as tx:
        drill_id = show("dr", uuid7(clock.now()))
        added = await tx.one(
            store.ADD,
            id=drill_id,
            bank_profile_id=wish.bank_profile_id,
            severity=wish.severity,
            minutes=wish.minutes,
            payouts=wish.payouts,
            started_by=wish.started_by,
        )
        if added is None:
            raise DrillRefused(
                "There is no such bank, or a drill of it runs already.", bank=wish.bank_profile_id
            )
        found = await tx.one(store.FIND, id=drill_id)
        assert found is not None
        _check(found)
        await enqueue(tx, BEGIN, Step(drill_id))
    return drill_id


def _check(drill: store.DrillRow) -> None:
    if "/banks/" not in drill.endpoint_url:
        raise DrillRefused("Only simulated banks are broken on purpose.")
    carries = DRILLED.currency in drill.currency_codes and _RAIL in drill.rails
    if not carries or drill.connector != "http_bank":
        raise DrillRefused(
            f"A drill needs a bank that carries transfers in {DRILLED.currency}, one by one.",
            bank=drill.bank_profile_id,
        )


async def timeline(db: Database, drill_id: str) -> store.TimelineRow | None:
    """Say what has happened in a drill so far."""
    rows = await db.read(store.TIMELINE, id=drill_id, merchant_id=DRILLED.merchant_id)
    return rows[0] if rows else None


async def find(db: Database, drill_id: str) -> store.DrillRow | None:
    rows = await db.read(store.FIND, id=drill_id)
    return rows[0] if rows else None


async def list_newest(db: Database, *, limit: int = 20) -> list[store.DrillRow]:
    return await db.read(store.LIST_NEWEST, limit=limit)


def handlers(clock: Clock) -> Sequence[JobHandler]:
    async def begin(job: Job) -> None:
        step = msgspec.json.decode(job.payload, type=Step)
        drill = await find(job.db, step.drill_id)
        if drill is None or drill.state != "asked":
            return
        # What is due later is made before the bank breaks: payouts that are made while it is
        # left go elsewhere, as they should, and would be no exercise.
        await _make_payouts(job.db, drill, range(_AT_ONCE, drill.payouts), clock.now())
        try:
            before = await _get_temper(drill)
            broken = msgspec.structs.replace(before, fail_rate=float(drill.severity))
            await _put_temper(drill, broken)
        except Outage:
            await _end(job.db, drill.id, state="failed", reason="the simulated bank is away")
            return
        async with job.effect() as tx:
            await tx.run(store.SET_RUNNING, id=drill.id, temper=msgspec.to_builtins(before))
            await enqueue(tx, END, step, delay_s=drill.minutes * 60)
        log.warning("drill began", drill=drill.id, bank=drill.bank_profile_id)
        first = range(min(_AT_ONCE, drill.payouts))
        await _make_payouts(job.db, drill, first, clock.now())

    async def end(job: Job) -> None:
        step = msgspec.json.decode(job.payload, type=Step)
        await _recover(job.db, step.drill_id)

    return [JobHandler(BEGIN, begin), JobHandler(END, end)]


def crons() -> Sequence[Cron]:
    async def end_overdue(db: Database) -> None:
        for row in await db.read(store.LIST_OVERDUE, limit=_OVERDUE_MAX):
            await _recover(db, row.id)

    return [Cron("drills.end_overdue", "* * * * *", end_overdue)]


async def _recover(db: Database, drill_id: str) -> None:
    drill = await find(db, drill_id)
    if drill is None or drill.state != "running":
        return
    await _put_temper(drill, msgspec.convert(drill.temper or {}, Temper))
    await _end(db, drill_id, state="ended", reason=None)
    log.warning("drill ended", drill=drill_id, bank=drill.bank_profile_id)


async def stop(db: Database, drill_id: str) -> None:
    """End a drill before its time. Safe to repeat."""
    await _recover(db, drill_id)


async def _end(db: Database, drill_id: str, *, state: str, reason: str | None) -> None:
    async with db.transaction("drills.end") as tx:
        await tx.run(store.SET_ENDED, id=drill_id, state=state, reason=reason)


async def _make_payouts(db: Database, drill: store.DrillRow, numbers: range, now: Instant) -> None:
    """Sell and pay out, again and again: the first at once, the others over the drill's time."""
    pace = timedelta(minutes=drill.minutes) / drill.payouts
    for number in numbers:
        async with db.transaction("drills.sell", merchant_id=DRILLED.merchant_id) as tx:
            await payments.store_facts(tx, _sale(drill.id, number, now))
        waits = pace * number if number >= _AT_ONCE else timedelta()
        async with db.transaction("drills.pay_out", merchant_id=DRILLED.merchant_id) as tx:
            await _pay_out(tx, drill, waits)


async def _pay_out(tx: Tx, drill: store.DrillRow, waits: timedelta) -> None:
    due = await payouts.lock_schedule(
        tx, merchant_id=DRILLED.merchant_id, currency=DRILLED.currency
    )
    assert due is not None
    wanted = run.wanted_of(due, asked_as="manual", by=drill.started_by, id_=uuid7(due.asked_at))
    made = await run.make(tx, [replace(wanted, scheduled_for=due.asked_at + waits)])
    await tx.run(
        store.SET_BANK,
        drill_id=drill.id,
        merchant_id=DRILLED.merchant_id,
        bank_profile_id=drill.bank_profile_id,
        payout_ids=[row.payout_id for row in made if row.made],
    )


def _sale(drill_id: str, number: int, now: Instant) -> str:
    """Write one payment of a customer as a wallet would tell it; its amount ends plainly."""
    id_ = f"tx_{drill_id.removeprefix('dr_')}_{number:03}"
    amount = (50 + secrets.randbelow(400)) * 100
    data = {
        "id": id_,
        "transaction_id": id_,
        "merchant_id": DRILLED.merchant_id,
        "type": "payment",
        "amount": amount,
        "currency": DRILLED.currency,
        "status": "succeeded",
        "version": 2,
        "occurred_at": (now - timedelta(days=1)).isoformat(),
        "fee_molam": 0,
        "channel": "wallet",
        "provider": "wave",
        "reference_code": f"EXO-{number:03}",
        "customer": {"name": "Exercice", "phone": "+221770000999"},
        "metadata": {"drill": drill_id},
    }
    told = Happening(
        at=now,
        id=id_,
        version=2,
        topic="wallet_txn_succeeded",
        merchant_id=DRILLED.merchant_id,
        began_at=now,
        data=data,
    )
    return f"[{envelope(told, source='/simulator/drills').payload}]"


async def _get_temper(drill: store.DrillRow) -> Temper:
    async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
        try:
            answer = await client.get(f"{drill.endpoint_url}/temper")
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=Temper)
        except (httpx2.HTTPError, msgspec.MsgspecError) as error:
            raise Outage("simulated bank") from error


async def _put_temper(drill: store.DrillRow, temper: Temper) -> None:
    async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
        try:
            content = msgspec.json.encode(temper)
            answer = await client.put(f"{drill.endpoint_url}/temper", content=content)
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise Outage("simulated bank") from error
