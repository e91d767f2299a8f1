"""What a learned model looks at: a bank's minutes as figures, each with a name and a unit."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from molam.sira import feasts

MINUTE_S: Final = 60
WINDOWS_MIN: Final = (1, 5, 15, 60, 240, 1440, 10080)
"""Minutes: the last one, up to a day and a week."""
HISTORY_MIN: Final = max(WINDOWS_MIN)
HALF_LIVES_MIN: Final = (2, 10, 60)
HOURS_A_WEEK: Final = 168

CUSUM_ALARM: Final = 4.0
CUSUM_MAX: Final = 50.0
CUSUM_FACTOR: Final = 3.0
CUSUM_SHIFT: Final = 0.1
PRIOR_ATTEMPTS: Final = 50.0
PRIOR_FAILURE: Final = 0.01

INCIDENT_BEGINS: Final = 0.5
INCIDENT_ENDS: Final = 0.2
MONTH_MIN: Final = 30 * 1440
RATIO_MAX: Final = 20.0
LATENCY_MEMORY: Final = 0.25
_NOTHING: Final = 1e-9
_LAST_OF_HOUR: Final = 59
_PAY_FROM, _PAY_UNTIL = 25, 5


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of a bank on a rail and currency, as its health log keeps it."""

    at: float
    """Unix seconds of the minute's beginning."""
    attempts: int = 0
    failures: int = 0
    sla_misses: int = 0
    timeouts: int = 0
    probes: int = 0
    probe_failures: int = 0
    latency_sum_ms: int = 0
    latency_max_ms: int = 0
    latencies: int = 0
    p_down: float = 0.0


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the moment besides the bank's own minutes."""

    country: str = "SN"
    maintenance_now: bool = False
    maintenance_soon: bool = False
    """Declared for the next hour."""
    neighbours_p_down: float = 0.0
    """The highest of the other members of its failure domains."""
    expected_failure: float = PRIOR_FAILURE
    """What the filter expects over the next hour."""


_UNITS: Final[dict[str, str]] = {
    **{f"tries_{w}m": f"tries in {w} min" for w in WINDOWS_MIN},
    **{f"failures_{w}m": f"failed tries in {w} min" for w in WINDOWS_MIN},
    **{f"late_{w}m": f"late answers in {w} min" for w in WINDOWS_MIN},
    **{f"failure_ewma_{h}m": f"share, half-life {h} min" for h in HALF_LIVES_MIN},
    "failure_usual": "share, last 7 days with a prior of 50 tries",
    "cusum": "log-likelihood ratio, an alarm above 4",
    "timeout_share_60m": "share of tries in 60 min",
    "latency_mean_ratio_15m": "times the usual of the hour of the week",
    "latency_mean_ratio_60m": "times the usual of the hour of the week",
    "latency_max_ratio_15m": "times the usual of the hour of the week",
    "volume_ratio_60m": "times the usual of the hour of the week",
    "since_failure": "minutes, at most 10,080",
    "since_incident": "minutes, at most 43,200",
    "incidents_7d": "incidents",
    "incidents_30d": "incidents",
    "hour_of_week_sin": "sine",
    "hour_of_week_cos": "cosine",
    "hour_of_day_sin": "sine",
    "hour_of_day_cos": "cosine",
    "month_end": "0 or 1: the last two days or the first",
    "pay_day": "0 or 1: the 25th to the 5th",
    "feast": "0 or 1: a public holiday",
    "feast_distance": "days to the nearest, at most 7",
    "ramadan": "0 or 1",
    "maintenance_now": "0 or 1",
    "maintenance_soon": "0 or 1",
    "neighbours_p_down": "probability, the highest of a failure domain",
    "p_down": "probability, of the filter",
    "expected_failure": "log-odds, of the filter",
}

NAMES: Final = tuple(_UNITS)
UNITS: Final = tuple(_UNITS.values())

RISING: Final = frozenset({
    *(name for name in NAMES if name.startswith(("failures_", "late_", "failure_ewma_"))),
    "neighbours_p_down", "p_down", "expected_failure",
})  # fmt: skip
"""More of these never makes a bank look healthier."""


def digest() -> str:
    """Return what a model has to name as its features to be served with these."""
    listed = "\n".join(f"{name}: {unit}" for name, unit in _UNITS.items())
    return hashlib.sha256(listed.encode()).hexdigest()


class History:
    """
    A bank's minutes so far, in sums from which a vector is read at once.

    Minutes come in order; those left out count as silent. *incidents* are the beginnings
    of those before the first minute.
    """

    def __init__(self, incidents: Iterable[float] = ()) -> None:
        self._sums: deque[tuple[int, int, int, int, int, int, int]] = deque(
            [(0, 0, 0, 0, 0, 0, 0)], maxlen=HISTORY_MIN + 1
        )
        self._maxima: deque[int] = deque(maxlen=15)
        self._ewma = [[0.0, 0.0] for _ in HALF_LIVES_MIN]
        self._decays = [0.5 ** (1 / half_life) for half_life in HALF_LIVES_MIN]
        self._cusum = 0.0
        self._failed_at = -math.inf
        self._incidents = deque(sorted(incidents))
        self._is_incident = False
        self._latency = [0.0] * HOURS_A_WEEK
        self._volume = [-1.0] * HOURS_A_WEEK
        self._p_down = 0.0
        self.at = -math.inf
        """The last minute's beginning."""

    def push(self, minute: Minute) -> None:
        """Add the next minute; one that is not later than the last is refused."""
        if minute.at <= self.at:
            raise ValueError("minutes come in order")
        missing = 0 if math.isinf(self.at) else round((minute.at - self.at) / MINUTE_S) - 1
        for _ in range(min(missing, HISTORY_MIN)):
            self._silent()
        self._loud(minute)
        self.at = minute.at

    def vector(self, around: Surroundings) -> tuple[float, ...]:
        """Return the figures of `NAMES`, in that order."""
        moment = datetime.fromtimestamp(self.at, UTC)
        counts = [self._window(width) for width in WINDOWS_MIN]
        hourly = counts[WINDOWS_MIN.index(60)]
        figures = [
            *(float(each[0]) for each in counts),
            *(float(each[1]) for each in counts),
            *(float(each[2]) for each in counts),
            *(bad / tries if tries > _NOTHING else 0.0 for bad, tries in self._ewma),
            self.usual,
            self._cusum,
            hourly[3] / hourly[0] if hourly[0] else 0.0,
            *self._latency_ratios(moment),
            self._volume_ratio(moment),
            min(HISTORY_MIN, (self.at - self._failed_at) / MINUTE_S),
            *self._incident_figures(),
            *_calendar(moment, around.country),
            float(around.maintenance_now),
            float(around.maintenance_soon),
            around.neighbours_p_down,
            self._p_down,
            _log_odds(around.expected_failure),
        ]
        assert len(figures) == len(NAMES)
        return tuple(figures)

    @property
    def usual(self) -> float:
        """The share that usually fails, over the week that is remembered."""
        tries, bad, late = self._window(HISTORY_MIN)[:3]
        return (bad + late / 2 + PRIOR_ATTEMPTS * PRIOR_FAILURE) / (tries + PRIOR_ATTEMPTS)

    def _silent(self) -> None:
        self._sums.append(self._sums[-1])
        self._maxima.append(0)
        for pair, decay in zip(self._ewma, self._decays, strict=True):
            pair[0] *= decay
            pair[1] *= decay

    def _loud(self, minute: Minute) -> None:
        tries = minute.attempts + minute.probes
        bad = minute.failures + minute.probe_failures
        share = bad + minute.sla_misses / 2
        usual = self.usual
        last = self._sums[-1]
        new = (tries, bad, minute.sla_misses, minute.timeouts, minute.latency_sum_ms,
               minute.latencies, minute.attempts)  # fmt: skip
        self._silent()
        self._sums[-1] = (
            last[0] + new[0], last[1] + new[1], last[2] + new[2], last[3] + new[3],
            last[4] + new[4], last[5] + new[5], last[6] + new[6],
        )  # fmt: skip
        self._maxima[-1] = minute.latency_max_ms
        for pair in self._ewma:
            pair[0] += share
            pair[1] += tries
        if share:
            self._failed_at = minute.at
        if tries:
            self._cusum = cusum(self._cusum, min(share, tries), tries, usual)
        self._follow_incidents(minute)
        self._learn_season(minute)

    def _follow_incidents(self, minute: Minute) -> None:
        self._p_down = minute.p_down
        if not self._is_incident and minute.p_down >= INCIDENT_BEGINS:
            self._is_incident = True
            self._incidents.append(minute.at)
        elif self._is_incident and minute.p_down <= INCIDENT_ENDS:
            self._is_incident = False
        while self._incidents and self._incidents[0] < minute.at - MONTH_MIN * MINUTE_S:
            self._incidents.popleft()

    def _learn_season(self, minute: Minute) -> None:
        """At each full hour, let the hour that ends move what is usual for it."""
        if round(minute.at / MINUTE_S) % 60 != _LAST_OF_HOUR or self._is_incident:
            return
        hour = _hour_of_week(datetime.fromtimestamp(minute.at, UTC))
        _, _, _, _, latency_ms, answers, attempts = self._window(60)
        if answers:
            known, mean = self._latency[hour], latency_ms / answers
            self._latency[hour] = known + LATENCY_MEMORY * (mean - known) if known else mean
        known = self._volume[hour]
        self._volume[hour] = (
            known + LATENCY_MEMORY * (attempts - known) if known >= 0 else float(attempts)
        )

    def _window(self, width: int) -> tuple[int, int, int, int, int, int, int]:
        now = self._sums[-1]
        then = self._sums[-1 - width] if width < len(self._sums) else self._sums[0]
        return (now[0] - then[0], now[1] - then[1], now[2] - then[2], now[3] - then[3],
                now[4] - then[4], now[5] - then[5], now[6] - then[6])  # fmt: skip

    def _latency_ratios(self, moment: datetime) -> list[float]:
        usual = self._latency[_hour_of_week(moment)]
        if not usual:
            known = [each for each in self._latency if each]
            usual = sum(known) / len(known) if known else 0.0
        if not usual:
            return [1.0, 1.0, 1.0]
        means = []
        for width in (15, 60):
            sums = self._window(width)
            means.append(sums[4] / sums[5] if sums[5] else usual)
        return [min(RATIO_MAX, each / usual) for each in (*means, max(self._maxima, default=0))]

    def _volume_ratio(self, moment: datetime) -> float:
        usual = self._volume[_hour_of_week(moment)]
        if usual <= 0:
            return 1.0
        return min(RATIO_MAX, self._window(60)[6] / usual)

    def _incident_figures(self) -> tuple[float, float, float]:
        since = (self.at - self._incidents[-1]) / MINUTE_S if self._incidents else math.inf
        week = sum(1 for each in self._incidents if each >= self.at - HISTORY_MIN * MINUTE_S)
        return min(float(MONTH_MIN), since), float(week), float(len(self._incidents))


def from_minutes(
    minutes: Sequence[Minute], around: Surroundings, *, incidents: Iterable[float] = ()
) -> tuple[float, ...]:
    """Return the vector after the last of *minutes*, in order; a week of them is enough."""
    history = History(incidents)
    for minute in minutes:
        history.push(minute)
    return history.vector(around)


def cusum(at: float, bad: float, tries: float, usual: float) -> float:
    """Move a Bernoulli CUSUM by one minute: is the share of failures far above the usual one?"""
    p0 = min(0.5, max(1e-3, usual))
    p1 = min(0.95, max(CUSUM_FACTOR * p0, p0 + CUSUM_SHIFT))
    step = bad * math.log(p1 / p0) + (tries - bad) * math.log((1 - p1) / (1 - p0))
    return min(CUSUM_MAX, max(0.0, at + step))


def _calendar(moment: datetime, country: str) -> tuple[float, ...]:
    day = moment.date()
    week = 2 * math.pi * (_hour_of_week(moment) + moment.minute / 60) / HOURS_A_WEEK
    hours = 2 * math.pi * (moment.hour + moment.minute / 60) / 24
    distance = feasts.distance(country, day)
    return (
        math.sin(week),
        math.cos(week),
        math.sin(hours),
        math.cos(hours),
        float(_is_month_end(day)),
        float(day.day >= _PAY_FROM or day.day <= _PAY_UNTIL),
        float(distance == 0),
        float(distance),
        float(feasts.is_ramadan(country, day)),
    )


def _is_month_end(day: date) -> bool:
    return day.day == 1 or (day + timedelta(days=2)).month != day.month


def _hour_of_week(moment: datetime) -> int:
    return moment.weekday() * 24 + moment.hour


def _log_odds(share: float) -> float:
    kept = min(1 - 1e-6, max(1e-6, share))
    return math.log(kept / (1 - kept))
