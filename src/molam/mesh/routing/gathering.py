"""Gathers what a proposal stands on: the members, what is believed of them, their money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from molam.kernel.currency import CURRENCIES
from molam.kernel.money import Money
from molam.ledger import queries as ledger
from molam.mesh.federation.model import Way
from molam.mesh.liquidity import queries as liquidity
from molam.mesh.members import policies, regions
from molam.mesh.members.model import MemberRow
from molam.mesh.members.policies import Policy
from molam.mesh.members.store import MemberRecord, RegionRow
from molam.mesh.routing import facts_store as store
from molam.mesh.routing import outcomes, reach
from molam.mesh.routing.facts_store import BankFactsRow, InForceRow, WaitingRow
from molam.mesh.routing.model import Wanted
from molam.mesh.routing.scoring import VALUE_FIXED_XOF, Tariff, Terms
from molam.mesh.routing.sequence import CoFailures
from molam.mesh.runtime import Mesh
from molam.mesh.signals import predictions
from molam.mesh.signals import queries as signals
from molam.mesh.signals.model import HealthRow
from molam.mesh.signals.prediction_store import PredictionRow
from molam.platform.db import Tx

FX_BP_MAX = 1000
_TOGETHER_DAYS = 30
_FRANC = CURRENCIES["XOF"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that is known when a route is proposed, at one moment."""

    wanted: Wanted
    at: datetime
    region: RegionRow
    policy: Policy
    members: Sequence[MemberRecord]
    elsewhere: Mapping[str, Way | None]
    """The way to each bank that is a member of another region alone; None: there is none."""
    eligible: Mapping[str, MemberRow]
    facts: Mapping[str, BankFactsRow]
    health: Mapping[str, HealthRow]
    predictions: Mapping[str, PredictionRow]
    must_be_predicted: bool
    """Whether nothing may stand in for a prediction that is missing."""
    dual_prices: Mapping[str, Decimal]
    in_force: Sequence[InForceRow]
    waiting: Sequence[WaitingRow]
    together: Mapping[frozenset[str], CoFailures] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    learnt: Mapping[outcomes.Stratum, outcomes.Table] = field(default_factory=dict)
    """How often SIRA's confidence in moves has been right."""

    @property
    def from_bank_id(self) -> str | None:
        return self.wanted.from_bank_id


async def gather(tx: Tx, mesh: Mesh, wanted: Wanted) -> World:
    """
    Read the world of a proposal in few statements, whatever its size.

    Raises:
        RegionAbsent: there is no such region.
    """
    region = await regions.get(tx, wanted.mesh_region_id)
    asked = await tx.one(store.ASK_TIME)
    assert asked is not None
    currency, rail = wanted.currency, wanted.rail
    ways = await reach.ways_from(tx, region.id, currency)
    known = await reach.known(tx, region.id, ways, wanted.first)
    records = known.records
    able = await reach.eligible(tx, region_id=region.id, currency=currency, rail=rail, ways=ways)
    bounds = {"min_amount": wanted.min_amount, "max_amount": wanted.max_amount}
    in_force = await tx.all(store.LIST_IN_FORCE, currency=currency, rail=rail, **bounds)
    bank_ids = sorted(_banks(wanted, records, in_force))
    scope = {"region": region.id, "currency": currency, "rail": rail, **bounds}
    return World(
        wanted=wanted,
        at=asked.at,
        region=region,
        policy=await policies.effective(tx, region.id, mesh),
        members=records,
        elsewhere=known.elsewhere,
        eligible={each.bank_profile_id: each for each in able},
        facts={
            row.bank_profile_id: row
            for row in await tx.all(
                store.LIST_BANK_FACTS,
                bank_ids=bank_ids,
                region=region.id,
                currency=currency,
                rail=rail,
            )
        },
        health={
            row.bank_profile_id: row
            for row in await signals.health_of(tx, currency=currency, rail=rail, bank_ids=bank_ids)
        },
        predictions=await _predictions(tx, mesh, wanted, region_id=region.id, bank_ids=bank_ids),
        must_be_predicted=bool(mesh.sira_url) and not mesh.fallback_enabled,
        dual_prices=await liquidity.dual_prices(tx, currency),
        in_force=in_force,
        waiting=await tx.all(store.LIST_WAITING, **scope),
        together=await _together(tx, bank_ids),
        terms=await _terms(tx, currency, asked.at),
        learnt=await outcomes.tables_in_use(tx),
    )


def _banks(
    wanted: Wanted, records: Iterable[MemberRecord], in_force: Iterable[InForceRow]
) -> set[str]:
    found = {record.bank_profile_id for record in records}
    found |= {bank for route in in_force for bank in route.bank_profile_ids[:1]}
    return found if wanted.from_bank_id is None else found | {wanted.from_bank_id}


async def _predictions(
    tx: Tx, mesh: Mesh, wanted: Wanted, *, region_id: str, bank_ids: Sequence[str]
) -> dict[str, PredictionRow]:
    """Read the newest prediction of each bank whose signature holds."""
    rows = await predictions.valid(
        tx, mesh, bank_ids=bank_ids, rail=wanted.rail, currency=wanted.currency
    )

    # A region's own prediction about a bank says more than another region's.
    def rank(row: PredictionRow) -> tuple[bool, datetime]:
        return row.mesh_region_id == region_id, row.created_at

    return {row.bank_profile_id: row for row in sorted(rows, key=rank)}


async def _together(tx: Tx, bank_ids: Sequence[str]) -> dict[frozenset[str], CoFailures]:
    rows = await tx.all(store.LIST_TOGETHER, bank_ids=list(bank_ids), days=_TOGETHER_DAYS)
    return {
        frozenset((row.one, row.other)): CoFailures(row.alone_or_together, row.together)
        for row in rows
    }


async def _terms(tx: Tx, code: str, at: datetime) -> Terms:
    """Say what punctuality is worth in a currency; without a rate, its fixed part is left out."""
    if code == _FRANC.code:
        return Terms()
    rates = await ledger.rates_in(tx, at.date())
    worth = rates.convert(Money(VALUE_FIXED_XOF, _FRANC), CURRENCIES[code])
    return Terms(value_fixed=Fraction(0 if worth is None else worth.minor))


def tariff_of(facts: BankFactsRow) -> Tariff:
    """Read what a bank charges: its flat fee and share, and bounds where `fees` names them."""
    return Tariff(
        flat=facts.flat_fee,
        percent=Fraction(facts.percent_fee),
        least=_amount(facts, "min") or 0,
        most=_amount(facts, "max"),
    )


def fx_bp_of(facts: BankFactsRow) -> Fraction:
    """Read what a bank takes for converting, in basis points; most convert nothing."""
    return Fraction(min(_amount(facts, "fx_bp") or 0, FX_BP_MAX))


def _amount(facts: BankFactsRow, name: str) -> int | None:
    value = facts.fees.get(name)
    is_amount = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_amount else None
