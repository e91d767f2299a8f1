"""What is done with anything a bank says, whether asked, unasked or by file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from molam.kernel.clock import Instant
from molam.payments.banks import attempt_store, metrics, signals, store
from molam.payments.banks.model import (
    AMOUNT_DIFFERS,
    LIVE,
    REASON_LENGTH_MAX,
    Outcome,
    Report,
    State,
    Verdict,
    hear,
)
from molam.payments.banks.signals import By
from molam.payments.banks.teller import Teller
from molam.platform.db import Tx
from molam.platform.jobs import enqueue

log = structlog.get_logger()

INQUIRE = "payments.inquire"
ASK_SOON_S = 5.0
DAY_S = 86_400.0
_MILLISECOND = timedelta(milliseconds=1)

_REF_LENGTH_MAX = 128
_CODE_LENGTH_MAX = 64


class Inquire(msgspec.Struct, frozen=True):
    """Arguments of the job `INQUIRE`."""

    attempt_id: str
    version: int = 1
    hinted: bool = False
    """Asked for by the bank itself, with a callback that cannot be believed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A report, by what way it came, and when to ask again if it ends nothing."""

    report: Report
    by: By
    ask_in_s: float = ASK_SOON_S
    latency_ms: int | None = None
    """How long an answer took."""
    at: Instant | None = None
    """When it happened, if it is told later."""


async def record(tx: Tx, teller: Teller, attempt_id: UUID, heard: Heard) -> Verdict:
    """
    Let a report have its effect on an attempt, and on its owner if it changes anything.

    Repeated, late and reordered reports change nothing. What contradicts the past is
    kept for a person, and moves no money.
    """
    row = await tx.one(attempt_store.LOCK_ATTEMPT, id=attempt_id)
    assert row is not None
    report = _bounded(heard.report)
    outcome = report.about(row.amount, row.currency, at=teller.clock.now())
    verdict = hear(State(row.state), outcome)
    if outcome.code == AMOUNT_DIFFERS or verdict.contradicts:
        await note_contradiction(tx, row, _contradiction(row, outcome))
    if verdict.changes or heard.by == "answer":
        await signals.note_heard(tx, row, outcome, _seen(teller, row, heard))
    if not verdict.changes:
        await tx.run(
            attempt_store.ADD_TOKENS,
            id=row.id,
            provider_ref=None if verdict.contradicts else report.provider_ref,
            tokens=dict(report.tokens),
        )
        return verdict
    await _change(tx, teller, row, outcome=outcome, new=verdict.state, heard=heard)
    return verdict


def _seen(teller: Teller, row: attempt_store.AttemptRow, heard: Heard) -> signals.Seen:
    now = teller.clock.now()
    latency_ms = heard.latency_ms
    if heard.by == "callback":
        latency_ms = max(0, (now - row.sent_at) // _MILLISECOND)
    return signals.Seen(heard.by, now, min(heard.at or now, now), latency_ms)


async def _change(
    tx: Tx,
    teller: Teller,
    row: attempt_store.AttemptRow,
    *,
    outcome: Outcome,
    new: State,
    heard: Heard,
) -> None:
    written = await tx.run(
        attempt_store.SET_STATE,
        id=row.id,
        old=row.state,
        new=new.value,
        provider_ref=outcome.provider_ref,
        code=outcome.code,
        reason=outcome.reason,
        confirmed_by=None if new in LIVE else heard.by,
        tokens=dict(heard.report.tokens),
        ask_in_s=teller.patience.watch_every_s if new is State.SETTLED else heard.ask_in_s,
        watch_s=await _watch_s(tx, teller, row) if new is State.SETTLED else 0.0,
    )
    assert written == 1, "the row is locked"
    if new is State.UNKNOWN:
        await enqueue(tx, INQUIRE, Inquire(str(row.id)), delay_s=heard.ask_in_s)
    log.info(
        "payments.attempt.heard",
        attempt=str(row.id),
        bank=row.bank_profile_id,
        state=new.value,
        by=heard.by,
        code=outcome.code,
    )
    await teller.owners[row.kind].settle(tx, row.object_id, outcome)


async def _watch_s(tx: Tx, teller: Teller, row: attempt_store.AttemptRow) -> float:
    bank = await tx.one(store.FIND_BANK, id=row.bank_profile_id)
    assert bank is not None
    return teller.connectors[bank.connector].watches_s


async def abandon(tx: Tx, teller: Teller, row: attempt_store.AttemptRow) -> bool:
    """Call an attempt unknown whose sender died before it could tell; False while it may live."""
    if not await tx.run(attempt_store.SET_ABANDONED, id=row.id):
        return False
    outcome = Outcome("unknown", row.provider_ref, "sender-lost", None, teller.clock.now())
    await teller.owners[row.kind].settle(tx, row.object_id, outcome)
    return True


async def first_ask_s(
    tx: Tx, teller: Teller, attempt: attempt_store.AttemptRow, report: Report
) -> float:
    """Say when to ask about what was sent: soon if unknown, else after the bank's usual time."""
    if report.state == "unknown":
        return ASK_SOON_S
    bank = await tx.one(store.FIND_BANK, id=attempt.bank_profile_id)
    assert bank is not None
    if not teller.connectors[bank.connector].can_ask:
        return DAY_S
    return min(max(bank.avg_delay_sec, teller.patience.ask_in_s(0)), teller.patience.asks_s[-1])


def _contradiction(row: attempt_store.AttemptRow, outcome: Outcome) -> str:
    if outcome.code == AMOUNT_DIFFERS:
        return f"{row.amount} {row.currency} was sent. {outcome.reason or ''}".strip()
    return f"{row.state}, then {outcome.state}"


async def note_contradiction(tx: Tx, row: attempt_store.AttemptRow, said: str) -> None:
    """Keep, for a person, that a bank unsaid what it had said. The first time is enough."""
    if row.contradiction is not None:
        return
    await tx.run(attempt_store.SET_CONTRADICTION, id=row.id, contradiction=said)
    metrics.CONTRADICTIONS.labels(row.bank_profile_id).inc()
    log.warning(
        "payments.attempt.contradicted",
        attempt=str(row.id),
        bank=row.bank_profile_id,
        said=said,
    )


def _bounded(report: Report) -> Report:
    return Report(
        report.state,
        report.provider_ref[:_REF_LENGTH_MAX] if report.provider_ref else None,
        report.code[:_CODE_LENGTH_MAX] if report.code else None,
        report.reason[:REASON_LENGTH_MAX] if report.reason else None,
        report.amount,
        report.currency,
        report.tokens,
    )
