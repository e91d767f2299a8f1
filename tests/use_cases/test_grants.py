"""What the roles of the merchant app may see: the catalogue itself is asked, so no table is forgotten."""

from __future__ import annotations

import asyncpg
import pytest

from molam.platform.db import Database

# Of every table and view that one of the merchant app's roles may read.
READABLE = """
select n.nspname || '.' || c.relname as name, c.relkind::text as kind, c.relrowsecurity as walled,
       coalesce(c.reloptions @> '{security_invoker=true}', false) as as_the_reader,
       exists (select from pg_attribute t
                where t.attrelid = c.oid and t.attname in ('merchant_id', 'owner_id') and not t.attisdropped) as owned,
       exists (select from pg_constraint f
                join pg_class p on p.oid = f.confrelid
                join pg_attribute t on t.attrelid = p.oid and t.attname = 'merchant_id' and not t.attisdropped
                where f.conrelid = c.oid and f.contype = 'f' and p.relrowsecurity
                  and p.oid <> 'tenancy.role_grants'::regclass) as of_an_owned_one,
       array(select distinct r.name
               from pg_policy y
              cross join unnest(y.polroles) as role(id)
               join pg_roles g on g.oid = role.id
              cross join lateral (values (g.rolname::text)) as r(name)
              where y.polrelid = c.oid
                and pg_get_expr(y.polqual, y.polrelid) like '%current_setting(''molam.merchant_id''%') as policed,
       array(select r from unnest(array['molam_web', 'molam_money']) as r
              where has_any_column_privilege(r, c.oid, 'select, insert, update')) as readers
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm')
   and n.nspname not in ('pg_catalog', 'information_schema')
"""

# Who works for whom: sign-in reads these before it knows the merchant, so their statements
# alone keep merchants apart.
READ_BEFORE_SIGN_IN = frozenset({"tenancy.agents", "tenancy.people", "tenancy.role_grants"})
# Written by whoever answers a bank's callback, before anybody knows whose money it is about.
WRITTEN_ONLY = frozenset({"payments.bank_callbacks"})
OPEN = {
    # Reading is for sign-in; what may be added has conditions of its own (test_team_api.py).
    ("role_grants", "everybody_reads", "r"),
    ("people", "everybody_reads", "r"),
    ("people", "merchant_adds_people", "a"),
}


async def unwalled(db: Database) -> list[str]:
    async with db.transaction("tests.catalogue") as tx:
        rows = await tx.connection.fetch(READABLE)
    found = []
    for row in rows:
        readers = set(row["readers"])
        if not readers or not (row["owned"] or row["of_an_owned_one"]):
            continue
        if row["kind"] == "v":
            # A view is read with its owner's eyes unless it says otherwise.
            bad = not row["as_the_reader"]
        else:
            bad = not row["walled"] or not readers <= set(row["policed"])
        if bad and row["name"] not in READ_BEFORE_SIGN_IN | WRITTEN_ONLY:
            found.append(row["name"])
    return sorted(found)


async def test_every_merchants_table_has_a_wall_for_each_role_that_may_touch_it(db: Database):
    assert await unwalled(db) == []


@pytest.mark.parametrize(
    "forgotten",
    [
        "create table payments.forgotten (merchant_id text);"
        "grant select on payments.forgotten to molam_web",
        "create table payments.forgotten (merchant_id text);"
        "grant update (merchant_id) on payments.forgotten to molam_money",
        "create table payments.forgotten (refund_id text references payments.refunds (id));"
        "grant select on payments.forgotten to molam_money",
        "create view payments.forgotten as select merchant_id from payments.refunds;"
        "grant select on payments.forgotten to molam_web",
        "create table payments.forgotten (merchant_id text);"
        "select platform.guard_tenant('payments.forgotten');"
        "drop policy merchant_sees_own on payments.forgotten;"
        "create policy open on payments.forgotten to molam_web, molam_money using (true)",
    ],
    ids=["table", "column", "child", "view", "open policy"],
)
async def test_the_look_at_the_catalogue_finds_a_table_without_a_wall(db: Database, forgotten: str):
    async with db.transaction("tests.forget") as tx:
        await tx.connection.execute(forgotten)

    assert "payments.forgotten" in await unwalled(db)


async def test_no_policy_shows_the_merchant_app_more_than_one_merchant(db: Database):
    """Policies add up: one open policy opens the table."""
    async with db.transaction("tests.catalogue") as tx:
        rows = await tx.connection.fetch(
            """
            select y.polrelid::regclass::text as name, y.polname, y.polcmd::text
              from pg_policy y
              cross join unnest(y.polroles) as role(id)
              left join pg_roles g on g.oid = role.id
             where (role.id = 0 or g.rolname in ('molam_web', 'molam_money'))
               and coalesce(pg_get_expr(y.polqual, y.polrelid),
                            pg_get_expr(y.polwithcheck, y.polrelid))
                   not like '%current_setting(''molam.merchant_id''%'
            """
        )

    assert {tuple(row) for row in rows} == OPEN


@pytest.mark.parametrize("role", ["molam_web", "molam_money"])
async def test_the_merchant_app_walks_around_no_wall(db: Database, role: str):
    async with db.transaction("tests.catalogue") as tx:
        row = await tx.connection.fetchrow(
            """
            select rolsuper, rolbypassrls,
                   array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
                          where m.member = r.oid) as belongs_to
              from pg_roles r where rolname = $1
            """,
            role,
        )

    assert (row["rolsuper"], row["rolbypassrls"], row["belongs_to"]) == (False, False, [])


async def test_whoever_takes_callbacks_in_cannot_read_them(money_db: Database):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with money_db.transaction("tests.callbacks") as tx:
            await tx.connection.fetch("select body from payments.bank_callbacks")
