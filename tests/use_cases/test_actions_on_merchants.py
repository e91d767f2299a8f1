"""Freezing, thawing and charging merchants, as approved actions do it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import msgspec
import pytest

from builders import NOW, a_merchant
from carrying_out import carry_out, do, rehearse, rows, with_expect
from molam.kernel.clock import ManualClock
from molam.merchant import commands as merchant
from molam.platform.actions import (
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    PreconditionChanged,
    Registry,
    as_json,
)
from molam.platform.db import Query
from molam.platform.events import Consumer
from molam.platform.events.consumer import Patience
from molam.platform.events.postgres_source import PostgresSource
from molam.tenancy import freezing, standing, standing_store
from molam.tenancy.actions import ACTIONS
from molam.tenancy.freeze_actions import MerchantNotActive, MerchantNotFrozen
from molam.tenancy.jobs import crons
from molam.tenancy.queries import MerchantAbsent
from molam.tenancy.standing import MerchantFrozen

TYPES = Registry(ACTIONS)
FREEZE = TYPES.find("FREEZE_MERCHANT")
UNFREEZE = TYPES.find("UNFREEZE_MERCHANT")
FEE = TYPES.find("ADJUST_MERCHANT_FEE")

FROZEN = {"merchant_id": "merchant-123", "reason": "Fraude probable"}
TWELVE_HOURS = {**FROZEN, "duration": "12h"}
NEW_FEE = {
    "merchant_id": "merchant-123",
    "fee_percentage": Decimal("3.50"),
    "effective_date": "2025-02-01",
}


async def status(db):
    return (await rows(db, "select status from tenancy.merchants"))[0][0]


async def ensure_may_change(db, now=NOW):
    async with db.transaction("tests.change", merchant_id="merchant-123") as tx:
        await standing.ensure_may_change(tx, "merchant-123", now=now)


async def test_freeze_is_shown_before_anything_changes(db, ops_db):
    await a_merchant(db)

    shown = await rehearse(ops_db, FREEZE, TWELVE_HOURS)

    assert shown.plan.target_name == "Boutique Sandaga"
    assert shown.plan.changes == (
        Change("merchant_status", "active", "frozen"),
        Change("frozen_for", None, "12h"),
    )
    assert shown.plan.reversible
    assert await status(db) == "active"


async def test_freeze_answers_with_the_keys_of_the_specification(db, ops_db):
    await a_merchant(db)

    outcome = await do(ops_db, FREEZE, TWELVE_HOURS)

    assert outcome.result == {
        "frozen": True,
        "merchant_id": "merchant-123",
        "reason": "Fraude probable",
        "until": "2026-11-17T00:00:00Z",
    }
    assert await rows(
        db, "select reason, frozen_by, until, action_id from tenancy.merchant_freezes"
    ) == [("Fraude probable", "ibrahima.ba", NOW + timedelta(hours=12), "action-key-1")]
    assert await status(db) == "frozen"


async def test_freeze_stops_what_the_merchant_may_change(db, ops_db, web_db):
    await a_merchant(db)
    await ensure_may_change(web_db)

    await do(ops_db, FREEZE, TWELVE_HOURS)

    with pytest.raises(MerchantFrozen) as refused:
        await ensure_may_change(web_db)
    assert "Fraude probable" in refused.value.detail
    assert "2026-11-17T00:00:00Z" in refused.value.detail


async def test_freeze_that_has_ended_stops_nothing_although_nobody_cleared_it(db, ops_db, web_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, TWELVE_HOURS)

    await ensure_may_change(web_db, NOW + timedelta(hours=12))

    with pytest.raises(MerchantFrozen):
        await ensure_may_change(web_db, NOW + timedelta(hours=12, microseconds=-1))


async def test_freeze_without_an_end_lasts(db, ops_db, web_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, FROZEN)

    with pytest.raises(MerchantFrozen):
        await ensure_may_change(web_db, NOW + timedelta(days=9_000))


async def test_freeze_repeated_under_its_key_changes_nothing(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FREEZE, TWELVE_HOURS)
    first = await carry_out(ops_db, shown)

    again = await carry_out(ops_db, shown, at=NOW + timedelta(minutes=5))

    assert again.result == first.result
    assert await rows(db, "select count(*) from tenancy.merchant_freezes") == [(1,)]
    assert await rows(db, "select count(*) from platform.events") == [(1,)]


async def test_freeze_under_another_key_finds_the_merchant_changed(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FREEZE, TWELVE_HOURS)
    await carry_out(ops_db, shown)

    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, shown, key="key-2")


async def test_of_freezes_at_once_one_wins_and_the_others_find_it_changed(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FREEZE, TWELVE_HOURS)

    done = await asyncio.gather(
        *(carry_out(ops_db, shown, key=f"key-{n}") for n in range(6)), return_exceptions=True
    )

    assert Counter(type(each) for each in done) == {Outcome: 1, PreconditionChanged: 5}
    assert await rows(db, "select count(*) from tenancy.merchant_freezes") == [(1,)]


async def test_without_the_lock_a_second_freeze_breaks_on_the_constraint(db, ops_db, monkeypatch):
    """The twin of the test above; both look before either has written."""
    await a_merchant(db)
    shown = await rehearse(ops_db, FREEZE, TWELVE_HOURS)
    slow = Query(
        f"{standing_store.FIND_FREEZE.sql} union all"
        " select null, null, null, null, null, null, null, null, null, null"
        " where pg_sleep(0.3) is null",
        row=standing_store.FreezeRow,
    )
    monkeypatch.setattr(standing_store, "FIND_FREEZE", slow)
    monkeypatch.setattr(standing, "lock_standing", standing.standing_of)

    done = await asyncio.gather(
        *(carry_out(ops_db, shown, key=f"key-{n}") for n in range(2)), return_exceptions=True
    )

    assert Counter(type(each) for each in done) == {Outcome: 1, asyncpg.UniqueViolationError: 1}


async def test_events_of_freezes_pass_by_the_consumers_of_payments(db, ops_db, worker_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, FROZEN)
    heard = []

    async def handle(_tx, payloads):
        heard.extend(payloads)

    for topics in ((*merchant.TOPICS,), (freezing.FROZEN,)):
        consumer = Consumer(f"tests-{len(topics)}", topics, handle)
        source = PostgresSource(worker_db, consumer, asyncio.Event())
        await source.open()
        await source.step(Patience())
        await source.close()

    assert [json.loads(each)["type"] for each in heard] == ["merchant.frozen"]


async def test_freeze_without_its_precondition_would_go_unnoticed(db, ops_db):
    """The twin of the test above: what was expected is what makes it fail."""
    await a_merchant(db)
    shown = await rehearse(ops_db, FREEZE, TWELVE_HOURS)
    await carry_out(ops_db, shown)

    with pytest.raises(AssertionError):
        await carry_out(ops_db, with_expect(shown, status="frozen"), key="key-2")


async def test_freeze_tells_its_topic_and_no_other(db, ops_db):
    await a_merchant(db)

    await do(ops_db, FREEZE, FROZEN)
    await do(ops_db, UNFREEZE, {"merchant_id": "merchant-123"}, key="key-2")

    assert await rows(
        db,
        "select topic, key, payload -> 'data' ->> 'reason', payload -> 'data' ->> 'ended_by'"
        " from platform.events order by id",
    ) == [
        ("merchant.frozen", "merchant-123", "Fraude probable", None),
        ("merchant.unfrozen", "merchant-123", "Fraude probable", "ibrahima.ba"),
    ]


async def test_frozen_or_closed_merchant_is_not_frozen_again(db, ops_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, FROZEN)

    with pytest.raises(MerchantNotActive):
        await rehearse(ops_db, FREEZE, FROZEN)

    await rows(db, "update tenancy.merchants set status = 'closed' returning id")
    with pytest.raises(MerchantNotActive):
        await rehearse(ops_db, FREEZE, FROZEN)


async def test_unknown_merchant_is_absent(ops_db):
    for type_, raw in ((FREEZE, FROZEN), (FEE, NEW_FEE), (UNFREEZE, {"merchant_id": "nobody"})):
        with pytest.raises(MerchantAbsent):
            await rehearse(ops_db, type_, raw)


async def test_unfreeze_names_the_freeze_it_ends(db, ops_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, FROZEN)
    thaw = await rehearse(ops_db, UNFREEZE, {"merchant_id": "merchant-123"})
    assert thaw.plan.changes == (
        Change("merchant_status", "frozen", "active"),
        Change("freeze_reason", "Fraude probable", None),
    )

    outcome = await carry_out(ops_db, thaw, key="thaw")
    again = await carry_out(ops_db, thaw, key="thaw")

    assert outcome.result == again.result
    assert outcome.result == {
        "unfrozen": True,
        "merchant_id": "merchant-123",
        "reason": "Fraude probable",
    }
    assert await status(db) == "active"
    assert await rows(db, "select ended_by, ended_action_id from tenancy.merchant_freezes") == [
        ("ibrahima.ba", "action-thaw")
    ]


async def test_unfreeze_does_not_end_a_freeze_laid_since_it_was_approved(db, ops_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, FROZEN)
    thaw = await rehearse(ops_db, UNFREEZE, {"merchant_id": "merchant-123"})
    await do(ops_db, UNFREEZE, {"merchant_id": "merchant-123"}, key="other")
    await do(ops_db, FREEZE, {**FROZEN, "reason": "Encore"}, key="second")

    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, thaw, key="thaw")

    assert await status(db) == "frozen"


async def test_active_merchant_is_not_thawed(db, ops_db):
    await a_merchant(db)

    with pytest.raises(MerchantNotFrozen):
        await rehearse(ops_db, UNFREEZE, {"merchant_id": "merchant-123"})


async def test_freeze_ends_by_the_clock_and_says_so(db, ops_db, worker_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, TWELVE_HOURS)
    clock = ManualClock(NOW + timedelta(hours=12))
    (cron,) = crons(clock)

    await cron.run(worker_db)
    await cron.run(worker_db)

    assert await status(db) == "active"
    assert await rows(db, "select ended_by, ended_at from tenancy.merchant_freezes") == [
        ("freeze-ended", clock.now())
    ]
    assert await rows(db, "select topic from platform.events order by id") == [
        ("merchant.frozen",),
        ("merchant.unfrozen",),
    ]


async def test_freeze_does_not_end_before_its_time(db, ops_db, worker_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, TWELVE_HOURS)

    ended = await freezing.end_lapsed(worker_db, now=NOW + timedelta(hours=11, minutes=59))

    assert ended == 0
    assert await status(db) == "frozen"


async def test_merchant_whose_freeze_lapsed_can_be_frozen_before_the_clock_comes_round(db, ops_db):
    await a_merchant(db)
    before = datetime.now(UTC) - timedelta(days=2)
    await do(ops_db, FREEZE, TWELVE_HOURS, at=before)

    await do(ops_db, FREEZE, {**FROZEN, "reason": "Encore"}, key="key-2", at=datetime.now(UTC))

    assert await rows(
        db, "select reason, ended_by from tenancy.merchant_freezes order by frozen_at"
    ) == [("Fraude probable", "freeze-ended"), ("Encore", None)]
    assert await status(db) == "frozen"


async def test_compensation_of_a_freeze_thaws(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FREEZE, FROZEN)
    outcome = await carry_out(ops_db, shown)

    name, raw = FREEZE.compensate(shown.params, outcome.result)
    await do(ops_db, TYPES.find(name), raw, key="undo")

    assert await status(db) == "active"


async def test_verification_sees_whether_the_freeze_holds(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FREEZE, FROZEN)
    assert not await FREEZE.verify(ops_db, shown.params)

    await carry_out(ops_db, shown)

    assert await FREEZE.verify(ops_db, shown.params)


async def test_one_merchant_does_not_see_why_another_is_frozen(db, ops_db, web_db):
    await a_merchant(db)
    await do(ops_db, FREEZE, FROZEN)

    async with web_db.transaction("tests.peek", merchant_id="merchant-other") as tx:
        seen = await standing.freezes_of(tx, "merchant-123")

    assert seen == []


async def test_rehearsal_that_writes_is_refused(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FREEZE, FROZEN)
    execution = Execution("a", "k", shown.params, {"status": "active"}, "x", NOW)

    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with ops_db.transaction("tests.rehearse", readonly=True) as tx:
            await FREEZE.apply(tx, execution)

    assert await status(db) == "active"


async def test_first_fee_is_set_from_nothing(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FEE, NEW_FEE)
    assert shown.plan.changes[0] == Change("fee_percentage", None, "3.5")
    assert not shown.plan.reversible

    outcome = await carry_out(ops_db, shown)

    assert outcome.result == {
        "updated": True,
        "merchant_id": "merchant-123",
        "old_fee": None,
        "new_fee": "3.5",
        "effective_date": "2026-11-16",
    }
    assert await rows(
        db, "select basis_points, effective_date, set_by from tenancy.merchant_fees"
    ) == [(Decimal(350), NOW.date(), "ibrahima.ba")]


async def test_fee_replaces_the_one_in_force_and_can_be_put_back(db, ops_db):
    await a_merchant(db)
    await do(ops_db, FEE, {**NEW_FEE, "fee_percentage": "2.25"}, at=datetime.now(UTC))
    shown = await rehearse(ops_db, FEE, NEW_FEE)
    assert shown.plan.changes[0] == Change("fee_percentage", "2.25", "3.5")
    outcome = await carry_out(ops_db, shown, key="key-2", at=datetime.now(UTC))
    assert (outcome.result["old_fee"], outcome.result["new_fee"]) == ("2.25", "3.5")
    assert await FEE.verify(ops_db, shown.params)

    name, raw = FEE.compensate(shown.params, outcome.result)
    await do(ops_db, TYPES.find(name), raw, key="undo", at=datetime.now(UTC))

    assert not await FEE.verify(ops_db, shown.params)


async def test_fee_of_a_later_day_waits_for_it(db, ops_db):
    await a_merchant(db)
    later = {**NEW_FEE, "effective_date": "2099-01-01"}

    await do(ops_db, FEE, later)

    async with ops_db.transaction("tests.fees", readonly=True) as tx:
        assert await standing.fee_on(tx, "merchant-123", date(2098, 12, 31)) is None
        found = await standing.fee_on(tx, "merchant-123", date(2099, 1, 1))
    assert found is not None
    assert found.basis_points == 350


async def test_fee_repeated_under_its_key_is_set_once(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FEE, NEW_FEE)
    first = await carry_out(ops_db, shown)

    again = await carry_out(ops_db, shown)

    assert again.result == first.result
    assert await rows(db, "select count(*) from tenancy.merchant_fees") == [(1,)]


async def test_fee_changed_since_it_was_approved_is_stale(db, ops_db):
    await a_merchant(db)
    shown = await rehearse(ops_db, FEE, NEW_FEE)
    await do(ops_db, FEE, {**NEW_FEE, "fee_percentage": 1}, key="other")

    with pytest.raises(PreconditionChanged):
        await carry_out(ops_db, shown, key="key-2")


@pytest.mark.parametrize(
    ("type_", "raw"),
    [
        (FREEZE, {}),
        (FREEZE, {**FROZEN, "duration": "12"}),
        (FREEZE, {**FROZEN, "duration": "0h"}),
        (FREEZE, {**FROZEN, "duration": "367d"}),
        (FREEZE, {**FROZEN, "duration": "12h\n"}),
        (FREEZE, {**FROZEN, "duration": "\u0661\u0662h"}),
        (FREEZE, {**FROZEN, "duration": 12}),
        (FREEZE, {**FROZEN, "reason": ""}),
        (FREEZE, {**FROZEN, "reason": "  \n "}),
        (FREEZE, {**FROZEN, "reason": "x" * 501}),
        (FREEZE, {**FROZEN, "reason": "a\u202eb"}),
        (FREEZE, {**FROZEN, "merchant_id": ["merchant-123"]}),
        (FREEZE, {**FROZEN, "merchant_id": "merchant-123\x00"}),
        (FREEZE, {**FROZEN, "merchant_id": " merchant-123"}),
        (FREEZE, {**FROZEN, "merchant_id": "x" * 256}),
        (FREEZE, {**FROZEN, "status": "frozen"}),
        (UNFREEZE, {"merchant_id": None}),
        (UNFREEZE, {"merchant_id": "merchant-123", "reason": ""}),
        (FEE, {**NEW_FEE, "fee_percentage": Decimal("3.555")}),
        (FEE, {**NEW_FEE, "fee_percentage": Decimal("100.01")}),
        (FEE, {**NEW_FEE, "fee_percentage": Decimal(-1)}),
        (FEE, {**NEW_FEE, "fee_percentage": "NaN"}),
        (FEE, {**NEW_FEE, "fee_percentage": "Infinity"}),
        (FEE, {**NEW_FEE, "fee_percentage": "1e999999"}),
        (FEE, {**NEW_FEE, "fee_percentage": 3.5}),
        (FEE, {**NEW_FEE, "fee_percentage": True}),
        (FEE, {**NEW_FEE, "fee_percentage": None}),
        (FEE, {**NEW_FEE, "effective_date": "2025-02-30"}),
        (FEE, {**NEW_FEE, "effective_date": "1999-12-31"}),
        (FEE, {**NEW_FEE, "effective_date": "2025-02-01T00:00:00Z"}),
        (FEE, {**NEW_FEE, "effective_date": 20250201}),
    ],
)
async def test_hostile_params_are_refused(db, ops_db, type_, raw):
    await a_merchant(db)

    with pytest.raises((msgspec.ValidationError, ParamsRefused)):
        await rehearse(ops_db, type_, raw)


def test_titles_are_sentences_in_both_languages():
    freeze = msgspec.convert(TWELVE_HOURS, FREEZE.params)
    fee = msgspec.convert(NEW_FEE, FEE.params)

    assert FREEZE.title(freeze, "fr") == "Geler le marchand merchant-123 pendant 12 heures"
    assert FREEZE.title(freeze, "en") == "Freeze merchant merchant-123 for 12 hours"
    assert FEE.title(fee, "fr").replace("\u00a0", " ") == (
        "Fixer les frais du marchand merchant-123 à 3,5 %"
    )
    assert FEE.title(fee, "en") == ("Set the fee of merchant merchant-123 to 3.5%")


def test_params_are_hashed_with_nothing_left_out():
    assert as_json(msgspec.convert(FROZEN, FREEZE.params)) == {
        "merchant_id": "merchant-123",
        "reason": "Fraude probable",
        "duration": None,
    }
    assert as_json(msgspec.convert(NEW_FEE, FEE.params)) == {
        "merchant_id": "merchant-123",
        "fee_percentage": "3.5",
        "effective_date": "2025-02-01",
    }
