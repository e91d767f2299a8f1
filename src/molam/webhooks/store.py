"""The statements that publish events, and those about endpoints and their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PublishedRow:
    events: int
    deliveries: int
    told: bool


# One statement: what nobody subscribes to is not even written. An event that was
# published before is left as it is, and so are its deliveries.
PUBLISH = Query(
    """
    /* webhooks.publish */
    with given as (
        select g.id, g.merchant_id, g.event, g.object_id, g.version, g.data, g.place
          from unnest(:ids::text[], :merchants::text[], :events::text[], :objects::text[],
                      :versions::bigint[], :data::text[])
               with ordinality as g (id, merchant_id, event, object_id, version, data, place)
         where exists (
               select from webhooks.merchant_webhooks as w
                where w.merchant_id = g.merchant_id and w.active and g.event = any(w.events))
    ), written as (
        insert into webhooks.webhook_events (id, merchant_id, event, object_id, version, data)
        select id, merchant_id, event, object_id, version, data::jsonb from given order by place
            on conflict do nothing
     returning seq, merchant_id, event, object_id
    ), queued as (
        insert into webhooks.webhook_deliveries (seq, endpoint_id, merchant_id, object_id, event)
        select e.seq, w.id, e.merchant_id, e.object_id, e.event
          from written as e
          join webhooks.merchant_webhooks as w
            on w.merchant_id = e.merchant_id and w.active and e.event = any(w.events)
     returning 1
    ), counted as (
        select (select count(*) from written) as events, (select count(*) from queued) as deliveries
    )
    select events, deliveries,
           case when deliveries > 0 then pg_notify('webhooks', '') is not null else false end as told
      from counted
    """,
    row=PublishedRow,
)


@dataclass(frozen=True, slots=True)
class MerchantRow:
    merchant_id: str


SUBSCRIBED = Query(
    """
    /* webhooks.subscribed */
    select distinct w.merchant_id
      from webhooks.merchant_webhooks as w
     where w.active and w.events @> array[:event]
     order by 1
    """,
    row=MerchantRow,
)


@dataclass(frozen=True, slots=True)
class EndpointRow:
    id: str
    merchant_id: str
    url: str
    description: str
    events: list[str]
    active: bool
    retry_schedule: str
    disabled_at: datetime | None
    disabled_reason: str | None
    total_delivered: int
    total_failed: int
    last_delivered_at: datetime | None
    last_failed_at: datetime | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


LIST_ENDPOINTS = Query(
    """
    /* webhooks.list_endpoints */
    select w.id, w.merchant_id, w.url, w.description, w.events, w.active, w.retry_schedule,
           w.disabled_at, w.disabled_reason, w.total_delivered, w.total_failed,
           w.last_delivered_at, w.last_failed_at, w.failing_since, w.created_at, w.updated_at
      from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
     cross join lateral (
           select *
             from webhooks.merchant_webhooks as m
            where m.merchant_id = tenant.id and m.deleted_at is null
              and (:id::text is null or m.id = :id)
            order by m.created_at, m.id
            limit 100) as w
    """,
    row=EndpointRow,
)

LOCK_ENDPOINT = Query(
    """
    /* webhooks.lock_endpoint */
    select id, merchant_id, url, description, events, active, retry_schedule,
           disabled_at, disabled_reason, total_delivered, total_failed,
           last_delivered_at, last_failed_at, failing_since, created_at, updated_at
      from webhooks.merchant_webhooks
     where merchant_id = :merchant_id and id = :id and deleted_at is null
       for no key update
    """,
    row=EndpointRow,
)

# Two that add an endpoint at once must not both be the last that fits.
HOLD_LIST = Query(
    """
    /* webhooks.hold_list */
    select pg_advisory_xact_lock(hashtextextended('webhooks/' || :merchant_id, 0))
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class CountRow:
    count: int


COUNT_ENDPOINTS = Query(
    """
    /* webhooks.count_endpoints */
    select count(*) as count
      from webhooks.merchant_webhooks
     where merchant_id = :merchant_id and deleted_at is null
    """,
    row=CountRow,
)

ADD_ENDPOINT = Query(
    """
    /* webhooks.add_endpoint */
    insert into webhooks.merchant_webhooks
           (id, merchant_id, url, description, events, retry_schedule, created_by)
    values (:id, :merchant_id, :url, :description, :events::text[], :retry_schedule, :created_by)
        on conflict (id) do nothing
    """,
    row=Nothing,
)

# A new address has not failed yet.
SET_ENDPOINT = Query(
    """
    /* webhooks.set_endpoint */
    update webhooks.merchant_webhooks
       set failing_since = case when url = :url then failing_since end,
           dead_in_a_row = case when url = :url then dead_in_a_row else 0 end,
           paused_until = case when url = :url then paused_until end,
           url = :url,
           description = :description,
           events = :events::text[],
           retry_schedule = :retry_schedule,
           updated_at = now()
     where merchant_id = :merchant_id and id = :id and deleted_at is null
    """,
    row=Nothing,
)

SET_ENABLED = Query(
    """
    /* webhooks.set_enabled */
    update webhooks.merchant_webhooks
       set active = true, disabled_at = null, disabled_reason = null, failing_since = null,
           dead_in_a_row = 0, paused_until = null, updated_at = now()
     where merchant_id = :merchant_id and id = :id and deleted_at is null
    """,
    row=Nothing,
)

SET_DISABLED = Query(
    """
    /* webhooks.set_disabled */
    update webhooks.merchant_webhooks
       set active = false, disabled_at = now(), disabled_reason = :reason, updated_at = now()
     where merchant_id = :merchant_id and id = :id and active
    """,
    row=Nothing,
)

SET_DELETED = Query(
    """
    /* webhooks.set_deleted */
    update webhooks.merchant_webhooks
       set active = false, deleted_at = now(), updated_at = now()
     where merchant_id = :merchant_id and id = :id and deleted_at is null
    """,
    row=Nothing,
)

SKIP_QUEUE = Query(
    """
    /* webhooks.skip_queue */
    update webhooks.webhook_deliveries
       set state = 'skipped', ended_at = now()
     where merchant_id = :merchant_id and endpoint_id = :id and state = 'waiting'
    """,
    row=Nothing,
)


@dataclass(frozen=True, slots=True)
class SecretRow:
    version: int
    sealed: bytes
    state: str
    expires_at: datetime | None


LIST_SECRETS = Query(
    """
    /* webhooks.list_secrets */
    select version, sealed, state, expires_at
      from webhooks.webhook_secrets
     where merchant_id = :merchant_id and endpoint_id = :endpoint_id
     order by version
    """,
    row=SecretRow,
)

RETIRE_SECRET = Query(
    """
    /* webhooks.retire_secret */
    update webhooks.webhook_secrets
       set state = case when state = 'active' and :hours::int > 0 then 'retiring' else 'revoked' end,
           expires_at = case when state = 'active' and :hours > 0
                             then now() + make_interval(hours => :hours) end
     where merchant_id = :merchant_id and endpoint_id = :endpoint_id and state <> 'revoked'
    """,
    row=Nothing,
)

ADD_SECRET = Query(
    """
    /* webhooks.add_secret */
    insert into webhooks.webhook_secrets (endpoint_id, version, merchant_id, sealed)
    values (:endpoint_id, :version, :merchant_id, :sealed)
    """,
    row=Nothing,
)
