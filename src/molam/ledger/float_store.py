"""The statements about agents' floats: the cash they pay out of, kept with us."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class BalanceRow:
    id: str
    balance: int


@dataclass(frozen=True, slots=True)
class MovementRow:
    """One movement of a float, as its agent sees it: what came in is positive."""

    id: UUID
    amount: int
    currency: str
    cause: str
    cause_id: str
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class MoveRow:
    id: UUID


@dataclass(frozen=True, slots=True)
class MerchantBalanceRow:
    currency: str
    balance: int


# An agent cannot pay out what it does not have; the treasury funds what is asked.
# The owner is left out: that column lets a merchant read the account.
PUT_FLOAT = Query(
    """
    /* ledger.put_float */
    insert into ledger.accounts (id, kind, currency, floor)
    values (:id, 'agent_float', :currency, 0)
    on conflict (id) do nothing
    """,
    row=Nothing,
    locks=Rank.LEDGER_ACCOUNT,
)

LOCK_FLOAT = Query(
    """
    /* ledger.lock_float */
    select id, balance
      from ledger.accounts
     where id = :id
       for update
    """,
    row=BalanceRow,
    locks=Rank.LEDGER_ACCOUNT,
)

FIND_FLOAT = Query(
    """
    /* ledger.find_float */
    select id, balance
      from ledger.accounts
     where id = :id
    """,
    row=BalanceRow,
)

LIST_MOVEMENTS = Query(
    """
    /* ledger.list_movements */
    select id,
           case when target = :account_id then amount else -amount end as amount,
           currency, cause, cause_id, posted_at
      from ledger.transfers
     where agent_id = :agent_id
     order by posted_at desc, id desc
     limit :limit
    """,
    row=MovementRow,
)

FIND_MOVE = Query(
    """
    /* ledger.find_move */
    select id
      from ledger.transfers
     where id = :id
    """,
    row=MoveRow,
)

LIST_MERCHANT_BALANCES = Query(
    """
    /* ledger.list_merchant_balances */
    select currency, balance
      from ledger.accounts
     where owner_id = :merchant_id
       and kind = 'merchant_available'
     order by currency
    """,
    row=MerchantBalanceRow,
)
