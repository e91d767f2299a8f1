"""The statements that give the demo's shop an endpoint with a past."""

from __future__ import annotations

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing

ADD_ENDPOINT = Query(
    """
    /* demo.add_webhook */
    insert into webhooks.merchant_webhooks
           (id, merchant_id, url, description, events, active, disabled_at, disabled_reason,
            total_delivered, total_failed, last_delivered_at, last_failed_at, created_by, created_at)
    values (:id, :merchant_id, :url, :description, :events::text[], false, :now, 'by_hand',
            :delivered, :failed, :now, :now, :created_by, :created_at)
        on conflict (id) do nothing
    """,
    row=Nothing,
)

ADD_DELIVERY = Query(
    """
    /* demo.add_webhook_delivery */
    with said as (
        insert into webhooks.webhook_events
               (id, merchant_id, event, object_id, version, data, created_at)
        values (:event_id, :merchant_id, :event, :object_id, 1, :data, :at)
            on conflict do nothing
     returning seq
    ), sent as (
        insert into webhooks.webhook_deliveries
               (seq, endpoint_id, merchant_id, object_id, event, state, attempts, next_attempt_at,
                last_status, last_latency_ms, created_at, ended_at)
        select seq, :endpoint_id, :merchant_id, :object_id, :event, :state, 1, :at, :status,
               :latency_ms, :at, :at
          from said
     returning id
    )
    insert into webhooks.webhook_attempts
           (delivery_id, merchant_id, number, status, latency_ms, answer_bytes, at)
    select id, :merchant_id, 1, :status, :latency_ms, 2, :at from sent
    """,
    row=Nothing,
)
