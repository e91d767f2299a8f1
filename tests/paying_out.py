"""Merchants with sales on a ledger, and the clock moved by moving everything else back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from builders import a_merchant
from molam.kernel.ids import uuid7
from molam.ledger import commands as ledger
from molam.ledger.commands import Transfer
from molam.payments.banks.model import Instruction, Outcome, OutcomeState
from molam.payments.payouts import commands, run, run_store
from molam.payments.payouts import settings as payout_settings
from molam.payments.payouts.sending import PayoutOwner
from molam.payments.payouts.store import PayoutRow
from molam.platform.db import Database

MERCHANT = "merchant-123"
WALLET: dict[str, object] = {
    "type": "wallet",
    "provider": "wave",
    "phone": "+221770000001",
    "holder": "Boutique Sandaga",
}
OTHER_WALLET = {**WALLET, "phone": "+221770000002"}
BANK = "bp_wave"
OWNER = PayoutOwner()


async def a_bank(db: Database, *, id_: str = BANK, currencies: Sequence[str] = ("XOF",)) -> str:
    """A wallet operator that carries payouts, and the routes to it."""
    async with db.transaction("tests.a_bank") as tx:
        await tx.connection.execute(
            "insert into payments.bank_profiles (id, name, country, currency_codes, rails,"
            " provider_type, status, enabled, connector)"
            " values ($1, 'Wave', 'SN', $2, '{wallet:wave,bank}', 'wallet', 'active', true,"
            " 'http_bank') on conflict (id) do nothing",
            *(id_, list(currencies)),
        )
        for currency in currencies:
            for rail in ("wallet:wave", "bank"):
                await tx.connection.execute(
                    "insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)"
                    " values ($1, $2, array[$3], 'tests')",
                    *(currency, rail, id_),
                )
    return id_


async def a_payee(
    db: Database,
    *,
    id_: str = MERCHANT,
    interval: str = "manual",
    delay_days: int = 0,
    minimum: int = 0,
    due: bool = False,
    **merchant: Any,
) -> str:
    """A merchant that can be paid, by hand unless *interval* says otherwise; *due* is now."""
    await a_merchant(db, id_=id_, **merchant)
    currency = merchant.get("currency", "XOF")
    async with db.transaction("tests.a_payee") as tx:
        await payout_settings.put_destination(
            tx, merchant_id=id_, currency=currency, written=WALLET, by="tests", hold_hours=0
        )
        await tx.connection.execute(
            "insert into payments.payout_schedules (merchant_id, currency, interval, delay_days,"
            " minimum, next_at, updated_by) values ($1, $2, $3, $4, $5, $6, 'tests')",
            *(id_, currency, interval, delay_days, minimum),
            datetime.now(UTC) - timedelta(minutes=1) if due else None,
        )
    return id_


async def an_entry(
    db: Database,
    amount: int,
    *,
    merchant_id: str = MERCHANT,
    currency: str = "XOF",
    cause: str = "",
    cause_id: str = "",
    age: timedelta = timedelta(days=3),
) -> UUID:
    """Money that came into a merchant's balance, or went out of it (below zero)."""
    id_, balance = uuid4(), ledger.available(merchant_id)
    way = ("customers:wallet", balance) if amount > 0 else (balance, "customers:wallet")
    async with db.transaction("tests.an_entry") as tx:
        await ledger.post(
            tx,
            [
                Transfer(
                    id=id_,
                    source=way[0],
                    target=way[1],
                    amount=abs(amount),
                    currency=currency,
                    merchant_id=merchant_id,
                    cause=cause or ("payment" if amount > 0 else "refund_reserved"),
                    cause_id=cause_id or f"tx_{id_.hex[:8]}",
                    occurred_at=datetime.now(UTC) - age,
                )
            ],
        )
    return id_


async def ask(
    db: Database, *, merchant_id: str = MERCHANT, currency: str = "XOF", expected: int | None = None
) -> PayoutRow:
    async with db.transaction("tests.ask", merchant_id=merchant_id) as tx:
        return await commands.request(
            tx,
            merchant_id=merchant_id,
            currency=currency,
            expected_amount=expected,
            by="awa.diop",
        )


async def claim(db: Database, payout_id: str) -> Instruction | None:
    async with db.transaction("tests.claim") as tx:
        return await OWNER.claim(tx, payout_id)


async def settle(db: Database, payout_id: str, state: OutcomeState, **said: Any) -> None:
    outcome = Outcome(
        state=state,
        provider_ref=said.get("provider_ref"),
        code=said.get("code"),
        reason=said.get("reason"),
        at=datetime.now(UTC),
    )
    async with db.transaction("tests.settle") as tx:
        await OWNER.settle(tx, payout_id, outcome)


async def cancel(db: Database, payout_id: str, *, merchant_id: str = MERCHANT) -> PayoutRow:
    async with db.transaction("tests.cancel", merchant_id=merchant_id) as tx:
        _, after = await commands.cancel(
            tx, merchant_id=merchant_id, payout_id=payout_id, by="awa.diop", at=datetime.now(UTC)
        )
        return after


async def try_again(db: Database, payout_id: str) -> PayoutRow:
    async with db.transaction("tests.try_again") as tx:
        row = await commands.lock_any(tx, payout_id)
        return await commands.try_again(tx, row, by="ousmane.sow", at=datetime.now(UTC))


async def sql(db: Database, statement: str, *args: object) -> list[tuple[Any, ...]]:
    async with db.transaction("tests.sql") as tx:
        return [tuple(row) for row in await tx.connection.fetch(statement, *args)]


async def one(db: Database, statement: str, *args: object) -> Any:
    rows = await sql(db, statement, *args)
    return rows[0][0] if rows else None


async def state_of(db: Database, payout_id: str) -> str:
    return str(await one(db, "select state from payments.payouts where id = $1", payout_id))


async def balance(db: Database, kind: str = "available", *, merchant_id: str = MERCHANT) -> int:
    account = f"merchant:{merchant_id}:{kind}:XOF"
    return int(await one(db, "select balance from ledger.accounts where id = $1", account) or 0)


UNOWNED = """
    select coalesce(sum(case when t.target = a.id then t.amount else -t.amount end), 0)::bigint
      from ledger.accounts a
      join ledger.transfers t on a.id in (t.source, t.target)
     where a.id = 'merchant:' || $1 || ':available:XOF'
       and t.cause not in ('payout_reserved', 'payout_released', 'payout_returned')
       and not exists (select from payments.payout_entries e where e.transfer_id = t.id)
"""


@dataclass(frozen=True)
class Books:
    """What must agree about one merchant's money."""

    available: int
    unowned: int
    in_payout: int
    waiting: int
    owned: int
    live: int


async def books(db: Database, *, merchant_id: str = MERCHANT) -> Books:
    waiting, owned, live = (
        await sql(
            db,
            "select coalesce(sum(amount) filter (where state in"
            " ('scheduled', 'held', 'pending', 'in_transit')), 0)::bigint,"
            " (select coalesce(sum(e.amount), 0)::bigint from payments.payout_entries e"
            "   where e.merchant_id = $1),"
            " coalesce(sum(amount) filter (where owns_entries), 0)::bigint"
            " from payments.payouts where merchant_id = $1 and origin = 'molam'",
            merchant_id,
        )
    )[0]
    return Books(
        available=await balance(db, merchant_id=merchant_id),
        unowned=await one(db, UNOWNED, merchant_id),
        in_payout=await balance(db, "in_payout", merchant_id=merchant_id),
        waiting=waiting,
        owned=owned,
        live=live,
    )


async def agree(db: Database, *, merchant_id: str = MERCHANT) -> None:
    """Check what holds at any moment: P1, P5 and the balance equation."""
    found = await books(db, merchant_id=merchant_id)
    assert found.available == found.unowned, f"balance is not what nobody pays: {found}"
    assert found.in_payout == found.waiting, f"money under way is not that of payouts: {found}"
    assert found.owned == found.live, f"payouts do not pay what they own: {found}"
    assert not await sql(
        db, "select id from payments.payouts where origin = 'molam' and amount <= 0"
    )
    wrong = await sql(
        db,
        "select p.id, p.amount, sum(e.amount), count(*), p.entry_count from payments.payouts p"
        " join payments.payout_entries e on e.payout_id = p.id group by p.merchant_id, p.id"
        " having sum(e.amount) <> p.amount or count(*) <> p.entry_count",
    )
    assert not wrong, f"a payout is not the sum of its entries: {wrong}"
    assert not await sql(
        db,
        "select a.id, a.balance from ledger.accounts a left join ledger.entries e"
        " on e.account_id = a.id group by a.id, a.balance"
        " having a.balance <> coalesce(sum(e.amount), 0)",
    )


async def due_row(db: Database, *, merchant_id: str = MERCHANT) -> run_store.DueRow:
    async with db.transaction("tests.due") as tx:
        (found,) = await tx.all(run_store.FIND_SCHEDULES, merchant_id=merchant_id)
    return found


async def make_due(db: Database, *, merchant_id: str = MERCHANT) -> None:
    await sql(
        db,
        "update payments.payout_schedules set next_at = now() - interval '1 second'"
        " where merchant_id = $1 and interval <> 'manual'",
        merchant_id,
    )


def an_id() -> UUID:
    return uuid7(datetime.now(UTC))


run_due = run.run_due
