"""Practice runs: whether one may begin, and what it showed; decided without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from molam.mesh.control import hysteresis
from molam.mesh.control.hysteresis import Limits
from molam.mesh.control.judging import REJECT, is_common, limits_of
from molam.mesh.control.plan import Band, Target
from molam.mesh.control.world import HEALTHY_BELOW, Bank, World
from molam.mesh.members.rules import Rules
from molam.payments.payouts import calendar

KIND = "practice"
Outcome = Literal["works", "fails", "nothing_came"]

_BANKS_MIN = 2
JUDGED_AFTER_S = 24 * 3600.0
"""By then a bank has said what became of everything, or practice shows that it does not."""

# Note [A practice run]
#
# A bank that has carried nothing for months may not work when it must: a contract ended, a
# limit was lowered, an account is empty. So now and then, in an hour in which little is
# lost if it fails, a small share of new payouts goes to it. Such a route is signed, logged
# and followed payout by payout like any other, but it replaces none and closes no gate: it
# ends by the database's clock, whether or not anybody lives to end it. Nothing is practised
# while anything at all is the matter, and what was not sent by the end goes back.


@dataclass(frozen=True, slots=True)
class Hour:
    """When it is, where the bank is that would give something away, and who would be at work."""

    at: datetime
    timezone: str
    countries: frozenset[str]

    def is_for(self, rules: Rules) -> bool:
        """Tell whether it is the quiet hour of a day on which all of them work."""
        local = self.at.astimezone(ZoneInfo(self.timezone))
        return local.hour == rules.practice_hour and all(
            calendar.is_open(country, local.date()) for country in self.countries
        )


def obstacle(world: World) -> str | None:
    """Say what is the matter, as a word; None: all is well enough to practise."""
    limits = limits_of(world.rules)
    found = {
        "kill_switch": world.stopped is not None or any(each.is_stopped for each in world.banks),
        "shadow": world.rules.enforcing_pct == 0,
        "shift_under_way": world.shift is not None,
        "last_healthy": len(world.banks) < _BANKS_MIN,
        "common_mode": is_common(world),
        "not_all_well": not all(_is_well(each, limits) for each in world.banks),
        "flapping": any(
            hysteresis.is_suppressed(each.place, world.at, limits) for each in world.banks
        ),
    }
    return next((word for word, holds in found.items() if holds), None)


def _is_well(bank: Bank, limits: Limits) -> bool:
    return bank.is_healthy and bank.p_down <= limits.return_at and bank.degraded_since is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was heard so far of the payouts that a practice gave away."""

    kept: int
    """How many the bank has been told of."""
    open: int
    """How many of them it has said nothing final about."""
    paid: int
    outcomes: int
    """Of everything that the bank was asked meanwhile, by whomever."""
    failures: int
    """Those that are the bank's own."""
    log_ratio: float
    """Of failing three points more often than usual, against failing as usual."""
    since_end_s: float | None
    """None: it goes on."""


def suffers(heard: Heard) -> bool:
    """Tell whether the bank surely fails at what it is given."""
    return heard.failures > 0 and (
        heard.log_ratio >= REJECT or 2 * heard.failures >= heard.outcomes
    )


def outcome_of(heard: Heard) -> Outcome | None:
    """Say what a practice showed; None: that is not known yet."""
    if heard.since_end_s is None:
        return None
    if not heard.kept and not heard.open:
        return "nothing_came"
    if suffers(heard):
        return "fails"
    if heard.open:
        return "fails" if heard.since_end_s >= JUDGED_AFTER_S else None
    # What a customer's closed account made fail was answered by the bank all the same.
    return "works" if heard.paid or heard.outcomes > heard.failures else "fails"


def given(
    bands: Sequence[Band], bank_id: str | None, each_max: int | None
) -> tuple[list[tuple[int, int | None]], Target | None]:
    """Say which amounts a bank practises: those it would be the first choice for."""
    firsts = [each for each in bands if each.targets and each.targets[0].bank_profile_id == bank_id]
    if not firsts:
        return [], None
    target = firsts[0].targets[0]
    most = target.largest if each_max is None else min(target.largest, each_max)
    return [
        (each.min_amount, most if each.max_amount is None else min(each.max_amount, most))
        for each in firsts
        if each.min_amount <= most
    ], target


def is_ill(world: World, bank_ids: frozenset[str]) -> bool:
    """Tell whether one of these banks is in trouble, or is gone."""
    known = {each.id: each for each in world.banks}
    return any(bank not in known or known[bank].p_down >= HEALTHY_BELOW for bank in bank_ids)
