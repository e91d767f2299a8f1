-- Merchants' webhooks: where events go, what they say, and what became of each delivery.

set local search_path to webhooks, tenancy, public;

-- The endpoints. Active ones get what they subscribed to; deleted ones are kept as
-- long as the log of what they got.
create table webhooks.merchant_webhooks (
    id                text primary key constraint endpoint_id_bounded check (length(id) between 1 and 64),
    merchant_id       text not null references tenancy.merchants (id),
    url               text not null constraint url_bounded check (length(url) between 8 and 2048),
    description       text not null default '' constraint description_bounded check (length(description) <= 200),
    events            text[] not null constraint some_events check (cardinality(events) between 1 and 32),
    active            boolean not null default true,
    retry_schedule    text not null default 'standard'
                      constraint retry_schedule_known check (retry_schedule in ('standard', 'long')),
    disabled_at       timestamptz,
    disabled_reason   text constraint disabled_reason_known
                      check (disabled_reason in ('by_hand', 'failing', 'gone')),
    total_delivered   bigint not null default 0,
    total_failed      bigint not null default 0,
    last_delivered_at timestamptz,
    last_failed_at    timestamptz,
    -- Since when every attempt has failed, and how many events have been given up since.
    failing_since     timestamptz,
    dead_in_a_row     integer not null default 0,
    -- Asked for less: nothing is sent before then.
    paused_until      timestamptz,
    created_by        text not null,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    deleted_at        timestamptz,
    constraint disabled_has_reason check ((disabled_at is null) = (disabled_reason is null)),
    constraint active_is_not_disabled check (active = (disabled_at is null and deleted_at is null))
) with (fillfactor = 70);
create index merchant_webhooks_merchant on webhooks.merchant_webhooks (merchant_id, id)
    where deleted_at is null;
create index merchant_webhooks_subscribed on webhooks.merchant_webhooks using gin (events) where active;

-- Encrypted; the key is not in the database. At most one of an endpoint's is active.
create table webhooks.webhook_secrets (
    endpoint_id text not null references webhooks.merchant_webhooks (id) on delete cascade,
    version     integer not null constraint secret_version_positive check (version > 0),
    merchant_id text not null references tenancy.merchants (id),
    sealed      bytea not null,
    state       text not null default 'active'
                constraint secret_state_known check (state in ('active', 'retiring', 'revoked')),
    expires_at  timestamptz,
    created_at  timestamptz not null default now(),
    primary key (endpoint_id, version),
    constraint retiring_ends check ((state = 'retiring') = (expires_at is not null))
);
create unique index one_active_secret on webhooks.webhook_secrets (endpoint_id) where state = 'active';

-- What happened, as it is sent: the same bytes at every attempt. Never changed.
create table webhooks.webhook_events (
    seq         bigint generated always as identity primary key,
    id          text not null unique constraint event_id_bounded check (length(id) between 1 and 64),
    merchant_id text not null references tenancy.merchants (id),
    event       text not null constraint event_named check (event ~ '^[a-z][a-z_]*(\.[a-z_]+)+$'),
    object_id   text not null constraint object_id_bounded check (length(object_id) between 1 and 255),
    version     bigint not null constraint event_version_positive check (version > 0),
    data        jsonb not null constraint data_fits check (octet_length(data::text) < 20000),
    created_at  timestamptz not null default now(),
    constraint published_once unique (merchant_id, event, object_id, version)
);
create index webhook_events_age on webhooks.webhook_events using brin (created_at);

-- One event for one endpoint. *waiting* with attempts behind it has failed and is tried
-- again; *dead* was given up; *skipped* was waiting when the endpoint was switched off.
create table webhooks.webhook_deliveries (
    id              uuid primary key default gen_random_uuid(),
    seq             bigint not null references webhooks.webhook_events (seq) on delete cascade,
    endpoint_id     text not null references webhooks.merchant_webhooks (id) on delete cascade,
    merchant_id     text not null,
    object_id       text not null,
    event           text not null,
    state           text not null default 'waiting' constraint webhook_delivery_state_known
                    check (state in ('waiting', 'delivering', 'delivered', 'dead', 'skipped')),
    is_test         boolean not null default false,
    attempts        integer not null default 0,
    -- Attempts that began before the latest replay do not use up its retries.
    attempts_before integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    lease           uuid,
    leased_until    timestamptz,
    last_status     smallint,
    last_latency_ms integer,
    last_error      text,
    created_at      timestamptz not null default now(),
    ended_at        timestamptz,
    constraint once_an_endpoint unique (endpoint_id, seq),
    constraint delivering_is_leased check ((state = 'delivering') = (leased_until is not null)),
    constraint ended_has_time check ((state in ('delivered', 'dead', 'skipped')) = (ended_at is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
create index webhook_deliveries_due on webhooks.webhook_deliveries (endpoint_id, next_attempt_at, seq)
    where state = 'waiting';
create index webhook_deliveries_in_flight on webhooks.webhook_deliveries (endpoint_id, leased_until)
    where state = 'delivering';
create index webhook_deliveries_open on webhooks.webhook_deliveries (endpoint_id, object_id, seq)
    where state in ('waiting', 'delivering');
create index webhook_deliveries_of_event on webhooks.webhook_deliveries (seq);

-- Every attempt. What the receiver answered is measured and not kept.
create table webhooks.webhook_attempts (
    id           bigint generated always as identity primary key,
    delivery_id  uuid not null references webhooks.webhook_deliveries (id) on delete cascade,
    merchant_id  text not null,
    number       integer not null,
    status       smallint,
    error        text,
    latency_ms   integer not null,
    answer_bytes integer not null default 0,
    at           timestamptz not null default now()
);
create index webhook_attempts_delivery on webhooks.webhook_attempts (delivery_id, id);
create index webhook_attempts_age on webhooks.webhook_attempts using brin (at);

select platform.guard_tenant('webhooks.merchant_webhooks');
select platform.guard_tenant('webhooks.webhook_secrets');
select platform.guard_tenant('webhooks.webhook_events');
select platform.guard_tenant('webhooks.webhook_deliveries');
select platform.guard_tenant('webhooks.webhook_attempts');
-- Pages and the API show a secret once, from memory.
revoke select on webhooks.webhook_secrets from molam_web;
revoke update on webhooks.webhook_events from molam_money, molam_ops, molam_worker;
grant delete on webhooks.merchant_webhooks, webhooks.webhook_secrets, webhooks.webhook_events,
                webhooks.webhook_deliveries, webhooks.webhook_attempts to molam_worker;
