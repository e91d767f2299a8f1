"""The learned health model as it is kept and served: forests, their calibration, their limits."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from molam.sira.boosting import Forest
from molam.sira.features import NAMES

FORMAT = 1
CLAMP = 1e-6
WIDENING = 1.5
"""How much wider intervals are while a model is frozen or the fallback serves."""

FILTER_PLACE = NAMES.index("expected_failure")
"""Where a vector holds the filter's log-odds."""

Target = Literal["failure", "degraded"]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    From a forest's log-odds to a probability that means what it says.

    Platt: ``1 / (1 + exp(-(slope * x + shift)))``. Isotonic: points joined by lines.
    """

    kind: Literal["none", "platt", "isotonic"] = "none"
    slope: float = 1.0
    shift: float = 0.0
    margins: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    positives: float = 0.0

    def __post_init__(self) -> None:
        if len(self.margins) != len(self.shares) or list(self.margins) != sorted(self.margins):
            raise ValueError("a calibration's points are not in order")
        if self.kind == "isotonic" and not self.margins:
            raise ValueError("an isotonic calibration has at least one point")

    def probability(self, margin: float) -> float:
        if self.kind != "isotonic":
            return _clamped(_logistic(self.slope * margin + self.shift))
        right = bisect.bisect_right(self.margins, margin)
        if right == 0:
            return _clamped(self.shares[0])
        if right == len(self.margins):
            return _clamped(self.shares[-1])
        low, high = self.margins[right - 1], self.margins[right]
        way = (margin - low) / (high - low)
        below, above = self.shares[right - 1], self.shares[right]
        return _clamped(below + (above - below) * way)


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where realised shares lay when the prediction was at most *upto*."""

    upto: float
    p10: float
    p50: float
    p90: float


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is predicted over one window, and whether it may be served.

    A head that begins at the filter adds its trees to the filter's log-odds. ``failure`` is the
    share of payouts that will fail or miss their time; ``degraded`` is
    the probability that this share lies more than five points above the bank's usual one.
    """

    target: Target
    window_minutes: int
    begins_at_filter: bool
    forest: Forest
    calibration: Calibration
    bands: tuple[Band, ...]
    serves: bool
    why: str

    def margin(self, features: Sequence[float]) -> float:
        """Return the log-odds before calibration."""
        return self.beginning(features) + self.forest.margin(features)

    def beginning(self, features: Sequence[float]) -> float:
        return features[FILTER_PLACE] if self.begins_at_filter else 0.0

    def probability(self, features: Sequence[float]) -> float:
        return self.calibration.probability(self.margin(features))


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a feature was spread in training: shares of the rows between *edges*."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


class HealthModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One trained version; `serves` false says in `why` what it failed at."""

    format: int
    version: str
    trained_at: str
    source: str
    seed: int
    features: tuple[str, ...]
    features_digest: str
    heads: tuple[Head, ...]
    reference: tuple[Reference, ...]
    serves: bool
    why: str

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"the model's format is {self.format}, and {FORMAT} is read")
        if any(head.forest.features != len(self.features) for head in self.heads):
            raise ValueError("a forest and the list of features differ in length")
        if self.reference and len(self.reference) != len(self.features):
            raise ValueError("not every feature has its reference")

    def head(self, target: Target, window_minutes: int) -> Head | None:
        """Return the head nearest to the window asked for, if it may be served."""
        fitting = [each for each in self.heads if each.target == target and each.serves]
        return min(
            fitting, key=lambda each: abs(each.window_minutes - window_minutes), default=None
        )


class Reading(msgspec.Struct, frozen=True):
    """
    One prediction; *contributions* (name, log-odds) add up to that of *expected_failure*.

    The interval is of the share that will fail, best first: p10 <= p50 <= p90.
    """

    expected_failure: float
    p_degraded: float | None
    p10: float
    p50: float
    p90: float
    contributions: tuple[tuple[str, float], ...]
    model_version: str
    window_minutes: int


def read(
    model: HealthModel, features: Sequence[float], *, window_minutes: int, widening: float = 1.0
) -> Reading | None:
    """Predict from a vector in the order of ``model.features``; None where no head serves."""
    head = model.head("failure", window_minutes)
    if head is None:
        return None
    added = head.forest.explain(features)
    added[FILTER_PLACE] += head.beginning(features)
    margin = math.fsum(added)
    expected = head.calibration.probability(margin)
    named = [("usual", added[-1]), *zip(model.features, added[:-1], strict=True)]
    named.append(("calibration", log_odds(expected) - margin))
    degraded = model.head("degraded", window_minutes)
    low, middle, high = _interval(head, expected, widening)
    return Reading(
        expected_failure=expected,
        p_degraded=None if degraded is None else degraded.probability(features),
        p10=low,
        p50=middle,
        p90=high,
        contributions=tuple(pair for pair in named if pair[1] != 0.0),
        model_version=model.version,
        window_minutes=head.window_minutes,
    )


def strongest(reading: Reading, count: int = 5) -> tuple[tuple[str, float], ...]:
    """Return the *count* strongest contributions, and all others as one, so that they add up."""
    order = sorted(reading.contributions, key=lambda pair: -abs(pair[1]))
    rest = math.fsum(value for _, value in order[count:])
    return (*order[:count], ("all others", rest)) if len(order) > count else tuple(order)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _interval(head: Head, expected: float, widening: float) -> tuple[float, float, float]:
    if not head.bands:
        return expected, expected, expected
    place = bisect.bisect_left([band.upto for band in head.bands], expected)
    band = head.bands[min(place, len(head.bands) - 1)]
    low = max(0.0, band.p50 - (band.p50 - band.p10) * widening)
    high = min(1.0, band.p50 + (band.p90 - band.p50) * widening)
    return low, band.p50, high


def _clamped(probability: float) -> float:
    return min(1 - CLAMP, max(CLAMP, probability))


def _logistic(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))
