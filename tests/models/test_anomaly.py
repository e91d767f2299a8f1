"""Detectors speak of what is unusual, and seldom of what is not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.simulator.profiles import PROFILES, SANDAGA
from molam.simulator.traffic import transactions
from molam.sira.anomaly import (
    Finding,
    Hour,
    Kind,
    amount_rule,
    confident,
    count_rule,
    detect,
    explain,
    rate_rule,
    refractory,
    surge,
)
from molam.sira.finding import Part
from molam.sira.season import fit
from molam.sira.sentences import explain_stored

START = datetime(2026, 3, 2, tzinfo=UTC)  # A Monday.
WEEKS = 8
PARTS = (Part("refunds", 9, 2.5),)
NOON = 12 + 24 * 7 * 6
"""An hour late enough to have a history: Monday at noon, six weeks in."""


def hours_of(profiles, *, days=7 * WEEKS, seed=11):
    """The hours of each merchant, from simulated traffic that has no incident in it."""
    counts = defaultdict(lambda: [[0] * 5 for _ in range(24 * days)])
    end = START + timedelta(days=days)
    for h in transactions(seed, profiles, START, end, since=START):
        at = h.began_at if h.topic.startswith("wallet") else h.at
        hour = counts[h.merchant_id][int((at - START).total_seconds() // 3600)]
        if h.topic == "wallet_txn_created":
            hour[0] += h.version == 1
        elif h.topic == "wallet_txn_succeeded":
            hour[1] += 1
            hour[2] += h.data["amount"]
        elif h.topic == "refund_created":
            hour[3] += 1
        elif h.topic == "dispute_created":
            hour[4] += h.version == 1
    return {merchant: [Hour(*hour) for hour in hours] for merchant, hours in counts.items()}


@pytest.fixture(scope="module")
def shops():
    return hours_of(PROFILES)


@pytest.fixture(scope="module")
def hours(shops):
    return shops[SANDAGA.merchant_id][: NOON + 1]


def restless():
    """Twelve weeks of counts around 50 that vary five times as much as Poisson's."""
    rng = Random(7)
    means = [rng.gammavariate(12, 50 / 12) for _ in range(24 * 7 * 12)]
    return [max(0, round(rng.gauss(mean, mean**0.5))) for mean in means]


def kinds(history):
    return {finding.kind for finding in detect(history, first_hour_of_week=0)}


def test_ordinary_hour_is_not_news(hours):
    assert kinds(hours) == set()


def test_four_times_the_payments_is_news(hours):
    last = replace(
        hours[-1],
        created=hours[-1].created * 4,
        payments=hours[-1].payments * 4,
        sales=hours[-1].sales * 4,
    )

    assert kinds([*hours[:-1], last]) == {Kind.PAYMENTS_HIGH}


def test_silence_at_noon_is_news(hours):
    assert Kind.PAYMENTS_LOW in kinds([*hours[:-1], Hour()])


def test_small_shop_that_goes_silent_for_an_afternoon_is_news(shops):
    history = shops["merchant-cocody"][: NOON + 10]

    assert Kind.PAYMENTS_LOW in kinds([*history[:-8], *[Hour()] * 8])


def test_rash_of_refunds_is_news(hours):
    assert Kind.REFUNDS_HIGH in kinds([*hours[:-1], replace(hours[-1], refunds=15)])


def test_rash_of_disputes_is_news(hours):
    assert Kind.DISPUTES_HIGH in kinds([*hours[:-1], replace(hours[-1], disputes=8)])


def test_falling_success_rate_is_news(hours):
    worse = [replace(hour, payments=hour.payments * 8 // 10) for hour in hours[-24:]]

    assert Kind.SUCCESS_RATE_LOW in kinds([*hours[:-24], *worse])


def test_tickets_of_four_times_the_usual_are_news(hours):
    assert Kind.TICKET_HIGH in kinds([*hours[:-1], replace(hours[-1], sales=hours[-1].sales * 4)])


def test_growth_that_takes_a_week_is_not_news(hours):
    rng = Random(1)
    grown = [
        replace(hour, payments=sum(1 + (rng.random() < age / 336) for _ in range(hour.payments)))
        for age, hour in enumerate(hours[-168:])
    ]
    grown = [replace(hour, created=hour.payments + 3) for hour in grown]

    assert Kind.PAYMENTS_HIGH not in kinds([*hours[:-168], *grown])


def test_short_history_says_nothing(hours):
    assert kinds([*hours[: 24 * 13], Hour(payments=10_000)]) == set()


def test_past_incident_does_not_make_the_next_one_ordinary(hours):
    earlier = [replace(hour, payments=hour.payments * 10) for hour in hours[-200:-194]]
    history = [
        *hours[:-200],
        *earlier,
        *hours[-194:-1],
        replace(hours[-1], payments=hours[-1].payments * 4),
    ]

    assert Kind.PAYMENTS_HIGH in kinds(history)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.merchant_id)
def test_steady_trade_raises_at_most_two_alerts_a_month(shops, profile):
    shop = shops[profile.merchant_id]
    offset = int(ZoneInfo(profile.timezone).utcoffset(START).total_seconds() // 3600)
    month = range(len(shop) - 720, len(shop), 6)  # Every sixth hour is enough to tell, and quick.
    alerts = 0
    last = {}

    for place in month:
        for finding in detect(shop[:place], first_hour_of_week=offset):
            alerts += place - last.get(finding.kind, -1000) > refractory(place) / timedelta(hours=1)
            last[finding.kind] = place

    assert alerts <= 2


def test_counts_that_vary_more_than_poisson_stay_within_the_budget():
    counts = restless()
    found = 0

    baseline = fit(counts[: 24 * 7 * 8], first_hour_of_week=0)
    for place in range(24 * 7 * 8, len(counts)):
        recent = counts[place - 5 : place + 1]
        found += (
            count_rule(baseline, recent, high=Kind.PAYMENTS_HIGH, low=Kind.PAYMENTS_LOW) is not None
        )
        baseline = baseline.after(counts[place])

    assert found <= 2
    assert baseline.overdispersion > 0.05


def test_without_the_fitted_dispersion_the_same_counts_cry_wolf():
    counts = restless()

    blind = replace(fit(counts, first_hour_of_week=0), overdispersion=0.0)
    found = sum(
        count_rule(blind, [count], high=Kind.PAYMENTS_HIGH, low=Kind.PAYMENTS_LOW) is not None
        for count in counts
    )

    assert found > 10


@pytest.mark.parametrize(
    ("observed", "previous", "speaks"),
    [(301, 100, True), (300, 100, False), (1, 0, False), (0, 0, False)],
)
def test_floor_rule_speaks_above_three_times_and_never_of_nothing(observed, previous, speaks):
    assert speaks == (surge(observed=observed, previous=previous) is not None)


@pytest.mark.parametrize(
    ("hits", "trials", "speaks"),
    [(93, 100, False), (80, 100, False), (60, 100, True), (20, 29, False), (820, 1000, True)],
)
def test_success_rate_needs_evidence_of_a_shift(hits, trials, speaks):
    found = rate_rule(
        Kind.SUCCESS_RATE_LOW, hits=hits, trials=trials, usual_hits=9_300, usual_trials=10_000
    )

    assert speaks == (found is not None)


def test_chargebacks_are_news_when_they_rise_and_not_when_they_fall():
    usual = {"usual_hits": 200, "usual_trials": 10_000}

    assert rate_rule(Kind.CHARGEBACK_RATE_HIGH, hits=60, trials=500, **usual) is not None
    assert rate_rule(Kind.CHARGEBACK_RATE_HIGH, hits=0, trials=500, **usual) is None


def test_amounts_speak_when_one_is_far_out_or_eight_lean_the_same_way():
    rng = Random(3)
    usual = [rng.gauss(9, 0.2) for _ in range(500)]

    assert amount_rule(usual, [9.1]) is None
    assert amount_rule(usual, [10.5]).kind is Kind.TICKET_HIGH
    assert amount_rule(usual, [9.7] * 7) is None
    assert amount_rule(usual, [8.2] * 8).kind is Kind.TICKET_LOW


def test_finding_is_news_again_after_a_day_or_a_twentieth_of_the_history():
    assert refractory(24 * 14) == timedelta(hours=24)
    assert refractory(24 * 56) == timedelta(hours=67.2)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=50))
def test_chance_alone_is_seldom_believed(scores):
    assert confident([*scores, 20.0])[-1] == len(scores)


def test_beliefs_follow_benjamini_and_hochberg():
    # p = 0.001, 0.008, 0.5, 0.9 of four tests at 2 %: limits 0.005, 0.01, 0.015, 0.02.
    assert confident([3.0, 2.097, 0.301, 0.046], false_share=0.02) == [0, 1]
    assert confident([0.301, 0.046], false_share=0.02) == []


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("kind", list(Kind))
def test_every_finding_can_be_said_in_one_sentence(kind, language):
    finding = Finding(
        kind,
        "warning",
        6.4,
        0.9 if "rate" in kind.value else 42,
        0.95 if "rate" in kind.value else 7.25,
        trials=120,
        parts=PARTS,
    )

    said = explain(finding, language, currency="XOF")

    assert said.endswith(".")
    assert "{" not in said
    assert any(digit in said for digit in "0123456789")


@pytest.mark.parametrize("kind", list(Kind))
def test_stored_finding_is_said_again_in_the_readers_language(kind):
    finding = Finding(kind, "critical", 12.5, 31.0, 8.5, hours=6, trials=240, parts=PARTS)
    facts = {
        "rule": "seasonal", "finding": kind.value, "currency": "XOF", "observed": 31.0,
        "expected": 8.5, "score": 12.5, "hours": 6, "trials": 240,
        "parts": [{"of": "refunds", "observed": 9, "expected": 2.5}],
    }  # fmt: skip

    assert explain_stored(facts, "fr") == explain(finding, "fr", currency="XOF")


@pytest.mark.parametrize(
    "facts",
    [{}, {"finding": "dispute"}, {"finding": "payments_high", "observed": "9", "expected": 1}],
)
def test_facts_of_something_else_are_no_finding(facts):
    assert explain_stored(facts, "fr") is None


def test_surge_is_said_with_both_figures_and_their_ratio():
    finding = surge(observed=450_000, previous=100_000)

    said = explain(finding, "en", currency="XOF")

    assert "4.5 times" in said
    assert "450,000" in said
    assert "100,000" in said


def test_confidence_fits_the_column_it_is_stored_in():
    assert Finding(Kind.PAYMENTS_HIGH, "warning", 300.0, 10, 1).confidence == 0.9999
    assert Finding(Kind.SALES_SURGE, "warning", 0.0, 10, 1).confidence == 0.0
