"""Writes a proposal down: its bands, the order in them, who is left out, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from molam.mesh.routing.bands import Band
from molam.mesh.routing.constraints import Excluded, Field, belief_of, expected, prediction_of
from molam.mesh.routing.gathering import World
from molam.mesh.routing.model import ProposalKind
from molam.mesh.routing.reasons import Reason, sentence
from molam.mesh.routing.scoring import Candidate, advantages, cost_of, value_of
from molam.mesh.routing.sequence import Sequencer
from molam.mesh.signals.model import DECLARED_P_DOWN
from molam.mesh.signals.prediction_store import PredictionRow
from molam.sira import health_filter as filter_
from molam.sira.health import TIER_1

# People may pay more than the rule allows, and the simulation says that they do. Going
# back costs what it always did, however cheap the stand-in was. Practice finds out what the
# stand-in costs.
MAY_COST_MORE = ("override", "return", "practice")
_STEP_ROLES = ("primary", "secondary", "tertiary")
_ELSEWHERE = ("currency", "rail")
_TWO_PLACES = Decimal("0.01")


def p_down_of(world: World, bank_id: str) -> float:
    """Return P(DOWN), an announced outage counting as believed."""
    heard = filter_.p_down(belief_of(world, bank_id))
    facts = world.facts.get(bank_id)
    announced = facts is not None and facts.is_announced_down
    return max(heard, DECLARED_P_DOWN) if announced else heard


def doubted_by(world: World, bank_id: str) -> tuple[str, ...]:
    """Name the regions because of which a bank is doubted."""
    row = world.health.get(bank_id)
    return () if row is None else row.doubted_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What a proposal changes: from whom, and how that was looked at."""

    kind: ProposalKind
    from_bank: str | None
    """Whom payouts leave; None: nobody."""
    left: Candidate | None
    """The bank now used."""
    amount: int
    """The payout that reasons and costs are about."""


class Writer:
    """Writes the document of a proposal, each choice with its reason."""

    def __init__(self, world: World, field: Field, move: Move) -> None:
        self._world = world
        self._field = field
        self._move = move
        self._from_bank = move.from_bank
        self._amount = move.amount
        self._able = {each.bank_profile_id: each for each in field.candidates}
        self._sequencer = Sequencer(seen=world.together)

    def document(self, leading: Band, bands: Sequence[Band]) -> dict[str, Any]:
        world = self._world
        sequence = [self._step(at, leading.order) for at in range(len(leading.order))]
        used = self._used(bands)
        why = world.wanted.reason or sequence[0]["reason"]
        return {
            "sequence": sequence,
            "reason": why,
            "sira_version": used[0].sira_model_version if used else TIER_1,
            "timestamp": world.at.isoformat(timespec="milliseconds"),
            "kind": self._move.kind,
            "reference_amount": self._amount,
            "bands": [self._band(band) for band in bands],
            "excluded": [self._excluded(each) for each in self._without(bands)],
            "predictions": [each.id for each in used],
            **self._listed(),
            **self._from_elsewhere(bands),
            "policy": {
                "id": world.policy.id,
                "version": world.policy.version,
                "max_cost_increase_pct": f"{world.policy.rules.max_cost_increase_pct:f}",
                "max_cascading_depth": world.policy.rules.max_cascading_depth,
            },
        }

    def _from_elsewhere(self, bands: Sequence[Band]) -> dict[str, Any]:
        """Name the corridors that this goes through, and the regions that made us doubt banks."""
        world, named = self._world, {bank for band in bands for bank in band.order}
        ways = {bank: world.elsewhere.get(bank) for bank in sorted(named)}
        corridors = {
            bank: {"corridor_id": way.corridor_id, "region": way.to_region}
            for bank, way in ways.items()
            if way is not None
        }
        looked_at = named if self._from_bank is None else named | {self._from_bank}
        doubted = {bank: list(doubted_by(world, bank)) for bank in sorted(looked_at)}
        doubted = {bank: regions for bank, regions in doubted.items() if regions}
        return {
            **({"corridors": corridors} if corridors else {}),
            **({"doubted_by": doubted} if doubted else {}),
        }

    def _listed(self) -> dict[str, Any]:
        listed = self._world.wanted.payouts
        return {"payouts": [list(each) for each in listed]} if listed else {}

    def _used(self, bands: Sequence[Band]) -> list[PredictionRow]:
        """List the predictions that this stands on."""
        named = {bank for band in bands for bank in band.order}
        named |= set() if self._from_bank is None else {self._from_bank}
        found = (prediction_of(self._world, bank) for bank in sorted(named))
        return [each for each in found if each is not None]

    def _band(self, band: Band) -> dict[str, Any]:
        return {
            "min_amount": band.low,
            "max_amount": band.high,
            "bank_profile_ids": list(band.order),
        }

    def _without(self, bands: Sequence[Band]) -> list[Excluded]:
        """List who may not carry, and who may but is too dear for every amount."""
        named = {bank for band in bands for bank in band.order}
        dear = []
        for each in self._field.candidates:
            if each.bank_profile_id not in named and self._is_too_dear(each, bands):
                reason = Reason(
                    "cost",
                    {
                        "percent": f"{self._world.policy.rules.max_cost_increase_pct:f}",
                        "other": "" if self._move.left is None else self._move.left.bank_name,
                    },
                )
                dear.append(Excluded(each.bank_profile_id, each.bank_name, reason))
        # Those that are about something else altogether come last.
        return sorted(
            [*self._field.excluded, *dear], key=lambda each: each.reason.code in _ELSEWHERE
        )

    def _is_too_dear(self, each: Candidate, bands: Sequence[Band]) -> bool:
        left = self._move.left
        if left is None or self._move.kind in MAY_COST_MORE:
            return False
        terms = self._world.terms
        allowed = 1 + Fraction(self._world.policy.rules.max_cost_increase_pct) / 100
        ends = {amount for band in bands for amount in (band.low, band.high) if amount} | {1}
        return all(
            cost_of(each, terms, amount) > allowed * cost_of(left, terms, amount) for amount in ends
        )

    def _excluded(self, each: Excluded) -> dict[str, Any]:
        return {
            "bank_profile_id": each.bank_profile_id,
            "bank_name": each.bank_name,
            **self._written(each.reason),
        }

    def _step(self, at: int, order: Sequence[str]) -> dict[str, Any]:
        bank = self._able[order[at]]
        reason = self._why_first(bank) if at == 0 else self._why_next(at, order)
        return {
            "bank_profile_id": bank.bank_profile_id,
            "bank_name": bank.bank_name,
            "role": _STEP_ROLES[min(at, len(_STEP_ROLES) - 1)],
            "score": float(_score(bank)),
            "confidence": float(bank.confidence),
            "estimated_cost": bank.tariff.charged(self._amount),
            **self._written(reason),
        }

    def _written(self, reason: Reason) -> dict[str, Any]:
        return {
            "reason": sentence(reason, "en", currency=self._world.wanted.currency),
            "why": msgspec.to_builtins(reason),
        }

    def _why_first(self, bank: Candidate) -> Reason:
        world, amount = self._world, self._amount
        facts: dict[str, str | int] = {
            "bank": bank.bank_name,
            "payout_amount": amount,
            "fee_amount": bank.tariff.charged(amount),
            "score": f"{_score(bank):f}",
        }
        if bank.bank_profile_id in world.wanted.first:
            return Reason("asked", {"bank": bank.bank_name})
        if self._from_bank is not None:
            return self._against_left(bank, facts)
        others = [
            each for each in self._able.values() if each is not bank and each.takes(self._amount)
        ]
        if not others:
            return Reason("only", facts)
        return self._against(bank, max(others, key=self._worth), facts)

    def _against_left(self, bank: Candidate, facts: dict[str, str | int]) -> Reason:
        """Say why payouts leave whom they leave: it fails, or another is worth more."""
        world, from_bank = self._world, self._from_bank
        assert from_bank is not None
        other = self._able.get(from_bank)
        p_down = p_down_of(world, from_bank)
        if other is None or p_down >= float(world.policy.rules.leave_p_down):
            failure, _ = expected(world, from_bank)
            # Nobody is ever certain: 99.97 is not shown as 100.
            percent = Decimal(math.floor(1000 * p_down)) / 10
            regions = doubted_by(world, from_bank)
            return Reason(
                "rescues_doubted" if regions else "rescues",
                {
                    **facts,
                    **({"regions": ", ".join(regions)} if regions else {}),
                    "other": self._name(from_bank),
                    "p_down": f"{percent:.1f}",
                    "other_score": f"{_percent(1 - failure):f}",
                },
            )
        return self._against(bank, other, facts)

    def _against(self, bank: Candidate, other: Candidate, facts: dict[str, str | int]) -> Reason:
        saved = self._worth(bank) - self._worth(other)
        if saved <= 0:
            return Reason("preferred", {"bank": bank.bank_name, "other": other.bank_name})
        parts = advantages(bank, other, self._world.terms, self._amount)
        cause = max(parts, key=lambda name: parts[name])
        counts = round(parts[cause])
        code = "promoted" if cause == "fee" else f"promoted_{cause}"
        return Reason(
            code if counts >= 1 else "promoted_barely",
            {
                **facts,
                "other": other.bank_name,
                "saved_amount": counts,
                "other_fee_amount": other.tariff.charged(self._amount),
                "other_score": f"{_score(other):f}",
            },
        )

    def _why_next(self, at: int, order: Sequence[str]) -> Reason:
        bank, before = self._able[order[at]], [self._able[each] for each in order[:at]]
        if bank.bank_profile_id in self._world.wanted.first:
            return Reason("asked", {"bank": bank.bank_name})
        survives = f"{_percent(1 - self._sequencer.failure_after(bank, before)):f}"
        shared = sorted(bank.domains & frozenset().union(*(each.domains for each in before)))
        if shared:
            return Reason(
                "related",
                {"bank": bank.bank_name, "survives": survives, "shared": ", ".join(shared)},
            )
        return Reason("independent", {"bank": bank.bank_name, "survives": survives})

    def _worth(self, each: Candidate) -> Fraction:
        return value_of(each, self._world.terms, self._amount)

    def _name(self, bank_id: str) -> str:
        facts = self._world.facts.get(bank_id)
        return bank_id if facts is None else facts.bank_name


def _percent(share: Fraction) -> Decimal:
    return (Decimal(share.numerator) * 100 / Decimal(share.denominator)).quantize(_TWO_PLACES)


def _score(bank: Candidate) -> Decimal:
    return _percent(1 - bank.failure)
