"""Scores are sums of rules that say what they saw; what is unknown never lowers one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.sira import scoring
from molam.sira.scoring import ScoreRequest, advise, explain


def scored(amount_xof: int | None = None, **said: object) -> scoring.Advice:
    """Score a release that moves no money, unless *said* says otherwise."""
    asked = {"action": "payout.release", "amount": 0, **said}
    return advise(ScoreRequest(**asked), amount_xof=amount_xof)


@pytest.mark.parametrize(
    ("amount", "score", "tags"),
    [
        (10_000, 0, ()),
        (10_001, 20, ("medium_amount",)),
        (100_000, 20, ("medium_amount",)),
        (100_001, 40, ("high_amount",)),
        (1_000_000, 40, ("high_amount",)),
        (1_000_001, 60, ("very_high_amount",)),
    ],
)
def test_amount_counts_by_its_band_in_francs(amount, score, tags):
    advice = scored(amount, amount=amount, currency="XOF")

    assert (advice.score, advice.tags) == (score, tags)


def test_small_number_of_a_strong_currency_weighs_what_it_is_worth():
    # 2,000.00 US dollars: 200,000 cents, more than a million francs.
    assert scored(1_176_471, amount=200_000, currency="USD").tags == ("very_high_amount",)


def test_amount_that_cannot_be_converted_weighs_as_the_highest():
    advice = scored(None, amount=5, currency="ZZZ")

    assert (advice.score, advice.tags) == (60, ("unknown_amount",))


def test_missing_amount_weighs_as_the_highest():
    advice = scored(amount=None)

    assert (advice.score, advice.tags) == (60, ("unknown_amount",))
    assert scored(action="payout.freeze", amount=None).score == 70


def test_zero_says_that_there_is_no_money_to_weigh():
    assert scored(amount=0, currency="ZZZ").contributions == ()


@pytest.mark.parametrize(
    ("said", "tag", "weight"),
    [
        ({"origin_country": "SN", "destination_country": "CI"}, "cross_country", 15),
        ({"historical_risk": Decimal("0.71")}, "high_historical_risk", 25),
        ({"action": "payout.freeze"}, "critical_action", 10),
        ({"action": "REVERSE_PAYOUT"}, "critical_action", 10),
        ({"metadata": {"business_hours": False}}, "off_hours", 10),
        ({"metadata": {"merchant_type": "high_risk"}}, "high_risk_merchant", 25),
    ],
)
def test_each_rule_adds_its_weight_and_says_so(said, tag, weight):
    advice = scored(**said)

    assert advice.score == weight
    assert [(each.name, each.weight) for each in advice.contributions] == [(tag, weight)]


@pytest.mark.parametrize(
    "said",
    [
        {"origin_country": "SN", "destination_country": "SN"},
        {"origin_country": "SN"},
        {"historical_risk": Decimal("0.7")},
        {"metadata": {"business_hours": True, "merchant_type": "shop", "recurrence": "none"}},
    ],
)
def test_rules_that_do_not_hold_add_nothing(said):
    assert scored(**said).contributions == ()


def test_recurring_operation_is_a_little_less_risky_and_never_below_zero():
    usual = {"metadata": {"recurrence": "monthly"}}

    assert scored(10_001, amount=10_001, currency="XOF", **usual).score == 15
    assert scored(**usual).score == 0


def test_everything_at_once_is_a_hundred():
    advice = scored(
        2_000_000,
        action="wallet.freeze",
        amount=2_000_000,
        currency="XOF",
        origin_country="SN",
        destination_country="FR",
        historical_risk=Decimal("0.9"),
        metadata={"merchant_type": "high-risk", "business_hours": False},
    )

    assert advice.score == 100
    assert sum(each.weight for each in advice.contributions) == 145


@pytest.mark.parametrize(
    ("score", "approvals", "channels"),
    [
        (0, 0, ("email",)),
        (24, 0, ("email",)),
        (25, 1, ("email", "push")),
        (59, 1, ("email", "push")),
        (60, 2, ("email", "slack", "push")),
        (84, 2, ("email", "slack", "push")),
        (85, 3, ("email", "slack", "push")),
        (100, 3, ("email", "slack", "push")),
    ],
)
def test_recommendations_follow_the_score(score, approvals, channels):
    advice = scoring.advice_of(score, (), model_version="x")

    assert (advice.recommended_approvals, advice.recommended_channels) == (approvals, channels)


def test_no_score_is_the_highest_score():
    advice = scoring.worst("timed out", model_version="v1.0")

    assert (advice.score, advice.recommended_approvals) == (100, 3)
    assert advice.contributions[0].value == "timed out"


def test_advice_names_its_model_and_how_sure_it_is():
    advice = scored()

    assert (advice.model_version, advice.confidence) == ("fallback-heuristic-v1", Decimal("0.6"))


def test_score_is_explained_in_both_languages():
    advice = scored(origin_country="SN", destination_country="CI")

    assert advice.reason == "Score 15: two different countries (+15)."
    assert explain(15, advice.contributions, "fr") == "Score 15\u00a0: deux pays différents (+15)."
    assert explain(0, (), "fr") == "Score 0\u00a0: rien de particulier."


def test_unknown_rule_of_another_model_is_shown_by_its_name():
    found = (scoring.Contribution("velocity", "12", 30),)

    assert explain(30, found, "fr").endswith("velocity (+30).")


@given(amount=st.integers(min_value=0, max_value=2**53 - 1))
def test_not_knowing_the_amount_never_scores_lower_than_knowing_it(amount):
    known = scored(amount, amount=amount, currency="XOF")
    missing = scored(None, amount=None, currency="XOF")

    assert missing.score >= known.score
    if amount:
        assert scored(None, amount=amount, currency="XOF").score == missing.score


@given(low=st.integers(0, 10**12), more=st.integers(0, 10**12))
def test_greater_amount_never_scores_lower(low, more):
    def score(amount):
        return scored(amount, amount=amount, currency="XOF").score

    assert score(low + more) >= score(low)
