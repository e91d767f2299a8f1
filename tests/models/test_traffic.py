"""Made-up traffic has the shape of real traffic, and is the same each time."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import mean
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.kernel.currency import CURRENCIES
from molam.simulator.people import DEMO_PEOPLE, MERCHANT_PEOPLE
from molam.simulator.profiles import COUNTRIES, PROFILES, SANDAGA
from molam.simulator.seed import envelope
from molam.simulator.traffic import burst, scaled, transactions

START = datetime(2026, 9, 1, tzinfo=UTC)
END = START + timedelta(days=31)
SOLO = PROFILES[-1]


@pytest.fixture(scope="module")
def month():
    return list(transactions(1, PROFILES, START, END, since=START))


def created(happenings):
    return [h for h in happenings if h.topic == "wallet_txn_created" and h.version == 1]


def test_same_seed_tells_the_same_story(month):
    week = START + timedelta(days=7)

    again = transactions(1, PROFILES, START, week, since=START)

    told = [(h, dict(h.data)) for h in month if h.at < week]
    assert told == [(h, dict(h.data)) for h in again]


def test_another_seed_tells_another():
    one, other = (
        list(transactions(seed, [SOLO], START, START + timedelta(days=2))) for seed in (1, 2)
    )

    assert {h.id for h in one}.isdisjoint(h.id for h in other)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, 3 * 24 * 60), max_size=4))
def test_story_is_the_same_however_it_is_cut(minutes):
    end = START + timedelta(days=3)
    cuts = [START, *sorted(START + timedelta(minutes=minute) for minute in minutes), end]

    pieces = [
        happening
        for first, last in pairwise(cuts)
        for happening in transactions(3, [SOLO], first, last)
    ]

    assert list(transactions(3, [SOLO], START, end)) == pieces


def test_events_come_in_the_order_of_time(month):
    assert sorted(month) == month


def test_each_fact_is_told_once_a_version(month):
    told = Counter((h.id, h.version) for h in month)

    assert set(told.values()) == {1}


def test_busiest_hour_is_20_and_quietest_4_in_the_merchants_own_time(month):
    for profile in PROFILES[:4]:
        zone = ZoneInfo(profile.timezone)
        hours = Counter(
            h.at.astimezone(zone).hour
            for h in created(month)
            if h.merchant_id == profile.merchant_id
        )
        shape = [mean(hours[(hour + shift) % 24] for shift in (-1, 0, 1)) for hour in range(24)]
        assert shape.index(max(shape)) in {19, 20}
        assert shape.index(min(shape)) in {3, 4, 5}


def test_mean_amount_is_that_of_real_mobile_money(month):
    amounts = [h.data["amount"] for h in created(month) if h.data["currency"] == "XOF"]

    assert abs(mean(amounts) - 12_806) < 12_806 * 0.03


def test_endings_have_realistic_shares(month):
    endings = Counter((h.topic, h.data["status"]) for h in month)
    payments = len(created(month))
    succeeded = endings["wallet_txn_succeeded", "succeeded"]

    assert 0.04 < endings["wallet_txn_created", "failed"] / payments < 0.08
    assert (
        0.005 < (payments - succeeded - endings["wallet_txn_created", "failed"]) / payments < 0.03
    )
    assert 0.01 < endings["refund_created", "succeeded"] / succeeded < 0.02
    assert 0.001 < endings["dispute_created", "open"] / succeeded < 0.003


def test_consequences_follow_the_payment_they_name(month):
    succeeded = {h.id: h for h in month if h.topic == "wallet_txn_succeeded"}

    for happening in month:
        if happening.topic in {"refund_created", "dispute_created"}:
            payment = succeeded[happening.data["transaction_id"]]
            assert payment.at < happening.at
            assert payment.merchant_id == happening.merchant_id
            assert 0 < happening.data["amount"] <= payment.data["amount"]


def test_payouts_follow_from_the_week_before(month):
    payouts = [h for h in month if h.topic == "payout_created" and h.version == 1]

    assert {h.at.astimezone(ZoneInfo("Africa/Dakar")).weekday() for h in payouts} == {0}
    for payout in payouts:
        monday = payout.at.replace(hour=0, minute=0, second=0, microsecond=0)
        earned = sum(
            h.data["amount"] - h.data["fee_molam"]
            for h in month
            if h.topic == "wallet_txn_succeeded"
            and h.merchant_id == payout.merchant_id
            and payout.began_at <= h.began_at < payout.began_at + timedelta(days=7)
        )
        assert monday - timedelta(days=8) < payout.began_at
        assert payout.data["amount"] == int(earned * 0.9)


def test_fees_lie_between_one_and_three_percent(month):
    fees = [
        h.data["fee_molam"] / h.data["amount"] for h in month if h.topic == "wallet_txn_succeeded"
    ]

    assert 0.01 < mean(fees) < 0.02
    assert max(fees) < 0.032


def test_phones_belong_to_the_merchants_country(month):
    countries = {profile.merchant_id: COUNTRIES[profile.country] for profile in PROFILES}

    for happening in month[:2000]:
        phone = happening.data["customer"]["phone"]
        assert phone.startswith(countries[happening.merchant_id].calling_code)
        assert re.fullmatch(r"\+\d{11,13}", phone)


def test_no_day_sells_three_times_as_much_as_the_day_before(month):
    sales = Counter()
    for h in month:
        if h.topic == "wallet_txn_succeeded":
            sales[h.merchant_id, h.began_at.date()] += h.data["amount"]
    days = [START.date() + timedelta(days=n) for n in range(1, 31)]

    worst = max(
        sales[p.merchant_id, day] / sales[p.merchant_id, day - timedelta(days=1)]
        for p in PROFILES
        for day in days
    )

    assert worst < 3


def test_burst_sells_more_than_three_ordinary_days(month):
    best = Counter()
    for h in month:
        if h.topic == "wallet_txn_succeeded" and h.merchant_id == SANDAGA.merchant_id:
            best[h.began_at.date()] += h.data["amount"]

    sold = sum(
        h.data["amount"] for h in burst(1, SANDAGA, END) if h.topic == "wallet_txn_succeeded"
    )

    assert sold > 3 * mean(best.values())


def test_nothing_follows_from_what_never_happened():
    since = START + timedelta(days=3)

    told = list(transactions(1, [SANDAGA], START, START + timedelta(days=9), since=since))

    assert told
    assert all(h.began_at >= since for h in told)


def test_twice_the_shop_has_twice_the_payments():
    day = START + timedelta(days=1)

    one, two = (len(created(transactions(1, [scaled(SANDAGA, f)], START, day))) for f in (1, 2))

    assert 1.8 < two / one < 2.2


def test_every_event_is_a_cloud_event_with_whole_minor_units(month):
    for happening in month[::97]:
        document = json.loads(envelope(happening).payload)
        data = document["data"]
        assert document["type"] == happening.topic
        assert document["specversion"] == "1.0"
        assert type(data["amount"]) is int
        assert data["amount"] > 0
        assert data["currency"] in CURRENCIES
        assert datetime.fromisoformat(data["occurred_at"]).tzinfo is not None


def test_demo_people_hold_every_role_the_examples_need():
    roles = Counter(role for person in DEMO_PEOPLE for role in person.roles)
    admins = Counter(p.merchant_id for p in MERCHANT_PEOPLE if "merchant_admin" in p.roles)

    assert (roles["ops_admin"], roles["finance_ops"], roles["pay_admin"]) == (4, 5, 3)
    assert (roles["compliance"], roles["cfo"]) == (2, 1)
    assert (roles["auditor"], roles["super_admin"]) == (1, 1)
    assert admins == {p.merchant_id: 1 if p is SOLO else 2 for p in PROFILES}
    assert len({person.id for person in DEMO_PEOPLE}) == len(DEMO_PEOPLE)
