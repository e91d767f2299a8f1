"""What is believed of a bank on one rail and in one currency, and when that is news."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from molam.kernel.refusals import Kind, Refusal
from molam.sira.health_filter import Belief

LEVELS = (0.2, 0.5, 0.8, 0.99)
"""Where a probability of being down, passed in either direction, calls for a decision."""

DECLARED_P_DOWN = 0.9
"""What is announced is believed, not proved: signals alone take a bank beyond 0.99."""

Key = tuple[str, str, str]
"""A bank, a rail and a currency."""


class HealthMalformed(Refusal):
    code = "health-malformed"
    kind = Kind.MALFORMED
    title = "This health report cannot be used"


class NoHealthData(Refusal):
    code = "no-health-data-available"
    kind = Kind.ABSENT
    title = "Nothing has been heard of this bank yet"


class MissingBank(Refusal):
    code = "missing-bank-profile-id"
    kind = Kind.MALFORMED
    title = "Which bank is meant is not said"


class PredictionUnavailable(Refusal):
    code = "prediction-unavailable"
    kind = Kind.CONFLICT
    title = "SIRA does not answer, and nothing may take its place"


class OutageAbsent(Refusal):
    code = "outage-absent"
    kind = Kind.ABSENT
    title = "There is no such announced outage"


class OutageMalformed(Refusal):
    code = "outage-malformed"
    kind = Kind.BROKEN_RULE
    title = "This outage cannot be announced so"


class Decide(msgspec.Struct, frozen=True):
    """Arguments of the job `commands.DECIDE`."""

    currency: str
    rail: str
    version: int = 1


class Predict(msgspec.Struct, frozen=True):
    """Arguments of the job that asks a remote SIRA."""

    bank_profile_id: str
    mesh_region_id: str
    rail: str
    currency: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class HealthRow:
    """What is believed of one bank, with what it has announced taken into account."""

    bank_profile_id: str
    rail: str
    currency: str
    belief: Belief
    p_down: float
    """At least `DECLARED_P_DOWN` during an announced outage."""
    score: Decimal
    score_low: Decimal
    score_high: Decimal
    signals: int
    last_signal_at: datetime | None
    last_failure_at: datetime | None
    probes_ok_in_row: int
    short_of_funds_until: datetime | None
    mode: str
    left_at: datetime | None
    better_since: datetime | None
    penalty: float
    penalty_at: datetime
    strikes: int
    version: int
    updated_at: datetime
    outage_until: datetime | None
    """When the announced outage that is now under way ends, if it says so."""
    is_announced_down: bool
    seen: Belief
    """What signals alone make us believe; *belief* goes further where other regions doubt."""
    doubted_by: tuple[str, ...] = ()
    """Other regions that made us doubt the bank more than what we saw of it."""
    silent_since: datetime | None = None
    """Its heartbeats have stopped; None too of a bank that never sent any."""

    @property
    def key(self) -> Key:
        return self.bank_profile_id, self.rail, self.currency


def level(p_down: float) -> int:
    """Count the levels that *p_down* has reached: 0 for a healthy bank, 4 for a dead one."""
    return bisect_right(LEVELS, p_down)


def crosses(before: float, after: float) -> bool:
    return level(before) != level(after)
