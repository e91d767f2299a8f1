"""Every statement about announced outages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class OutageRow:
    id: UUID
    bank_profile_id: str
    rail: str | None
    currency: str | None
    begins_at: datetime
    ends_at: datetime | None
    note: str
    source: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ServedRow:
    bank_profile_id: str
    rail: str
    currency: str


@dataclass(frozen=True, slots=True)
class TurnRow:
    """An outage that has begun, or ended, since somebody looked."""

    bank_profile_id: str
    rail: str | None
    currency: str | None


APPEND = Query(
    """
    /* outages.append */
    insert into mesh.declared_outages
           (id, bank_profile_id, rail, currency, begins_at, ends_at, note, source, created_by)
    values (:id, :bank_profile_id, :rail, :currency, coalesce(:begins_at, now()), :ends_at, :note, :source, :created_by)
    """,
    row=Nothing,
)

# Only what has not ended yet; an end in the past is now.
SET_END = Query(
    """
    /* outages.set_end */
    update mesh.declared_outages
       set ends_at = greatest(coalesce(:ends_at, now()), begins_at + interval '1 microsecond', now()),
           end_told_at = null
     where id = :id and (ends_at is null or ends_at > now())
    """,
    row=Nothing,
)

FIND = Query(
    """
    /* outages.find */
    select id, bank_profile_id, rail, currency, begins_at, ends_at, note, source, created_by, created_at
      from mesh.declared_outages
     where id = :id
    """,
    row=OutageRow,
)

LIST = Query(
    """
    /* outages.list */
    select id, bank_profile_id, rail, currency, begins_at, ends_at, note, source, created_by, created_at
      from mesh.declared_outages
     where (:bank_id::text is null or bank_profile_id = :bank_id)
       and (not :open or ends_at is null or ends_at > now())
     order by begins_at desc, id desc
     limit :limit
    """,
    row=OutageRow,
)

LIST_SERVED = Query(
    """
    /* outages.list_served */
    select b.id as bank_profile_id, r.rail, c.currency
      from payments.bank_profiles as b
     cross join lateral unnest(b.rails) as r(rail)
     cross join lateral unnest(b.currency_codes) as c(currency)
     where b.id = :bank_id
       and (:rail::text is null or r.rail = :rail)
       and (:currency::text is null or c.currency = :currency)
     order by b.id, r.rail, c.currency
    """,
    row=ServedRow,
)

TAKE_TURNS = Query(
    """
    /* outages.take_turns */
    with due as (
        select id
          from mesh.declared_outages
         where (begin_told_at is null and begins_at <= now())
            or (end_told_at is null and ends_at <= now())
         order by id
         limit :limit
           for update skip locked
    )
    update mesh.declared_outages as o
       set begin_told_at = coalesce(o.begin_told_at, now()),
           end_told_at = case when o.ends_at <= now() then coalesce(o.end_told_at, now()) end
      from due
     where o.id = due.id
    returning o.bank_profile_id, o.rail, o.currency
    """,
    row=TurnRow,
)
