"""Adds up what a replay found, without I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from molam.mesh.routing.facts_store import WaitingRow
from molam.mesh.routing.model import Logged, MemberCount, Simulation
from molam.mesh.routing.replay_store import OverRow, ReplayRow
from molam.mesh.routing.store import ProposalRow

_TWO_PLACES = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What was asked and answered about one proposal."""

    proposal: ProposalRow
    rows: Sequence[ReplayRow]
    waiting: Sequence[WaitingRow]
    names: Mapping[str, str]
    delays: Mapping[str, int]
    """Seconds until each bank would have paid; an outage that is believed in included."""
    threshold: int | None
    above_ids: tuple[str, ...]
    over: OverRow
    logged: Logged | None = None


def simulation_of(replay: Replay) -> Simulation:
    """Say what a proposal would do."""
    moved = [row for row in replay.rows if row.to_bank is not None]
    stuck = [row for row in replay.rows if row.to_bank is None]
    members = _members(replay, moved)
    worst = _worst(moved, members)
    row = replay.proposal
    payouts = sum(each.payouts for each in moved)
    before = sum(each.cost_before for each in moved)
    after = sum(each.cost_after for each in moved)
    every = replay.threshold is None
    return Simulation(
        affected_payouts=payouts,
        affected_value=_total(each.value for each in moved),
        currency=row.currency,
        estimated_cost_before=before,
        estimated_cost_after=after,
        estimated_cost_delta=after - before,
        estimated_latency_delta_seconds=_latency(replay, moved),
        fx_delta=sum(each.fx_delta for each in moved),
        new_bank_profile_id=row.to_bank_id,
        new_bank_name=_name(replay, row.to_bank_id),
        confidence=row.confidence,
        members=members,
        sla_breaches_before=sum(each.late_before for each in moved),
        sla_breaches_after=sum(each.late_after for each in moved),
        limit_violations=sum(each.over_limit for each in moved),
        cap_violations=replay.over.over_cap,
        cover_violations=replay.over.over_cover,
        cost_rule_violations=sum(each.over_cost for each in moved),
        without_route=sum(each.payouts for each in stuck),
        without_route_value=_total(each.value for each in stuck),
        approval_threshold=replay.threshold,
        above_threshold=payouts if every else sum(each.above for each in moved),
        above_threshold_value=_total(each.value if every else each.above_value for each in moved),
        above_threshold_ids=replay.above_ids,
        concentration_before=max((each.share_before for each in members), default=Decimal(0)),
        concentration_after=max((each.share_after for each in members), default=Decimal(0)),
        worst_case_bank_profile_id=None if worst is None else worst.bank_profile_id,
        worst_case_bank_name=None if worst is None else worst.bank_name,
        worst_case_payouts=0 if worst is None else worst.payouts_after,
        worst_case_value=0 if worst is None else worst.value_after,
        worst_case_without_next=_without_next(moved, worst),
        logged=replay.logged,
    )


def _members(replay: Replay, moved: Iterable[ReplayRow]) -> tuple[MemberCount, ...]:
    before = {row.bank_profile_id: (row.payouts, row.value) for row in replay.waiting}
    after: dict[str | None, tuple[int, int]] = defaultdict(lambda: (0, 0), before)
    for row in moved:
        for bank, sign in ((row.from_bank, -1), (row.to_bank, 1)):
            payouts, value = after[bank]
            after[bank] = (payouts + sign * row.payouts, value + sign * row.value)
    total = sum(value for _, value in before.values())
    return tuple(
        MemberCount(
            bank_profile_id=bank,
            bank_name=_name(replay, bank) or "",
            payouts_before=before.get(bank, (0, 0))[0],
            value_before=before.get(bank, (0, 0))[1],
            payouts_after=after[bank][0],
            value_after=after[bank][1],
            share_before=_percent(before.get(bank, (0, 0))[1], total),
            share_after=_percent(after[bank][1], total),
        )
        for bank in sorted(after, key=lambda each: (each is None, each or ""))
    )


def _latency(replay: Replay, moved: Iterable[ReplayRow]) -> int:
    """Average what each payout gains or loses; those without a bank count from nothing."""
    total = payouts = 0
    for row in moved:
        assert row.to_bank is not None
        was = 0 if row.from_bank is None else replay.delays.get(row.from_bank, 0)
        total += row.payouts * (replay.delays.get(row.to_bank, 0) - was)
        payouts += row.payouts
    return round(total / payouts) if payouts else 0


def _worst(moved: Iterable[ReplayRow], members: Iterable[MemberCount]) -> MemberCount | None:
    """Find the bank that is given most."""
    given: dict[str | None, int] = defaultdict(int)
    for row in moved:
        given[row.to_bank] += row.value
    held = [each for each in members if each.bank_profile_id in given]
    return max(held, key=lambda each: given[each.bank_profile_id], default=None)


def _without_next(moved: Iterable[ReplayRow], worst: MemberCount | None) -> int:
    return sum(
        row.payouts
        for row in moved
        if worst is not None and row.to_bank == worst.bank_profile_id and not row.has_next
    )


def _name(replay: Replay, bank_id: str | None) -> str | None:
    return None if bank_id is None else replay.names.get(bank_id, bank_id)


def _percent(part: int, whole: int) -> Decimal:
    return (Decimal(100 * part) / whole).quantize(_TWO_PLACES) if whole else Decimal(0)


def _total(values: Iterable[int]) -> int:
    return sum(values)
