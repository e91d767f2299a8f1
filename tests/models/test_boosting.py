"""Forests that we read ourselves: the same figures as LightGBM's, and explanations that add up."""

from __future__ import annotations

import itertools
import math
from random import Random

import msgspec
import pytest

from learned_health import stump
from molam.sira.boosting import Forest, Tree


def _grown(draw: Random, features: int, leaves: int) -> Tree:
    """Split a random leaf until there are *leaves*, as a real tree grows."""
    splits: list[list] = []
    covers = {~0: 1000.0}
    parents: dict[int, tuple[int, str]] = {}
    for n in range(leaves - 1):
        leaf = draw.choice(sorted(covers))
        cover, new = covers.pop(leaf), ~(n + 1)
        share = draw.uniform(0.1, 0.9)
        splits.append([draw.randrange(features), draw.gauss(0, 1), leaf, new, cover])
        if leaf in parents:
            at, side = parents[leaf]
            splits[at][2 if side == "left" else 3] = n
        parents[leaf], parents[new] = (n, "left"), (n, "right")
        covers[leaf], covers[new] = cover * share, cover * (1 - share)
    return Tree(
        feature=tuple(s[0] for s in splits),
        threshold=tuple(s[1] for s in splits),
        left=tuple(s[2] for s in splits),
        right=tuple(s[3] for s in splits),
        missing=("none",) * len(splits),
        default_left=(False,) * len(splits),
        cover=tuple(s[4] for s in splits),
        leaf=tuple(draw.gauss(0, 1) for _ in range(leaves)),
        leaf_cover=tuple(covers[~n] for n in range(leaves)),
    )


def _known(tree: Tree, row, known: frozenset[int], node: int = 0) -> float:
    """What a tree expects where only *known* features are: it goes both ways for the others."""
    if node < 0:
        return tree.leaf[~node]
    sides = tree.left[node], tree.right[node]
    if tree.feature[node] in known:
        return _known(tree, row, known, sides[0] if tree.goes_left(node, row) else sides[1])
    return sum(
        tree.covered(side) / tree.cover[node] * _known(tree, row, known, side) for side in sides
    )


@pytest.mark.parametrize("seed", range(5))
def test_contributions_are_shapley_values_by_their_definition(seed: int):
    draw = Random(seed)
    count = 4
    tree = _grown(draw, count, 8)
    row = [draw.gauss(0, 1) for _ in range(count)]

    added = Forest(count, (tree,)).explain(row)

    for feature in range(count):
        others = [each for each in range(count) if each != feature]
        value = 0.0
        for size in range(count):
            share = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for chosen in itertools.combinations(others, size):
                known = frozenset(chosen)
                gain = _known(tree, row, known | {feature}) - _known(tree, row, known)
                value += share * gain
        assert added[feature] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_contributions_add_up_to_the_margin(seed: int):
    draw = Random(seed)
    forest = Forest(6, tuple(_grown(draw, 6, 12) for _ in range(10)))
    row = [draw.gauss(0, 1) for _ in range(6)]

    assert math.fsum(forest.explain(row)) == pytest.approx(forest.margin(row), abs=1e-12)


def test_a_missing_value_goes_where_the_split_says():
    tree = msgspec.structs.replace(stump(0, -1.0, 1.0, 2.0), missing=("nan",), default_left=(True,))

    assert tree.value([math.nan]) == 1.0
    assert stump(0, -1.0, 1.0, 2.0).value([math.nan]) == 2.0  # There it counts as zero.


@pytest.mark.parametrize(
    "changed",
    [
        {"left": (0,)},
        {"right": (~0,)},
        {"leaf": (1.0,)},
        {"leaf_cover": (1.0,)},
        {"threshold": ()},
        {"left": (5,)},
    ],
)
def test_a_tree_with_a_loop_or_a_hole_is_refused(changed):
    with pytest.raises(ValueError, match="tree"):
        msgspec.structs.replace(stump(0, 0.0, 1.0, 2.0), **changed).__post_init__()


def test_a_forest_that_asks_for_an_unknown_feature_is_refused():
    with pytest.raises(msgspec.ValidationError, match="feature"):
        msgspec.json.decode(
            msgspec.json.encode({"features": 1, "trees": [msgspec.to_builtins(stump(3, 0, 1, 2))]}),
            type=Forest,
        )


@pytest.mark.parametrize("options", [{}, {"zero_as_missing": True}, {"use_missing": False}])
def test_predictions_and_contributions_are_lightgbms(options):
    lightgbm = pytest.importorskip("lightgbm", reason="the extra `models` is not installed")
    np = pytest.importorskip("numpy")
    forests = pytest.importorskip("molam.sira.training.forests")
    draw = np.random.default_rng(7)
    rows = draw.normal(size=(1500, 8))
    rows[draw.random(rows.shape) < 0.1] = np.nan
    rows[:, 3] = np.where(draw.random(1500) < 0.5, 0.0, rows[:, 3])
    labels = (np.nan_to_num(rows[:, 0]) + np.nan_to_num(rows[:, 1] * rows[:, 2]) > 0.3).astype(int)
    given = {"objective": "binary", "num_leaves": 15, "verbosity": -1, "num_threads": 1, **options}
    booster = lightgbm.train(given, lightgbm.Dataset(rows, labels), num_boost_round=25)

    forest = forests.written(booster, 8)

    judged = rows[:15].copy()
    said = booster.predict(judged, raw_score=True)
    added = booster.predict(judged, pred_contrib=True)
    for place, row in enumerate(judged.tolist()):
        assert forest.margin(row) == pytest.approx(said[place], abs=1e-9)
        assert forest.explain(row) == pytest.approx(added[place].tolist(), abs=1e-9)
