-- What people are told: their inbox, and what leaves by mail, webhook and chat.

set local search_path to notices, tenancy, public;

-- One thing to tell, however many people and channels hear of it. Secrets are masked
-- before it is written, so nothing below has to be.
create table notices.notices (
    id         bigint generated always as identity primary key,
    key        text not null unique constraint notice_key_bounded check (length(key) between 1 and 200),
    kind       text not null,
    subject    text not null,
    facts      jsonb not null,
    -- A page. Nothing that is sent leads anywhere else, and opening it changes nothing.
    link       text not null constraint link_is_local check (link ~ '^/[^/\\]' or link = '/'),
    urgent     boolean not null,
    created_at timestamptz not null default now()
);
create index notices_age on notices.notices (created_at);
create index notices_subject on notices.notices (subject);

create table notices.inbox (
    id         bigint generated always as identity primary key,
    notice_id  bigint not null references notices.notices (id) on delete cascade,
    person_id  text not null references tenancy.people (id),
    created_at timestamptz not null default now(),
    read_at    timestamptz,
    unique (notice_id, person_id)
);
create index inbox_person on notices.inbox (person_id, id desc);
create index inbox_unread on notices.inbox (person_id, id desc) where read_at is null;

-- Which channels this installation has, as its workers were configured.
create table notices.channels (
    channel    text primary key constraint channel_known check (channel in ('email', 'webhook', 'slack')),
    enabled    boolean not null default false,
    changed_at timestamptz not null default now()
);
insert into notices.channels (channel) values ('email'), ('webhook'), ('slack');

-- The inbox has everything; this is about mail. Without a row: all of it.
create table notices.preferences (
    person_id  text primary key references tenancy.people (id),
    email      text not null constraint email_preference_known check (email in ('all', 'urgent', 'none')),
    changed_at timestamptz not null default now()
);

-- The outbox. The job queue knows when each is tried again; this, what became of it.
create table notices.deliveries (
    id         uuid primary key default gen_random_uuid(),
    notice_id  bigint not null references notices.notices (id) on delete cascade,
    channel    text not null references notices.channels (channel),
    -- Empty for channels that belong to everybody.
    person_id  text references tenancy.people (id),
    state      text not null default 'waiting'
               constraint delivery_state_known check (state in ('waiting', 'failed', 'held', 'sent')),
    attempts   integer not null default 0,
    last_error text,
    created_at timestamptz not null default now(),
    sent_at    timestamptz,
    constraint delivered_once unique nulls not distinct (notice_id, channel, person_id),
    constraint only_mail_has_a_reader check ((person_id is not null) = (channel = 'email')),
    constraint sent_has_time check ((state = 'sent') = (sent_at is not null))
);
create index deliveries_open on notices.deliveries (created_at) where state in ('failed', 'held');

-- Buttons pressed in a chat, each of which is heard once.
create table notices.chat_callbacks (
    signature bytea primary key,
    heard_at  timestamptz not null default now()
);
create index chat_callbacks_age on notices.chat_callbacks (heard_at);

grant select on all tables in schema notices to molam_ops;
grant insert on notices.notices, notices.inbox, notices.deliveries, notices.preferences,
                notices.chat_callbacks to molam_ops;
-- `key` so that telling again finds what was told: see notices.tell.
grant update (key) on notices.notices to molam_ops;
grant update (read_at) on notices.inbox to molam_ops;
grant update on notices.preferences to molam_ops;
grant update on notices.deliveries, notices.channels to molam_worker;
grant delete on notices.notices, notices.chat_callbacks to molam_worker;
