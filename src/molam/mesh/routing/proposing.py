"""Turns what is known into a proposal: bands, the order in them, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from molam.mesh.routing.bands import Contest, band_at, bands_of
from molam.mesh.routing.constraints import Field, belief_of, expected, field_of, left_of
from molam.mesh.routing.gathering import World
from molam.mesh.routing.model import NoRoute, ProposalKind
from molam.mesh.routing.outcomes import Stratum, stratum_of
from molam.mesh.routing.reasons import sentence
from molam.mesh.routing.scoring import VALUE_FIXED_XOF, Candidate
from molam.mesh.routing.sequence import Sequencer
from molam.mesh.routing.writing import MAY_COST_MORE, Move, Writer, p_down_of
from molam.mesh.signals.model import DECLARED_P_DOWN
from molam.sira.health import Sureness, sureness_of_move

USUAL_PAYOUT_XOF = 50_000


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal before it is signed."""

    document: dict[str, Any]
    from_bank_id: str | None
    to_bank_id: str
    kind: ProposalKind
    confidence: Decimal
    p_down: float


def draft(world: World) -> Draft:
    """
    Decide the route of *world*.

    Raises:
        NoRoute: nobody may carry these payouts, or nobody better than now.
    """
    world = _understood(world)
    field = field_of(world)
    now_used = world.wanted.from_bank_id or _first_in_force(world)
    left = left_of(world, now_used)
    bands = bands_of(_contest(world, field, left))
    routed = [band for band in bands if band.order]
    if not routed:
        raise NoRoute(_nobody(world, field), currency=world.wanted.currency, rail=world.wanted.rail)
    amount = _usual_amount(world, now_used)
    leading = band_at(bands, amount)
    if not leading.order:
        leading = routed[0]
        amount = max(leading.low, 1)
    from_bank = now_used if now_used != leading.order[0] else world.wanted.from_bank_id
    if from_bank == leading.order[0]:
        from_bank = None
    _must_be_asked_for(world, field, leading.order[0])
    _must_help(world, field, from_bank, leading.order[0])
    move = Move(
        kind=_kind(world, field, from_bank),
        from_bank=from_bank,
        left=left,
        amount=amount,
    )
    sure = None if from_bank is None else _sureness(world, from_bank, leading.order[0])
    document = Writer(world, field, move).document(leading, bands)
    if sure is not None:
        document["sureness"] = _written(world, sure, from_bank)
    return Draft(
        document=document,
        from_bank_id=from_bank,
        to_bank_id=leading.order[0],
        kind=move.kind,
        confidence=_confidence(world, _find(field, leading.order[0]), from_bank, sure),
        p_down=round(0.0 if from_bank is None else p_down_of(world, from_bank), 6),
    )


def _contest(world: World, field: Field, left: Candidate | None) -> Contest:
    wanted, rules = world.wanted, world.policy.rules
    return Contest(
        candidates=field.candidates,
        terms=world.terms,
        low=wanted.min_amount,
        high=wanted.max_amount,
        left=None if wanted.kind in MAY_COST_MORE else left,
        cost_increase_max_pct=Fraction(rules.max_cost_increase_pct),
        order=Sequencer(depth=rules.max_cascading_depth, first=wanted.first, seen=world.together),
    )


def _first_in_force(world: World) -> str | None:
    """Find whom the route in force gives the usual payout."""
    amount = _usual_amount(world, None)
    routes = [
        route
        for route in world.in_force
        if route.min_amount <= amount and (route.max_amount is None or amount <= route.max_amount)
    ]
    return routes[-1].bank_profile_ids[0] if routes else None


def _usual_amount(world: World, bank_id: str | None) -> int:
    """
    Return the amount in the middle of what waits, at *bank_id* if anything does.

    Where nothing waits, it is what payouts usually are. Either is within what was asked.
    """
    here = [row for row in world.waiting if bank_id in {None, row.bank_profile_id}]
    here = here or list(world.waiting)
    usual = int(world.terms.value_fixed * USUAL_PAYOUT_XOF / VALUE_FIXED_XOF)
    amount = max(here, key=lambda row: row.payouts).usual if here else usual
    high = world.wanted.max_amount
    return max(world.wanted.min_amount, 1, amount if high is None else min(amount, high))


def _understood(world: World) -> World:
    """Take a request that names no kind as a failover where the bank now used is down."""
    now_used = world.wanted.from_bank_id or _first_in_force(world)
    if world.wanted.kind != "manual" or now_used is None:
        return world
    if p_down_of(world, now_used) < float(world.policy.rules.leave_p_down):
        return world
    wanted = replace(world.wanted, kind="failover", from_bank_id=now_used)
    return replace(world, wanted=wanted)


def _kind(world: World, field: Field, from_bank: str | None) -> ProposalKind:
    """
    Name what a proposal that nobody named would do.

    A bank that only is not the best any more stays open, and keeps what it carries best.
    """
    if world.wanted.kind != "manual" or from_bank is None:
        return world.wanted.kind
    is_able = any(each.bank_profile_id == from_bank for each in field.candidates)
    return "reorder" if is_able else "manual"


def _must_help(world: World, field: Field, from_bank: str | None, to_bank: str) -> None:
    """Refuse to leave a bank for one that is expected to fail as often."""
    if world.wanted.kind != "failover" or from_bank is None:
        return
    now, _ = expected(world, from_bank)
    then = _find(field, to_bank).failure
    if then >= now:
        raise NoRoute(
            "The best other bank is expected to fail as often as the one that would be left.",
            from_bank_profile_id=from_bank,
            to_bank_profile_id=to_bank,
        )


def _must_be_asked_for(world: World, field: Field, to_bank: str) -> None:
    """Refuse to lead payouts elsewhere than where somebody asked them to go."""
    asked = world.wanted.first
    if to_bank in asked or world.wanted.kind not in MAY_COST_MORE or not asked:
        return
    said = "; ".join(
        f"{each.bank_name}: {sentence(each.reason, 'en', currency=world.wanted.currency)}"
        for each in field.excluded
        if each.bank_profile_id in asked
    )
    raise NoRoute(said or "None of the banks that were asked for is a member that may carry this.")


def _nobody(world: World, field: Field) -> str:
    if not world.members:
        return "The region has no members."
    if field.candidates:
        return "No bank may carry any of these amounts within the cost rule and its limits."
    said = "; ".join(
        f"{each.bank_name}: {sentence(each.reason, 'en', currency=world.wanted.currency)}"
        for each in field.excluded[:5]
    )
    return f"No member may carry these payouts. {said}"


def _find(field: Field, bank_id: str) -> Candidate:
    return next(each for each in field.candidates if each.bank_profile_id == bank_id)


def _sureness(world: World, from_bank: str, to_bank: str) -> Sureness:
    learnt = world.learnt.get(_stratum(world, from_bank))
    return sureness_of_move(
        belief_of(world, from_bank),
        belief_of(world, to_bank),
        table=None if learnt is None else learnt.calibration,
    )


def _stratum(world: World, from_bank: str | None) -> Stratum:
    """See Note [An emergency is judged among emergencies] in outcomes.py."""
    p_down = 0.0 if from_bank is None else p_down_of(world, from_bank)
    return stratum_of(p_down, float(world.policy.rules.direct_p_down))


def _confidence(
    world: World, chosen: Candidate, from_bank: str | None, sure: Sureness | None
) -> Decimal:
    """Return the probability that the move is right; without a move, that of its first bank."""
    if sure is None:
        return chosen.confidence
    confidence = sure.confidence
    if _is_announced(world, from_bank):
        # What is announced needs no signals to be believed.
        confidence = max(confidence, DECLARED_P_DOWN * (1 - float(chosen.failure)))
    return Decimal(f"{min(max(confidence, 0.0), 1.0):.4f}")


def _is_announced(world: World, bank_id: str | None) -> bool:
    facts = world.facts.get(bank_id or "")
    return facts is not None and facts.is_announced_down


def _written(world: World, sure: Sureness, from_bank: str | None) -> dict[str, Any]:
    """
    Say what the confidence is made of.

    Where an announcement speaks, what signals say is left out: no move teaches it anything.
    """
    stratum = _stratum(world, from_bank)
    learnt = world.learnt.get(stratum)
    return {
        "stratum": stratum,
        "raw": None if _is_announced(world, from_bank) else f"{sure.raw:.4f}",
        "calibrated": f"{sure.confidence:.4f}",
        "n_eff": round(sure.n_eff, 1),
        "table": None if learnt is None else learnt.digest,
        "moves": 0 if learnt is None else learnt.moves,
    }
