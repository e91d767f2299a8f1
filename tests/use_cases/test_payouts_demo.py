"""The demo's merchants are paid by ourselves."""

from __future__ import annotations

from datetime import UTC, datetime

import paying_out as pay
from molam.platform.db import Database
from molam.simulator.payouts_demo import seed_payouts
from molam.simulator.profiles import PROFILES
from molam.simulator.seed import backfill, seed_demo


async def test_every_demo_merchant_has_an_account_and_a_rhythm_however_often_it_is_seeded(
    db: Database,
):
    now = datetime.now(UTC)
    await seed_demo(db, now)

    for _ in range(2):
        await seed_payouts(db, now)

    destinations = await pay.one(db, "select count(*) from payments.payout_destinations")
    schedules = await pay.sql(db, "select interval from payments.payout_schedules order by 1")
    assert destinations == len(PROFILES)
    assert [each[0] for each in schedules] == ["daily", "manual", "monthly", "weekly", "weekly"]
    assert await pay.one(db, "select count(*) from payments.payout_holds") == 1


async def test_history_reports_whole_payouts_and_none_that_would_still_be_under_way(db: Database):
    now = datetime.now(UTC)
    await seed_demo(db, now)

    await backfill(db, now, days=35, profiles=PROFILES[4:])

    told = await pay.sql(
        db,
        "select payload -> 'data' ->> 'id', count(*), max(payload -> 'data' ->> 'status')"
        " from platform.events where topic = 'payout_created' group by 1",
    )
    assert told
    assert all(count == 2 for _, count, _ in told)


async def test_first_payouts_fall_on_days_when_banks_are_open_and_are_asked_for_by_people(
    db: Database,
):
    now = datetime.now(UTC)
    await seed_demo(db, now)
    await pay.an_entry(db, 5_000_000, merchant_id="merchant-123")

    await seed_payouts(db, now)

    days = await pay.sql(db, "select extract(isodow from scheduled_for) from payments.payouts")
    assert all(each[0] <= 5 for each in days)
    assert await pay.one(db, "select count(*) from payments.payouts where origin = 'molam'") > 0
    strangers = await pay.one(
        db,
        "select count(*) from payments.payout_destinations d"
        " where not exists (select from tenancy.people p where p.id = d.changed_by)",
    )
    assert strangers == 0
