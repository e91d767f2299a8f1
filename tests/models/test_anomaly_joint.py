"""Figures that are unusual together are found, named, and seldom where nothing is the matter."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hours_of_trade import HOURS, trade
from molam.sira import anomaly
from molam.sira.anomaly import Hour
from molam.sira.anomaly_joint import HISTORY_HOURS_MIN, joint_test
from molam.sira.anomaly_trees import HalfSpaceTrees
from molam.sira.finding import Finding, Kind, Part
from molam.sira.sentences import explain, explain_stored, facts_of

SILENT = Finding(Kind.PAYMENTS_HIGH, "info", 0.0, 0, 0)


def test_what_turns_together_is_found_and_named_where_nothing_alone_is_news() -> None:
    found = lone = 0
    for seed in range(12):
        tested = anomaly.weigh(trade(seed, a_turn=1.45), first_hour_of_week=0)
        news = {each.kind: each for each in tested if anomaly.is_news(each)}
        joint = news.pop(Kind.JOINT_UNUSUAL, None)
        lone += bool(news)
        if joint is not None:
            found += 1
            assert joint.parts[0].of in {"payments", "ticket", "fees"}
    assert found >= 8
    assert lone <= found / 2


def test_ordinary_half_days_are_not_news() -> None:
    hours = trade(3, hours=HOURS + 240)
    scores = [
        joint_test(hours[at - HOURS : at], first_hour_of_week=(at - HOURS) % 168)
        for at in range(HOURS, len(hours), 6)
    ]
    assert all(each is not None and not anomaly.is_news(each) for each in scores)


def test_less_than_seven_weeks_say_nothing_and_what_never_moves_is_ordinary() -> None:
    assert joint_test([Hour(1, 1)] * (HISTORY_HOURS_MIN - 1), first_hour_of_week=0) is None
    still = joint_test([Hour(9, 9, 900, 0, 0, 9)] * HISTORY_HOURS_MIN, first_hour_of_week=0)
    assert still is not None
    assert still.score == 0.0


@pytest.mark.parametrize("hour", [Hour(10**6, 10**6, 10**12, 10**6, 10**6, 10**10), Hour(10**6)])
def test_a_million_events_have_a_score_that_a_number_can_hold(hour: Hour) -> None:
    tested = anomaly.weigh([*trade(5)[:-1], hour], first_hour_of_week=0)
    assert {each.kind for each in tested} >= {Kind.JOINT_UNUSUAL, Kind.SUCCESS_RATE_LOW}
    for each in tested:
        assert math.isfinite(each.score)
        assert 0 <= each.confidence <= 0.9999
        assert explain_stored(facts_of(each), "en") is not None
    assert any(anomaly.is_news(each) for each in tested)


def test_more_of_it_never_scores_less_however_far_out() -> None:
    base = trade(7)
    scores = []
    for by in (10, 10**3, 10**5):
        last = replace(base[-1], created=by * 100, payments=by * 100)
        tested = anomaly.weigh([*base[:-1], last], first_hour_of_week=0)
        scores.append(next(f.score for f in tested if f.kind is Kind.PAYMENTS_HIGH))
    assert scores[0] < scores[1] < scores[2]


def test_a_point_far_from_all_others_is_where_it_is_empty() -> None:
    rng = Random(2)
    window = [[rng.gauss(0, 1) for _ in range(4)] for _ in range(250)]
    trees = HalfSpaceTrees(window)
    assert trees.score([5.0, -5.0, 5.0, 5.0]) > max(trees.scores())
    assert trees.score([0.0] * 4) < sorted(trees.scores())[125]
    # What is left out of a window does not vouch for itself.
    lonely = HalfSpaceTrees([*window[:-1], [9.0] * 4])
    assert lonely.scores()[-1] > lonely.score([9.0] * 4)


TESTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", None]),
        st.sampled_from([Kind.JOINT_UNUSUAL, Kind.PAYMENTS_LOW, Kind.SUCCESS_RATE_LOW]),
        st.integers(0, 160),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(TESTS, st.randoms(use_true_random=False))
def test_what_a_tick_believes_does_not_depend_on_its_order(
    drawn: list[tuple[str | None, Kind, int]], rng: Random
) -> None:
    tested = [(who, replace(SILENT, kind=kind, score=score / 10)) for who, kind, score in drawn]
    shuffled = rng.sample(tested, len(tested))

    believed = sorted(map(repr, (tested[at] for at in anomaly.believed(tested))))
    again = sorted(map(repr, (shuffled[at] for at in anomaly.believed(shuffled))))

    assert believed == again


@settings(max_examples=60, deadline=None)
@given(TESTS, st.sets(st.sampled_from(["a", "b"])))
def test_figures_together_are_no_second_alert_for_what_one_figure_says(
    drawn: list[tuple[str | None, Kind, int]], known: set[str]
) -> None:
    tested = [(who, replace(SILENT, kind=kind, score=score / 10)) for who, kind, score in drawn]
    news = [tested[at] for at in anomaly.believed(tested, known)]
    alone = {who for who, each in news if each.kind is not Kind.JOINT_UNUSUAL} | known
    assert not any(who in alone for who, each in news if each.kind is Kind.JOINT_UNUSUAL)


def test_without_that_one_incident_is_two_alerts() -> None:
    tested = [("a", replace(SILENT, kind=kind, score=9.0)) for kind in (Kind.JOINT_UNUSUAL,) * 2]
    tested[1] = ("a", replace(SILENT, kind=Kind.PAYMENTS_LOW, score=9.0))
    assert anomaly.believed(tested) == {1}
    assert {at for at in anomaly.confident([9.0, 9.0]) if anomaly.is_news(tested[at][1])} == {0, 1}


def test_its_sentence_names_both_figures_in_either_language() -> None:
    parts = (Part("fees", 0.0214, 0.0131), Part("ticket", 0.66, 1.0))
    finding = Finding(Kind.JOINT_UNUSUAL, "warning", 6.2, 0.0214, 0.0131, 12, parts=parts)
    assert explain(finding, "en") == (
        "Taken together, the figures are out of the ordinary in the last 12 hours, above all fees of"
        " 2.1% of sales instead of 1.3% and an average ticket of 0.7 times the usual."
    )
    french = explain_stored(facts_of(finding), "fr")
    assert french is not None
    assert "surtout des frais de 2,1 % des ventes au lieu de 1,3 %" in french
    assert "et un panier moyen de 0,7 fois l'ordinaire." in french


@pytest.mark.parametrize("parts", [None, [], "x", [{"of": "rent"}], [{"of": "fees"}]])
def test_figures_that_somebody_else_wrote_are_no_finding(parts: object) -> None:
    stored = {"finding": "joint_unusual", "observed": 1, "expected": 2, "parts": parts}
    assert explain_stored(stored, "en") is None
