"""Statements that tell repeated reports apart, and our own network's trouble from a bank's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class BankIdRow:
    bank_profile_id: str


@dataclass(frozen=True, slots=True)
class HeardRow:
    bank_profile_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class EventIdRow:
    event_id: UUID


@dataclass(frozen=True, slots=True)
class UnreachedRow:
    bank_profile_id: str
    at: datetime


LIST_KNOWN = Query(
    """
    /* signals.list_known */
    select id as bank_profile_id
      from payments.bank_profiles
     where id = any(:bank_ids::text[])
    """,
    row=BankIdRow,
)

# A report that is repeated, or one of many in ten seconds, counts once.
TAKE_REPORTS = Query(
    """
    /* signals.take_reports */
    insert into mesh.heard_reports (bank_profile_id, slot)
    select n.bank_id, n.slot
      from unnest(:bank_ids::text[], :slots::bigint[]) as n(bank_id, slot)
     order by n.bank_id, n.slot
        on conflict do nothing
    returning bank_profile_id, slot
    """,
    row=HeardRow,
)

TAKE_SIGNALS = Query(
    """
    /* signals.take_signals */
    insert into mesh.heard_signals (event_id)
    select n.id
      from unnest(:ids::uuid[]) as n(id)
     order by n.id
        on conflict do nothing
    returning event_id
    """,
    row=EventIdRow,
)

APPEND_UNREACHED = Query(
    """
    /* signals.append_unreached */
    insert into mesh.unreached (bank_profile_id, at)
    select n.bank_id, n.at
      from unnest(:bank_ids::text[], :ats::timestamptz[]) as n(bank_id, at)
     order by n.bank_id, n.at
        on conflict do nothing
    """,
    row=Nothing,
)

LIST_UNREACHED = Query(
    """
    /* signals.list_unreached */
    select distinct bank_profile_id, date_trunc('second', at) as at
      from mesh.unreached
     where at between :begin and :end
     limit 10000
    """,
    row=UnreachedRow,
)

PURGE = Query(
    """
    /* signals.purge_heard */
    with reports as (
        delete from mesh.heard_reports
         where heard_at < now() - make_interval(days => :days)
    ), signals as (
        delete from mesh.heard_signals
         where heard_at < now() - make_interval(days => :days)
    )
    delete from mesh.unreached
     where at < now() - make_interval(days => :days)
    """,
    row=Nothing,
)
