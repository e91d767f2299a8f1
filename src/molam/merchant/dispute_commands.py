"""What a merchant's people do to disputes, with the trail it leaves."""

from __future__ import annotations

from uuid import UUID

from starlette.datastructures import State

from molam.kernel.refusals import Refusal
from molam.merchant import trail
from molam.payments.disputes import commands, evidence, files
from molam.payments.disputes.commands import Answer, By, Submitted
from molam.payments.disputes.evidence import Offered, Place
from molam.payments.disputes.evidence_store import EvidenceRow
from molam.payments.disputes.model import Dispute
from molam.platform.db import Database, Tx
from molam.platform.web import Caller
from molam.tenancy.standing import ensure_may_change

_ADDED = "dispute_evidence_uploaded"


async def add_file(
    state: State, caller: Caller, *, id_: str, offered: Offered
) -> tuple[EvidenceRow, bool]:
    """
    Keep a file as evidence; the flag tells whether it is new.

    Raises:
        MerchantFrozen, DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
        FileRefused: of a kind, size or number that is not taken.
        Outage: the file store does not answer.
    """
    files.sniff(offered.content)
    money: Database = state.money
    named = {"merchant_id": caller.merchant, "id_": id_}
    async with money.transaction("disputes.check_evidence", merchant_id=caller.merchant) as tx:
        await ensure_may_change(tx, caller.merchant, now=state.clock.now())
        dispute = await evidence.check(tx, **named)
    kept = await evidence.keep(state.files, dispute, offered)
    try:
        async with money.transaction("disputes.add_evidence", merchant_id=caller.merchant) as tx:
            await ensure_may_change(tx, caller.merchant, now=state.clock.now())
            row, is_new = await evidence.add(tx, **named, kept=kept, by=caller.subject)
            if is_new:
                await _record_file(tx, caller, row, id_=id_, action_type=_ADDED)
    except Refusal:
        await evidence.forget(state.files, kept.path)
        raise
    if not is_new:
        await evidence.forget(state.files, kept.path)
    return row, is_new


async def remove_file(state: State, caller: Caller, *, id_: str, file_id: UUID) -> EvidenceRow:
    """
    Take a file out of the answer; it stays on record.

    Raises:
        MerchantFrozen, DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
        EvidenceAbsent: the dispute has no such file.
    """
    async with state.money.transaction(
        "disputes.remove_evidence", merchant_id=caller.merchant
    ) as tx:
        await ensure_may_change(tx, caller.merchant, now=state.clock.now())
        row = await evidence.remove(
            tx, merchant_id=caller.merchant, id_=id_, file_id=file_id, by=caller.subject
        )
        await _record_file(tx, caller, row, id_=id_, action_type="dispute_evidence_removed")
    return row


async def ask_place(state: State, caller: Caller, *, id_: str, kind: str, file_name: str) -> Place:
    """
    Set up a place for a file that is sent by link.

    Raises:
        MerchantFrozen, DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen, FileRefused
    """
    async with state.money.transaction("disputes.ask_place", merchant_id=caller.merchant) as tx:
        await ensure_may_change(tx, caller.merchant, now=state.clock.now())
        return await evidence.offer_place(
            tx,
            merchant_id=caller.merchant,
            id_=id_,
            kind=kind,
            file_name=file_name,
            by=caller.subject,
        )


async def confirm_place(
    state: State, caller: Caller, *, id_: str, upload_id: UUID, sha256: str
) -> tuple[EvidenceRow, bool]:
    """
    Make evidence of what was left under a link. What was confirmed before is found again.

    Raises:
        UploadAbsent, ChecksumDiffers, and whatever `add_file` refuses.
    """
    named = {"merchant_id": caller.merchant, "id_": id_}
    async with state.money.transaction("disputes.find_place", merchant_id=caller.merchant) as tx:
        place = await evidence.find_place(tx, **named, upload_id=upload_id)
    offered = await evidence.fetch_left(state.files, place, sha256=sha256)
    # Copied to a path of its own: the link stays good a while, and may be written to again.
    row, is_new = await add_file(state, caller, id_=id_, offered=offered)
    async with state.money.transaction("disputes.confirm", merchant_id=caller.merchant) as tx:
        await evidence.confirm_place(tx, **named, upload_id=upload_id)
    return row, is_new


async def save_draft(state: State, caller: Caller, *, id_: str, statement: str) -> Dispute:
    """
    Keep the text of an answer.

    Raises:
        MerchantFrozen, DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
    """
    async with state.money.transaction("disputes.save_draft", merchant_id=caller.merchant) as tx:
        await ensure_may_change(tx, caller.merchant, now=state.clock.now())
        return await commands.save_draft(
            tx, merchant_id=caller.merchant, id_=id_, statement=statement, by=caller.subject
        )


async def submit(tx: Tx, state: State, caller: Caller, *, id_: str, answer: Answer) -> Submitted:
    """
    Send the answer, once.

    Raises:
        MerchantFrozen, DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
        AnswerEmpty, AnswerChanged
    """
    await ensure_may_change(tx, caller.merchant, now=state.clock.now())
    done = await commands.submit(
        tx, merchant_id=caller.merchant, id_=id_, answer=answer, by=By(caller.subject)
    )
    if done.is_new:
        await trail.record(
            tx,
            caller,
            action_type="dispute_submitted",
            resource_type="dispute",
            resource_id=id_,
            before={"state": "needs_response"},
            after={
                "state": done.dispute.state.value,
                "manifest_sha256": done.submission.manifest_sha256,
            },
        )
    return done


async def accept(tx: Tx, state: State, caller: Caller, *, id_: str) -> Dispute:
    """
    Concede a dispute.

    Raises:
        MerchantFrozen, DisputeAbsent, AnswerFinal, DeadlinePassed, DisputeNotOpen
    """
    await ensure_may_change(tx, caller.merchant, now=state.clock.now())
    dispute, is_new = await commands.accept(
        tx, merchant_id=caller.merchant, id_=id_, by=caller.subject
    )
    if is_new:
        await trail.record(
            tx,
            caller,
            action_type="dispute_accepted",
            resource_type="dispute",
            resource_id=id_,
            before={"state": "needs_response"},
            after={
                "state": dispute.state.value,
                "amount": dispute.amount,
                "currency": dispute.currency,
            },
        )
    return dispute


async def _record_file(
    tx: Tx, caller: Caller, row: EvidenceRow, *, id_: str, action_type: str
) -> None:
    file = {"id": str(row.id), "name": row.file_name, "kind": row.kind, "sha256": row.sha256}
    is_added = action_type == _ADDED
    await trail.record(
        tx,
        caller,
        action_type=action_type,
        resource_type="dispute",
        resource_id=id_,
        before={} if is_added else file,
        after=file if is_added else {},
    )
