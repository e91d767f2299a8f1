-- What corridors carry: each payout that is led through one, until it is paid or comes
-- back, and what regions have settled with each other. And since when a peer is judged.

set local search_path to mesh, payments, ledger, tenancy, public;

alter table mesh.peers add column judged_at timestamptz;
comment on column mesh.peers.judged_at is 'When its errors were added up last; they fade from then on.';

create table mesh.corridor_uses (
    -- The move that led the payout through the corridor.
    reconciliation_id text primary key references mesh.mesh_reconciliations (id),
    corridor_id       text not null references mesh.corridors (id),
    merchant_id       text not null,
    payout_id         text not null,
    bank_profile_id   text not null references payments.bank_profiles (id),
    amount            bigint not null constraint use_positive check (amount > 0),
    state             text not null default 'reserved'
                      constraint use_state_known check (state in ('reserved', 'used', 'released')),
    created_at        timestamptz not null default now(),
    ended_at          timestamptz,
    constraint use_ends_once_released check ((state = 'released') <= (ended_at is not null)),
    foreign key (merchant_id, payout_id) references payments.payouts (merchant_id, id)
);
-- A payout goes through a corridor once at a time.
create unique index corridor_uses_open on mesh.corridor_uses (merchant_id, payout_id) where state = 'reserved';
create index corridor_uses_of on mesh.corridor_uses (corridor_id, created_at desc);
create index corridor_uses_used on mesh.corridor_uses (ended_at) where state = 'used';

create table mesh.corridor_settlements (
    id           text primary key,
    corridor_id  text not null references mesh.corridors (id),
    amount       bigint not null constraint settlement_positive check (amount > 0),
    -- Names the payment that settles; each counts once.
    reference    text not null constraint settlement_reference_bounded check (length(reference) between 1 and 140),
    created_by   text not null,
    created_at   timestamptz not null default now(),
    confirmed_by text,
    confirmed_at timestamptz,
    unique (corridor_id, reference),
    constraint settled_by_two check (confirmed_by is null or confirmed_by <> created_by),
    constraint confirmed_says_when check ((confirmed_by is null) = (confirmed_at is null))
);

-- What a corridor has reserved and carried is what its payouts say, whoever writes them.
create function mesh.follow_corridor_uses() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        update mesh.corridors as c
           set reserved = c.reserved + s.reserved, position = c.position + s.used, updated_at = now()
          from (select n.corridor_id,
                       coalesce(sum(n.amount) filter (where n.state = 'reserved'), 0) as reserved,
                       coalesce(sum(n.amount) filter (where n.state = 'used'), 0) as used
                  from now_rows as n group by n.corridor_id) as s
         where c.id = s.corridor_id;
    else
        update mesh.corridors as c
           set reserved = c.reserved + s.reserved, position = c.position + s.used, updated_at = now()
          from (select n.corridor_id,
                       sum(case when n.state = 'reserved' then n.amount else 0 end
                           - case when o.state = 'reserved' then o.amount else 0 end) as reserved,
                       sum(case when n.state = 'used' then n.amount else 0 end
                           - case when o.state = 'used' then o.amount else 0 end) as used
                  from now_rows as n
                  join was_rows as o on o.reconciliation_id = n.reconciliation_id
                 group by n.corridor_id) as s
         where c.id = s.corridor_id and (s.reserved <> 0 or s.used <> 0);
    end if;
    return null;
end
$$;
create trigger corridor_follows_new_uses after insert on mesh.corridor_uses
    referencing new table as now_rows
    for each statement execute function mesh.follow_corridor_uses();
create trigger corridor_follows_uses after update on mesh.corridor_uses
    referencing new table as now_rows old table as was_rows
    for each statement execute function mesh.follow_corridor_uses();

create function mesh.follow_corridor_settlements() returns trigger language plpgsql as $$
begin
    if new.confirmed_by is not null and old.confirmed_by is null then
        update mesh.corridors set position = position - new.amount, updated_at = now() where id = new.corridor_id;
    elsif row(new.*) is distinct from row(old.*) then
        raise exception 'a settlement is only ever confirmed' using errcode = 'restrict_violation';
    end if;
    return null;
end
$$;
create trigger corridor_follows_settlements after update on mesh.corridor_settlements
    for each row execute function mesh.follow_corridor_settlements();

grant select, insert on mesh.corridor_uses, mesh.corridor_settlements to molam_ops, molam_worker;
grant update (state, ended_at) on mesh.corridor_uses to molam_ops, molam_worker;
grant update (confirmed_by, confirmed_at) on mesh.corridor_settlements to molam_ops, molam_worker;
