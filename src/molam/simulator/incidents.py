"""Builds days of banks that fail: from recorded incidents, or from what fits them."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

DAY_MIN = 1440
BETWEEN_MIN = 48 * 60.0
"""Minutes between a bank's own incidents, on average."""
LENGTH_MEDIAN_MIN, LENGTH_SPREAD = 133.0, 1.27
"""Log-normal: median 133 minutes, mean 298, a tenth above 11 hours, as clouds report theirs."""
LENGTH_MAX_MIN = 1440.0
SEVERITIES = (0.15, 0.35, 0.65, 0.97)
SEVERITY_SHARES = (0.35, 0.3, 0.2, 0.15)
SEVERITY_JITTER = 0.05

DOMAIN_BANKS = 2
DOMAIN_SHARE = 0.3
"""How often an incident reaches another bank of the same failure domain."""
COMMON_BETWEEN_MIN = 14 * DAY_MIN
COMMON_LENGTH_MIN = (10.0, 60.0)

DECLINE_QUANTILES = (
    (0.0, 0.0002), (0.05, 0.0004), (0.25, 0.0029), (0.5, 0.0083),
    (0.75, 0.021), (0.95, 0.078), (0.99, 0.148), (1.0, 0.2),
)  # fmt: skip
"""Share of payments a bank declines for technical reasons while all is well, over banks."""
DECLINE_SPREAD = 1.47
MONTHS_CORRELATE = 0.77

Cause = Literal["own", "domain", "common"]


@dataclass(frozen=True, slots=True)
class Incident:
    """From *begins*, in minutes of the trace, a share *severity* of what was fine fails too."""

    bank: int
    begins: float
    minutes: float
    severity: float
    cause: Cause = "own"

    @property
    def ends(self) -> float:
        return self.begins + self.minutes


@dataclass(frozen=True, slots=True)
class Recorded:
    """Incidents of one service in their order: minutes since the one before, length, severity."""

    name: str
    gaps: tuple[float, ...]
    lengths: tuple[float, ...]
    severities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """
    Some days of some banks, minute by minute.

    *rates* holds for each bank the share that truly fails in each minute; *preferred* is the
    order an operator would put them in who knows how they did last month.
    """

    seed: int
    days: int
    baselines: tuple[float, ...]
    domains: tuple[int, ...]
    preferred: tuple[int, ...]
    incidents: tuple[Incident, ...]
    rates: tuple[tuple[float, ...], ...]

    @property
    def banks(self) -> int:
        return len(self.baselines)

    @property
    def minutes(self) -> int:
        return self.days * DAY_MIN


def build(*, seed: int, days: int, banks: int = 6, recorded: Sequence[Recorded] = ()) -> Trace:
    """
    Make a trace; the same arguments make the same one.

    With *recorded*, each bank lives through a stretch of one service's incidents: their order,
    lengths and severities, and the gaps between them stretched so that one comes in 48 hours.
    """
    draw = lots(f"incidents/{seed}/{days}/{banks}")
    baselines = tuple(decline(draw.random()) for _ in range(banks))
    domains = tuple(bank // DOMAIN_BANKS for bank in range(banks))
    own: list[Incident] = []
    for bank in range(banks):
        if recorded:
            own += _relived(draw, bank, days, recorded[draw.randrange(len(recorded))])
        else:
            own += _fitted(draw, bank, days)
    incidents = [*own, *_spread(draw, own, domains), *_common(draw, banks, days)]
    kept = [each for each in incidents if each.begins < days * DAY_MIN and each.ends > 0]
    return assemble(
        kept, baselines=baselines, domains=domains, days=days, seed=seed,
        preferred=_last_month(draw, baselines),
    )  # fmt: skip


def lots(name: str) -> Random:
    """Return the draws that belong to *name*, always the same ones."""
    return Random(name)


def assemble(
    incidents: Sequence[Incident],
    *,
    baselines: tuple[float, ...],
    days: int,
    domains: tuple[int, ...] = (),
    preferred: tuple[int, ...] = (),
    seed: int = 0,
) -> Trace:
    """
    Put incidents on a grid of minutes.

    Where some overlap, each takes its share of what the others have left; one that fills
    only a part of a minute weighs as much of it.
    """
    minutes = days * DAY_MIN
    ordered = sorted(incidents, key=_in_order)
    rates = []
    for bank, base in enumerate(baselines):
        fine = [1 - base] * minutes
        for each in ordered:
            if each.bank == bank:
                _take_away(fine, each)
        rates.append(tuple(1 - left for left in fine))
    return Trace(
        seed=seed,
        days=days,
        baselines=baselines,
        domains=domains or tuple(range(len(baselines))),
        preferred=preferred or tuple(range(len(baselines))),
        incidents=tuple(ordered),
        rates=tuple(rates),
    )


def _in_order(incident: Incident) -> tuple[float, int, float, float]:
    return incident.begins, incident.bank, incident.ends, incident.severity


def decline(quantile: float) -> float:
    """Return the usual share of technical declines at *quantile* of all banks."""
    place = bisect.bisect_right([q for q, _ in DECLINE_QUANTILES], quantile)
    place = min(max(place, 1), len(DECLINE_QUANTILES) - 1)
    (low, small), (high, large) = DECLINE_QUANTILES[place - 1 : place + 1]
    way = (quantile - low) / (high - low)
    return math.exp(math.log(small) * (1 - way) + math.log(large) * way)


def _take_away(fine: list[float], incident: Incident) -> None:
    first = max(0, math.floor(incident.begins))
    last = min(len(fine), math.ceil(incident.ends))
    for minute in range(first, last):
        covered = min(minute + 1.0, incident.ends) - max(float(minute), incident.begins)
        fine[minute] *= 1 - incident.severity * covered


def _fitted(draw: Random, bank: int, days: int) -> list[Incident]:
    found: list[Incident] = []
    at = draw.expovariate(1 / BETWEEN_MIN)
    while at < days * DAY_MIN:
        length = min(
            LENGTH_MAX_MIN, draw.lognormvariate(math.log(LENGTH_MEDIAN_MIN), LENGTH_SPREAD)
        )
        found.append(Incident(bank, at, max(1.0, length), severity(draw)))
        at += length + draw.expovariate(1 / BETWEEN_MIN)
    return found


def severity(draw: Random) -> float:
    """Draw a severity where nobody has measured it."""
    (level,) = draw.choices(SEVERITIES, SEVERITY_SHARES)
    return min(0.99, max(0.1, level + draw.uniform(-SEVERITY_JITTER, SEVERITY_JITTER)))


def _relived(draw: Random, bank: int, days: int, recorded: Recorded) -> list[Incident]:
    """Live through a stretch of *recorded* from anywhere in it, and from its start again."""
    count = len(recorded.lengths)
    stretch = BETWEEN_MIN / max(1e-9, sum(recorded.gaps) / count)
    place = draw.randrange(count)
    at = recorded.gaps[place] * stretch * draw.random()
    found: list[Incident] = []
    while at < days * DAY_MIN:
        length = min(LENGTH_MAX_MIN, max(1.0, recorded.lengths[place]))
        found.append(Incident(bank, at, length, recorded.severities[place]))
        place = (place + 1) % count
        at += length + recorded.gaps[place] * stretch
    return found


def _spread(draw: Random, own: Sequence[Incident], domains: Sequence[int]) -> list[Incident]:
    found: list[Incident] = []
    for each in own:
        for bank, domain in enumerate(domains):
            if bank == each.bank or domain != domains[each.bank]:
                continue
            if draw.random() < DOMAIN_SHARE:
                begins = each.begins + draw.uniform(0.0, 2.0)
                milder = each.severity * draw.uniform(0.5, 1.0)
                found.append(Incident(bank, begins, each.minutes, milder, "domain"))
    return found


def _common(draw: Random, banks: int, days: int) -> list[Incident]:
    found: list[Incident] = []
    at = draw.expovariate(1 / COMMON_BETWEEN_MIN)
    while at < days * DAY_MIN:
        length, hard = draw.uniform(*COMMON_LENGTH_MIN), severity(draw)
        found += [Incident(bank, at, length, hard, "common") for bank in range(banks)]
        at += length + draw.expovariate(1 / COMMON_BETWEEN_MIN)
    return found


def _last_month(draw: Random, baselines: Sequence[float]) -> tuple[int, ...]:
    middle = math.log(decline(0.5))
    noise = DECLINE_SPREAD * math.sqrt(1 - MONTHS_CORRELATE**2)
    seen = [
        middle + MONTHS_CORRELATE * (math.log(each) - middle) + draw.gauss(0.0, noise)
        for each in baselines
    ]
    return tuple(sorted(range(len(seen)), key=lambda bank: seen[bank]))
