"""The statements of delivering: what is due, what came of it, what is put back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class DueRow:
    id: UUID
    endpoint_id: str
    merchant_id: str
    attempts: int
    is_test: bool
    event_id: str
    event: str
    object_id: str
    version: int
    sequence: int
    data: str
    created_at: datetime
    url: str
    retry_schedule: str
    sealed: list[bytes] | None
    now: datetime


# One claimer at a time, so that an endpoint's limit holds over all workers.
HOLD_CLAIMS = Query(
    """
    /* webhooks.hold_claims */
    select pg_advisory_xact_lock(hashtextextended('webhooks.claim', 0))
    """,
    row=Nothing,
)

# The endpoints that have something waiting are stepped through by the index, one probe
# each, however long one's queue is; each then gives as many as it has room for. A later
# version of an object waits until the earlier one has been taken or given up. That look
# has a limit so that it stays one probe of an index for each row: as a join it read all
# that waits for each (0.9 s of 3,000), since no statistics know how full a queue is.
CLAIM = Query(
    """
    /* webhooks.claim */
    with recursive queues (id, place) as (
        (select d.endpoint_id, 1
           from webhooks.webhook_deliveries as d
          where d.state = 'waiting' and d.endpoint_id >= :beginning
          order by d.endpoint_id
          limit 1)
        union all
        select (select d.endpoint_id
                  from webhooks.webhook_deliveries as d
                 where d.state = 'waiting' and d.endpoint_id > q.id
                 order by d.endpoint_id
                 limit 1), q.place + 1
          from queues as q
         where q.id is not null and q.place < :queues_max::int
    ), open as materialized (
        select w.id, w.active, w.paused_until,
               case when w.failing_since is null then :per_endpoint::int else 1 end
             - (select count(*)
                  from webhooks.webhook_deliveries as b
                 where b.endpoint_id = w.id and b.state = 'delivering') as room
          from queues as q
          join webhooks.merchant_webhooks as w on w.id = q.id
         where (w.failing_since is not null) = :failing
    ), due as materialized (
        select d.id
          from open as o
         cross join lateral (
               select d.id
                 from webhooks.webhook_deliveries as d
                where d.endpoint_id = o.id
                  and d.state = 'waiting'
                  and d.next_attempt_at <= now()
                  and (d.is_test or (o.active and coalesce(o.paused_until, now()) <= now()))
                  and (select b.id
                         from webhooks.webhook_deliveries as b
                        where b.endpoint_id = d.endpoint_id
                          and b.object_id = d.object_id
                          and b.seq < d.seq
                          and b.state in ('waiting', 'delivering')
                        limit 1) is null
                order by d.next_attempt_at, d.seq
                limit greatest(o.room, 0)
                  for update of d skip locked) as d
         order by random()
         limit :limit
    )
    update webhooks.webhook_deliveries as d
       set state = 'delivering',
           attempts = d.attempts + 1,
           lease = :lease,
           leased_until = now() + make_interval(secs => :lease_s::float8)
      from due, webhooks.webhook_events as e, webhooks.merchant_webhooks as w
     where d.id = due.id and e.seq = d.seq and w.id = d.endpoint_id
    returning d.id, d.endpoint_id, d.merchant_id, d.attempts - d.attempts_before as attempts,
              d.is_test, e.id as event_id, e.event, e.object_id, e.version, e.seq as sequence,
              e.data::text as data, e.created_at, w.url, w.retry_schedule,
              (select array_agg(s.sealed order by s.version desc)
                 from webhooks.webhook_secrets as s
                where s.endpoint_id = d.endpoint_id
                  and (s.state = 'active' or (s.state = 'retiring' and s.expires_at > now())))
              as sealed,
              now() as now
    """,
    row=DueRow,
)


@dataclass(frozen=True, slots=True)
class QueueRow:
    id: str


PICK_QUEUE = Query(
    """
    /* webhooks.pick_queue */
    select id from webhooks.merchant_webhooks where deleted_at is null order by random() limit 1
    """,
    row=QueueRow,
)


@dataclass(frozen=True, slots=True)
class FailingRow:
    id: str
    merchant_id: str
    url: str
    reason: str


# Endpoints are locked in the order of their ids, since another worker may be doing the
# same for some of them. What a lease no longer covers has been taken over: it is left.
# Only what is being delivered has a lease; naming that state as well would lead through
# the index of what is, which is mostly of rows that no longer are.
SETTLE = Query(
    """
    /* webhooks.settle */
    with told as (
        select *
          from unnest(:ids::uuid[], :states::text[], :retry_s::float8[], :statuses::smallint[],
                      :latencies::int[], :errors::text[], :sizes::int[], :pauses_s::float8[],
                      :gone::boolean[])
               as t (id, state, retry_s, status, latency_ms, error, size, pause_s, gone)
    ), settled as (
        update webhooks.webhook_deliveries as d
           set state = t.state,
               lease = null,
               leased_until = null,
               next_attempt_at = now() + make_interval(secs => t.retry_s),
               last_status = t.status,
               last_latency_ms = t.latency_ms,
               last_error = t.error,
               ended_at = case when t.state <> 'waiting' then now() end
          from told as t
         where d.id = t.id and d.lease = :lease
     returning d.id, d.endpoint_id, d.merchant_id, d.attempts, d.is_test, t.state, t.status,
               t.latency_ms, t.error, t.size, t.pause_s, t.gone
    ), logged as (
        insert into webhooks.webhook_attempts
               (delivery_id, merchant_id, number, status, error, latency_ms, answer_bytes)
        select id, merchant_id, attempts, status, error, latency_ms, size from settled
    ), summed as (
        select endpoint_id,
               count(*) filter (where state = 'delivered') as delivered,
               count(*) filter (where state <> 'delivered') as failed,
               count(*) filter (where state = 'dead') as dead,
               max(pause_s) as pause_s,
               bool_or(gone) as gone
          from settled
         where not is_test
         group by endpoint_id
    ), held as materialized (
        select w.id
          from webhooks.merchant_webhooks as w
         where w.id in (select endpoint_id from summed)
         order by w.id
           for no key update
    ), moved as (
        update webhooks.merchant_webhooks as w
           set total_delivered = w.total_delivered + s.delivered,
               total_failed = w.total_failed + s.failed,
               last_delivered_at = case when s.delivered > 0 then now() else w.last_delivered_at end,
               last_failed_at = case when s.failed > 0 then now() else w.last_failed_at end,
               failing_since = case when s.delivered = 0 then coalesce(w.failing_since, now()) end,
               dead_in_a_row = case when s.delivered = 0 then w.dead_in_a_row + s.dead else 0 end,
               paused_until = case when s.pause_s > 0
                                   then greatest(w.paused_until, now() + make_interval(secs => s.pause_s))
                                   else w.paused_until end
          from summed as s
          join held as h on h.id = s.endpoint_id
         where w.id = s.endpoint_id
     returning w.id, w.merchant_id, w.url, w.active, w.failing_since, w.dead_in_a_row, s.gone
    )
    select id, merchant_id, url, case when gone then 'gone' else 'failing' end as reason
      from moved
     where active
       and (gone
            or failing_since < now() - make_interval(days => :failing_days)
            or (dead_in_a_row >= :dead_max
                and failing_since < now() - make_interval(secs => :dead_after_s::float8)))
     order by id
    """,
    row=FailingRow,
)

# A worker that died may have sent it: it is sent again under the same id, and what it
# died of does not count as an attempt.
TAKE_BACK = Query(
    """
    /* webhooks.take_back */
    update webhooks.webhook_deliveries
       set state = 'waiting', attempts = attempts - 1, lease = null, leased_until = null
     where state = 'delivering'
       and (leased_until < now() or lease = :lease)
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class BehindRow:
    due: int
    oldest_s: float


BEHIND = Query(
    """
    /* webhooks.behind */
    select count(*) as due,
           coalesce(extract(epoch from now() - min(next_attempt_at)), 0)::float8 as oldest_s
      from (select d.next_attempt_at
              from webhooks.webhook_deliveries as d
              join webhooks.merchant_webhooks as w on w.id = d.endpoint_id
             where d.state = 'waiting' and d.next_attempt_at <= now()
               and w.active and w.failing_since is null
             limit 10000) as d
    """,
    row=BehindRow,
)

PURGE_EVENTS = Query(
    """
    /* webhooks.purge_events */
    delete from webhooks.webhook_events
     where seq in (
           select e.seq
             from webhooks.webhook_events as e
            where e.created_at < now() - make_interval(days => :days)
              and not exists (
                  select from webhooks.webhook_deliveries as d
                   where d.seq = e.seq and d.state in ('waiting', 'delivering'))
            limit :limit)
    """,
    row=Nothing,
)

PURGE_ENDPOINTS = Query(
    """
    /* webhooks.purge_endpoints */
    delete from webhooks.merchant_webhooks
     where deleted_at < now() - make_interval(days => :days)
    """,
    row=Nothing,
)

REVOKE_RETIRED = Query(
    """
    /* webhooks.revoke_retired */
    update webhooks.webhook_secrets
       set state = 'revoked', expires_at = null
     where state = 'retiring' and expires_at < now()
    """,
    row=Nothing,
)
