"""The statements that find what a merchant's webhooks are to hear of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class PaidRow:
    merchant_id: str
    id: str
    amount: int
    fee: int
    currency: str
    method: str
    occurred_at: datetime
    reference_code: str | None
    settled: bool


# Of payments that several events of a batch are about, the latest word counts.
FIND_PAID = Query(
    """
    /* merchant.find_paid */
    select merchant_id, id, amount, fee, currency, method, occurred_at, reference_code, settled
      from (
        select distinct on (f.merchant_id, f.id)
               f.merchant_id, f.id, f.amount, f.fee, f.currency, f.method, f.occurred_at,
               f.reference_code, f.state = 'succeeded' as settled
          from payments.facts_in(:events::json) as f
         where f.kind = 'payment' and f.merchant_id = any(:merchants::text[])
         order by f.merchant_id, f.id, f.version desc, f.rank desc) as latest
     where settled
     order by occurred_at, id
    """,
    row=PaidRow,
)


@dataclass(frozen=True, slots=True)
class MovedRow:
    merchant_id: str
    currency: str


# Whose figures have moved since they were last told, of those who want to hear.
FIND_MOVED = Query(
    """
    /* merchant.find_moved */
    select h.merchant_id, s.default_currency as currency
      from merchant.kpi_heads as h
      join merchant.merchant_dashboards as s on s.merchant_id = h.merchant_id
     where h.merchant_id = any(:merchants::text[])
       and not exists (
           select from webhooks.webhook_events as e
            where e.merchant_id = h.merchant_id
              and e.event = 'merchant.metrics.updated'
              and e.object_id = 'mtd'
              and e.version >= h.version)
     order by h.merchant_id
    """,
    row=MovedRow,
)
