"""The statements about refunds that another service decides about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.payments.refunds.store import OfMerchantRow
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """Where a payment and its merchant are, and what the time is."""

    payment_country: str | None
    merchant_country: str
    now: datetime


@dataclass(frozen=True, slots=True)
class RemoteRow:
    request: dict[str, Any]
    payload_hash: str
    asked_at: datetime | None
    failures: int
    failing_since: datetime | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class DueRow:
    """A refund that the service is to be asked about now."""

    merchant_id: str
    refund_id: str
    request: dict[str, Any]
    payload_hash: str
    failures: int
    approval_id: str | None


@dataclass(frozen=True, slots=True)
class OverdueRow:
    is_overdue: bool


READ_PLACE = Query(
    """
    /* refunds.read_place */
    select w.metadata ->> 'country' as payment_country, m.country as merchant_country, now() as now
      from payments.wallet_transactions w
      join tenancy.merchants m on m.id = w.merchant_id
     where w.merchant_id = :merchant_id and w.type = 'payment' and w.id = :transaction_id
    """,
    row=PlaceRow,
)

INSERT_REMOTE = Query(
    """
    /* refunds.insert_remote */
    insert into payments.remote_approvals (merchant_id, refund_id, request, payload_hash)
    values (:merchant_id, :refund_id, :request, :payload_hash)
    """,
    row=Nothing,
)

FIND_REMOTE = Query(
    """
    /* refunds.find_remote */
    select request, payload_hash, asked_at, failures, failing_since, trouble
      from payments.remote_approvals
     where merchant_id = :merchant_id and refund_id = :refund_id
    """,
    row=RemoteRow,
)

# Whoever asks holds the refund for as long as an answer may take; if they die, another
# asks again under the same key.
CLAIM_REMOTE = Query(
    """
    /* refunds.claim_remote */
    update payments.remote_approvals q
       set next_look_at = now() + make_interval(secs => :lease_s)
      from payments.refunds r
     where q.merchant_id = :merchant_id
       and q.refund_id = :refund_id
       and q.next_look_at <= now()
       and r.merchant_id = q.merchant_id
       and r.id = q.refund_id
       and r.state = 'awaiting_approval'
       and r.expires_at > now()
    returning q.merchant_id, q.refund_id, q.request, q.payload_hash, q.failures, r.approval_id
    """,
    row=DueRow,
)

# Hearing from the service at all ends its trouble.
SET_HEARD = Query(
    """
    /* refunds.set_heard */
    update payments.remote_approvals
       set asked_at = coalesce(asked_at, now()),
           failures = 0,
           failing_since = null,
           trouble = null,
           next_look_at = now() + make_interval(secs => :delay_s)
     where merchant_id = :merchant_id and refund_id = :refund_id
    """,
    row=Nothing,
)

SET_TROUBLE = Query(
    """
    /* refunds.set_trouble */
    update payments.remote_approvals
       set failures = failures + 1,
           failing_since = coalesce(failing_since, now()),
           trouble = :trouble,
           next_look_at = now() + make_interval(secs => :delay_s)
     where merchant_id = :merchant_id and refund_id = :refund_id
    """,
    row=Nothing,
)

SET_REMOTE_ID = Query(
    """
    /* refunds.set_remote_id */
    update payments.refunds
       set approval_id = :approval_id
     where merchant_id = :merchant_id
       and id = :refund_id
       and approval_via = 'remote'
       and approval_id is null
    """,
    row=Nothing,
)

# By the clock itself, not by the transaction's beginning: it may have waited for a lock.
IS_OVERDUE = Query(
    """
    /* refunds.is_overdue */
    select expires_at <= clock_timestamp() as is_overdue
      from payments.refunds
     where merchant_id = :merchant_id and id = :refund_id
    """,
    row=OverdueRow,
)

LIST_DUE = Query(
    """
    /* refunds.list_due */
    select q.merchant_id, q.refund_id as id
      from payments.refunds r
      join payments.remote_approvals q on q.merchant_id = r.merchant_id and q.refund_id = r.id
     where r.state = 'awaiting_approval'
       and r.expires_at > now()
       and q.next_look_at < now() - make_interval(secs => :late_s)
     order by q.next_look_at
     limit :limit
    """,
    row=OfMerchantRow,
)

LIST_OVERDUE = Query(
    """
    /* refunds.list_overdue */
    select merchant_id, id
      from payments.refunds
     where state = 'awaiting_approval'
       and approval_via = 'remote'
       and expires_at <= now()
     order by expires_at
     limit :limit
    """,
    row=OfMerchantRow,
)
