-- Merchants, people, and who holds which role since when.

set local search_path to tenancy, public;

create table tenancy.currencies (
    code     text primary key constraint code_is_iso check (code ~ '^[A-Z]{3}$'),
    exponent smallint not null constraint exponent_bounded check (exponent between 0 and 4)
);
insert into tenancy.currencies (code, exponent) values
    ('XOF', 0), ('XAF', 0), ('GNF', 0), ('GHS', 2), ('NGN', 2), ('KES', 2),
    ('EUR', 2), ('USD', 2), ('GBP', 2);

create table tenancy.merchants (
    id               text primary key
                     constraint merchant_id_bounded check (length(id) between 1 and 255),
    name             text not null,
    city             text,
    country          char(2) not null,
    default_currency text not null references tenancy.currencies (code),
    status           text not null default 'active'
                     constraint merchant_status_known check (status in ('active', 'frozen', 'closed')),
    ninea            text,
    rccm             text,
    created_at       timestamptz not null default now()
);

create table tenancy.people (
    id         text primary key constraint person_id_bounded check (length(id) between 1 and 255),
    name       text not null,
    email      text not null,
    locale     text not null default 'fr' constraint person_locale_known check (locale in ('fr', 'en')),
    created_at timestamptz not null default now()
);

create table tenancy.role_grants (
    id          uuid primary key,
    person_id   text not null references tenancy.people (id),
    role        text not null,
    merchant_id text references tenancy.merchants (id),
    granted_at  timestamptz not null default now(),
    granted_by  text not null,
    revoked_at  timestamptz,
    constraint role_known check (role in (
        'merchant_admin', 'merchant_accountant', 'merchant_support',
        'ops_admin', 'finance_ops', 'pay_admin', 'compliance', 'cfo', 'auditor',
        'treasury_ops', 'mesh_viewer'
    )),
    constraint merchant_roles_name_a_merchant
        check ((role like 'merchant\_%') = (merchant_id is not null)),
    constraint revoked_after_granted check (revoked_at is null or revoked_at >= granted_at)
);
create unique index role_held_once on tenancy.role_grants
    (person_id, role, coalesce(merchant_id, '')) where revoked_at is null;
create index role_grants_merchant on tenancy.role_grants (merchant_id, role) where revoked_at is null;

-- Processes keep the directory in memory for moments; a change tells them at once.
create function tenancy.tell_directory_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('directory', coalesce(new.person_id, old.person_id));
    return null;
end
$$;
create trigger role_grants_changed after insert or update or delete on tenancy.role_grants
    for each row execute function tenancy.tell_directory_changed();

grant select on all tables in schema tenancy to molam_web, molam_worker, molam_refresh;
