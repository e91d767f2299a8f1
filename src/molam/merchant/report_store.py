"""Every statement about the files that merchants ask for, beside those that fill them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class ExportRow:
    id: UUID
    merchant_id: str
    kind: str
    format: str
    asked: dict[str, Any]
    state: str
    rows_done: int
    rows_total: int | None
    file_path: str | None
    file_name: str
    bytes: int | None
    sha256: str | None
    reason: str | None
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


@dataclass(frozen=True, slots=True)
class PathRow:
    file_path: str


@dataclass(frozen=True, slots=True)
class MerchantRow:
    """Who a document is from, and the words and days it is written in."""

    id: str
    name: str
    city: str | None
    country: str
    ninea: str | None
    rccm: str | None
    timezone: str
    currency: str


@dataclass(frozen=True, slots=True)
class MonthRow:
    month: str
    currency: str


_COLUMNS = """id, merchant_id, kind, format, asked, state, rows_done, rows_total, file_path, file_name, bytes,
           sha256, reason, requested_by, created_at, finished_at, expires_at"""

FIND_SAME = Query(
    """
    /* merchant.find_same_export */
    select """
    + _COLUMNS
    + """
      from merchant.exports
     where merchant_id = :merchant_id and fingerprint = :fingerprint
       and state in ('queued', 'running', 'done')
       and created_at > now() - make_interval(secs => :seconds)
     order by created_at desc
     limit 1
    """,
    row=ExportRow,
)

COUNT_UNFINISHED = Query(
    """
    /* merchant.count_unfinished_exports */
    select count(*) as count
      from merchant.exports
     where merchant_id = :merchant_id and state in ('queued', 'running')
       and created_at > now() - interval '1 hour'
    """,
    row=CountRow,
)

ADD = Query(
    """
    /* merchant.add_export */
    insert into merchant.exports
           (id, merchant_id, kind, format, asked, fingerprint, minute, file_name, requested_by)
    values (:id, :merchant_id, :kind, :format, :asked::jsonb, :fingerprint,
            extract(epoch from now())::bigint / 60, :file_name, :requested_by)
        on conflict (merchant_id, fingerprint, minute) where state <> 'failed' do nothing
    returning """
    + _COLUMNS,
    row=ExportRow,
)

FIND = Query(
    """
    /* merchant.find_export */
    select """
    + _COLUMNS
    + """
      from merchant.exports
     where merchant_id = :merchant_id and id = :id
    """,
    row=ExportRow,
)

LIST = Query(
    """
    /* merchant.list_exports */
    select """
    + _COLUMNS
    + """
      from merchant.exports
     where merchant_id = :merchant_id
     order by created_at desc, id desc
     limit :limit
    """,
    row=ExportRow,
)

BEGIN = Query(
    """
    /* merchant.begin_export */
    update merchant.exports
       set state = 'running', started_at = now(), rows_done = 0, rows_total = null
     where merchant_id = :merchant_id and id = :id and state in ('queued', 'running')
    """,
    row=Nothing,
)

SET_TOTAL = Query(
    """
    /* merchant.set_export_total */
    update merchant.exports
       set rows_total = :rows
     where merchant_id = :merchant_id and id = :id and state = 'running'
    """,
    row=Nothing,
)

SET_PROGRESS = Query(
    """
    /* merchant.set_export_progress */
    update merchant.exports
       set rows_done = least(:rows, coalesce(rows_total, :rows))
     where merchant_id = :merchant_id and id = :id and state = 'running'
    """,
    row=Nothing,
)

FINISH = Query(
    """
    /* merchant.finish_export */
    update merchant.exports
       set state = 'done', rows_done = :rows, rows_total = :rows, file_path = :file_path, bytes = :bytes,
           sha256 = :sha256, finished_at = now(), expires_at = now() + make_interval(secs => :kept_s)
     where merchant_id = :merchant_id and id = :id and state = 'running'
    """,
    row=Nothing,
)

FAIL = Query(
    """
    /* merchant.fail_export */
    update merchant.exports
       set state = 'failed', reason = :reason, finished_at = now()
     where merchant_id = :merchant_id and id = :id and state in ('queued', 'running')
    """,
    row=Nothing,
)

# Marked first and removed after, so that no row promises a file that is gone.
EXPIRE = Query(
    """
    /* merchant.expire_exports */
    update merchant.exports
       set state = 'expired'
     where id in (select id from merchant.exports
                   where state = 'done' and expires_at < now()
                   order by expires_at
                   limit :limit
                     for update skip locked)
    returning file_path
    """,
    row=PathRow,
)

PURGE = Query(
    """
    /* merchant.purge_exports */
    delete from merchant.exports
     where created_at < now() - make_interval(days => :days) and state in ('expired', 'failed')
    """,
    row=Nothing,
)

# An hour is more than any export takes; whoever had it will not come back.
GIVE_UP = Query(
    """
    /* merchant.give_up_exports */
    update merchant.exports
       set state = 'failed', reason = 'given-up', finished_at = now()
     where state in ('queued', 'running') and created_at < now() - interval '6 hours'
    """,
    row=Nothing,
)

FIND_MERCHANT = Query(
    """
    /* merchant.find_document_head */
    select m.id, m.name, m.city, m.country, m.ninea, m.rccm, d.timezone, d.default_currency as currency
      from tenancy.merchants m
      join merchant.merchant_dashboards d on d.merchant_id = m.id
     where m.id = :merchant_id
    """,
    row=MerchantRow,
)

# The months in which something moved: from the first entry to the last month that is over.
LIST_MONTHS = Query(
    """
    /* merchant.list_statement_months */
    select to_char(month, 'YYYY-MM') as month, first.currency
      from (select currency, min(posted_at) as at
              from ledger.transfers
             where merchant_id = :merchant_id
             group by currency) as first
     cross join lateral generate_series(
           date_trunc('month', greatest(first.at at time zone :timezone,
                                        (now() at time zone :timezone) - interval '24 months')),
           date_trunc('month', now() at time zone :timezone) - interval '1 month',
           interval '1 month') as month
     order by 1 desc, 2
     limit 60
    """,
    row=MonthRow,
)
