"""When the learned model stands still by itself."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from learned_health import a_model, a_vector
from molam.sira import drift
from molam.sira.drift import Adwin, DriftState, Outcome
from molam.sira.health_model import Reference


def _outcome(hour: int, *, share: float = 0.01, by_model: float = 0.01, by_filter: float = 0.01):
    return Outcome(
        at=3600.0 * hour, witness=1.0, share=share, by_model=by_model, by_filter=by_filter
    )


def _model(feature_shares=(0.5, 0.5)):
    model = a_model()
    reference = Reference((0.5,), feature_shares)
    return msgspec.structs.replace(model, reference=tuple(reference for _ in model.features))


def _seen(model, rows: int, *, outcome=_outcome, high: float = 0.5) -> DriftState:
    draw, state = Random(1), DriftState("v")
    for hour in range(rows):
        vector = [1.0 if draw.random() < high else 0.0 for _ in a_vector()]
        drift.observe(state, model, vector, outcome(hour))
    return state


def test_features_spread_as_in_training_are_no_drift():
    model = _model()

    verdict = drift.verdict(_seen(model, 7000), model)

    assert not verdict.is_alert
    assert verdict.psi_max < 0.01


@pytest.mark.parametrize(("high", "is_frozen"), [(0.73, False), (0.85, True)])
def test_features_spread_otherwise_alert_and_then_freeze(high: float, is_frozen: bool):
    model = _model()

    verdict = drift.verdict(_seen(model, 7000, high=high), model)

    assert verdict.is_alert
    assert verdict.is_frozen == is_frozen
    assert "PSI" in verdict.reason


def test_few_rows_prove_nothing():
    model = _model()

    assert not drift.verdict(_seen(model, 400, high=1.0), model).is_alert


def test_a_model_that_explains_less_than_the_filter_is_frozen():
    model = _model()

    state = _seen(
        model, 60, outcome=lambda hour: _outcome(hour, share=0.5, by_model=0.05, by_filter=0.5)
    )

    assert drift.verdict(state, model).is_frozen
    assert "filter" in state.alarm


def test_a_model_that_explains_more_is_not():
    model = _model()

    state = _seen(
        model, 60, outcome=lambda hour: _outcome(hour, share=0.5, by_model=0.5, by_filter=0.05)
    )

    assert state.cusum == 0
    assert not drift.verdict(state, model).is_alert


def test_an_alarm_lasts():
    model = _model()
    state = _seen(model, 60, outcome=lambda h: _outcome(h, share=0.5, by_model=0.05, by_filter=0.5))

    for hour in range(60, 500):
        drift.observe(state, model, a_vector(), _outcome(hour))

    assert drift.verdict(state, model).is_frozen


def test_a_shift_of_the_mean_is_noticed_and_noise_is_not():
    draw = Random(3)
    window = Adwin()

    before = [drift.adwin(window, draw.gauss(0.0, 0.05)) for _ in range(1000)]
    after = [drift.adwin(window, draw.gauss(0.15, 0.05)) for _ in range(200)]

    assert not any(before)
    assert any(after)
    count = sum(each.count for each in window.buckets)
    assert count < 600
    assert sum(each.total for each in window.buckets) / count > 0.08


def test_a_window_grows_by_few_buckets_and_loses_nothing():
    window = Adwin()
    for value in range(1000):
        drift.adwin(window, float(value % 2))

    assert len(window.buckets) <= 60
    assert sum(each.count for each in window.buckets) == 1000
    assert sum(each.total for each in window.buckets) == 500


def test_what_was_seen_survives_being_written_down():
    model = _model()
    state = _seen(model, 100)

    again = msgspec.json.decode(msgspec.json.encode(state), type=DriftState)

    assert again == state
