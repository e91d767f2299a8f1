"""Going to and fro: how much of the recent past was change, the newest counting most."""

from __future__ import annotations

from datetime import timedelta

from molam.kernel.clock import Instant

STATES = 21
START = 0.30
STOP = 0.25

STEP = timedelta(minutes=2)
"""A state that lasts counts once more for every step; a change counts when it comes."""

_CHANGES = STATES - 1
# From 0.8 for the oldest change to 1.2 for the newest, bit 0 being the newest.
_WEIGHTS = tuple(1.2 - 0.4 * place / (_CHANGES - 1) for place in range(_CHANGES))
_MASK = (1 << STATES) - 1
JUST_AFTER = timedelta(microseconds=1)


def share(recent: int, count: int) -> float:
    """Weigh the changes among the last *count* states; what was before counts as steady."""
    changes = (recent ^ (recent >> 1)) & ((1 << max(count - 1, 0)) - 1)
    return sum(_WEIGHTS[place] for place in range(_CHANGES) if changes >> place & 1) / _CHANGES


def lasted(recent: int, count: int, since: Instant, before: Instant) -> tuple[int, int, Instant]:
    """Let the newest state count for every whole step between *since* and *before*."""
    steps = max(0, (before - since - JUST_AFTER) // STEP)
    if not steps:
        return recent, count, since
    shift = min(steps, STATES)
    filled = (1 << shift) - 1 if recent & 1 else 0
    return (recent << shift | filled) & _MASK, min(STATES, count + shift), since + steps * STEP


def pushed(recent: int, count: int, *, is_bad: bool) -> tuple[int, int]:
    return (recent << 1 | int(is_bad)) & _MASK, min(STATES, count + 1)


def steady_at(recent: int, count: int, since: Instant) -> Instant:
    """Say when, if nothing changes, this stops being flapping."""
    steps = 0
    while share(recent, count) >= STOP:
        recent, count = pushed(recent, count, is_bad=bool(recent & 1))
        steps += 1
    return since + steps * STEP
