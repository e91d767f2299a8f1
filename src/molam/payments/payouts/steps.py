"""One step of one payout: its row, its timeline, its money and its news, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.ledger import commands as ledger
from molam.ledger.commands import Transfer
from molam.payments.payouts import model, recalls, store
from molam.payments.payouts.model import State
from molam.payments.payouts.store import PayoutRow
from molam.payments.payouts.telling import Told, reserve_id, tell
from molam.platform.db import Tx


@dataclass(frozen=True, slots=True)
class Said:
    """What the timeline says of a step: a word of ours, who took it, and its particulars."""

    what: str
    actor: str
    detail: Mapping[str, object]


async def move(tx: Tx, before: PayoutRow, after: PayoutRow, said: Said) -> None:
    """
    Take a locked payout from *before* to *after*, two versions of one row.

    Only the columns of `store.SET_STATE` may differ; the version is counted up there.
    """
    old, new = State(before.state), State(after.state)
    assert old is new or new in model.MOVES[old], f"{before.id}: {old} to {new}"
    written = await tx.run(
        store.SET_STATE,
        merchant_id=before.merchant_id,
        id=before.id,
        old=before.state,
        new=after.state,
        held_reason=after.held_reason,
        held_until=after.held_until,
        in_doubt_since=after.in_doubt_since,
        provider_ref=after.provider_ref,
        failure_code=after.failure_code,
        failure_reason=after.failure_reason,
        bank_profile_id=after.bank_profile_id,
        retry_wanted=after.retry_wanted,
        owns_entries=after.owns_entries,
        reserves=after.reserves,
        attempts=after.attempts,
        submitted_at=after.submitted_at,
        what=said.what,
        actor=said.actor,
        detail=dict(said.detail),
    )
    assert written == 1, "the row was locked"
    if new is not old and new in {State.RETURNED, State.FAILED}:
        await recalls.note_ended(tx, before.id, is_back=new is State.RETURNED)


async def announce(tx: Tx, row: PayoutRow, *, version: int, at: Instant) -> None:
    """Tell lists, figures and the merchant's systems where *row* has got to."""
    assert row.reference_code is not None
    assert row.scheduled_for is not None
    await tell(
        tx,
        [
            Told(
                id=row.id,
                merchant_id=row.merchant_id,
                state=State(row.state),
                amount=row.amount,
                currency=row.currency,
                version=version,
                occurred_at=row.occurred_at,
                reference_code=row.reference_code,
                scheduled_for=row.scheduled_for,
                failure_code=row.failure_code,
            )
        ],
        at=at,
    )


async def release(tx: Tx, row: PayoutRow, *, at: Instant) -> None:
    """Put a payout's money back into the balance, and its entries up for the next one."""
    # The balance first, as a run locks it before it looks for entries.
    await _post(
        tx,
        row,
        uuid8(f"payout/{row.id}/release/{row.reserves}"),
        (ledger.in_payout(row.merchant_id), ledger.available(row.merchant_id), "payout_released"),
        at=at,
    )
    await _free_entries(tx, row)


async def reserve_again(tx: Tx, row: PayoutRow, *, at: Instant) -> PayoutRow:
    """
    Let a failed payout own its entries once more, and set its money aside.

    Raises:
        model.EntriesTaken: another payout pays some of them by now.
    """
    await ledger.lock_available(tx, merchant_id=row.merchant_id, currency=row.currency)
    owned = await tx.one(
        store.REOWN_ENTRIES, merchant_id=row.merchant_id, id=row.id, round=row.reserves
    )
    assert owned is not None
    if owned.count != row.entry_count:
        raise model.EntriesTaken("What it would pay is part of a later payout.")
    again = replace(row, reserves=row.reserves + 1, owns_entries=True)
    await _post(
        tx,
        again,
        uuid8(reserve_id(again.id, again.reserves)),
        (ledger.available(row.merchant_id), ledger.in_payout(row.merchant_id), "payout_reserved"),
        at=at,
    )
    return again


async def settle_money(tx: Tx, row: PayoutRow, money: model.Money, *, at: Instant) -> None:
    """Move what a bank's word moves; see Note [Late truth]."""
    balance, bank = ledger.available(row.merchant_id), _bank(row)
    match money:
        case "stays":
            return
        case "releases":
            await release(tx, row, at=at)
        case "pays":
            way = (ledger.in_payout(row.merchant_id), bank, "payout_sent")
            await _post(tx, row, uuid8(f"payout/{row.id}/sent"), way, at=at)
        case "returns":
            way = (bank, balance, "payout_returned")
            await _post(tx, row, uuid8(f"payout/{row.id}/returned"), way, at=at)
            await _free_entries(tx, row)
        case "pays_late":
            way = (balance, bank, "payout_paid_late")
            await _post(tx, row, uuid8(f"payout/{row.id}/sent"), way, at=at)
        case "returns_late":
            way = (bank, balance, "payout_returned_late")
            await _post(tx, row, uuid8(f"payout/{row.id}/returned"), way, at=at)


async def _free_entries(tx: Tx, row: PayoutRow) -> None:
    assert row.owns_entries, f"{row.id} owns nothing"
    freed = await tx.one(
        store.RELEASE_ENTRIES,
        merchant_id=row.merchant_id,
        id=row.id,
        currency=row.currency,
        round=row.reserves,
    )
    assert freed is not None
    assert freed.count == row.entry_count, f"{row.id} owned {freed.count} entries"


def _bank(row: PayoutRow) -> str:
    # What was never given to a bank cannot have been settled by one.
    return ledger.at_bank(row.bank_profile_id or "unknown")


async def _post(
    tx: Tx, row: PayoutRow, id_: UUID, way: tuple[str, str, str], *, at: Instant
) -> None:
    source, target, cause = way
    await ledger.post(
        tx,
        [
            Transfer(
                id=id_,
                source=source,
                target=target,
                amount=row.amount,
                currency=row.currency,
                merchant_id=row.merchant_id,
                cause=cause,
                cause_id=row.id,
                occurred_at=at,
            )
        ],
    )
