"""Trains, calibrates and judges a health model, and puts it and its papers into files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from lightgbm import Booster
from numpy.typing import NDArray

from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.sira import features
from molam.sira.health_model import FILTER_PLACE, FORMAT, Head, HealthModel, Reference, Target
from molam.sira.registry import MODEL
from molam.sira.training import calibration, evaluation, forests, plots, report
from molam.sira.training.dataset import DEGRADED_BY, EVERY_MIN, TRIES_MIN, WINDOWS_MIN, Rows
from molam.sira.training.report import Days, Trial

Floats = NDArray[np.float64]

CALIBRATION_DAYS, HELD_OUT_DAYS, TRAIN_DAYS_MIN = 7, 14, 14
DAYS_MIN = TRAIN_DAYS_MIN + CALIBRATION_DAYS + HELD_OUT_DAYS
REFERENCE_BINS = 10
EXPLAINED_ROWS = 500
MAIN_WINDOW = 60


class HistoryTooShort(Refusal):
    code = "history-too-short"
    kind = Kind.CONFLICT
    title = "There is too little history to train on"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be trained, and what to write on it."""

    version: str
    source: str
    seed: int
    banks: int
    now: Instant
    rounds: int = forests.ROUNDS_MAX


@dataclass(frozen=True, slots=True)
class _Split:
    """All rows as arrays, and which of them belong to which part, oldest first."""

    vectors: Floats
    at: Floats
    parts: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class _Labels:
    shares: Floats
    weights: Floats
    by_filter: Floats | None
    positives: Floats


@dataclass(frozen=True, slots=True)
class _Grown:
    head: Head
    trial: Trial
    booster: Booster
    said: Floats
    labels: _Labels


def train(
    rows: Rows, order: Order, *, told: Callable[[str], None] = lambda _line: None
) -> tuple[HealthModel, Mapping[str, bytes]]:
    """
    Train every head; return the model and the files of its version.

    Days go in order: first those it learns from, then seven that calibrate it, then fourteen
    that judge it. It serves where its log loss there is below the filter's beyond doubt.

    Raises:
        HistoryTooShort: the rows do not span 35 days.
    """
    split = _split(rows)
    grown: list[_Grown] = []
    targets: tuple[Target, ...] = ("failure", "degraded")
    for target in targets:
        for width in WINDOWS_MIN:
            told(f"training {target} over {width} min")
            grown.append(_grow(split, _labels(rows, target, width), (target, width), order))
    model = _model(split, grown, order)
    days = _days(split, order.banks)
    main = next(g for g in grown if (g.trial.target, g.trial.window_minutes) == ("failure", 60))
    told("writing the report")
    trials = [each.trial for each in grown]
    files = {
        MODEL: msgspec.json.encode(model),
        "REPORT.md": report.evaluation(model, trials, days).encode(),
        "CARD.md": report.card(model, days).encode(),
        **_drawn(split, main),
    }
    return model, files


def _split(rows: Rows) -> _Split:
    at = np.array(rows.at)
    days = (at[-1] - at[0]) / evaluation.DAY_S if len(at) else 0.0
    if days < DAYS_MIN - 1:
        raise HistoryTooShort(f"Training takes {DAYS_MIN} days of history; there are {days:.1f}.")
    judged = at[-1] - HELD_OUT_DAYS * evaluation.DAY_S
    calibrated = judged - CALIBRATION_DAYS * evaluation.DAY_S
    # What a row was judged by must be over before the next part begins.
    gap = max(WINDOWS_MIN) * features.MINUTE_S
    return _Split(
        vectors=np.array(rows.vectors),
        at=at,
        parts=(at < calibrated - gap, (at >= calibrated) & (at < judged - gap), at >= judged),
    )


def _labels(rows: Rows, target: Target, width: int) -> _Labels:
    window = rows.windows[width]
    tries, bad = np.array(window.tries), np.array(window.bad)
    shares = np.divide(bad, tries, out=np.zeros_like(bad), where=tries > 0)
    # Tries of one hour at one bank are one witness, not many: it fails as a whole, or not.
    hour = EVERY_MIN / MAIN_WINDOW
    if target == "failure":
        return _Labels(shares, tries, np.array(window.by_filter), np.where(bad > 0, hour, 0.0))
    is_degraded = (shares > np.array(rows.usual) + DEGRADED_BY).astype(np.float64)
    known = (tries >= TRIES_MIN).astype(np.float64)
    return _Labels(is_degraded, known, None, is_degraded * known * hour)


def _grow(split: _Split, labels: _Labels, what: tuple[Target, int], order: Order) -> _Grown:
    target, width = what
    train, calibrating, judging = split.parts
    used = train & (labels.weights > 0)
    booster = forests.grow(
        target, (split.vectors[used], labels.shares[used], labels.weights[used]),
        seed=order.seed, rounds=order.rounds,
    )  # fmt: skip
    margins = np.asarray(booster.predict(split.vectors, raw_score=True), dtype=np.float64)
    if forests.begins_at_filter(target):
        margins = margins + split.vectors[:, FILTER_PLACE]
    used = calibrating & (labels.weights > 0)
    made = calibration.calibrate(
        margins[used], labels.shares[used], labels.weights[used],
        positives=float(labels.positives[used].sum()),
    )  # fmt: skip
    said = np.array([made.probability(each) for each in margins.tolist()])
    kept = judging & (labels.weights > 0)
    trial = _trial(split, labels, (said, kept), what=what, seed=order.seed)
    forest = forests.written(booster, len(features.NAMES))
    trial = _completed(trial, len(forest.trees), made.kind, made.positives)
    head = Head(
        target=target,
        window_minutes=width,
        begins_at_filter=forests.begins_at_filter(target),
        forest=forest,
        calibration=made,
        bands=calibration.bands(said[used], labels.shares[used]) if target == "failure" else (),
        serves=trial.serves,
        why=trial.why,
    )
    return _Grown(head, trial, booster, said, labels)


def _trial(
    split: _Split,
    labels: _Labels,
    judged: tuple[Floats, NDArray[np.bool_]],
    *,
    what: tuple[Target, int],
    seed: int,
) -> Trial:
    said, kept = judged
    shares, weights = labels.shares[kept], labels.weights[kept]
    mean = np.full(len(shares), np.average(shares, weights=weights))
    ours, usual = (evaluation.scores(each, shares, weights) for each in (said[kept], mean))
    champion = duel = None
    if labels.by_filter is None:
        serves = ours.log_loss < usual.log_loss
        why = "It knows more than the mean" if serves else "It knows no more than the mean"
    else:
        by_filter = labels.by_filter[kept]
        champion = evaluation.scores(by_filter, shares, weights)
        duel = evaluation.duel(
            evaluation.losses(by_filter, shares), evaluation.losses(said[kept], shares),
            weights, split.at[kept], seed=seed,
        )  # fmt: skip
        serves = duel.is_won
        why = "It beats the filter" if serves else "It does not beat the filter beyond doubt"
    return Trial(what[0], what[1], ours, champion, usual, duel, 0, "", 0.0, serves, why)


def _completed(trial: Trial, trees: int, kind: str, positives: float) -> Trial:
    return Trial(
        trial.target, trial.window_minutes, trial.model, trial.champion, trial.usual, trial.duel,
        trees, kind, positives, trial.serves, trial.why,
    )  # fmt: skip


def _model(split: _Split, grown: list[_Grown], order: Order) -> HealthModel:
    won = [g.trial.window_minutes for g in grown if g.trial.target == "failure" and g.trial.serves]
    if won:
        widths = " and ".join(str(width) for width in won)
        why = f"it beats the filter's log loss on held-out days over {widths} minutes"
    else:
        why = "it does not beat the filter's log loss on held-out days beyond doubt"
    return HealthModel(
        format=FORMAT,
        version=order.version,
        trained_at=order.now.isoformat(),
        source=order.source,
        seed=order.seed,
        features=features.NAMES,
        features_digest=features.digest(),
        heads=tuple(each.head for each in grown),
        reference=tuple(_reference(column) for column in split.vectors[split.parts[0]].T),
        serves=bool(won),
        why=why,
    )


def _reference(column: Floats) -> Reference:
    edges = np.unique(np.quantile(column, np.linspace(0, 1, REFERENCE_BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(edges) + 1)
    return Reference(tuple(edges.tolist()), tuple((counts / len(column)).tolist()))


def _days(split: _Split, banks: int) -> Days:
    def part(mask: NDArray[np.bool_]) -> tuple[str, str, int]:
        at = split.at[mask]
        first, last = (datetime.fromtimestamp(float(each), UTC).date() for each in (at[0], at[-1]))
        return first.isoformat(), last.isoformat(), len(at)

    train, calibrating, judging = (part(mask) for mask in split.parts)
    return Days(train, calibrating, judging, banks)


def _drawn(split: _Split, main: _Grown) -> dict[str, bytes]:
    kept = split.parts[2] & (main.labels.weights > 0)
    shares, weights = main.labels.shares[kept], main.labels.weights[kept]
    assert main.labels.by_filter is not None
    assert main.trial.duel is not None
    judged = split.vectors[kept]
    some = judged[:: max(1, len(judged) // EXPLAINED_ROWS)]
    options: dict[str, Any] = {"names": features.NAMES}
    return {
        "reliability.svg": plots.reliability(
            evaluation.reliability(main.said[kept], shares, weights),
            evaluation.reliability(main.labels.by_filter[kept], shares, weights),
        ),
        "log_loss.svg": plots.losses(main.trial.duel.by_day),
        "importance.svg": plots.importance(
            values=forests.importance(main.booster, some), **options
        ),
    }
