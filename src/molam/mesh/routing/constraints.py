"""Who may carry a payout at all, and for everybody else the one reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from molam.mesh.federation.model import DEPTH_MAX, Way
from molam.mesh.members import model as members
from molam.mesh.members.model import MemberRow
from molam.mesh.members.store import MemberRecord
from molam.mesh.routing.facts_store import BankFactsRow
from molam.mesh.routing.gathering import World, fx_bp_of, tariff_of
from molam.mesh.routing.reasons import Reason
from molam.mesh.routing.scoring import Candidate, probability
from molam.mesh.signals.model import DECLARED_P_DOWN
from molam.mesh.signals.prediction_store import PredictionRow
from molam.sira import health_filter as filter_
from molam.sira.health import RecentCounts, forecast
from molam.sira.health_filter import Belief

WINDOW_MINUTES = 60
UNPREDICTED_CONFIDENCE = Decimal("0.8")
"""How far a belief nobody has signed is trusted, against a prediction that is signed."""

OVERTAKEN_FROM = 0.3
"""A prediction whose P(DOWN) is further than this from what is believed now is outdated."""

_FILES = "pain001"
_HOUR_S = 3600
_FOUR_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Excluded:
    """A member that may not carry these payouts."""

    bank_profile_id: str
    bank_name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Field:
    """Who may carry, and who may not."""

    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...]


def field_of(world: World) -> Field:
    """Divide the members of the region into candidates and the excluded."""
    candidates: list[Candidate] = []
    excluded: list[Excluded] = []
    for record in world.members:
        reason = next((found for rule in _RULES for found in rule(world, record)), None)
        if reason is None and record.bank_profile_id not in world.eligible:
            reason = Reason("not_active", {"status": record.status})
        if reason is None:
            candidates.append(_candidate(world, record.bank_profile_id))
        else:
            excluded.append(Excluded(record.bank_profile_id, record.bank_name, reason))
    return Field(tuple(candidates), tuple(excluded))


def _standing(_world: World, record: MemberRecord) -> Iterator[Reason]:
    """Whether the member is one that carries anything at all."""
    if record.role == "observer":
        yield Reason("observer")
    if not record.kyc_verified:
        yield Reason("kyc_verified")
    if not record.contract_signed:
        yield Reason("contract_signed")
    if record.compliance_status != "approved":
        yield Reason("compliance")
    if record.status != "active":
        yield Reason("not_active", {"status": record.status})
    if not record.bank_in_use:
        yield Reason("bank_not_in_use")


def _reach(world: World, record: MemberRecord) -> Iterator[Reason]:
    """Whether it carries this currency, on this rail, in this region."""
    wanted = world.wanted
    try:
        able = members.read_capabilities(record.capabilities)
    except members.CapabilitiesRefused:
        yield Reason("capabilities")
        return
    if wanted.currency not in record.bank_currencies or not able.supports(wanted.currency):
        yield Reason("currency", {"currency": wanted.currency})
    if wanted.rail not in record.bank_rails:
        yield Reason("rail", {"rail": wanted.rail})
    countries = world.region.countries
    if countries and record.bank_country not in countries:
        allowed = world.region.allowed_crossborder and world.policy.rules.allowed_crossborder
        if not (allowed and able.cross_border_enabled):
            yield Reason("crossborder", {"country": record.bank_country})


def _crossing(world: World, record: MemberRecord) -> Iterator[Reason]:
    """Whether a corridor leads to it, where it is a member of another region alone."""
    if record.bank_profile_id not in world.elsewhere:
        return
    way, region = world.elsewhere[record.bank_profile_id], record.region_name
    if way is None or not way.is_active:
        yield Reason("no_corridor", {"region": region, "currency": world.wanted.currency})
    elif not way.is_sound:
        yield Reason("corridor_path", {"region": region, "steps": DEPTH_MAX})
    elif not way.is_usable:
        yield Reason("corridor_full", {"limit_amount": way.free})


def _choice(world: World, record: MemberRecord) -> Iterator[Reason]:
    """Whether payouts are to leave it, or have left it."""
    wanted, id_ = world.wanted, record.bank_profile_id
    if id_ in wanted.first:
        return
    if wanted.kind in {"failover", "practice"} and id_ == wanted.from_bank_id:
        yield Reason("left")
    if id_ in wanted.not_to:
        yield Reason("left_before")


def _stops(world: World, record: MemberRecord) -> Iterator[Reason]:
    """Whether somebody, or the bank itself, has said that nothing goes there now."""
    facts = world.facts[record.bank_profile_id]
    health = world.health.get(record.bank_profile_id)
    if facts.is_switched_off:
        yield Reason("switch")
    wanted = world.wanted
    if any(
        low <= wanted.min_amount
        and (high is None or (wanted.max_amount is not None and wanted.max_amount <= high))
        for low, high in _shut(world, record.bank_profile_id)
    ):
        yield Reason("gate", {"cause": facts.closed_because or "-"})
    if facts.is_announced_down:
        yield Reason("outage")
    until = None if health is None else health.short_of_funds_until
    if until is not None and until > world.at:
        yield Reason("short_of_funds")
    if world.must_be_predicted and record.bank_profile_id not in world.predictions:
        yield Reason("no_prediction")


def _shut(world: World, bank_id: str) -> tuple[tuple[int, int | None], ...]:
    """List the amounts for which a bank's gate is closed."""
    wanted = world.wanted
    # A bank to which payouts return is still closed, because they have left it.
    returns = wanted.kind == "return" and bank_id in wanted.first
    return () if returns else world.facts[bank_id].shut


def _money(world: World, record: MemberRecord) -> Iterator[Reason]:
    """Whether its limits and our money there allow even the smallest of these payouts."""
    facts = world.facts[record.bank_profile_id]
    if facts.treasury_account_id is None:
        yield Reason("no_account", {"currency": world.wanted.currency})
        return
    least = max(world.wanted.min_amount, 1)
    for code, limit in _limits(world, record.bank_profile_id):
        if limit < least:
            yield Reason(code, {"limit_amount": max(limit, 0)})


def _file(world: World, record: MemberRecord) -> Iterator[Reason]:
    """Whether its next file leaves in time."""
    member = world.eligible.get(record.bank_profile_id)
    if member is None:
        return
    wait_s = file_wait_s(member, world.at)
    if wait_s + member.avg_delay_sec > member.capabilities.settlement_time_hours * _HOUR_S:
        yield Reason("cut_off", {"hours": -(-wait_s // _HOUR_S)})


_RULES: tuple[Callable[[World, MemberRecord], Iterator[Reason]], ...] = (
    _standing,
    _reach,
    _crossing,
    _choice,
    _stops,
    _money,
    _file,
)


def _limits(world: World, bank_id: str) -> Iterator[tuple[str, int]]:
    """List what bounds a single payout, each with the reason it would be."""
    facts, member = world.facts[bank_id], world.eligible.get(bank_id)
    if facts.has_books:
        yield "cover", cover_left(facts)
    way = world.elsewhere.get(bank_id)
    if way is not None:
        yield "corridor_full", way.free
    if member is None:
        return
    largest = member.capabilities.max_amount(world.wanted.currency)
    if largest is not None:
        yield "amount_limit", largest
    daily = member.capabilities.daily_limit(world.wanted.currency)
    if daily is not None:
        yield "daily_limit", day_left(facts, daily)


def cover_left(facts: BankFactsRow) -> int:
    """Return what is left of our money there once all that waits for the bank is sent."""
    return facts.balance - facts.reserved - facts.waiting


def day_left(facts: BankFactsRow, daily_limit: int) -> int:
    """Return what is left of a limit for today once all that waits for the bank is sent."""
    return daily_limit - facts.sent_today - facts.waiting


def _candidate(world: World, bank_id: str) -> Candidate:
    facts, member = world.facts[bank_id], world.eligible[bank_id]
    failure, confidence = expected(world, bank_id)
    return Candidate(
        bank_profile_id=bank_id,
        bank_name=member.bank_name,
        role=member.role,
        prefer_order=member.prefer_order,
        failure=failure,
        confidence=confidence,
        tariff=tariff_of(facts),
        fx_bp=fx_bp_of(facts) + way_bp(world.elsewhere.get(bank_id)),
        delay_s=member.avg_delay_sec + file_wait_s(member, world.at),
        shadow_price=Fraction(world.dual_prices.get(bank_id, Decimal(0))),
        risk=Fraction(member.risk_score),
        amount_max=min((limit for _, limit in _limits(world, bank_id)), default=None),
        domains=frozenset(member.failure_domains),
        shut=_shut(world, bank_id),
    )


def way_bp(way: Way | None) -> Fraction:
    """Return what going through a corridor costs, in basis points."""
    return Fraction(0) if way is None else Fraction(str(way.cost_bps))


def left_of(world: World, bank_id: str | None) -> Candidate | None:
    """Describe the bank now used as far as what it costs, whether or not it may carry."""
    facts = None if bank_id is None else world.facts.get(bank_id)
    if facts is None:
        return None
    failure, confidence = expected(world, facts.bank_profile_id)
    return Candidate(
        bank_profile_id=facts.bank_profile_id,
        bank_name=facts.bank_name,
        failure=failure,
        confidence=confidence,
        tariff=tariff_of(facts),
        fx_bp=fx_bp_of(facts),
    )


def expected(world: World, bank_id: str) -> tuple[Fraction, Decimal]:
    """
    Return the share of payouts expected to fail in the next hour, and how sure that is.

    A signed prediction says; else what is believed now, which is trusted less.
    """
    prediction = prediction_of(world, bank_id)
    if prediction is not None:
        failure = probability(1 - float(prediction.predicted_score) / 100)
        return _announced(world, bank_id, failure), prediction.confidence.quantize(_FOUR_PLACES)
    told = forecast(
        belief_of(world, bank_id),
        window_minutes=WINDOW_MINUTES,
        at=world.at.timestamp(),
        recent=RecentCounts(),
    )
    failure = probability(1 - float(told.predicted_score) / 100)
    sure = Decimal(f"{told.confidence:.4f}") * UNPREDICTED_CONFIDENCE
    return _announced(world, bank_id, failure), sure.quantize(_FOUR_PLACES)


def prediction_of(world: World, bank_id: str) -> PredictionRow | None:
    """Return the signed prediction about a bank, unless what was heard since contradicts it."""
    found = world.predictions.get(bank_id)
    if found is None:
        return None
    now = filter_.p_down(belief_of(world, bank_id))
    return found if abs(found.p_down - now) <= OVERTAKEN_FROM else None


def _announced(world: World, bank_id: str, failure: Fraction) -> Fraction:
    facts = world.facts.get(bank_id)
    down = facts is not None and facts.is_announced_down
    return max(failure, probability(DECLARED_P_DOWN)) if down else failure


def belief_of(world: World, bank_id: str) -> Belief:
    """Return what is believed of a bank now; of one never heard of, what is usual."""
    row = world.health.get(bank_id)
    belief = filter_.fresh() if row is None else row.belief
    return filter_.advance(belief, world.at.timestamp())


def file_wait_s(member: MemberRow, at: datetime) -> int:
    """Return for how long a payout would wait for the bank's next file."""
    if member.connector != _FILES or member.cut_off is None:
        return 0
    there = at.astimezone(ZoneInfo(member.timezone))
    leaves = datetime.combine(there.date(), time.fromisoformat(member.cut_off), there.tzinfo)
    if leaves < there:
        leaves += timedelta(days=1)
    return round((leaves - there).total_seconds())
