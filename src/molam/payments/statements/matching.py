"""Finding out what the lines of statements are: by tiers, by hand, and undoing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.money import Money
from molam.ledger import commands as ledger
from molam.payments.banks.model import Outcome
from molam.payments.statements import hand_store, match_store, store, words
from molam.payments.statements.hand_store import CandidateRow, ExpectationRow
from molam.payments.statements.match_store import MadeRow
from molam.payments.statements.model import (
    REASON_LENGTH_MIN,
    DayClosed,
    ExpectationAbsent,
    ForceNeedsApproval,
    LineAbsent,
    LineNotOpen,
    MatchRefused,
    ReasonMissing,
    force_limit,
)
from molam.payments.statements.store import BookRow, LineRow
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue

log = structlog.get_logger()

TELL = "payments.tell_matched"
ROUNDS_MAX = 8
"""Each round pairs at least one more line of those that share a reference."""
CANDIDATES_MAX = 8
_OPEN = frozenset({"posted", "mismatched"})

MATCHED = Counter(
    "molam_payments_statement_lines_matched_total", "Statement lines that were matched.", ["tier"]
)

# Note [Who tells whom]
#
# A match is a fact of its own: it stands when its transaction commits. Its payout or
# refund hears of it in a transaction of that owner's, by a job, because settling locks
# rows that rank after a statement's, one object at a time. Telling twice changes nothing.

Confirm = Callable[[Tx, UUID, Outcome], Awaitable[None]]
"""(transaction, attempt, what the statement shows): tells whoever owns the attempt."""


class Tell(msgspec.Struct, frozen=True):
    """Arguments of the job `TELL`; it takes whatever waits."""

    version: int = 1


@dataclass(frozen=True, slots=True)
class ByHand:
    """
    A match that a person, or an action that people approved, makes.

    *attempt* is ``payout`` or ``refund`` with its id, or ``collection`` with the
    merchant's id before a slash; None writes the line off.
    """

    statement_id: UUID
    line_no: int
    kind: Literal["payout", "refund", "collection"] | None
    object_id: str | None
    reason: str
    by: str
    action_id: str | None = None
    forces: bool = False
    """Whether it may differ, or be written off, beyond what the rules allow."""


async def run(db: Database, *, bank_profile_id: str, currency: str) -> int:
    """Match what can be matched of an account's open lines; return how many were."""
    account = {"bank_profile_id": bank_profile_id, "currency": currency}
    matched = 0
    async with db.transaction("statements.match") as tx:
        if await tx.one(store.LOCK_BOOKS, **account) is None:
            return 0
        await tx.one(match_store.HASH_ONLY, state="off")
        for _ in range(ROUNDS_MAX):
            made = await tx.one(match_store.MATCH_LINES, **account)
            assert made is not None
            await _post(tx, made)
            matched += made.matches
            if not made.matches:
                break
        await tx.run(match_store.SET_MISMATCHED, **account)
        await tx.one(match_store.HASH_ONLY, state="on")
    MATCHED.labels("automatic").inc(matched)
    return matched


async def _post(tx: Tx, made: MadeRow) -> None:
    if made.transfers != "[]":
        await ledger.post_transfers(tx, made.transfers)
    if made.untold:
        await enqueue(tx, TELL, Tell())


async def match(db: Database, asked: ByHand) -> None:
    """
    Match one line by hand, or write it off. Repeating the same match changes nothing.

    Raises:
        LineAbsent, LineNotOpen, ExpectationAbsent, MatchRefused: as `match_in`.
        ForceNeedsApproval: it is beyond what one person may force.
    """
    async with db.transaction("statements.match_by_hand") as tx:
        await match_in(tx, asked)
    MATCHED.labels("forced" if asked.forces else "manual").inc()


async def match_in(tx: Tx, *asked: ByHand) -> None:
    """
    Do what `match` does in the caller's transaction, for several lines of one statement.

    Raises:
        LineAbsent, LineNotOpen: no such line, or it is matched otherwise.
        ExpectationAbsent: we have nothing of that name.
        MatchRefused: the two cannot be the same thing, or only by force.
        ForceNeedsApproval: it is beyond what one person may force.
        ReasonMissing: it is forced, and nothing says why.
    """
    transfers: list[msgspec.Raw] = []
    untold = 0
    await _lock_books(tx, asked[0].statement_id, asked[0].line_no)
    for each in asked:
        made = await _match_one(tx, each)
        transfers += msgspec.json.decode(made.transfers, type=list[msgspec.Raw])
        untold += made.untold
    await _post(tx, MadeRow(len(asked), msgspec.json.encode(transfers).decode(), untold))


async def _match_one(tx: Tx, asked: ByHand) -> MadeRow:
    line = await _open_line(tx, asked.statement_id, asked.line_no)
    ours = await _ours(tx, line, asked)
    if line.state not in _OPEN:
        if ours is not None and line.match_id is not None and line.object_id == ours.object_id:
            return MadeRow(0, "[]", 0)
        raise LineNotOpen(f"It is {line.state}.", state=line.state)
    leg, difference = _fit(line, ours, forces=asked.forces)
    await _check_free(tx, ours, leg)
    if asked.forces or ours is None:
        _check_said(asked.reason)
        if asked.action_id is None:
            _check_force(line, difference if ours is not None else line.amount - line.fee, asked)
    match = _written(line, ours, asked) | {"leg": leg, "difference": difference}
    made = await tx.one(
        hand_store.MATCH_BY_HAND,
        bank_profile_id=line.bank_profile_id,
        currency=line.currency,
        match=msgspec.json.encode(match).decode(),
    )
    assert made is not None
    assert made.matches == 1, "the line is locked by its books, and was open"
    log.info(
        "statements.line.matched",
        statement_id=str(asked.statement_id),
        line=asked.line_no,
        by=asked.by,
        tier=match["tier"],
    )
    return made


def _written(line: LineRow, ours: ExpectationRow | None, asked: ByHand) -> dict[str, object]:
    tier = "forced" if asked.forces or ours is None else "manual"
    return {
        "line_id": line.id,
        "kind": "write_off" if ours is None else ours.kind,
        "expectation": None if ours is None else ours.expectation,
        "attempt_id": None if ours is None else ours.attempt_id,
        "object_id": None if ours is None else ours.object_id,
        "merchant_id": None if ours is None else ours.merchant_id,
        "tier": tier,
        "score": 1,
        "explanation": words.by_hand(tier, is_ours=ours is not None),
        "reason": asked.reason.strip() or None,
        "matched_by": asked.by,
        "action_id": asked.action_id,
    }


async def undo(db: Database, statement_id: UUID, line_no: int, *, reason: str, by: str) -> None:
    """
    Take a match back; what it posted is posted the other way round.

    Raises:
        LineAbsent: no such line.
        LineNotOpen: it is not matched.
        DayClosed: the day of the line is closed.
        ReasonMissing: nothing says why.
    """
    _check_said(reason)
    async with db.transaction("statements.undo_match") as tx:
        book = await _lock_books(tx, statement_id, line_no)
        line = await _open_line(tx, statement_id, line_no)
        if line.match_id is None:
            raise LineNotOpen("It is not matched.", state=line.state)
        if book.closed_through is not None and line.booked_on <= book.closed_through:
            raise DayClosed(f"The books are closed through {book.closed_through.isoformat()}.")
        undone = await tx.one(hand_store.UNDO_MATCH, id=line.match_id, by=by, reason=reason.strip())
        assert undone is not None
        if undone.transfers != "[]":
            await ledger.post_transfers(tx, undone.transfers)
    log.info("statements.match.undone", statement_id=str(statement_id), line=line_no, by=by)


async def candidates(tx: Tx, line_id: int) -> list[CandidateRow]:
    """List what a line might be, the nearest first."""
    return await tx.all(hand_store.LIST_CANDIDATES, line_id=line_id, limit=CANDIDATES_MAX)


async def tell(db: Database, confirm: Confirm, *, limit: int = 500) -> int:
    """Tell the owners of matched payouts and refunds what the bank booked; return how many."""
    told = 0
    for row in await db.read(hand_store.LIST_UNTOLD, limit=limit):
        async with db.transaction("statements.tell") as tx:
            if await tx.one(hand_store.LOCK_UNTOLD, id=row.id) is None:
                continue  # Somebody else is telling it, or it was undone.
            outcome = Outcome(
                state="returned" if row.leg == "returned" else "settled",
                provider_ref=row.bank_ref or None,
                code="statement",
                reason=row.text[:300] or None,
                at=_noon(row.booked_on),
            )
            await confirm(tx, row.attempt_id, outcome)
            await tx.run(hand_store.SET_TOLD, id=row.id)
            told += 1
    return told


def _noon(day: date) -> Instant:
    return datetime.combine(day, time(12), tzinfo=UTC)


async def _lock_books(tx: Tx, statement_id: UUID, line_no: int) -> BookRow:
    """Lock the account's books: nothing else then matches its lines or closes its days."""
    line = await _open_line(tx, statement_id, line_no)
    book = await tx.one(
        store.LOCK_BOOKS, bank_profile_id=line.bank_profile_id, currency=line.currency
    )
    assert book is not None, "a line has books"
    return book


async def _open_line(tx: Tx, statement_id: UUID, line_no: int) -> LineRow:
    line = await tx.one(store.FIND_LINE, statement_id=statement_id, line_no=line_no)
    if line is None:
        raise LineAbsent("Check the statement and the number of the line.")
    if line.state == "void":
        raise LineNotOpen("Its statement was discarded.", state="void")
    return line


async def _ours(tx: Tx, line: LineRow, asked: ByHand) -> ExpectationRow | None:
    if asked.kind is None or asked.object_id is None:
        return None
    if asked.kind == "collection":
        merchant_id, _, id_ = asked.object_id.partition("/")
        found = await tx.one(hand_store.FIND_PAYMENT, merchant_id=merchant_id, id=id_)
    else:
        found = await tx.one(hand_store.FIND_ATTEMPT_OF, kind=asked.kind, object_id=asked.object_id)
    if found is None:
        raise ExpectationAbsent(f"There is no {asked.kind} {asked.object_id[:80]!r} to match.")
    if found.currency != line.currency:
        raise MatchRefused(f"The line is in {line.currency}, the {asked.kind} in {found.currency}.")
    if found.bank_profile_id not in {"", line.bank_profile_id}:
        raise MatchRefused(f"It was sent through {found.bank_profile_id}.")
    return found


def _fit(line: LineRow, ours: ExpectationRow | None, *, forces: bool) -> tuple[str, int]:
    """Tell which way the money went, and by how much the line exceeds what we expected."""
    if ours is None:
        return "sent", 0
    is_back = ours.kind != "collection" and (line.is_return or line.amount > 0)
    due = -ours.amount if is_back else ours.amount
    if (line.amount > 0) != (due > 0):
        raise MatchRefused("The money went the other way.")
    difference = line.amount - due
    if difference and not forces:
        unit = currency(line.currency)
        raise MatchRefused(
            f"The bank booked {Money(line.amount, unit)}, and we expected {Money(due, unit)}:"
            f" a difference of {Money(difference, unit)}. Forcing it needs a reason.",
            difference=difference,
        )
    return ("returned" if is_back else "sent"), difference


async def _check_free(tx: Tx, ours: ExpectationRow | None, leg: str) -> None:
    if ours is None:
        return
    if await tx.one(hand_store.IS_TAKEN, expectation=ours.expectation, leg=leg) is not None:
        raise MatchRefused("Another line was matched with it; undo that first.")


def _check_force(line: LineRow, amount: int, asked: ByHand) -> None:
    limit = force_limit(line.currency)
    if max(abs(amount), abs(line.amount)) > limit:
        unit = currency(line.currency)
        raise ForceNeedsApproval(
            f"One person may force at most {Money(limit, unit)}; ask for the action"
            " FORCE_RECONCILE, which others approve.",
            limit=limit,
            line=asked.line_no,
        )


def _check_said(reason: str) -> None:
    if len(reason.strip()) < REASON_LENGTH_MIN:
        raise ReasonMissing("Write why.")
