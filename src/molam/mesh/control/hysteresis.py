"""When a bank is left and when it is returned to, so that noise moves nothing: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Mode = Literal["serving", "left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The figures of leaving, returning and flapping. Seconds, and probabilities."""

    leave_at: float = 0.8
    """P(DOWN) from which a bank is left."""
    direct_at: float = 0.99
    """P(DOWN) from which everything goes at once."""
    return_at: float = 0.2
    """P(DOWN) down to which a bank that was left must come."""
    hold_s: float = 300.0
    """For how long it must stay there."""
    hold_factor_max: float = 8.0
    probes_ok_min: int = 5
    flap_penalty: float = 1000.0
    """What each departure adds to a bank's figure of merit."""
    half_life_s: float = 3600.0
    suppress_at: float = 6000.0
    """From here on people decide about the bank, and nothing happens by itself."""
    reuse_at: float = 750.0
    suppress_max_s: float = 4 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one bank stands. Instants are Unix seconds."""

    mode: Mode = "serving"
    left_at: float | None = None
    better_since: float | None = None
    penalty: float = 0.0
    penalty_at: float = 0.0
    suppressed_since: float | None = None


def figure_of_merit(place: Place, at: float, limits: Limits) -> float:
    """Return what is left of the penalties of earlier departures."""
    age = max(at - place.penalty_at, 0.0)
    return float(place.penalty * 0.5 ** (age / limits.half_life_s))


def hold_s(place: Place, at: float, limits: Limits) -> float:
    """Say how long a bank must be well before it is returned to: twice as long per departure."""
    departures = figure_of_merit(place, at, limits) / limits.flap_penalty
    factor = min(max(2.0 ** (departures - 1.0), 1.0), limits.hold_factor_max)
    return float(limits.hold_s * factor)


def is_suppressed(place: Place, at: float, limits: Limits) -> bool:
    """Tell whether a bank has flapped so often that people must decide about it."""
    if place.suppressed_since is None:
        return False
    if at - place.suppressed_since >= limits.suppress_max_s:
        return False
    return figure_of_merit(place, at, limits) > limits.reuse_at


def watched(place: Place, p_down: float, at: float, limits: Limits) -> Place:
    """Return *place* after a look at it: since when it has been well, and whether it is held."""
    better = place.better_since
    if place.mode == "serving" or p_down > limits.return_at:
        better = None
    elif better is None:
        better = at
    kept = place.suppressed_since if is_suppressed(place, at, limits) else None
    return replace(place, better_since=better, suppressed_since=kept)


def wants_to_leave(place: Place, p_down: float, limits: Limits) -> bool:
    return place.mode == "serving" and p_down >= limits.leave_at


def may_return(place: Place, p_down: float, at: float, limits: Limits, *, probes_ok: int) -> bool:
    """Tell whether a bank that was left has been well for long enough. It was watched before."""
    return (
        place.mode == "left"
        and place.better_since is not None
        and p_down <= limits.return_at
        and at - place.better_since >= hold_s(place, at, limits)
        and probes_ok >= limits.probes_ok_min
        and not is_suppressed(place, at, limits)
    )


def left(place: Place, at: float, limits: Limits) -> Place:
    """Return *place* after its payouts were led away."""
    penalty = figure_of_merit(place, at, limits) + limits.flap_penalty
    held = place.suppressed_since
    if held is None and penalty >= limits.suppress_at:
        held = at
    return Place(
        mode="left",
        left_at=at,
        penalty=penalty,
        penalty_at=at,
        suppressed_since=held,
    )


def returned(place: Place) -> Place:
    """Return *place* after payouts go there again; what it did before is not forgotten."""
    return replace(place, mode="serving", left_at=None, better_since=None)
