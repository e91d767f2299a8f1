"""Asking banks to give payouts back: the request, the telling, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec
import structlog

from molam.kernel.refusals import Outage
from molam.payments.banks import attempt_store, inquiries
from molam.payments.banks import commands as banks
from molam.payments.banks import store as bank_store
from molam.payments.banks.connectors.interface import Bank, Connector
from molam.payments.banks.model import (
    REASON_LENGTH_MAX,
    Order,
    RecallAnswer,
    RecallRequest,
    SurprisingAnswer,
)
from molam.payments.banks.teller import Teller
from molam.payments.payouts import metrics, recall_store, store
from molam.payments.payouts.recall_model import MOVES, NothingToRecall, State, Unasked, Wish
from molam.payments.payouts.recall_store import AskedRow, RecallRow
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue_all

log = structlog.get_logger()

RECALL = "payouts.recall"
# By the kinds of `bank_profiles.connector`; a test compares them with the connectors.
RECALLING = ("http_bank", "pain001", "wave")
DUE_MAX = 500
_AGAIN_S = 300.0
_CODE_LENGTH_MAX = 64
_ASK_SOON_S = 5.0
_UNUSABLE_S = 300.0

# Note [Told once, asked until it answers]
#
# A request is written down, and called unknown before the bank is told: whoever dies in
# between leaves one that may have been heard. So the bank is first asked how the request
# stands, under the request's own key, and told again only if it never heard of it; and it
# takes a key once. While one sender tells, a lease keeps others from doing so.


class Recall(msgspec.Struct, frozen=True):
    """Arguments of the job `RECALL`."""

    recall_id: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose banks will be asked, and who is left out, with why."""

    asked: tuple[AskedRow, ...]
    unasked: tuple[Unasked, ...]


async def judge(tx: Tx, payout_ids: tuple[str, ...]) -> list[recall_store.JudgedRow]:
    """Say of each payout which bank would be asked for it, or why none can be; nothing is done."""
    return await tx.all(recall_store.JUDGE, ids=list(payout_ids), connectors=list(RECALLING))


async def ask(tx: Tx, wish: Wish) -> Asked:
    """
    Let banks be asked to give payouts back, after *tx* commits; nothing is booked.

    Raises:
        NothingToRecall: no bank can be asked for any of them.
    """
    await tx.all(recall_store.LOCK_PAYOUTS, ids=list(wish.payout_ids))
    judged = await judge(tx, wish.payout_ids)
    asked = await tx.all(
        recall_store.ASK,
        ids=list(wish.payout_ids),
        connectors=list(RECALLING),
        reason_code=wish.reason_code,
        reason=wish.reason,
        action_id=wish.action_id,
        proposal_id=wish.proposal_id,
        by=wish.by,
    )
    if not asked:
        raise NothingToRecall("They wait, have ended, are in doubt, or are being recalled.")
    done = {each.payout_id for each in asked}
    why = {each.id: each.why or "ended" for each in judged}
    unasked = [{"payout_id": id_, "why": why[id_]} for id_ in sorted(why.keys() - done)]
    await enqueue_all(tx, [(RECALL, Recall(str(each.id))) for each in asked])
    metrics.RECALLS.labels(State.REQUESTED.value).inc(len(asked))
    return Asked(tuple(asked), tuple(msgspec.convert(unasked, list[Unasked])))


async def note_ended(tx: Tx, payout_id: str, *, is_back: bool) -> None:
    """End the recall of a payout that came back, or that failed and never left."""
    state = State.RETURNED if is_back else State.MOOT
    if await tx.run(recall_store.SET_ENDED, payout_id=payout_id, new=state.value):
        metrics.RECALLS.labels(state.value).inc()


async def carry_on(teller: Teller, db: Database, recall_id: UUID) -> None:
    """
    Tell the bank of a request, or ask it how that stands; safe to repeat at any time.

    Once the bank has agreed, it is asked for the payment itself: only that says that the
    money came. See Note [Told once, asked until it answers].
    """
    before = await _claim(teller, db, recall_id)
    if before is None:
        return
    attempt = (await db.read(attempt_store.FIND_ATTEMPT, id=before.attempt_id))[0]
    row = (await db.read(bank_store.FIND_BANK, id=before.bank_profile_id))[0]
    bank, connector = teller.bank(row), teller.connectors[row.connector]
    if bank is None or not connector.can_recall:
        return
    if before.state == State.ACCEPTED:
        await inquiries.inquire(teller, db, attempt.id)
        return
    wish = RecallRequest(before.key, before.reason_code, before.reason)
    try:
        order, is_new = banks.order_of(attempt), before.state == State.REQUESTED
        answer = await _answered(connector, bank, order, wish, is_new=is_new)
    except (Outage, SurprisingAnswer) as silence:
        log.info("payouts.recall.silent", recall=before.key, why=str(silence))
        await _give_up_lease(teller, db, before)
        await banks.note_health(teller, db, bank.id, answered=False)
        return
    await banks.note_health(teller, db, bank.id, answered=True)
    async with db.transaction("payouts.hear_recall") as tx:
        await hear(tx, teller, recall_id, answer)


async def _claim(teller: Teller, db: Database, recall_id: UUID) -> RecallRow | None:
    """Take a request to be told or asked about; None if it ended, or somebody else has it."""
    async with db.transaction("payouts.claim_recall") as tx:
        row = await tx.one(recall_store.LOCK_RECALL, id=recall_id)
        if row is None or not MOVES[State(row.state)] or row.state == State.REJECTED:
            return None
        if row.is_leased:
            return None
        lease_s = _UNUSABLE_S if row.state == State.ACCEPTED else teller.patience.lease_s
        if row.state == State.ACCEPTED:
            await tx.run(
                recall_store.SET_HEARD,
                id=row.id,
                old=row.state,
                new=row.state,
                code=None,
                reason=None,
                ask_in_s=lease_s,
            )
        else:
            await tx.run(recall_store.SET_TELLING, id=row.id, lease_s=lease_s)
        return row


async def _answered(
    connector: Connector, bank: Bank, order: Order, wish: RecallRequest, *, is_new: bool
) -> RecallAnswer:
    if not is_new:
        found = await connector.inquire_recall(bank, order, wish)
        if found is not None:
            return found
    return await connector.recall(bank, order, wish)


async def _give_up_lease(teller: Teller, db: Database, before: RecallRow) -> None:
    async with db.transaction("payouts.postpone_recall") as tx:
        row = await tx.one(recall_store.LOCK_RECALL, id=before.id)
        assert row is not None
        if State(row.state) in {State.UNKNOWN, State.PENDING}:
            await _set(tx, row, State(row.state), None, ask_in_s=teller.patience.ask_in_s(row.asks))


async def hear(tx: Tx, teller: Teller, recall_id: UUID, answer: RecallAnswer) -> State:
    """Let a bank's answer have its effect on a request; late and repeated ones have none."""
    row = await tx.one(recall_store.LOCK_RECALL, id=recall_id)
    assert row is not None
    old, new = State(row.state), State(answer.state)
    if new is not old and new not in MOVES[old]:
        return old
    ask_in_s = _ASK_SOON_S if new is State.ACCEPTED else teller.patience.ask_in_s(row.asks)
    await _set(tx, row, new, answer, ask_in_s=ask_in_s)
    if new is not old:
        metrics.RECALLS.labels(new.value).inc()
        log.info("payouts.recall.heard", recall=row.key, state=new.value, code=answer.code)
        await _tell(tx, row, new, answer)
    return new


async def _set(
    tx: Tx, row: RecallRow, new: State, answer: RecallAnswer | None, *, ask_in_s: float
) -> None:
    said = answer or RecallAnswer("pending")
    written = await tx.run(
        recall_store.SET_HEARD,
        id=row.id,
        old=row.state,
        new=new.value,
        code=said.code[:_CODE_LENGTH_MAX] if said.code else None,
        reason=said.reason[:REASON_LENGTH_MAX] if said.reason else None,
        ask_in_s=ask_in_s,
    )
    assert written == 1, "the row is locked"


async def _tell(tx: Tx, row: RecallRow, new: State, answer: RecallAnswer) -> None:
    """Put the bank's answer into the payout's timeline."""
    detail = {"code": answer.code, "reason": answer.reason}
    await tx.run(
        store.APPEND_EVENT,
        merchant_id=row.merchant_id,
        id=row.payout_id,
        what=f"recall_{new.value}",
        actor=row.bank_profile_id,
        detail={name: value for name, value in detail.items() if value},
    )


async def enqueue_due(db: Database) -> int:
    """Let banks be told or asked about every request whose time has come; return how many."""
    total = 0
    while True:
        async with db.transaction("payouts.take_due_recalls") as tx:
            due = await tx.all(recall_store.TAKE_DUE, limit=DUE_MAX, again_s=_AGAIN_S)
            await enqueue_all(tx, [(RECALL, Recall(str(row.id))) for row in due])
        total += len(due)
        if len(due) < DUE_MAX:
            break
    for row in await db.read(recall_store.COUNT_OPEN):
        metrics.RECALLS_OPEN.labels(row.state).set(row.number)
    return total
