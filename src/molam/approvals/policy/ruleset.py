"""The rules an action is decided by, as values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Literal

from molam.approvals.policy.durations import Calendar, Duration
from molam.approvals.policy.quorum import PolicyMalformed, Quorum, Role

_DIGITS_MAX = 64
_DAY = Duration(seconds=86400)
_DAKAR = Calendar()


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Who else may decide once *after* has passed since creation, and who is told."""

    after: Duration
    add_roles: frozenset[str]
    notify: tuple[str, ...] = ()
    replace: bool = False
    """Whether *add_roles* decide alone from then on. By default they join the others."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """How one quorum opens to more people as time passes."""

    role: str | None = None
    """Joins when the time for approval is over, once."""
    steps: tuple[Escalation, ...] = ()


NO_LADDER = Ladder()


@dataclass(frozen=True, slots=True)
class Demand:
    """A quorum that must be filled, and how it escalates."""

    quorum: Quorum
    ladder: Ladder = NO_LADDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    What must be true for an action to be approved, and what may follow.

    The ballots must fill *quorum* and each quorum of *also*, independently: one
    person may serve in several. `strictest` makes *also*; a person who writes a
    policy uses ``all_of``, which wants distinct people.
    """

    quorum: Quorum
    also: tuple[Quorum, ...] = ()
    also_ladders: tuple[Ladder, ...] = ()
    """How each of *also* escalates, in the same order. Those left out do not."""
    ratio: Fraction = Fraction(3, 5)
    timeout: Duration = _DAY
    escalation_role: str | None = None
    escalation: tuple[Escalation, ...] = ()
    auto_execute: bool = False
    execution_window: Duration = _DAY
    not_before_delay_s: int = 0
    counting: Literal["approvals", "participation"] = "approvals"
    veto_roles: frozenset[str] = frozenset()
    reject_threshold: int | None = None
    objection_window_s: int = 0
    min_role_age_s: int = 86400
    """How long a role must have been held, so that nobody makes voters for one vote."""
    step_up_max_age_s: int | None = None
    typed_confirmation: bool = False
    voters_may_execute: bool = False
    calendar: Calendar = _DAKAR

    @property
    def demands(self) -> tuple[Demand, ...]:
        """Every quorum with its ladder."""
        missing = (NO_LADDER,) * (len(self.also) - len(self.also_ladders))
        return (
            Demand(self.quorum, Ladder(self.escalation_role, self.escalation)),
            *map(Demand, self.also, (*self.also_ladders, *missing)),
        )


DEFAULT = Rules(
    quorum=Role(frozenset({"ops_admin"}), 2),
    ratio=Fraction(1),
    timeout=Duration(seconds=86400),
)
"""What decides an action that no policy speaks of: two people, unanimous."""


def read_ratio(value: object) -> Fraction:
    """
    Read a share between 0 and 1: ``3/4``, ``"0.75"`` or a decimal; a float never arrives.

    Raises:
        PolicyMalformed: not a share, or more digits than anybody means.
    """
    text = str(value) if isinstance(value, int | Decimal | str) else ""
    if isinstance(value, bool) or not text or len(text) > _DIGITS_MAX:
        raise PolicyMalformed('required_ratio is a share between 0 and 1: 0.75 or "3/4".')
    try:
        # `Fraction("1e999999")` would be computed; a decimal's exponent is bounded first.
        if "/" not in text and abs(Decimal(text).adjusted()) > _DIGITS_MAX:
            raise PolicyMalformed("required_ratio has too many digits.")
        ratio = Fraction(text)
    except (ValueError, ZeroDivisionError, InvalidOperation):
        raise PolicyMalformed('required_ratio is a share between 0 and 1: 0.75 or "3/4".') from None
    if not 0 <= ratio <= 1:
        raise PolicyMalformed("required_ratio is between 0 and 1.")
    return ratio
