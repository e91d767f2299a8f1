"""The statements of the delivery log, of tests and of sending again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    id: UUID
    endpoint_id: str
    event_id: str
    event: str
    object_id: str
    version: int
    sequence: int
    state: str
    is_test: bool
    attempts: int
    next_attempt_at: datetime
    last_status: int | None
    last_latency_ms: int | None
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None


LIST_DELIVERIES = Query(
    """
    /* webhooks.list_deliveries */
    select l.id, l.endpoint_id, l.event_id, l.event, l.object_id, l.version, l.sequence, l.state,
           l.is_test, l.attempts, l.next_attempt_at, l.last_status, l.last_latency_ms,
           l.last_error, l.created_at, l.ended_at
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
           select d.*, e.id as event_id, e.version, e.seq as sequence
             from webhooks.webhook_deliveries as d
             join webhooks.webhook_events as e on e.seq = d.seq
            where d.merchant_id = tenant.id
              and d.endpoint_id = :endpoint_id
              and (:state::text is null or d.state = :state)
              and (:event::text is null or d.event = :event)
              and (:beyond::bigint is null or d.seq < :beyond)
            order by d.seq desc
            limit :limit) as l
     order by l.seq desc
    """,
    row=DeliveryRow,
)

FIND_DELIVERY = Query(
    """
    /* webhooks.find_delivery */
    select l.id, l.endpoint_id, l.event_id, l.event, l.object_id, l.version, l.sequence, l.state,
           l.is_test, l.attempts, l.next_attempt_at, l.last_status, l.last_latency_ms,
           l.last_error, l.created_at, l.ended_at
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
           select d.*, e.id as event_id, e.version, e.seq as sequence
             from webhooks.webhook_deliveries as d
             join webhooks.webhook_events as e on e.seq = d.seq
            where d.merchant_id = tenant.id and d.id = :id) as l
    """,
    row=DeliveryRow,
)

LOCK_DELIVERY = Query(
    """
    /* webhooks.lock_delivery */
    select d.id, d.endpoint_id, e.id as event_id, d.event, d.object_id, e.version,
           e.seq as sequence, d.state, d.is_test, d.attempts, d.next_attempt_at, d.last_status,
           d.last_latency_ms, d.last_error, d.created_at, d.ended_at
      from webhooks.webhook_deliveries as d
      join webhooks.webhook_events as e on e.seq = d.seq
     where d.merchant_id = :merchant_id and d.id = :id
       for no key update of d
    """,
    row=DeliveryRow,
)

SET_AGAIN = Query(
    """
    /* webhooks.set_again */
    with again as (
        update webhooks.webhook_deliveries
           set state = 'waiting', next_attempt_at = now(), attempts_before = attempts,
               ended_at = null
         where merchant_id = :merchant_id and id = :id
           and state in ('delivered', 'dead', 'skipped')
     returning 1
    )
    select pg_notify('webhooks', '') from again
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class AgainRow:
    count: int
    told: bool


SET_AGAIN_SINCE = Query(
    """
    /* webhooks.set_again_since */
    with chosen as (
        select d.id
          from webhooks.webhook_deliveries as d
         where d.merchant_id = :merchant_id
           and d.endpoint_id = :endpoint_id
           and d.created_at >= :since
           and d.state = any(:states::text[])
           and not d.is_test
         order by d.seq
         limit :limit
           for update of d skip locked
    ), again as (
        update webhooks.webhook_deliveries as d
           set state = 'waiting', next_attempt_at = now(), attempts_before = d.attempts,
               ended_at = null
          from chosen as c
         where d.id = c.id
     returning d.id
    )
    select count(*) as count, pg_notify('webhooks', '') is not null as told from again
    """,
    row=AgainRow,
)


@dataclass(frozen=True, slots=True)
class QueuedRow:
    id: UUID
    told: bool


ADD_TEST = Query(
    """
    /* webhooks.add_test */
    with said as (
        insert into webhooks.webhook_events (id, merchant_id, event, object_id, version, data)
        values (:id, :merchant_id, :event, :object_id, 1, :data)
     returning seq, merchant_id, object_id, event
    ), queued as (
        insert into webhooks.webhook_deliveries
               (seq, endpoint_id, merchant_id, object_id, event, is_test)
        select seq, :endpoint_id, merchant_id, object_id, event, true from said
     returning id
    )
    select id, pg_notify('webhooks', '') is not null as told from queued
    """,
    row=QueuedRow,
)


@dataclass(frozen=True, slots=True)
class AttemptRow:
    number: int
    status: int | None
    error: str | None
    latency_ms: int
    at: datetime


LIST_ATTEMPTS = Query(
    """
    /* webhooks.list_attempts */
    select a.number, a.status, a.error, a.latency_ms, a.at
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
           select *
             from webhooks.webhook_attempts as t
            where t.merchant_id = tenant.id and t.delivery_id = :delivery_id
            order by t.id
            limit 200) as a
     order by a.id
    """,
    row=AttemptRow,
)


@dataclass(frozen=True, slots=True)
class EventRow:
    merchant_id: str
    event_id: str
    event: str
    object_id: str
    version: int
    sequence: int
    data: str
    created_at: datetime


FIND_EVENT = Query(
    """
    /* webhooks.find_event */
    select e.merchant_id, e.id as event_id, e.event, e.object_id, e.version, e.seq as sequence,
           e.data::text as data, e.created_at
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
           select *
             from webhooks.webhook_events as s
            where s.merchant_id = tenant.id and s.id = :id) as e
    """,
    row=EventRow,
)


@dataclass(frozen=True, slots=True)
class HealthRow:
    endpoint_id: str
    waiting: int
    dead: int
    p95_ms: int | None


# What a list of endpoints says of each: its queue, and how the latest of a day went.
HEALTH = Query(
    """
    /* webhooks.health */
    select h.endpoint_id, h.waiting, h.dead, h.p95_ms
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
           select w.id as endpoint_id,
                  (select count(*)
                     from (select from webhooks.webhook_deliveries as d
                            where d.merchant_id = tenant.id and d.endpoint_id = w.id
                              and d.state in ('waiting', 'delivering') limit 1000) as q) as waiting,
                  (select count(*)
                     from (select d.state from webhooks.webhook_deliveries as d
                            where d.merchant_id = tenant.id and d.endpoint_id = w.id
                            order by d.seq desc limit 500) as q
                    where q.state = 'dead') as dead,
                  (select percentile_disc(0.95) within group (order by q.last_latency_ms)
                     from (select d.last_latency_ms from webhooks.webhook_deliveries as d
                            where d.merchant_id = tenant.id and d.endpoint_id = w.id
                            order by d.seq desc limit 500) as q) as p95_ms
             from webhooks.merchant_webhooks as w
            where w.merchant_id = tenant.id and w.deleted_at is null) as h
    """,
    row=HealthRow,
)
