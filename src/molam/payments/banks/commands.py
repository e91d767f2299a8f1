"""Sending: each step of an attempt is one transaction, and the network lies between two."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec
import structlog

from molam.kernel.ids import uuid7
from molam.kernel.refusals import Outage
from molam.payments.banks import attempt_store, budgets, hearing, metrics, queries, signals, store
from molam.payments.banks.hearing import Heard
from molam.payments.banks.http import NotReached
from molam.payments.banks.model import (
    LIVE,
    Destination,
    Instruction,
    Order,
    Report,
    State,
    SurprisingAnswer,
)
from molam.payments.banks.teller import Teller
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue
from molam.sira.health_signal import OutcomeClass

log = structlog.get_logger()

SEND = "payments.send"

_WAIT_FULL_S = 2.0
_WAIT_UNUSABLE_S = 60.0
_WAIT_HELD_BACK_S = 5.0


class Send(msgspec.Struct, frozen=True):
    """Arguments of the job `SEND`."""

    kind: str
    object_id: str
    version: int = 1


class NotNow(Exception):
    """The bank takes no more just now. What was claimed is given back with the transaction."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        # Spread, so that those that wait do not come back all at once.
        self.wait_s = wait_s * (1 + secrets.randbelow(1000) / 1000)


class _UnderWay(Exception):
    """Another sender was first."""


async def enqueue_send(
    tx: Tx, *, kind: Literal["refund", "payout"], object_id: str, delay_s: float = 0
) -> None:
    """
    Let the object's owner be asked for its instruction, and that be sent, after *tx* commits.

    Safe to repeat: what is under way, settled or not to be sent is passed over.
    """
    await enqueue(tx, SEND, Send(kind, object_id), delay_s=delay_s)


async def enqueue_later(tx: Tx, asked: Send, later: NotNow) -> None:
    """Let what could not be sent now be tried again in a while."""
    await enqueue(tx, SEND, asked, delay_s=later.wait_s)


async def send(teller: Teller, db: Database, *, kind: str, object_id: str) -> None:
    """
    Claim an instruction, send it, and tell its owner what came of it.

    Whatever happens after the claim is durable, a crash at any point leaves an attempt
    that `inquiries.inquire` resolves.

    Raises:
        NotNow: the bank is full, resting, refuses too much or is not in use; nothing was
            claimed.
    """
    attempt_id = await _claim(teller, db, kind=kind, object_id=object_id)
    if attempt_id is not None:
        await transmit(teller, db, attempt_id)


async def _claim(teller: Teller, db: Database, *, kind: str, object_id: str) -> UUID | None:
    try:
        async with db.transaction("banks.claim") as tx:
            current = await tx.one(attempt_store.LOCK_CURRENT, kind=kind, object_id=object_id)
            if current is not None and State(current.state) in LIVE | {State.SETTLED}:
                return None
            instruction = await teller.owners[kind].claim(tx, object_id)
            if instruction is None:
                return None
            assert instruction.object_id == object_id
            assert current is None or current.outward_key == instruction.key, "keys never change"
            number = 1 if current is None else current.attempt_no + 1
            return await _begin(teller, tx, instruction, kind=kind, number=number)
    except _UnderWay:
        return None


async def _begin(
    teller: Teller, tx: Tx, instruction: Instruction, *, kind: str, number: int
) -> UUID:
    bank = await queries.get_bank(tx, instruction.bank_profile_id)
    if not bank.enabled or bank.status != "active" or teller.bank(bank) is None:
        raise NotNow(_WAIT_UNUSABLE_S)
    await _admit(teller, tx, bank)
    id_ = uuid7(teller.clock.now())
    written = await tx.run(
        attempt_store.APPEND_ATTEMPT,
        id=id_,
        kind=kind,
        object_id=instruction.object_id,
        merchant_id=instruction.merchant_id,
        attempt_no=number,
        bank_profile_id=bank.id,
        outward_key=instruction.key,
        wire_key=teller.connectors[bank.connector].wire_key(instruction.key, number),
        amount=instruction.amount,
        currency=instruction.currency,
        destination=msgspec.to_builtins(instruction.destination),
        reference=instruction.reference,
        request_hash=_hash(instruction),
        lease_s=teller.patience.lease_s,
    )
    if not written:
        raise _UnderWay
    return id_


async def _admit(teller: Teller, tx: Tx, bank: store.BankRow) -> None:
    window_s = teller.restraint.window_s
    found = await tx.one(store.FIND_ADMISSION, id=bank.id, window_s=window_s)
    assert found is not None
    if found.busy >= bank.at_once_max:
        raise NotNow(_WAIT_FULL_S)
    if found.is_open:
        probe_s = teller.patience.probe_s
        if not await tx.run(store.TAKE_PROBE, id=bank.id, probe_s=probe_s):
            raise NotNow(max(found.wait_s, 1.0))
    elif teller.restraint.holds_back(bank.id, found.requests, found.accepts):
        raise NotNow(_WAIT_HELD_BACK_S)


async def transmit(teller: Teller, db: Database, attempt_id: UUID) -> None:
    """
    Send an attempt in state ``sending``, and record what is known then.

    Only whoever wrote that state may call this, and once.
    """
    rows = await db.read(attempt_store.FIND_ATTEMPT, id=attempt_id)
    attempt = rows[0]
    bank_row = (await db.read(store.FIND_BANK, id=attempt.bank_profile_id))[0]
    bank = teller.bank(bank_row)
    if bank is None:
        return  # Its secrets went missing meanwhile; the lease runs out and it is asked about.
    connector = teller.connectors[bank_row.connector]
    began = time.perf_counter()
    try:
        with metrics.ANSWER_SECONDS.labels(bank.id).time():
            report = await connector.send(bank, order_of(attempt))
    except NotReached:
        # Nothing was sent, and it is asked about all the same: that costs one question.
        report = Report("unknown", code=signals.NOT_REACHED)
    except Outage:
        report = Report("unknown", code=signals.NO_ANSWER)
    except SurprisingAnswer as surprise:
        report = Report("unknown", code=signals.SURPRISING, reason=str(surprise))
    latency_ms = round(1000 * (time.perf_counter() - began))
    metrics.ATTEMPTS.labels(bank.id, report.state).inc()
    async with db.transaction("banks.record_answer") as tx:
        ask_in_s = await hearing.first_ask_s(tx, teller, attempt, report)
        heard = Heard(report, "answer", ask_in_s, latency_ms=latency_ms)
        await hearing.record(tx, teller, attempt_id, heard)
    sent = Sent(signals.blame(report.state, report.code), is_first=attempt.sends == 1)
    await note_health(teller, db, bank.id, answered=report.state != "unknown", sent=sent)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request to pay: whose fault its answer is, and whether it was the first under its key."""

    fault: OutcomeClass | None
    is_first: bool


async def note_health(
    teller: Teller, db: Database, bank_id: str, *, answered: bool, sent: Sent | None = None
) -> None:
    """Count a bank's silences; enough in a row open its circuit, one answer closes it."""
    async with db.transaction("banks.note_health") as tx:
        if sent is not None:
            accepted = budgets.is_accepted(sent.fault)
            await budgets.count_request(tx, bank_id, accepted=accepted, is_live=sent.is_first)
        if answered:
            await tx.run(store.NOTE_SUCCESS, id=bank_id)
            return
        await tx.run(
            store.NOTE_FAILURE,
            id=bank_id,
            failures_max=teller.patience.failures_max,
            probe_s=teller.patience.probe_s,
        )


def order_of(attempt: attempt_store.AttemptRow) -> Order:
    destination: Destination = msgspec.convert(attempt.destination, type=Destination)
    return Order(
        attempt.outward_key,
        attempt.wire_key,
        attempt.amount,
        attempt.currency,
        destination,
        attempt.reference,
        attempt.provider_ref,
        {name: str(value) for name, value in attempt.tokens.items()},
    )


def _hash(instruction: Instruction) -> bytes:
    return hashlib.sha256(msgspec.json.encode(instruction)).digest()
