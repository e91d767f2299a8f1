"""Small learned health models, made by hand, and vectors for them."""

from __future__ import annotations

import msgspec

from molam.sira import features
from molam.sira.boosting import Forest, Tree
from molam.sira.features import NAMES
from molam.sira.health_model import (
    FILTER_PLACE,
    FORMAT,
    Band,
    Calibration,
    Head,
    HealthModel,
    Reference,
)

FAILURES_60M = NAMES.index("failures_60m")
P_DOWN = NAMES.index("p_down")


def stump(feature: int, threshold: float, low: float, high: float, *, covers=(90.0, 10.0)) -> Tree:
    return Tree(
        feature=(feature,),
        threshold=(threshold,),
        left=(~0,),
        right=(~1,),
        missing=("none",),
        default_left=(False,),
        cover=(sum(covers),),
        leaf=(low, high),
        leaf_cover=covers,
    )


def a_head(**changed) -> Head:
    forest = Forest(
        len(NAMES),
        (stump(FAILURES_60M, 3.0, -0.2, 0.8), stump(P_DOWN, 0.5, -0.1, 1.5)),
    )
    given = {
        "target": "failure",
        "window_minutes": 60,
        "begins_at_filter": True,
        "forest": forest,
        "calibration": Calibration("platt", slope=0.9, shift=0.1),
        "bands": (Band(0.05, 0.0, 0.01, 0.04), Band(1.0, 0.1, 0.4, 0.9)),
        "serves": True,
        "why": "It beats the filter",
    }
    return Head(**{**given, **changed})


def a_model(*heads: Head, **changed) -> HealthModel:
    given = {
        "format": FORMAT,
        "version": "health-1",
        "trained_at": "2026-11-01T00:00:00+00:00",
        "source": "a test",
        "seed": 1,
        "features": NAMES,
        "features_digest": features.digest(),
        "heads": heads or (a_head(),),
        "reference": tuple(Reference((0.5,), (0.5, 0.5)) for _ in NAMES),
        "serves": True,
        "why": "it beats the filter's log loss",
    }
    return HealthModel(**{**given, **changed})


def a_vector(*, by_filter: float = -4.0, failures: float = 0.0, p_down: float = 0.0) -> list[float]:
    vector = [0.0] * len(NAMES)
    vector[FILTER_PLACE], vector[FAILURES_60M], vector[P_DOWN] = by_filter, failures, p_down
    return vector


def as_files(model: HealthModel) -> dict[str, bytes]:
    return {"model.json": msgspec.json.encode(model), "REPORT.md": b"# A report\n"}
