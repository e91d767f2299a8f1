"""The statements about what the product itself knows of a disputed payment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class PaymentRow:
    id: str
    amount: int
    currency: str
    reference_code: str | None
    channel: str
    provider: str | None
    occurred_at: datetime
    customer: dict[str, Any]
    metadata: dict[str, Any]
    refunded_amount: int
    state: str


@dataclass(frozen=True, slots=True)
class RefundRow:
    id: str
    amount: int
    currency: str
    occurred_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """What the same customer paid before, and how much of it was disputed."""

    payments: int
    first_at: datetime | None
    last_at: datetime | None
    disputed: int


FIND_PAYMENT = Query(
    """
    /* disputes.find_payment */
    select id, amount, currency, reference_code, channel, provider, occurred_at, customer, metadata,
           refunded_amount, state
      from payments.wallet_transactions
     where merchant_id = :merchant_id and type = 'payment' and id = :id
    """,
    row=PaymentRow,
)

LIST_REFUNDS = Query(
    """
    /* disputes.list_refunds */
    select id, amount, currency, occurred_at, state
      from payments.wallet_transactions
     where merchant_id = :merchant_id and type = 'refund' and original_id = :id
       and state in ('pending', 'succeeded')
     order by occurred_at, id
     limit 50
    """,
    row=RefundRow,
)

# By phone or by e-mail, each from its own index; 500 are enough to speak of a habit.
FIND_HISTORY = Query(
    """
    /* disputes.find_history */
    with mine as (
        (select id, occurred_at
           from payments.wallet_transactions
          where merchant_id = :merchant_id and type = 'payment' and state = 'succeeded'
            and (customer ->> 'phone') ~>=~ :phone and (customer ->> 'phone') ~<=~ :phone
            and id <> :id and occurred_at < :before
          limit 500)
         union
        (select id, occurred_at
           from payments.wallet_transactions
          where merchant_id = :merchant_id and type = 'payment' and state = 'succeeded'
            and lower(customer ->> 'email') ~>=~ :email and lower(customer ->> 'email') ~<=~ :email
            and id <> :id and occurred_at < :before
          limit 500)
    )
    select count(*)::int as payments, min(m.occurred_at) as first_at, max(m.occurred_at) as last_at,
           (count(*) filter (where exists (
               select from payments.disputes d
                where d.merchant_id = :merchant_id and d.transaction_id = m.id)))::int as disputed
      from mine m
    """,
    row=HistoryRow,
)
