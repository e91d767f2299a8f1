"""Predicting with the best that may serve now: the learned model, or the filter."""

from __future__ import annotations

import msgspec

from molam.sira import health_filter as filter_
from molam.sira.features import MINUTE_S, Surroundings, from_minutes
from molam.sira.health import Forecast, RecentCounts, predict
from molam.sira.health_filter import Belief
from molam.sira.health_model import Reading
from molam.sira.registry import Serving

_HOUR_S = 3600


def predict_by(
    serving: Serving,
    belief: Belief,
    *,
    window_minutes: int,
    at: float,
    recent: RecentCounts,
    around: Surroundings | None = None,
) -> Forecast:
    """
    Predict by the model in *serving* where it has one, on the minutes of *recent*.

    These reach back as far as the caller has them: a model looks at a week.
    """
    now = filter_.advance(belief, at)
    return predict(
        now,
        window_minutes=window_minutes,
        at=at,
        recent=recent,
        reading=_reading(
            serving, now, recent, around=around or Surroundings(), window_minutes=window_minutes
        ),
        widening=serving.widening,
    )


def _reading(
    serving: Serving,
    now: Belief,
    recent: RecentCounts,
    *,
    around: Surroundings,
    window_minutes: int,
) -> Reading | None:
    # A model that sees nothing of the last hour has learnt nothing of the bank's state.
    if serving.model is None or not any(each.at >= now.at - _HOUR_S for each in recent.minutes):
        return None
    known = msgspec.structs.replace(
        around, expected_failure=filter_.expected_failure(now, 60 * MINUTE_S)
    )
    vector = from_minutes(sorted(recent.minutes, key=lambda each: each.at), known)
    return serving.read(vector, window_minutes=window_minutes)
