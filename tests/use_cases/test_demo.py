"""The demo appears once, and its traffic goes on where it stopped."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from molam.kernel.clock import ManualClock
from molam.ledger.queries import imbalances
from molam.simulator.live import run, send_burst
from molam.simulator.profiles import DRILLED, PROFILES, SANDAGA
from molam.simulator.seed import SEED, backfill, seed_demo
from molam.simulator.traffic import transactions

NOW = datetime(2026, 11, 18, 15, tzinfo=UTC)


async def rows(db, sql):
    async with db.transaction("tests.rows") as tx:
        return [tuple(row) for row in await tx.connection.fetch(sql)]


async def told(db):
    return await rows(
        db,
        "select payload ->> 'id' from platform.events where payload ->> 'source' = '/molam/simulator' order by id",
    )


async def test_seeding_twice_changes_nothing(db):
    first = await seed_demo(db, NOW)
    before = await rows(db, "select * from tenancy.role_grants order by id")

    again = await seed_demo(db, NOW + timedelta(days=1))

    assert (first.merchants, again.merchants, again.people, again.grants) == (6, 0, 0, 0)
    assert before == await rows(db, "select * from tenancy.role_grants order by id")
    assert await rows(
        db, "select count(*) from platform.events where payload -> 'data' ->> 'id' = 'tx_123'"
    ) == [(2,)]


async def test_demo_agents_have_floats_that_the_ledger_can_account_for(db):
    first = await seed_demo(db, NOW)
    again = await seed_demo(db, NOW)

    assert (first.agents, again.agents) == (7, 0)
    assert await rows(
        db,
        "select g.name, a.balance from tenancy.agents g join ledger.accounts a"
        " on a.id = 'agent:' || g.id || ':float:' || g.currency where g.id = 'agent-123'",
    ) == [("Kiosque Médina", 500_000)]
    assert await imbalances(db) == []


async def test_every_demo_merchant_has_a_fee(db):
    await seed_demo(db, NOW)
    await seed_demo(db, NOW)

    assert await rows(
        db, "select count(*), count(distinct merchant_id) from tenancy.merchant_fees"
    ) == [(5, 5)]


async def test_demo_has_whom_the_specification_names(db):
    await seed_demo(db, NOW)

    assert await rows(
        db,
        "select p.id, p.is_service, array_agg(g.role) filter (where g.role is not null)"
        " from tenancy.people p left join tenancy.role_grants g on g.person_id = p.id"
        " where p.id in ('sira-system', 'finance-user-1', 'finance-user-2', 'ops-admin-1')"
        " group by p.id order by p.id",
    ) == [
        ("finance-user-1", False, ["finance_ops"]),
        ("finance-user-2", False, ["finance_ops"]),
        ("ops-admin-1", False, ["ops_admin"]),
        ("sira-system", True, None),
    ]


async def test_roles_were_granted_a_month_ago(db):
    await seed_demo(db, NOW)

    assert await rows(db, "select distinct granted_at from tenancy.role_grants") == [
        (NOW - timedelta(days=30),)
    ]


async def test_revoked_role_stays_revoked(db):
    await seed_demo(db, NOW)
    async with db.transaction("tests.revoke") as tx:
        await tx.connection.execute(
            "update tenancy.role_grants set revoked_at = now() where person_id = 'awa.diop'"
        )

    await seed_demo(db, NOW)

    assert (
        await rows(
            db,
            "select 1 from tenancy.role_grants where person_id = 'awa.diop' and revoked_at is null",
        )
        == []
    )


async def test_each_merchant_has_its_own_calendar(db):
    await seed_demo(db, NOW)

    found = await rows(
        db, "select merchant_id, timezone, default_currency from merchant.merchant_dashboards"
    )

    known = (*PROFILES, DRILLED)
    assert sorted(found) == sorted((p.merchant_id, p.timezone, p.currency) for p in known)


async def test_backfill_happens_once_and_says_how_far_it_is(db):
    await seed_demo(db, NOW)
    shares = []

    count = await backfill(db, NOW, days=2, profiles=[SANDAGA], progress=shares.append)

    assert len(await told(db)) == count > 0
    assert sorted(shares) == shares
    assert shares[-1] == 1.0
    assert await backfill(db, NOW, days=2, profiles=[SANDAGA]) == 0


class UntilIdle(asyncio.Event):
    """Stops whoever would wait for it."""

    async def wait(self):
        self.set()
        return True


async def test_traffic_goes_on_where_the_log_ends(db):
    await seed_demo(db, NOW)
    paused = NOW - timedelta(hours=6)
    await backfill(db, paused, days=1, profiles=[SANDAGA])

    await run(db, stop=UntilIdle(), profiles=[SANDAGA], clock=ManualClock(NOW))

    begun = paused - timedelta(days=1)
    expected = [
        f"{h.id}/{h.version}" for h in transactions(SEED, [SANDAGA], begun, NOW, since=begun)
    ]
    assert sorted(expected) == sorted({id_ for (id_,) in await told(db)})


async def test_traffic_stops_when_told_to(db):
    await seed_demo(db, NOW)
    stop = asyncio.Event()
    stop.set()

    assert await run(db, stop=stop, profiles=[SANDAGA], clock=ManualClock(NOW)) == 0


async def test_burst_is_sent_at_once(db):
    await seed_demo(db, NOW)

    count = await send_burst(db, NOW, merchant_id="merchant-solo")

    assert len(await told(db)) == count == 2 * 160
