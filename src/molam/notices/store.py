"""Every statement the inbox and the outbox run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class ToldRow:
    people: int
    deliveries: list[UUID]
    channels: list[str]


@dataclass(frozen=True, slots=True)
class InboxRow:
    id: int
    kind: str
    subject: str
    facts: dict[str, Any]
    link: str
    urgent: bool
    created_at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    email: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    id: UUID
    channel: str
    state: str
    kind: str
    key: str
    subject: str
    facts: dict[str, Any]
    link: str
    urgent: bool
    created_at: datetime
    name: str | None
    email: str | None
    locale: str | None
    for_merchants: bool = False


@dataclass(frozen=True, slots=True)
class TroubleRow:
    id: UUID
    channel: str
    person_id: str | None
    state: str
    attempts: int
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PersonRow:
    person_id: str


# All in one statement, because it runs within votes. Updating `key` to itself is how
# the row that another telling made is found, and waited for if it is being made.
TELL = Query(
    """
    /* notices.tell */
    with told as (
        insert into notices.notices (key, kind, subject, facts, link, urgent, for_merchants)
        values (:key, :kind, :subject, :facts::jsonb, :link, :urgent, :for_merchants::boolean)
        on conflict (key) do update set key = excluded.key
        returning id, urgent
    ), reader as (
        select p.id, coalesce(f.email, 'all') as email
          from tenancy.people as p
          left join notices.preferences as f on f.person_id = p.id
         where p.id = any(:people::text[])
           and p.deactivated_at is null
           and not p.is_service
    ), shown as (
        insert into notices.inbox (notice_id, person_id)
        select told.id, reader.id
          from told
         cross join reader
            on conflict (notice_id, person_id) do nothing
        returning person_id
    ), queued as (
        insert into notices.deliveries (notice_id, channel, person_id)
        select told.id, c.channel, reader.id
          from told
         cross join notices.channels as c
          left join reader on c.channel = 'email'
         where c.enabled
           and (c.channel = 'email' or not :for_merchants::boolean)
           and (c.channel <> 'email' or reader.email = 'all' or (reader.email = 'urgent' and told.urgent))
            on conflict (notice_id, channel, person_id) do nothing
        returning id, channel
    )
    select (select count(pg_notify('inbox', person_id)) from shown)::int as people,
           coalesce(array_agg(id order by id), '{}') as deliveries,
           coalesce(array_agg(channel order by id), '{}') as channels
      from queued
    """,
    row=ToldRow,
)

LIST_INBOX = Query(
    """
    /* notices.list_inbox */
    select i.id, n.kind, n.subject, n.facts, n.link, n.urgent, i.created_at, i.read_at
      from notices.inbox as i
      join notices.notices as n on n.id = i.notice_id
     where i.person_id = :person_id
       and i.id < :before
       and (not :unread_only::boolean or i.read_at is null)
     order by i.id desc
     limit :limit
    """,
    row=InboxRow,
)

# Nobody counts further than this, and an index scan of 1,000 entries is quick.
COUNT_UNREAD = Query(
    """
    /* notices.count_unread */
    select count(*)::int as count
      from (select from notices.inbox
             where person_id = :person_id and read_at is null
             limit 1000) as unread
    """,
    row=CountRow,
)

SET_READ = Query(
    """
    /* notices.set_read */
    with seen as (
        update notices.inbox
           set read_at = coalesce(read_at, now())
         where person_id = :person_id
           and id = :id
        returning person_id
    )
    select count(pg_notify('inbox', person_id))::int as count
      from seen
    """,
    row=CountRow,
)

SET_ALL_READ = Query(
    """
    /* notices.set_all_read */
    with seen as (
        update notices.inbox
           set read_at = now()
         where person_id = :person_id
           and id <= :up_to
           and read_at is null
        returning person_id
    )
    select count(pg_notify('inbox', person_id))::int as count
      from seen
    """,
    row=CountRow,
)

# What was decided needs no vote any more, whoever has not looked yet.
SET_SUBJECT_READ = Query(
    """
    /* notices.set_subject_read */
    with seen as (
        update notices.inbox as i
           set read_at = now()
          from notices.notices as n
         where n.subject = :subject
           and n.kind = any(:kinds::text[])
           and i.notice_id = n.id
           and i.read_at is null
        returning i.person_id
    )
    select count(pg_notify('inbox', person_id))::int as count
      from seen
    """,
    row=CountRow,
)

FIND_PREFERENCE = Query(
    """
    /* notices.find_preference */
    select email
      from notices.preferences
     where person_id = :person_id
    """,
    row=PreferenceRow,
)

PUT_PREFERENCE = Query(
    """
    /* notices.put_preference */
    insert into notices.preferences (person_id, email)
    select id, :email
      from tenancy.people
     where id = :person_id
        on conflict (person_id) do update set email = excluded.email, changed_at = now()
    """,
    row=Nothing,
)

SET_CHANNELS = Query(
    """
    /* notices.set_channels */
    update notices.channels
       set enabled = channel = any(:enabled::text[]),
           changed_at = now()
     where enabled <> (channel = any(:enabled::text[]))
    """,
    row=Nothing,
)

FIND_DELIVERY = Query(
    """
    /* notices.find_delivery */
    select d.id, d.channel, d.state, n.kind, n.key, n.subject, n.facts, n.link, n.urgent,
           n.created_at, p.name, p.email, p.locale, n.for_merchants
      from notices.deliveries as d
      join notices.notices as n on n.id = d.notice_id
      left join tenancy.people as p on p.id = d.person_id and p.deactivated_at is null
     where d.id = :id
    """,
    row=DeliveryRow,
)

SET_SENT = Query(
    """
    /* notices.set_sent */
    update notices.deliveries
       set state = 'sent', sent_at = now(), attempts = attempts + 1, last_error = null
     where id = :id
       and state <> 'sent'
    """,
    row=Nothing,
)

SET_TROUBLE = Query(
    """
    /* notices.set_trouble */
    update notices.deliveries
       set state = :state, attempts = attempts + 1, last_error = left(:error, 200)
     where id = :id
       and state <> 'sent'
    """,
    row=Nothing,
)

LIST_TROUBLE = Query(
    """
    /* notices.list_trouble */
    select id, channel, person_id, state, attempts, last_error, created_at
      from notices.deliveries
     where state in ('failed', 'held')
     order by created_at desc
     limit :limit
    """,
    row=TroubleRow,
)

APPEND_CALLBACK = Query(
    """
    /* notices.append_callback */
    insert into notices.chat_callbacks (signature)
    values (:signature)
        on conflict do nothing
    """,
    row=Nothing,
)

FIND_ALIAS = Query(
    """
    /* notices.find_alias */
    select a.person_id
      from tenancy.person_aliases as a
      join tenancy.people as p on p.id = a.person_id
     where a.alias = :alias
       and p.deactivated_at is null
       and not p.is_service
    """,
    row=PersonRow,
)

PURGE_NOTICES = Query(
    """
    /* notices.purge_notices */
    delete from notices.notices
     where id in (select id from notices.notices
                   where created_at < now() - make_interval(days => :days)
                   order by created_at
                   limit :limit)
    """,
    row=Nothing,
)

PURGE_CALLBACKS = Query(
    """
    /* notices.purge_callbacks */
    delete from notices.chat_callbacks
     where heard_at < now() - interval '1 hour'
    """,
    row=Nothing,
)
