"""Grows a forest with LightGBM and writes it down in our own form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
from lightgbm import Booster
from numpy.typing import NDArray

from molam.sira.boosting import Forest, Missing, Tree
from molam.sira.features import NAMES, RISING
from molam.sira.health_model import FILTER_PLACE, Target

Floats = NDArray[np.float64]

ROUNDS_MIN, ROUNDS_MAX = 150, 400
ROUNDS_FROM_FILTER_MIN = 20
PATIENCE = 30
PARAMETERS: dict[str, Any] = {
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 80,
    "lambda_l2": 1.0,
    "monotone_constraints": [int(name in RISING) for name in NAMES],
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""No weighting of the rarer class: it would make every probability wrong."""
_MISSING: dict[str, Missing] = {"None": "none", "Zero": "zero", "NaN": "nan"}
_OBJECTIVES: dict[Target, str] = {"failure": "cross_entropy", "degraded": "binary"}


def begins_at_filter(target: Target) -> bool:
    """Tell whether the filter predicts the same thing, so that trees need only correct it."""
    return target == "failure"


def grow(
    target: Target, rows: tuple[Floats, Floats, Floats], *, seed: int, rounds: int = ROUNDS_MAX
) -> Booster:
    """
    Train on rows (vectors, labels from 0 to 1, weights), oldest first.

    The last tenth tells when to stop. What begins at the filter has less to learn, and may be
    a few trees; the rest has 150 at least, unless *rounds* are fewer.
    """
    vectors, labels, weights = rows
    cut = len(labels) - len(labels) // 10
    given = {**PARAMETERS, "objective": _OBJECTIVES[target], "seed": seed}
    begins = vectors[:, FILTER_PLACE] if begins_at_filter(target) else None
    train, watched = (
        lightgbm.Dataset(
            vectors[part].copy(),
            labels[part].copy(),
            weight=weights[part].copy(),
            init_score=None if begins is None else begins[part].copy(),
            free_raw_data=False,
        )
        for part in (slice(cut), slice(cut, None))
    )
    watched.set_reference(train)
    booster = lightgbm.train(
        given,
        train,
        num_boost_round=rounds,
        valid_sets=[watched],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    least = ROUNDS_FROM_FILTER_MIN if begins_at_filter(target) else ROUNDS_MIN
    wanted = min(rounds, max(least, booster.best_iteration))
    if booster.current_iteration() != wanted:
        booster = lightgbm.train(given, train, num_boost_round=wanted)
    else:
        # Otherwise predictions would silently use fewer trees than are written down.
        booster.best_iteration = 0
    return booster


def written(booster: Booster, features: int) -> Forest:
    """Write a booster down in our form; a test holds the two to the same predictions."""
    dumped = booster.dump_model()
    trees = [_tree(each["tree_structure"], each["num_leaves"]) for each in dumped["tree_info"]]
    return Forest(features, tuple(trees))


def _tree(root: dict[str, Any], leaves: int) -> Tree:
    if "split_index" not in root:
        cover = float(root.get("leaf_count", 1))
        return Tree((), (), (), (), (), (), (), (float(root["leaf_value"]),), (cover,))
    splits: dict[int, tuple[dict[str, Any], int, int]] = {}
    values, covers = [0.0] * leaves, [0.0] * leaves

    def walk(node: dict[str, Any]) -> int:
        if "split_index" not in node:
            place = int(node["leaf_index"])
            values[place], covers[place] = float(node["leaf_value"]), float(node["leaf_count"])
            return ~place
        assert node["decision_type"] == "<=", "only figures are compared, no categories"
        splits[node["split_index"]] = (node, walk(node["left_child"]), walk(node["right_child"]))
        return int(node["split_index"])

    walk(root)
    ordered = [splits[place] for place in range(len(splits))]
    return Tree(
        feature=tuple(int(node["split_feature"]) for node, _, _ in ordered),
        threshold=tuple(float(node["threshold"]) for node, _, _ in ordered),
        left=tuple(left for _, left, _ in ordered),
        right=tuple(right for _, _, right in ordered),
        missing=tuple(_MISSING[node["missing_type"]] for node, _, _ in ordered),
        default_left=tuple(bool(node["default_left"]) for node, _, _ in ordered),
        cover=tuple(float(node["internal_count"]) for node, _, _ in ordered),
        leaf=tuple(values),
        leaf_cover=tuple(covers),
    )


def importance(booster: Booster, vectors: Floats) -> Sequence[float]:
    """Return how far each feature moves the log-odds on average."""
    added = np.asarray(booster.predict(vectors, pred_contrib=True), dtype=np.float64)
    means: list[float] = np.abs(added[:, :-1]).mean(axis=0).tolist()
    return means
