"""The drawing of a bank's past: score, what was predicted, outages, what was tried and done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from molam.mesh.room.bank_store import DoneRow, GuessRow, OutageRow, StepRow

WIDTH, HEIGHT, BARS = 1000, 200, 36
_LABELS = 5


@dataclass(frozen=True, slots=True)
class Box:
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Past:
    """Shapes in a drawing of WIDTH x HEIGHT that is stretched to its place."""

    scores: tuple[str, ...]
    """Points of lines; one for each stretch without a gap."""
    guesses: tuple[str, ...]
    bands: tuple[Box, ...]
    outages: tuple[Box, ...]
    done: tuple[str, ...]
    tries: tuple[Box, ...]
    fails: tuple[Box, ...]
    hours: tuple[datetime, ...]
    most_tries: int


@dataclass(frozen=True, slots=True)
class Window:
    since: datetime
    until: datetime
    step: timedelta

    def x(self, at: datetime) -> float:
        share = (at - self.since) / (self.until - self.since)
        return WIDTH * min(max(share, 0.0), 1.0)


def past_of(
    window: Window,
    *,
    steps: Sequence[StepRow],
    guesses: Sequence[GuessRow],
    outages: Sequence[OutageRow],
    done: Sequence[DoneRow],
) -> Past:
    """Draw what is known of *window*; gaps stay gaps."""
    most = max((step.attempts + step.probes for step in steps), default=0)
    ordered = sorted(guesses, key=lambda each: each.at)
    reach = (window.until - window.since) / (_LABELS - 1)
    return Past(
        scores=_stretches(window, steps),
        guesses=tuple(
            f"{window.x(each.at):.1f},{_y(each.score)} {window.x(_ends(each, after)):.1f},"
            f"{_y(each.score)}"
            for each, after in _pairs(ordered)
        ),
        bands=tuple(
            _box(window, (each.at, _ends(each, after)), float(each.low), float(each.high))
            for each, after in _pairs(ordered)
        ),
        outages=tuple(
            _box(window, (each.begins_at, each.ends_at or window.until), 0.0, 100.0)
            for each in outages
        ),
        done=tuple(f"{window.x(each.created_at):.1f}" for each in done),
        tries=tuple(_bar(window, step, step.attempts + step.probes, most) for step in steps),
        fails=tuple(
            _bar(window, step, failed, most)
            for step in steps
            if (failed := step.failures + step.probe_failures)
        ),
        hours=tuple(window.since + at * reach for at in range(_LABELS)),
        most_tries=most,
    )


def _pairs(guesses: Sequence[GuessRow]) -> list[tuple[GuessRow, GuessRow | None]]:
    following: list[GuessRow | None] = [*guesses[1:], None]
    return list(zip(guesses, following, strict=False))


def _ends(guess: GuessRow, after: GuessRow | None) -> datetime:
    """A prediction holds until the next one is made."""
    return min(guess.until, after.at) if after is not None else guess.until


def _stretches(window: Window, steps: Sequence[StepRow]) -> tuple[str, ...]:
    found: list[list[str]] = []
    last: datetime | None = None
    for step in steps:
        if step.score is None:
            continue
        if last is None or step.at - last > 3 * window.step:
            found.append([])
        found[-1].append(f"{window.x(step.at):.1f},{_y(step.score)}")
        last = step.at
    # One point is no line: it is drawn as a short one.
    return tuple(" ".join(points if len(points) > 1 else points * 2) for points in found)


def _y(score: object) -> str:
    return f"{HEIGHT * (1 - float(str(score)) / 100):.1f}"


def _box(window: Window, span: tuple[datetime, datetime], low: float, high: float) -> Box:
    begins, ends = span
    left, right = window.x(begins), window.x(ends)
    top, bottom = HEIGHT * (1 - high / 100), HEIGHT * (1 - low / 100)
    return Box(
        f"{left:.1f}",
        f"{top:.1f}",
        f"{max(right - left, 1.0):.1f}",
        f"{max(bottom - top, 1.0):.1f}",
    )


def _bar(window: Window, step: StepRow, count: int, most: int) -> Box:
    left = window.x(step.at)
    width = max(window.x(step.at + window.step) - left - 1, 1.0)
    height = BARS * count / most if most else 0.0
    return Box(f"{left:.1f}", f"{BARS - height:.1f}", f"{width:.1f}", f"{height:.1f}")
