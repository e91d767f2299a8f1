"""Finding out what became of what was sent: by asking the bank under the same key."""

from __future__ import annotations

from uuid import UUID

import msgspec

from molam.kernel.refusals import Outage
from molam.payments.banks import attempt_store, budgets, commands, hearing, metrics, signals, store
from molam.payments.banks.connectors.interface import Bank, Connector
from molam.payments.banks.hearing import Heard, Inquire
from molam.payments.banks.model import LIVE, Report, State, SurprisingAnswer
from molam.payments.banks.signals import Seen
from molam.payments.banks.teller import Teller
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue, enqueue_all

ASK_AGAIN = "payments.ask_again"
DUE_MAX = 5000
_PUT_OFF_S = 20.0
_REPEAT_LATER_S = 60.0
_AGAIN_S = 300.0
"""A job that was lost on the way is made anew after this."""
_WATCH_AGAIN_S = 21_600.0
_ASKED_ABOUT = LIVE | {State.SETTLED}
_QUIET_FACTOR = 10
_HASTENED_S = 60.0
_HASTENED_MAX = 5000
_ENDED = frozenset({State.SETTLED, State.REJECTED, State.RETURNED})


async def enqueue_inquiry(
    tx: Tx, attempt_id: UUID, *, delay_s: float = 0, hinted: bool = False
) -> None:
    """Let the bank be asked about an attempt after *tx* commits."""
    await enqueue(tx, hearing.INQUIRE, Inquire(str(attempt_id), hinted=hinted), delay_s=delay_s)


class AskAgain(msgspec.Struct, frozen=True):
    """Arguments of the job `ASK_AGAIN`."""

    bank_profile_id: str
    version: int = 1


async def enqueue_asking_again(tx: Tx, bank_profile_id: str) -> None:
    """Let a bank that is back be asked about everything it was silent about."""
    once = f"{ASK_AGAIN}/{bank_profile_id}"
    await enqueue(tx, ASK_AGAIN, AskAgain(bank_profile_id), once=once)


async def hasten(tx: Tx, bank_profile_id: str) -> int:
    """Move inquiries about what a bank was silent about to the next minute; return how many."""
    return await tx.run(
        attempt_store.HASTEN,
        bank_profile_id=bank_profile_id,
        within_s=_HASTENED_S,
        limit=_HASTENED_MAX,
    )


async def enqueue_due(teller: Teller, db: Database) -> int:
    """
    Let banks be asked about what has waited longest, as far as their budgets go.

    Returns about how much that is. What was paid and may still come back is asked about with
    what doubts leave over.
    """
    taken = 0
    for take, again_s, kept in (
        (attempt_store.TAKE_DUE, _AGAIN_S, 0.0),
        (attempt_store.TAKE_WATCHED, _WATCH_AGAIN_S, teller.restraint.inquiry.floor_max / 2),
    ):
        more = {"again_s": again_s, "kept": kept, **teller.restraint.inquiry.columns}
        async with db.transaction("banks.take_due") as tx:
            due = await tx.all(take, limit=DUE_MAX, **more)
            await enqueue_all(tx, [(hearing.INQUIRE, Inquire(str(row.id))) for row in due])
        taken += len(due)
    return taken


async def inquire(teller: Teller, db: Database, attempt_id: UUID, *, hinted: bool = False) -> None:
    """
    Ask the attempt's own bank what became of it, and let the answer have its effect.

    A bank that never saw it is sent the same key again. Safe to repeat at any time. What the
    bank's budget does not allow now stays due, and is asked in its turn.
    """
    attempt = await _to_ask_about(teller, db, attempt_id)
    if attempt is None:
        return
    bank_row = (await db.read(store.FIND_BANK, id=attempt.bank_profile_id))[0]
    bank, connector = teller.bank(bank_row), teller.connectors[bank_row.connector]
    if bank is None or not connector.can_ask:
        await _postpone(teller, db, attempt, ask_in_s=hearing.DAY_S)
        return
    # The end of a payment whose bank only hints at it costs one question, which it asked for.
    if not (hinted and attempt.inquiries == 0) and not await _may_ask(teller, db, attempt):
        return
    metrics.INQUIRIES.labels(bank.id, "asked").inc()
    try:
        report = await _asked(db, connector, bank, attempt)
    except (Outage, SurprisingAnswer) as silence:
        ask_in_s = teller.patience.ask_in_s(attempt.inquiries)
        await _postpone(teller, db, attempt, ask_in_s=ask_in_s, silence=silence)
        await commands.note_health(teller, db, bank.id, answered=False)
        return
    await commands.note_health(teller, db, bank.id, answered=True)
    if report is None:
        await _never_seen(teller, db, attempt)
    else:
        await _told(teller, db, connector, attempt=attempt, report=report)


async def _may_ask(teller: Teller, db: Database, attempt: attempt_store.AttemptRow) -> bool:
    bank_id = attempt.bank_profile_id
    async with db.transaction("banks.may_ask") as tx:
        if await budgets.may_spend(tx, teller.restraint, bank_id, "inquiry"):
            return True
        await tx.run(attempt_store.PUT_OFF, id=attempt.id, wait_s=_PUT_OFF_S)
    metrics.INQUIRIES.labels(bank_id, "put_off").inc()
    return False


async def _to_ask_about(
    teller: Teller, db: Database, attempt_id: UUID
) -> attempt_store.AttemptRow | None:
    rows = await db.read(attempt_store.FIND_ATTEMPT, id=attempt_id)
    if not rows or State(rows[0].state) not in _ASKED_ABOUT:
        return None
    if rows[0].state == State.SENDING.value:
        async with db.transaction("banks.abandon") as tx:
            locked = await tx.one(attempt_store.LOCK_ATTEMPT, id=attempt_id)
            assert locked is not None
            if not await hearing.abandon(tx, teller, locked):
                return None
    return rows[0]


async def _asked(
    db: Database, connector: Connector, bank: Bank, attempt: attempt_store.AttemptRow
) -> Report | None:
    """Ask; an earlier try at the same key, which ended long ago, is not the one meant."""
    with metrics.ANSWER_SECONDS.labels(bank.id).time():
        report = await connector.inquire(bank, commands.order_of(attempt))
    if report is None or report.provider_ref is None or attempt.attempt_no == 1:
        return report
    found = await db.read(
        attempt_store.FIND_EARLIER,
        kind=attempt.kind,
        object_id=attempt.object_id,
        attempt_no=attempt.attempt_no,
        bank_profile_id=attempt.bank_profile_id,
        provider_ref=report.provider_ref,
    )
    return None if found[0].number else report


async def _told(
    teller: Teller,
    db: Database,
    connector: Connector,
    *,
    attempt: attempt_store.AttemptRow,
    report: Report,
) -> None:
    ask_in_s = teller.patience.ask_in_s(attempt.inquiries)
    async with db.transaction("banks.record_inquiry") as tx:
        verdict = await hearing.record(tx, teller, attempt.id, Heard(report, "polling", ask_in_s))
        if verdict.state in LIVE:
            await tx.run(attempt_store.POSTPONE_INQUIRY, id=attempt.id, ask_in_s=ask_in_s)
    if verdict.changes and verdict.state in _ENDED and connector.calls_back:
        metrics.SILENT.labels(attempt.bank_profile_id).inc()


async def _never_seen(teller: Teller, db: Database, attempt: attempt_store.AttemptRow) -> None:
    """See Note [An unknown is no failure]."""
    patience = teller.patience
    resend = False
    async with db.transaction("banks.never_seen") as tx:
        locked = await tx.one(attempt_store.LOCK_ATTEMPT, id=attempt.id)
        assert locked is not None
        if locked.state in {State.ACCEPTED.value, State.SETTLED.value}:
            await hearing.note_contradiction(tx, locked, f"{locked.state}, then never seen")
        elif locked.state == State.UNKNOWN.value and await _gave_up(tx, teller, locked):
            report = Report("rejected", code="never-seen", reason="The bank never took it.")
            await hearing.record(tx, teller, attempt.id, Heard(report, "polling"))
        elif locked.state == State.UNKNOWN.value and await _is_quiet(
            tx, locked, patience.resend_after_s
        ):
            resend = await _repeat(tx, teller, locked)
            if not resend:
                # Known to be sent again, as soon as the bank's budget allows.
                await tx.run(attempt_store.PUT_OFF, id=attempt.id, wait_s=_REPEAT_LATER_S)
                return
        if not resend:
            ask_in_s = patience.ask_in_s(attempt.inquiries)
            await tx.run(attempt_store.POSTPONE_INQUIRY, id=attempt.id, ask_in_s=ask_in_s)
    if resend:
        await commands.transmit(teller, db, attempt.id)


async def _gave_up(tx: Tx, teller: Teller, attempt: attempt_store.AttemptRow) -> bool:
    """Tell whether it was sent often enough, the last time so long ago that it cannot arrive."""
    if attempt.sends < teller.patience.sends_max:
        return False
    return await _is_quiet(tx, attempt, teller.patience.resend_after_s * _QUIET_FACTOR)


async def _repeat(tx: Tx, teller: Teller, attempt: attempt_store.AttemptRow) -> bool:
    """Set an attempt to be sent again, if its bank's budget allows."""
    if not await budgets.may_repeat(tx, teller.restraint, attempt.bank_profile_id):
        return False
    patience = teller.patience
    taken = await tx.run(
        attempt_store.SET_RESENDING,
        id=attempt.id,
        lease_s=patience.lease_s,
        resend_after_s=patience.resend_after_s,
    )
    return bool(taken)


async def _is_quiet(tx: Tx, attempt: attempt_store.AttemptRow, quiet_s: float) -> bool:
    """Tell whether an attempt was last sent *quiet_s* ago or earlier."""
    found = await tx.one(attempt_store.COUNT_QUIET, id=attempt.id, quiet_s=quiet_s)
    return found is not None and found.number == 1


async def _postpone(
    teller: Teller,
    db: Database,
    attempt: attempt_store.AttemptRow,
    *,
    ask_in_s: float,
    silence: Outage | SurprisingAnswer | None = None,
) -> None:
    async with db.transaction("banks.postpone_inquiry") as tx:
        await tx.run(attempt_store.POSTPONE_INQUIRY, id=attempt.id, ask_in_s=ask_in_s)
        if silence is not None:
            now = teller.clock.now()
            await signals.note_silence(
                tx, attempt, signals.code_of(silence), Seen("polling", now, now)
            )
