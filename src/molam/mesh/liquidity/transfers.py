"""Money on its way between two of our accounts, until the second bank's statement shows it."""

from __future__ import annotations

import structlog

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.ledger import commands as ledger
from molam.mesh.liquidity import plan_store, pool_store
from molam.mesh.liquidity.model import TransferAbsent
from molam.mesh.liquidity.plan_store import TransferRow
from molam.payments.statements import own_lines
from molam.platform.db import Database, Tx

log = structlog.get_logger()

ON_THE_WAY = "transit:banks"
EXCHANGED = "fx:conversion"
LINES_AT_ONCE = 500

# Note [Between two banks]
#
# Money that has left one bank and reached no other is ours all the same. It leaves the
# first bank's account when the order is given, so that nobody counts on it there, and
# reaches the second's when that bank says so: by a line of its statement which has the
# order's reference and its very amount, or because somebody looked it up there. In
# between it stands on an account of its own, whose balance is what is on the way.


def reference_of(transfer_id: str) -> str:
    """Return what the order at the bank carries, so that statements bring it back."""
    return f"MOLAM-TR-{transfer_id[-16:].upper()}"


def leaving(
    transfer_id: str, bank: str, amount: int, currency: str, *, at: Instant
) -> ledger.OwnTransfer:
    """Write the first half: the money is at the bank no more."""
    return ledger.OwnTransfer(
        id=uuid8(f"bank-transfer/{transfer_id}/sent"),
        source=ON_THE_WAY,
        target=ledger.at_bank(bank),
        amount=amount,
        currency=currency,
        cause="bank_transfer_sent",
        cause_id=f"transfer:{transfer_id}",
        occurred_at=at,
    )


async def receive(tx: Tx, transfer_id: str, *, by: str, at: Instant) -> TransferRow:
    """
    Book that a transfer has arrived; repeating it changes nothing.

    Raises:
        TransferAbsent: there is none.
    """
    await tx.run(plan_store.LOCK_TRANSFER, id=transfer_id)
    row = await find(tx, transfer_id)
    if await tx.run(plan_store.SET_RECEIVED, id=transfer_id, by=by):
        await ledger.post(tx, _arriving(row, at))
        await tx.run(pool_store.NOTIFY_PAGES)
    return await find(tx, transfer_id)


async def find(tx: Tx, transfer_id: str) -> TransferRow:
    """
    Raises:
        TransferAbsent: there is none.
    """
    row = await tx.one(plan_store.FIND_TRANSFER, id=transfer_id)
    if row is None:
        raise TransferAbsent("Transfers are listed by GET /api/mesh/liquidity/transfers.")
    return row


async def confirm_by_statements(db: Database, *, now: Instant) -> int:
    """Match lines of statements with our own transfers and draws; return how many matched."""
    found = await db.read(plan_store.LIST_OWN_LINES, limit=LINES_AT_ONCE)
    matched = 0
    for line in found:
        async with db.transaction("liquidity.confirm") as tx:
            is_new = await own_lines.match(
                tx,
                own_lines.Own(
                    line_id=line.line_id,
                    bank_profile_id=line.bank_profile_id,
                    currency=line.currency,
                    movement_id=line.movement_id,
                    leaves=line.leaves,
                ),
            )
            if not is_new:
                continue
            matched += 1
            if line.is_transfer and line.leaves:
                await tx.run(plan_store.SET_LEFT, id=line.movement_id)
            elif line.is_transfer:
                await receive(tx, line.movement_id, by="statement", at=now)
    if matched:
        log.info("liquidity.transfers.confirmed", lines=matched)
    return matched


def _arriving(row: TransferRow, at: Instant) -> list[ledger.OwnTransfer]:
    """Write the second half; what was exchanged changes its currency on an account of its own."""

    def step(name: str, source: str, target: str, money: tuple[int, str]) -> ledger.OwnTransfer:
        cause = "bank_transfer_received" if name == "received" else "bank_transfer_exchanged"
        return ledger.OwnTransfer(
            id=uuid8(f"bank-transfer/{row.id}/{name}"),
            source=source,
            target=target,
            amount=money[0],
            currency=money[1],
            cause=cause,
            cause_id=f"transfer:{row.id}",
            occurred_at=at,
        )

    arrived = (row.arrives, row.to_currency)
    found = [step("received", ledger.at_bank(row.to_bank_id), ON_THE_WAY, arrived)]
    if row.currency != row.to_currency:
        found.append(step("given", EXCHANGED, ON_THE_WAY, (row.amount, row.currency)))
        found.append(step("taken", ON_THE_WAY, EXCHANGED, arrived))
    return found
