"""What merchants and the clock do to disputes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from molam.kernel.digests import digest
from molam.payments.disputes import evidence_store, model, preparing, queries
from molam.payments.disputes.evidence_store import EvidenceRow, SubmissionRow
from molam.payments.disputes.model import Dispute, Response, State
from molam.payments.disputes.recording import Act, Change, note, record
from molam.platform.db import Tx

STATEMENT_LENGTH_MAX = 20_000
_PURPOSE = "molam.dispute_manifest/1"
CLOCK_BATCH_MAX = 200


@dataclass(frozen=True, slots=True)
class By:
    """Who answers: a person, or the merchant's policy in its name."""

    subject: str
    is_policy: bool = False


@dataclass(frozen=True, slots=True)
class Submitted:
    dispute: Dispute
    submission: SubmissionRow
    is_new: bool


async def save_draft(tx: Tx, *, merchant_id: str, id_: str, statement: str, by: str) -> Dispute:
    """
    Keep the text of an answer that is being written.

    Raises:
        DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
    """
    dispute, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    model.check_answerable(dispute, now=now)
    await tx.run(
        evidence_store.PUT_DRAFT,
        merchant_id=merchant_id,
        dispute_id=id_,
        stage=dispute.stage,
        statement=tidy(statement),
        by=by,
    )
    await note(tx, dispute, Act("draft_saved", "person", by))
    return dispute


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be sent. Without a statement the draft is."""

    statement: str | None = None
    expected_sha256: str | None = None
    """The hash of what the sender has looked at; anything else is not sent."""


async def submit(tx: Tx, *, merchant_id: str, id_: str, answer: Answer, by: By) -> Submitted:
    """
    Send the answer of this stage, once: text and files are final from then on.

    Sending the very same again changes nothing.

    Raises:
        DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
        AnswerEmpty: neither a word nor a file.
        AnswerChanged: it is no longer what the sender has looked at.
    """
    dispute, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    named = {"merchant_id": merchant_id, "dispute_id": id_}
    statement, files, known = await _gathered(tx, dispute, answer.statement)
    if dispute.response is Response.SUBMITTED:
        sent = await _sent(tx, dispute)
        if sent is not None and statement in {sent.statement, ""}:
            return Submitted(dispute, sent, is_new=False)
    model.check_answerable(dispute, now=now)
    if not statement and not files:
        raise model.AnswerEmpty("Write what happened, or add a file.")
    manifest = manifest_of(dispute, statement, files, known)
    sha256 = manifest_sha256(manifest)
    if answer.expected_sha256 not in {None, sha256}:
        raise model.AnswerChanged("Look at it again, then send it.", manifest_sha256=sha256)
    submission = await tx.one(
        evidence_store.APPEND_SUBMISSION,
        **named,
        stage=dispute.stage,
        statement=statement,
        manifest=manifest,
        manifest_sha256=sha256,
        by_policy=by.is_policy,
        by=by.subject,
    )
    assert submission is not None
    act = Act(
        "submitted",
        "policy" if by.is_policy else "person",
        by.subject,
        {"files": len(files), "manifest_sha256": submission.manifest_sha256},
    )
    after = model.respond(dispute, Response.SUBMITTED, now=now)
    (written,) = await record(tx, [Change(dispute, after, act)])
    return Submitted(written, submission, is_new=True)


async def accept(tx: Tx, *, merchant_id: str, id_: str, by: str) -> tuple[Dispute, bool]:
    """
    Concede: the held money goes to the customer. Doing it again changes nothing.

    The flag tells whether it was this that accepted it.

    Raises:
        DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
    """
    dispute, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    if dispute.response is Response.ACCEPTED:
        return dispute, False
    model.check_answerable(dispute, now=now)
    after = model.respond(dispute, Response.ACCEPTED, now=now)
    (written,) = await record(tx, [Change(dispute, after, Act("accepted", "person", by))])
    return written, True


async def let_time_pass(tx: Tx, *, merchant_id: str, id_: str) -> Dispute | None:
    """
    Do to one dispute what the clock has brought, if it still has; None when nothing.

    Unanswered at its deadline it is expired; a week later, if the network has not
    decided, the money goes to the customer. Decided long ago, what is still held moves.
    """
    dispute, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    due = dispute.evidence_due_at
    if dispute.state in {State.LOST, State.ACCEPTED} and dispute.held_amount:
        change = Change(dispute, replace(dispute), Act("settled", "clock"))
    elif dispute.state is State.NEEDS_RESPONSE and due is not None and due <= now:
        after = model.respond(dispute, Response.EXPIRED, now=now)
        change = Change(dispute, after, Act("expired", "clock"))
    elif dispute.state is State.EXPIRED and due is not None and due + model.GRACE <= now:
        after = model.respond(dispute, Response.FORFEITED, now=now)
        change = Change(dispute, after, Act("forfeited", "clock"))
    elif dispute.state is State.EARLY_WARNING and await _is_refunded(tx, dispute):
        after = model.respond(dispute, Response.PREVENTED, now=now)
        change = Change(dispute, after, Act("prevented", "clock"))
    else:
        return None
    (written,) = await record(tx, [change])
    return written


def manifest_sha256(manifest: dict[str, object]) -> str:
    """Hash a manifest, so that two people can tell whether they mean the same answer."""
    return digest(_PURPOSE, manifest).hex()


def current_files(rows: list[EvidenceRow], dispute: Dispute) -> list[EvidenceRow]:
    """Keep the files of this stage that have not been removed."""
    return [row for row in rows if row.stage == dispute.stage and row.removed_at is None]


def manifest_of(
    dispute: Dispute, statement: str, files: list[EvidenceRow], known: preparing.Known
) -> dict[str, object]:
    """List exactly what is sent, as JSON whose hash stands for all of it."""
    return {
        "dispute_id": dispute.id,
        "stage": dispute.stage_name,
        "amount": dispute.amount,
        "currency": dispute.currency,
        "statement": statement,
        "files": [
            {
                "id": str(row.id),
                "kind": row.kind,
                "name": row.file_name,
                "media_type": row.media_type,
                "size_bytes": row.size_bytes,
                "sha256": row.sha256,
            }
            for row in files
        ],
        "exhibits": known.exhibits(),
    }


async def _gathered(
    tx: Tx, dispute: Dispute, statement: str | None
) -> tuple[str, list[EvidenceRow], preparing.Known]:
    named = {"merchant_id": dispute.merchant_id, "dispute_id": dispute.id}
    files = current_files(await tx.all(evidence_store.LIST_EVIDENCE, **named), dispute)
    if statement is None:
        draft = await tx.one(evidence_store.FIND_DRAFT, **named, stage=dispute.stage)
        statement = "" if draft is None else draft.statement
    return tidy(statement), files, await preparing.known_of(tx, dispute)


def tidy(statement: str) -> str:
    """Write a statement as it is kept, however a browser ends its lines."""
    return statement.replace("\r\n", "\n").strip()


async def _sent(tx: Tx, dispute: Dispute) -> SubmissionRow | None:
    rows = await tx.all(
        evidence_store.LIST_SUBMISSIONS, merchant_id=dispute.merchant_id, dispute_id=dispute.id
    )
    return next((row for row in rows if row.stage == dispute.stage), None)


async def _is_refunded(tx: Tx, dispute: Dispute) -> bool:
    known = await preparing.known_of(tx, dispute)
    return known.payment is not None and known.payment.refunded_amount >= dispute.amount
