"""The statements that list and find transactions and disputes of one merchant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


@dataclass(frozen=True, slots=True)
class TransactionRow:
    type: str
    id: str
    status: str
    state: str
    amount: int
    currency: str
    fee_molam: int
    reference_code: str | None
    channel: str
    provider: str | None
    occurred_at: datetime
    customer: dict[str, Any]
    metadata: dict[str, Any]
    refunded_amount: int
    original_id: str | None
    reason: str | None
    imported: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class DisputeRow:
    id: str
    transaction_id: str | None
    status: str
    state: str
    reason: str | None
    amount: int
    currency: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class AnyTransactionRow:
    """A transaction as operations find it, whoever's it is."""

    merchant_id: str
    merchant_name: str
    type: str
    id: str
    status: str
    state: str
    amount: int
    currency: str
    reference_code: str | None
    provider: str | None
    occurred_at: datetime
    customer_name: str | None


_COLUMNS = """type, id, status, state, amount, currency, fee_molam, reference_code, channel, provider,
           occurred_at, customer, metadata, refunded_amount, original_id, reason, imported,
           created_at, updated_at"""

# The conditions every list shares. One that is not asked for is null; they only
# filter, so a plan made for all parameters serves each. What decides how much is
# read (position, dates, status, search) is never optional: see the statements.
_FILTERS = """
       and occurred_at >= :from_at
       and occurred_at < :to_at
       and (:type::text is null or type = :type)
       and (:channel::text is null or channel = :channel)
       and (:currency::text is null or currency = :currency)
       and (:amount_min::bigint is null or amount >= :amount_min)
       and (:amount_max::bigint is null or amount <= :amount_max)"""

_OLDER = """
       and (occurred_at, id, type) < (:at::timestamptz, :id::text, :of_type::text)"""
_NEWER = """
       and (occurred_at, id, type) > (:at::timestamptz, :id::text, :of_type::text)"""
_OLDEST_LAST = """
     order by occurred_at desc, id desc, type desc
     limit :limit offset :offset"""
_OLDEST_FIRST = """
     order by occurred_at, id, type
     limit :limit offset :offset"""

_FROM = """
      from payments.wallet_transactions
     where merchant_id = :merchant_id"""

# Prefixes are ranges of the pattern operators, which an index answers whatever
# the parameter: a LIKE whose pattern is unknown at planning time would not be.
_FOUND = """
       and (type, id) in (
           select type, id from payments.wallet_transactions
            where merchant_id = :merchant_id and lower(reference_code) ~>=~ :low and lower(reference_code) ~<~ :high
            union
           select type, id from payments.wallet_transactions
            where merchant_id = :merchant_id and lower(customer ->> 'name') ~>=~ :low and lower(customer ->> 'name') ~<~ :high
            union
           select type, id from payments.wallet_transactions
            where merchant_id = :merchant_id and lower(customer ->> 'email') ~>=~ :low and lower(customer ->> 'email') ~<~ :high
            union
           select type, id from payments.wallet_transactions
            where merchant_id = :merchant_id and (customer ->> 'phone') ~>=~ :low and (customer ->> 'phone') ~<~ :high
            union
           select type, id from payments.wallet_transactions
            where merchant_id = :merchant_id and type in ('payment', 'refund') and id = :exact)
       and (:status::text is null or status = :status)"""

_STATUS = """
       and status = :status"""

LIST_OLDER = Query(
    "/* payments.list_older */ select " + _COLUMNS + _FROM + _OLDER + _FILTERS + _OLDEST_LAST,
    row=TransactionRow,
)
LIST_NEWER = Query(
    "/* payments.list_newer */ select " + _COLUMNS + _FROM + _NEWER + _FILTERS + _OLDEST_FIRST,
    row=TransactionRow,
)
LIST_STATUS_OLDER = Query(
    "/* payments.list_status_older */ select "
    + _COLUMNS
    + _FROM
    + _STATUS
    + _OLDER
    + _FILTERS
    + _OLDEST_LAST,
    row=TransactionRow,
)
LIST_STATUS_NEWER = Query(
    "/* payments.list_status_newer */ select "
    + _COLUMNS
    + _FROM
    + _STATUS
    + _NEWER
    + _FILTERS
    + _OLDEST_FIRST,
    row=TransactionRow,
)
SEARCH_OLDER = Query(
    "/* payments.search_older */ select "
    + _COLUMNS
    + _FROM
    + _FOUND
    + _OLDER
    + _FILTERS
    + _OLDEST_LAST,
    row=TransactionRow,
)
SEARCH_NEWER = Query(
    "/* payments.search_newer */ select "
    + _COLUMNS
    + _FROM
    + _FOUND
    + _NEWER
    + _FILTERS
    + _OLDEST_FIRST,
    row=TransactionRow,
)

_COUNTED = "select count(*) as count from (select 1" + _FROM
_AT_MOST = """
     limit :limit) as counted"""

COUNT_ALL = Query(
    "/* payments.count_all */ " + _COUNTED + _FILTERS + _AT_MOST,
    row=CountRow,
)
COUNT_STATUS = Query(
    "/* payments.count_status */ " + _COUNTED + _STATUS + _FILTERS + _AT_MOST,
    row=CountRow,
)
COUNT_FOUND = Query(
    "/* payments.count_found */ " + _COUNTED + _FOUND + _FILTERS + _AT_MOST,
    row=CountRow,
)

# The rows of those lists, whole, for whoever writes them out.
ROWS_ALL = "select *" + _FROM + _FILTERS
ROWS_OF_STATUS = "select *" + _FROM + _STATUS + _FILTERS
ROWS_FOUND = "select *" + _FROM + _FOUND + _FILTERS

FIND_TRANSACTION = Query(
    "/* payments.find_transaction */ select "
    + _COLUMNS
    + _FROM
    + """
       and id = :id and type in ('payment', 'refund')
     order by type
     limit 1""",
    row=TransactionRow,
)

LIST_REFUNDS = Query(
    "/* payments.list_refunds */ select "
    + _COLUMNS
    + _FROM
    + """
       and type = 'refund' and original_id = :id
     order by occurred_at, id
     limit 200""",
    row=TransactionRow,
)

LIST_DISPUTES = Query(
    """
    /* payments.list_disputes */
    select id, transaction_id, status, state, reason, amount, currency, occurred_at
      from payments.disputes
     where merchant_id = :merchant_id and transaction_id = :id
     order by occurred_at, id
     limit 50
    """,
    row=DisputeRow,
)

COUNT_OPEN_DISPUTES = Query(
    """
    /* payments.count_open_disputes */
    select count(*) as count
      from payments.disputes
     where merchant_id = :merchant_id
       and state in ('early_warning', 'needs_response', 'under_review', 'expired')
    """,
    row=CountRow,
)

_ANYBODYS = """
       t.merchant_id, m.name as merchant_name, t.type, t.id, t.status, t.state, t.amount, t.currency,
           t.reference_code, t.provider, t.occurred_at, t.customer ->> 'name' as customer_name"""

# Each half stops at the limit by itself, so a short text reads no more than a long one.
SEARCH_EVERYWHERE = Query(
    """
    /* payments.search_everywhere */
    with found as (
        (select merchant_id, type, id
           from payments.wallet_transactions
          where id ~>=~ :exact and id ~<~ :exact_beyond
          order by id using ~<~
          limit :limit)
         union
        (select merchant_id, type, id
           from payments.wallet_transactions
          where reference_code is not null
            and lower(reference_code) ~>=~ :low and lower(reference_code) ~<~ :high
          order by lower(reference_code) using ~<~
          limit :limit)
    )
    select """
    + _ANYBODYS
    + """
      from found
      join payments.wallet_transactions t using (merchant_id, type, id)
      join tenancy.merchants m on m.id = t.merchant_id
     order by (t.id = :exact) desc, t.occurred_at desc, t.id desc, t.merchant_id
     limit :limit""",
    row=AnyTransactionRow,
)

LIST_NEWEST = Query(
    "/* payments.list_newest */ select "
    + _ANYBODYS
    + """
      from payments.wallet_transactions t
      join tenancy.merchants m on m.id = t.merchant_id
     where t.merchant_id = :merchant_id
     order by t.occurred_at desc, t.id desc, t.type desc
     limit :limit""",
    row=AnyTransactionRow,
)
