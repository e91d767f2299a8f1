"""Silence becomes suspicious, and what is promised is held to what comes."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.sira import health_calibration as calibration
from molam.sira.health_calibration import Adaptive, learn, widening
from molam.sira.health_heartbeat import (
    GAPS_MAX,
    THRESHOLD,
    Heartbeats,
    Pace,
    beat,
    is_silent,
    phi,
)


def beating(gaps: list[float], *, since: float = 0.0) -> Heartbeats:
    state = beat(Heartbeats(), since)
    for gap in gaps:
        assert state.last is not None
        state = beat(state, state.last + gap)
    return state


def test_suspicion_is_the_tail_of_the_gaps_seen():
    state = beating([55.0, 65.0] * 50)
    assert state.last is not None
    expected = -math.log10(0.5 * math.erfc((200 - 180) / 5 / math.sqrt(2)))

    assert phi(state, state.last + 200) == pytest.approx(expected)


def test_bank_polled_each_minute_is_silent_after_three_and_a_half():
    state = beating([60.0] * 100)
    assert state.last is not None

    assert not is_silent(state, state.last + 120)
    assert not is_silent(state, state.last + 200)
    assert is_silent(state, state.last + 180 + 6 * 5)


def test_service_that_beats_each_second_is_silent_after_a_pause_of_three():
    state = beating([1.0] * 100)
    assert state.last is not None
    pace = Pace(interval_s=1.0, deviation_min_s=0.1, pause_s=3.0)

    assert not is_silent(state, state.last + 4.0, pace)
    assert is_silent(state, state.last + 4.6, pace)


def test_nobody_misses_what_was_never_heard():
    assert phi(Heartbeats(), 1e9) == 0


@given(st.lists(st.floats(0.01, 1e5), max_size=50), st.floats(-1e6, 1e9))
def test_suspicion_is_finite_and_never_falls_while_nothing_comes(gaps, wait):
    state = beating(gaps)
    assert state.last is not None
    first, later = phi(state, state.last + wait), phi(state, state.last + wait + 60)

    assert 0 <= first <= later + 1e-6 < math.inf


def test_tail_goes_on_where_a_double_would_be_zero():
    state = beating([60.0] * 10)
    assert state.last is not None
    found = [phi(state, state.last + 180 + 5 * z) for z in (29.9, 30.0, 30.1, 100.0)]

    assert found == sorted(found)
    assert found[1] - found[0] == pytest.approx(found[2] - found[1], rel=0.01)
    assert found[3] > THRESHOLD * 100


def test_only_the_last_thousand_gaps_count_and_beats_out_of_order_do_not():
    state = beating([500.0] * 50 + [60.0] * GAPS_MAX)

    assert set(state.gaps) == {60.0}
    assert len(state.gaps) == GAPS_MAX
    assert beat(state, 1.0) == state


def test_a_night_of_silence_does_not_teach_to_expect_nights():
    state = beating([60.0] * 100)
    assert state.last is not None
    back = beat(state, state.last + 8 * 3600)
    assert back.last is not None

    assert back.gaps[-1] == 180
    assert is_silent(back, back.last + 400)
    # With the night among the gaps, half an hour would pass unnoticed.
    naive = Heartbeats(back.last, (*state.gaps, 8 * 3600.0))
    assert not is_silent(naive, back.last + 1800)


def test_who_slows_down_for_good_is_believed_after_a_while():
    state = beating([60.0] * 20 + [600.0] * 200)
    assert state.last is not None

    assert not is_silent(state, state.last + 620)


def test_calibration_learns_how_often_a_confidence_was_right():
    drawn = random.Random(3)
    said = [drawn.random() for _ in range(4000)]
    learned = calibration.fit((each, drawn.random() < each**2) for each in said)

    assert learned is not None
    for confidence in (0.3, 0.5, 0.7, 0.9):
        assert learned.probability(confidence) == pytest.approx(confidence**2, abs=0.08)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_calibrated_confidence_never_falls_when_what_is_said_rises(outcomes):
    learned = calibration.fit(outcomes)
    if learned is None:
        assert not outcomes
        return
    found = [learned.probability(step / 20) for step in range(21)]

    assert found == sorted(found)
    right = sum(was for _, was in outcomes)
    assert learned.positives == right


def test_a_few_lucky_moves_are_no_certainty():
    learned = calibration.fit([(0.9, True)] * 3)
    assert learned is not None
    assert learned.probability(0.9) == pytest.approx(4 / 5)

    # After many that were mostly right, three more say nothing better than the many.
    learned = calibration.fit([(0.8, at % 10 > 0) for at in range(100)] + [(0.9, True)] * 3)
    assert learned is not None
    assert learned.probability(0.9) == pytest.approx(94 / 105)


def test_without_shrinking_luck_would_be_certainty(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration, "_shrunk", calibration._share)
    learned = calibration.fit([(0.9, True)] * 3)
    assert learned is not None
    assert learned.probability(0.9) > 0.999


def test_what_was_never_tried_is_made_no_surer_than_it_says():
    learned = calibration.fit([(0.9, True)] * 100)
    assert learned is not None

    assert calibration.calibrated(learned, 0.9) == pytest.approx(101 / 102)
    assert calibration.calibrated(learned, 0.3) == 0.3
    assert learned.probability(0.3) > 0.98


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibrated_confidence_stays_inside_and_in_order(outcomes):
    learned = calibration.fit(outcomes)
    assert learned is not None
    found = [calibration.calibrated(learned, step / 40) for step in range(41)]

    assert found == sorted(found)
    assert found[0] >= 0
    assert found[-1] < 1


def test_intervals_that_miss_too_often_widen_until_they_hold():
    drawn = random.Random(5)
    state, held = Adaptive(), 0
    for step in range(20_000):
        # Outcomes spread twice as wide as the interval was made for.
        missed = abs(drawn.gauss(0, 2)) > 1.2816 * widening(state)
        state = learn(state, missed=missed)
        held += step >= 5000 and not missed
    assert held / 15_000 == pytest.approx(0.8, abs=0.01)
    assert widening(state) == pytest.approx(2, rel=0.2)


def test_widening_of_intervals_that_hold_is_none():
    assert widening(Adaptive()) == pytest.approx(1)


@given(st.lists(st.booleans(), max_size=400))
def test_widening_stays_finite_whatever_comes(misses):
    state = Adaptive()
    for missed in misses:
        state = learn(state, missed=missed)

    assert 0 < widening(state) < 4
