"""Replays a proposal on the payouts that are waiting, and moves none of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.kernel.currency import CURRENCIES
from molam.kernel.money import Money
from molam.ledger import queries as ledger
from molam.mesh.federation.model import Way
from molam.mesh.members import policies
from molam.mesh.members.model import MemberRow
from molam.mesh.members.policies import Policy
from molam.mesh.routing import content, facts_store, queries, reach, replay_store
from molam.mesh.routing.constraints import cover_left, day_left, file_wait_s, way_bp
from molam.mesh.routing.facts_store import BankFactsRow, WaitingRow
from molam.mesh.routing.gathering import fx_bp_of, tariff_of
from molam.mesh.routing.logged import logged
from molam.mesh.routing.model import Simulation
from molam.mesh.routing.replay_store import OverRow, ReplayRow
from molam.mesh.routing.simulating import Replay, simulation_of
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.mesh.signals import queries as signals
from molam.mesh.signals.model import DECLARED_P_DOWN, HealthRow
from molam.platform.db import Tx
from molam.sira.health_filter import advance, p_down

OUTAGE_S = 150 * 60
"""How long an outage goes on from now, whenever it began; see sira/health_filter.py."""
PROMISE_HOURS = 24
"""Where the bank to be left has agreed to nothing."""

_ABOVE_SHOWN = 20
_SHARE_PER_PERCENT = 10_000
_SUMS = ("cap_left", "cover_left")


@dataclass(frozen=True, slots=True)
class _Banks:
    facts: Mapping[str, BankFactsRow]
    members: Mapping[str, MemberRow]
    ways: Mapping[str, Way]
    """How banks of other regions are reached."""
    health: Mapping[str, HealthRow]
    at: datetime

    def delay_s(self, facts: BankFactsRow) -> int:
        """Return in how many seconds a bank would have paid; what is wrong with it included."""
        member = self.members.get(facts.bank_profile_id)
        health = self.health.get(facts.bank_profile_id)
        waits = 0 if member is None else file_wait_s(member, self.at)
        down = 0.0 if health is None else p_down(advance(health.belief, self.at.timestamp()))
        if facts.is_announced_down:
            down = max(down, DECLARED_P_DOWN)
        return facts.avg_delay_sec + waits + round(down * OUTAGE_S)


async def replay(tx: Tx, mesh: Mesh, row: ProposalRow) -> Simulation:
    """Ask what *row* would do now; each question is one statement, however many payouts wait."""
    scope = {
        "region": row.mesh_region_id,
        "currency": row.currency,
        "rail": row.rail,
        "min_amount": row.min_amount,
        "max_amount": row.max_amount,
    }
    waiting = await tx.all(facts_store.LIST_WAITING, **scope)
    banks = await _banks(tx, row, waiting)
    policy = await policies.effective(tx, row.mesh_region_id, mesh)
    threshold = await _threshold(tx, policy, row.currency, banks.at)
    bands = list(_bands(row, banks))
    moving = {
        **scope,
        "bands": bands,
        "lows": [each["low"] for each in bands],
        "everybody": row.from_bank_id is None,
        "from_bank": row.from_bank_id,
        "promise_s": _promise_s(row, banks),
        **content.listed_in(row.proposal),
    }
    rows = await tx.all(
        replay_store.REPLAY,
        **moving,
        banks=[_terms(row, banks, each) for each in banks.facts.values()],
        threshold=threshold,
        cost_bp=int(policy.rules.max_cost_increase_pct * 100),
    )
    above = []
    if any(each.above for each in rows):
        above = await tx.all(
            replay_store.LIST_ABOVE, **moving, threshold=threshold, limit=_ABOVE_SHOWN
        )
    over = None
    if _may_be_too_much(bands, rows):
        over = await tx.one(replay_store.COUNT_OVER, **moving)
    return simulation_of(
        Replay(
            proposal=row,
            rows=rows,
            waiting=waiting,
            names={each.bank_profile_id: each.bank_name for each in banks.facts.values()},
            delays={bank_id: banks.delay_s(each) for bank_id, each in banks.facts.items()},
            threshold=threshold,
            above_ids=tuple(each.id for each in above),
            over=over or OverRow(0, 0),
            logged=await logged(tx, row, _orders(row)),
        )
    )


def _orders(row: ProposalRow) -> list[tuple[int, list[str]]]:
    """Read the signed bands: where each begins, and who carries it."""
    bands = row.proposal.get("bands")
    if not bands:
        return [(row.min_amount, [each["bank_profile_id"] for each in row.proposal["sequence"]])]
    return [(band["min_amount"], band["bank_profile_ids"]) for band in bands]


def _bands(row: ProposalRow, banks: _Banks) -> Iterator[dict[str, Any]]:
    """Write what the replay must know of each band: its first bank, with that one's terms."""
    for at, (low, order) in enumerate(_orders(row), start=1):
        known = banks.facts.get(order[0]) if order else None
        yield {
            **({} if known is None else _terms(row, banks, known)),
            "band": at,
            "low": low,
            "order": order,
            "to_bank": None if known is None else known.bank_profile_id,
            "has_next": len(order) > 1,
        }


def _may_be_too_much(bands: Iterable[dict[str, Any]], rows: Iterable[ReplayRow]) -> bool:
    """Tell whether some bank would be given more than it can take today, or than we have there."""
    given: dict[str | None, int] = defaultdict(int)
    for row in rows:
        given[row.to_bank] += row.value
    limits = ((each["to_bank"], each.get(name)) for each in bands for name in _SUMS)
    return any(limit is not None and given[bank] > limit for bank, limit in limits)


async def _banks(tx: Tx, row: ProposalRow, waiting: Iterable[WaitingRow]) -> _Banks:
    ids = {order[0] for _, order in _orders(row) if order}
    ids |= {each.bank_profile_id for each in waiting if each.bank_profile_id is not None}
    bank_ids = sorted(each for each in {*ids, row.from_bank_id, row.to_bank_id} if each)
    facts = await tx.all(
        facts_store.LIST_BANK_FACTS,
        bank_ids=bank_ids,
        region=row.mesh_region_id,
        currency=row.currency,
        rail=row.rail,
    )
    ways: dict[str, Way] = {}
    if row.proposal.get("corridors"):
        ways = await reach.ways_from(tx, row.mesh_region_id, row.currency)
    able = await reach.eligible(
        tx, region_id=row.mesh_region_id, currency=row.currency, rail=row.rail, ways=ways
    )
    health = await signals.health_of(tx, currency=row.currency, rail=row.rail, bank_ids=bank_ids)
    return _Banks(
        facts={each.bank_profile_id: each for each in facts},
        members={each.bank_profile_id: each for each in able},
        ways={
            each.bank_profile_id: ways[each.region_id] for each in able if each.region_id in ways
        },
        health={each.bank_profile_id: each for each in health},
        at=await queries.now(tx),
    )


def _terms(row: ProposalRow, banks: _Banks, facts: BankFactsRow) -> dict[str, Any]:
    """Write what the replay must know of one bank. Limits that nobody agreed on are absent."""
    tariff, member = tariff_of(facts), banks.members.get(facts.bank_profile_id)
    daily = None if member is None else member.capabilities.daily_limit(row.currency)
    way = banks.ways.get(facts.bank_profile_id)
    caps = [] if daily is None else [day_left(facts, daily)]
    caps += [] if way is None else [way.free]
    return {
        "id": facts.bank_profile_id,
        "flat": tariff.flat,
        "share": int(facts.percent_fee * _SHARE_PER_PERCENT),
        "least_fee": tariff.least,
        "most_fee": tariff.most,
        "fx_bp": int(fx_bp_of(facts) + way_bp(way)),
        "delay_s": banks.delay_s(facts),
        "amount_limit": None if member is None else member.capabilities.max_amount(row.currency),
        "cap_left": min(caps, default=None),
        "cover_left": cover_left(facts) if facts.has_books else None,
    }


def _promise_s(row: ProposalRow, banks: _Banks) -> int:
    """Return what merchants were promised: what the bank to be left has agreed to."""
    member = banks.members.get(row.from_bank_id or "")
    hours = PROMISE_HOURS if member is None else member.capabilities.settlement_time_hours
    return hours * 3600


async def _threshold(tx: Tx, policy: Policy, code: str, at: datetime) -> int | None:
    """Return the approval threshold in *code*; None when no rate is known."""
    if policy.approval_currency == code:
        return policy.approval_threshold
    rates = await ledger.rates_in(tx, at.date())
    own = Money(policy.approval_threshold, CURRENCIES[policy.approval_currency])
    worth = rates.convert(own, CURRENCIES[code])
    return None if worth is None else worth.minor
