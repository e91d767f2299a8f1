"""The learned health model as it is served."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_health import a_head, a_model, a_vector
from molam.sira.boosting import Forest
from molam.sira.features import NAMES
from molam.sira.health_model import Calibration, HealthModel, log_odds, read, strongest


@given(
    by_filter=st.floats(-8, 8), failures=st.floats(0, 60), p_down=st.floats(0, 1),
    kind=st.sampled_from(["none", "platt", "isotonic"]),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_an_explanation_adds_up_to_what_is_served(by_filter, failures, p_down, kind):
    points = {"margins": (-3.0, 0.0, 2.0), "shares": (0.01, 0.2, 0.7)} if kind == "isotonic" else {}
    model = a_model(a_head(calibration=Calibration(kind, **points)))

    reading = read(
        model, a_vector(by_filter=by_filter, failures=failures, p_down=p_down), window_minutes=60
    )

    assert reading is not None
    total = math.fsum(value for _, value in reading.contributions)
    assert total == pytest.approx(log_odds(reading.expected_failure), abs=1e-9)
    shown = strongest(reading, 3)
    assert math.fsum(value for _, value in shown) == pytest.approx(total, abs=1e-9)
    assert len(shown) <= 4


def test_a_head_begins_with_what_the_filter_says():
    added = dict(read(a_model(), a_vector(by_filter=-2.5), window_minutes=60).contributions)

    assert added["expected_failure"] == pytest.approx(-2.5)


def test_more_failures_are_never_said_to_be_better():
    said = [a_head().probability(a_vector(failures=count)) for count in range(10)]

    assert said == sorted(said)


def test_a_head_that_does_not_serve_is_not_read():
    assert read(a_model(a_head(serves=False)), a_vector(), window_minutes=60) is None


def test_the_nearest_window_that_serves_is_read():
    model = a_model(a_head(window_minutes=15), a_head(window_minutes=60, serves=False))

    assert read(model, a_vector(), window_minutes=60).window_minutes == 15


def test_a_degraded_head_adds_its_probability():
    flat = Forest(len(NAMES), ())
    degraded = a_head(
        target="degraded", begins_at_filter=False, forest=flat, calibration=Calibration(), bands=()
    )

    assert read(a_model(a_head(), degraded), a_vector(), window_minutes=60).p_degraded == 0.5


def test_an_interval_can_be_widened_and_stays_a_share():
    narrow, wide = (
        read(a_model(), a_vector(by_filter=2.0), window_minutes=60, widening=by)
        for by in (1.0, 1.5)
    )

    assert (narrow.p10, narrow.p50, narrow.p90) == pytest.approx((0.1, 0.4, 0.9))
    assert (wide.p10, wide.p50, wide.p90) == pytest.approx((0.0, 0.4, 1.0))


@given(st.floats(-60, 60))
@settings(max_examples=50)
def test_an_isotonic_line_never_falls(margin):
    line = Calibration("isotonic", margins=(-2.0, 0.0, 3.0), shares=(0.05, 0.05, 0.6))

    assert line.probability(margin) <= line.probability(margin + 0.5)
    assert 0 < line.probability(margin) < 1


@pytest.mark.parametrize(
    "changed",
    [{"format": 2}, {"features": NAMES[:3]}, {"reference": ((),)}],
)
def test_a_model_of_another_shape_is_refused(changed):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.to_builtins(a_model()), **changed}, HealthModel)


def test_a_model_survives_being_written_down():
    model = a_model()

    again = msgspec.json.decode(msgspec.json.encode(model), type=HealthModel)

    assert again == model
