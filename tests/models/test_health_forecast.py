"""What SIRA says of a bank adds up, holds when it is tried, and is said in both languages."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.sira import (
    health,
    health_calibration,
    health_fallback,
    health_filter,
    health_sentences,
)
from molam.sira.features import Minute
from molam.sira.health import (
    SEEN_MIN,
    UNSURE_MAX,
    Forecast,
    RecentCounts,
    confidence_of_move,
    forecast,
    predict,
    sentence,
    sureness_of_move,
    widened,
)
from molam.sira.health_content import Subject, content_of, forecast_of, subject_of
from molam.sira.health_fallback import Look
from molam.sira.health_filter import Belief, fresh, observe, observe_many, p_down
from molam.sira.health_model import Reading
from molam.sira.health_rules import recommend
from molam.sira.health_stays import stays_with

T0 = 1_800_000_000.0
NOW = T0 + 120 * 60


def minutes_of(failures: list[int], *, tries: int = 3) -> tuple[tuple[Minute, ...], Belief]:
    """Two hours of three payouts a minute, the last minutes with *failures*, and what they leave."""
    wanted = [0] * (120 - len(failures)) + failures
    belief, minutes = fresh(0.01, strength=1000), []
    for place, failed in enumerate(wanted):
        at = T0 + place * 60
        belief = observe_many(belief, failures=failed, oks=tries - failed, at=at + 30)
        minutes.append(Minute(at=at, attempts=tries, failures=failed, p_down=p_down(belief)))
    return tuple(minutes), belief


def told(failures: list[int], **more: Any) -> Forecast:
    minutes, belief = minutes_of(failures)
    return forecast(belief, window_minutes=60, at=NOW, recent=RecentCounts(minutes=minutes, **more))


@pytest.mark.parametrize(
    ("failures", "action"),
    [([], "monitor"), ([1], "monitor"), ([1, 1, 0], "monitor"), ([3, 3, 3, 3], "failover")],
)
def test_more_failures_lead_from_watching_to_leaving(failures, action):
    assert told(failures).recommended_action == action


@pytest.mark.parametrize(
    ("score", "down", "short", "action"),
    [
        (99.0, 0.0, False, "monitor"),
        (80.0, 0.0, False, "monitor"),
        (79.9, 0.0, False, "prepare_failover"),
        (60.0, 0.0, False, "prepare_failover"),
        (59.9, 0.0, False, "failover"),
        (85.0, 0.8, False, "failover"),
        (85.0, 0.79, False, "monitor"),
        (99.0, 0.0, True, "increase_reserve"),
        (50.0, 0.9, True, "failover"),
    ],
)
def test_limits_of_the_specification_decide_what_is_recommended(score, down, short, action):
    assert recommend(score, down, is_short_of_funds=short) == action


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), max_size=30), st.sampled_from([15, 60]))
def test_interval_holds_the_score_and_contributions_add_up_to_the_log_odds(failures, window):
    minutes, belief = minutes_of(failures)
    made = forecast(belief, window_minutes=window, at=NOW, recent=RecentCounts(minutes=minutes))

    assert 0 <= made.p10 <= made.predicted_score <= made.p90 <= 100
    assert made.p10 <= made.p50 <= made.p90
    odds, _ = health_filter.log_odds(health_filter.advance(belief, NOW))
    assert sum(part.log_odds for part in made.contributions) == pytest.approx(odds, abs=1e-6)
    assert made.predicted_score.as_tuple().exponent == -2


def test_each_family_of_signals_is_named_with_what_it_added():
    belief = fresh()
    for place in range(20):
        belief = observe(belief, 0.0, T0 + place * 60, "payout")
    for place in range(3):
        belief = observe(belief, 1.0, T0 + 1200 + place * 60, "active_probe")
    made = forecast(belief, window_minutes=60, at=T0 + 1400, recent=RecentCounts())

    parts = {part.name: part.log_odds for part in made.contributions}
    assert set(parts) == {"usual", "payout", "active_probe"}
    assert parts["payout"] < 0 < parts["active_probe"]


@pytest.mark.parametrize(
    "failures", [[3] * 4, [2, 2, 3, 1], [1, 0, 1, 1, 2], [0, 0, 1], [1, 1], [0, 3, 0], []]
)
def test_number_of_failures_that_would_let_payouts_stay_is_true_when_it_is_tried(failures):
    minutes, belief = minutes_of(failures)
    had = sum(failures)
    found = stays_with(belief, minutes, window_minutes=60)
    leaves = told(failures).recommended_action == "failover"
    assert found is not None
    assert found < had if leaves else found >= had

    def action(count: int) -> str:
        # The last failures stay, or more are added to the last minutes.
        kept, over = list(failures), had - count
        kept = [0] * (15 - len(kept)) + kept
        for place in range(15):
            taken = min(max(over, 0), kept[place])
            kept[place], over = kept[place] - taken, over - taken
        for place in reversed(range(15)):
            added = min(max(-over, 0), 3 - kept[place])
            kept[place], over = kept[place] + added, over + added
        return told(kept).recommended_action

    assert action(found) != "failover"
    assert action(found + 1) == "failover"


def test_nothing_is_said_of_what_would_have_been_where_nothing_was_tried():
    silent = fresh()

    assert stays_with(silent, (), window_minutes=60) is None
    quiet = forecast(silent, window_minutes=60, at=NOW, recent=RecentCounts())
    assert "nothing was tried" in quiet.reason


def test_reason_is_one_sentence_with_what_would_have_changed_it_in_both_languages():
    made = told([3, 3, 3, 3])

    assert made.reason == (
        f"{made.predicted_score:.1f}% of payouts are expected to complete in time over the next 60 "
        f"minutes ({made.p10:.1f}% to {made.p90:.1f}%): 12 of the last 45 attempts failed, and the "
        f"bank is down with a probability of 99.7%; payouts would stay, had at most "
        f"{made.stays_with} failed in the last quarter of an hour."
    )
    french = sentence(made, "fr")
    assert "12 des 45 dernières tentatives ont échoué" in french
    assert french.startswith("20,7\u00a0% des versements")
    assert "resteraient" in french
    stored = msgspec.json.decode(
        msgspec.json.encode(content_of(Subject(bank_profile_id="b"), made))
    )
    assert health_sentences.explain_stored(stored, "fr") == french
    assert health_sentences.explain_stored({"predicted_score": "x"}, "fr") is None


@pytest.mark.parametrize(
    ("stays", "english", "french"),
    [(0, "0 failures", "0 échec"), (1, "1 failure", "1 échec"), (2, "2 failures", "2 échecs")],
)
def test_failures_that_would_be_borne_are_counted_in_words(stays: int, english: str, french: str):
    kept = {
        "predicted_score": "99.00",
        "prediction_window_minutes": 60,
        "intervals": {"p10": 98.0, "p50": 99.0, "p90": 100.0},
        "explanation": {"contributions": [], "recent_attempts": 9, "recent_failures": 0}
        | {"stays_with": stays},
        "p_down": 0.01,
        "recommended_action": "monitor",
        "served_by": "model",
    }

    assert f"up to {english} in" in (health_sentences.explain_stored(kept, "en") or "")
    assert f"jusqu'à {french} en" in (health_sentences.explain_stored(kept, "fr") or "")


def test_prediction_that_the_mesh_has_kept_is_said_in_the_readers_language():
    made = told([3, 3, 3, 3])
    kept = {
        "bank_profile_id": "bp_123",
        "predicted_score": f"{made.predicted_score:.2f}",
        "prediction_window_minutes": 60,
        "intervals": {"p10": float(made.p10), "p50": float(made.p50), "p90": float(made.p90)},
        "explanation": {
            "contributions": [],
            "recent_attempts": made.recent_attempts,
            "recent_failures": made.recent_failures,
            "stays_with": made.stays_with,
        },
        "p_down": round(made.p_down, 6),
        "recommended_action": made.recommended_action,
        "served_by": made.served_by,
    }

    assert health_sentences.explain_stored(kept, "en") == made.reason
    assert health_sentences.explain_stored(kept, "fr") == sentence(made, "fr")


def test_bank_short_of_funds_is_said_to_be_so():
    made = told([], is_short_of_funds=True)

    assert made.recommended_action == "increase_reserve"
    assert "short of funds" in made.reason
    assert "fonds qui manquent" in sentence(made, "fr")


def test_risk_factors_name_what_speaks_against_the_bank():
    assert told([]).risk_factors == ()
    assert told([3] * 5).risk_factors == ("low_success_rate", "declining_health")
    assert told([], latency_ratio=2.5).risk_factors == ("latency_spike",)
    assert told([], volume_ratio=4.0).risk_factors == ("volume_surge",)
    assert told([], overdue=1).risk_factors == ("settlement_delay",)


def test_little_seen_is_little_believed():
    belief = fresh()
    for place in range(SEEN_MIN - 1):
        belief = observe(belief, 1.0, T0 + place)
    few = forecast(belief, window_minutes=60, at=T0 + 60, recent=RecentCounts())
    enough = forecast(
        observe(observe(belief, 1.0, T0 + 60), 1.0, T0 + 61),
        window_minutes=60,
        at=T0 + 61,
        recent=RecentCounts(),
    )

    assert few.confidence == UNSURE_MAX
    assert enough.confidence > 0.99


def test_move_from_a_dead_bank_to_a_good_one_is_sure_and_back_is_not():
    _, dead = minutes_of([3] * 10)
    _, good = minutes_of([])

    assert confidence_of_move(dead, good) > 0.99
    assert confidence_of_move(good, dead) < 0.01
    assert confidence_of_move(good, good) < 0.5
    assert confidence_of_move(dead, fresh()) == UNSURE_MAX


def test_no_table_lifts_confidence_above_a_doubt_while_little_was_seen(
    monkeypatch: pytest.MonkeyPatch,
):
    good = observe_many(fresh(), failures=0, oks=1000, at=NOW)
    dead = observe_many(fresh(), failures=12, oks=0, at=NOW)
    table = health_calibration.fit([(place / 1000, True) for place in range(1001)])

    found = sureness_of_move(dead, good, table=table)

    assert found.n_eff < 30
    assert found.confidence == UNSURE_MAX
    assert found.raw > 0.99
    monkeypatch.setattr(health, "SEEN_MIN", 0)
    assert sureness_of_move(dead, good, table=table).confidence > 0.99


def test_a_table_says_how_often_such_a_move_was_right():
    good = observe_many(fresh(), failures=0, oks=1000, at=NOW)
    dead = observe_many(good, failures=12, oks=0, at=NOW)
    table = health_calibration.fit([(0.9, at % 2 > 0) for at in range(100)])

    found = sureness_of_move(dead, good, table=table)

    assert found.raw > 0.99
    assert found.confidence == pytest.approx(0.5)
    # Nothing like a move to the bank that is down was ever tried: what is said stands.
    back = sureness_of_move(good, dead, table=table)
    assert back.confidence == pytest.approx(back.raw, abs=1e-6)


def test_widened_interval_holds_the_narrower_one_and_stays_within_bounds():
    made = told([0, 1, 0, 0, 2])
    wide, whole, none = (widened(made, by) for by in (1.5, 1000.0, 0.0))

    assert wide.p10 < made.p10 <= made.p90 <= wide.p90
    assert (whole.p10, whole.p90) == (0, 100)
    assert none.p10 <= min(made.p50, made.predicted_score)
    assert none.p90 >= max(made.p50, made.predicted_score)
    assert widened(made, 1.0) == made


def test_confidence_of_a_move_is_the_share_of_draws_in_which_it_is_right():
    _, doubtful = minutes_of([1, 1, 0, 1])
    _, good = minutes_of([])
    drawn = random.Random(7)

    def draw(belief: Belief) -> float:
        known = belief.strength + belief.oks + belief.failures
        bad = belief.prior * belief.strength + belief.failures
        base = drawn.betavariate(bad, known - bad)
        return drawn.choices(health_filter.failing(base), belief.weights)[0]

    right = sum(draw(doubtful) - draw(good) > 0.003 for _ in range(4000)) / 4000
    assert confidence_of_move(doubtful, good) == pytest.approx(right, abs=0.05)


def test_reading_of_a_learned_model_is_told_with_the_filters_word_on_up_and_down():
    minutes, belief = minutes_of([])
    reading = Reading(
        expected_failure=0.3,
        p_degraded=0.5,
        p10=0.1,
        p50=0.25,
        p90=0.5,
        contributions=(("usual", -3.0), ("failures_5m", 2.1527)),
        model_version="health-1",
        window_minutes=60,
    )
    made = predict(
        belief, window_minutes=60, at=NOW, recent=RecentCounts(minutes=minutes), reading=reading
    )

    assert (made.served_by, made.model_version) == ("tier2", "health-1")
    assert (made.predicted_score, made.p10, made.p90) == (70, 50, 90)
    assert made.recommended_action == "prepare_failover"
    assert made.p_down == pytest.approx(p_down(health_filter.advance(belief, NOW)))


def test_wider_intervals_are_wider_on_both_sides():
    minutes, belief = minutes_of([1, 2, 1])
    recent = RecentCounts(minutes=minutes)
    usual = forecast(belief, window_minutes=60, at=NOW, recent=recent)
    wide = predict(belief, window_minutes=60, at=NOW, recent=recent, widening=1.5)

    assert wide.p10 <= usual.p10 <= usual.p90 <= wide.p90
    assert wide.predicted_score == usual.predicted_score


def test_content_of_a_prediction_says_all_of_it_and_is_read_back():
    made = told([1, 0, 1])
    subject = Subject(bank_profile_id="bp_123", mesh_region_id="region_cedeao", currency="XOF")
    content = msgspec.json.decode(msgspec.json.encode(content_of(subject, made, history="ab")))

    assert forecast_of(content) == made
    assert subject_of(content) == subject
    assert content["history"] == "ab"


def looks(*scores: float | None) -> list[Look]:
    return [Look(health_score=score) for score in scores]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], 50),
        ([90], 90),
        ([None], 50),
        ([100] * 20, 100),
        ([80] * 15 + [100] * 5, 95),
        ([100] * 15 + [20] * 5, 40),
        ([0] * 100 + [90] * 20, 90),
        ([60, 70], 65),
        ([50] * 4 + [90] * 5, 92.22),
        ([-5, 500], 50),
    ],
)
def test_rule_of_thumb_is_the_mean_and_half_the_trend_of_any_number_of_scores(scores, expected):
    made = health_fallback.forecast(looks(*scores), window_minutes=60)

    assert float(made.predicted_score) == pytest.approx(expected, abs=0.01)
    assert (made.served_by, made.confidence) == ("fallback", 0.6)
    assert 0 <= made.p10 <= made.predicted_score <= made.p90 <= 100


def test_rule_of_thumb_names_its_risk_factors_and_says_what_it_is():
    seen = [Look(health_score=90, latency_ms=900, success_rate=0.9)] * 10
    seen += [Look(health_score=40, latency_ms=900, success_rate=0.9)] * 5
    made = health_fallback.forecast(seen, window_minutes=60)

    assert made.risk_factors == ("high_latency", "low_success_rate", "declining_health")
    assert made.recommended_action == "failover"
    assert "SIRA did not answer" in made.reason
    assert "SIRA n'a pas répondu" in sentence(made, "fr")


def test_interval_of_the_rule_of_thumb_is_half_as_wide_again_as_scores_spread():
    made = health_fallback.forecast(looks(*[40, 60] * 10), window_minutes=60)

    assert float(made.p90 - made.p10) == pytest.approx(2 * 10 * 1.2816 * 1.5, abs=0.02)


def test_what_comes_lies_in_the_interval_four_times_in_five():
    """Ten days of a bank with an outage each six hours, three payouts a minute, by seed."""
    chance = random.Random(11)
    severity, failed = 0.0, []
    for _ in range(10 * 1440):
        if not severity and chance.random() < 1 / 360:
            severity = chance.choice(health_filter.SEVERITIES)
        elif severity and chance.random() < 1 / 150:
            severity = 0.0
        share = 1 - 0.99 * (1 - severity)
        failed.append(sum(chance.random() < share for _ in range(3)))

    belief, minutes, held, told_ = fresh(0.01), [], 0, 0
    for place, bad in enumerate(failed[:-60]):
        at = T0 + 60 * place
        belief = observe_many(belief, failures=bad, oks=3 - bad, at=at + 30)
        minutes.append(Minute(at=at, attempts=3, failures=bad, p_down=p_down(belief)))
        if place > 1000 and place % 30 == 0:
            made = forecast(
                belief,
                window_minutes=60,
                at=at + 60,
                recent=RecentCounts(minutes=tuple(minutes[-16:])),
            )
            came = 100 * (1 - sum(failed[place + 1 : place + 61]) / 180)
            told_ += 1
            held += float(made.p10) <= came <= float(made.p90)
    assert held / told_ > 0.78
