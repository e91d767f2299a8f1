"""From a score to who must agree: policies, pools and bands, decided without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from molam.approvals.policy.durations import Duration
from molam.approvals.policy.quorum import Role
from molam.approvals.policy.rules import Rules
from molam.kernel.currency import CURRENCIES
from molam.kernel.digests import digest, hashable
from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import Risk
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S
from molam.sira.scoring import ScoreRequest

ACTION_TYPE = "RISK_APPROVAL"
APPROVALS_MAX = 3

_PAYLOAD = "molam.risk.payload/1"
_RISKS: tuple[tuple[int, Risk], ...] = ((85, "critical"), (60, "high"), (25, "medium"), (0, "low"))
_COUNTRY_LENGTH = 2
_TEXT_MAX = 255
_INTEGER_MAX = 2**63 - 1
_EXPONENT_MAX = 300


class ApprovalNotFound(Refusal):
    code = "approval-not-found"
    kind = Kind.ABSENT
    title = "No such approval"


class ApprovalDecided(Refusal):
    code = "approval-already-decided"
    kind = Kind.CONFLICT
    title = "This approval has been decided"


class ApprovalExpired(Refusal):
    code = "approval-expired"
    kind = Kind.CONFLICT
    title = "The time to decide this approval has passed"


class ApprovalNotReady(Refusal):
    code = "approval-not-ready"
    kind = Kind.CONFLICT
    title = "This approval still waits for its score"


class AlreadyVoted(Refusal):
    code = "already-voted"
    kind = Kind.CONFLICT
    title = "You have decided this approval already"


class EvidenceRequired(Refusal):
    code = "evidence-required"
    kind = Kind.CONFLICT
    title = "Evidence has to be uploaded first"


class EvidenceRefused(Refusal):
    code = "evidence-refused"
    kind = Kind.BROKEN_RULE
    title = "This cannot be taken as evidence"


class CreatorMismatch(Refusal):
    code = "creator-mismatch"
    kind = Kind.FORBIDDEN
    title = "You may not ask in somebody else's name"


class PayloadRefused(Refusal):
    code = "payload-refused"
    kind = Kind.BROKEN_RULE
    title = "The payload cannot be weighed"


class NoPolicy(Refusal):
    code = "risk-policy-absent"
    kind = Kind.BROKEN_RULE
    title = "No policy says who decides this"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPolicy:
    """How many must agree from which score on, and until when."""

    name: str
    country: str | None = None
    module: str | None = None
    action_type: str | None = None
    min_score_auto: int = 25
    min_score_single: int = 60
    min_score_double: int = 85
    max_approvals: int = 3
    timeout_minutes: int = 60
    evidence_required_score: int = 85
    force_multichannel: bool = False

    @property
    def specificity(self) -> int:
        return sum(each is not None for each in (self.country, self.module, self.action_type))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """People of some roles, for what its scope holds. Amounts are francs CFA."""

    name: str
    roles: tuple[str, ...]
    country: str | None = None
    module: str | None = None
    min_amount: int | None = None
    max_amount: int | None = None
    priority: int = 10

    @property
    def specificity(self) -> int:
        scope = (self.country, self.module, self.min_amount, self.max_amount)
        return sum(each is not None for each in scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What policies and pools look at. *amount_xof* is None when nobody can tell."""

    action_type: str
    module: str
    country: str | None
    amount_xof: int | None


def choose_policy(policies: Iterable[RiskPolicy], subject: Subject) -> RiskPolicy:
    """
    Find the most specific policy that fits; among equals, the strictest of each column.

    Raises:
        NoPolicy: none fits.
    """
    fitting = [each for each in policies if _fits(each, subject)]
    if not fitting:
        raise NoPolicy("Add a policy without a scope: it is for everything else.")
    best = max(each.specificity for each in fitting)
    equals = sorted(
        (each for each in fitting if each.specificity == best), key=lambda each: each.name
    )
    return RiskPolicy(
        name=" + ".join(each.name for each in equals),
        min_score_auto=min(each.min_score_auto for each in equals),
        min_score_single=min(each.min_score_single for each in equals),
        min_score_double=min(each.min_score_double for each in equals),
        max_approvals=max(each.max_approvals for each in equals),
        timeout_minutes=min(each.timeout_minutes for each in equals),
        evidence_required_score=min(each.evidence_required_score for each in equals),
        force_multichannel=any(each.force_multichannel for each in equals),
    )


def _fits(policy: RiskPolicy, subject: Subject) -> bool:
    asked = (policy.country, policy.module, policy.action_type)
    given = (subject.country, subject.module, subject.action_type)
    return all(want is None or want == have for want, have in zip(asked, given, strict=True))


def required_approvals(policy: RiskPolicy, score: int) -> int:
    """Return how many people must agree; 0 is none."""
    if score < policy.min_score_auto:
        return 0
    if score < policy.min_score_single:
        return 1
    if score < policy.min_score_double:
        return min(2, policy.max_approvals)
    return min(APPROVALS_MAX, policy.max_approvals)


def risk_of(score: int) -> Risk:
    """Name the band of a score, as the console and the policies of actions name risks."""
    return next(name for least, name in _RISKS if score >= least)


def needs_evidence(policy: RiskPolicy, score: int) -> bool:
    return score >= policy.evidence_required_score


def fitting_pools(pools: Iterable[Pool], subject: Subject) -> list[Pool]:
    """List the pools whose scope holds *subject*: the most specific first, then by priority."""
    found = [each for each in pools if _holds(each, subject)]
    return sorted(found, key=lambda each: (-each.specificity, each.priority, each.name))


def _holds(pool: Pool, subject: Subject) -> bool:
    if pool.country is not None and pool.country != subject.country:
        return False
    if pool.module is not None and pool.module != subject.module:
        return False
    if pool.min_amount is None and pool.max_amount is None:
        return True
    if subject.amount_xof is None:
        # It may be any amount, so only a pool for the largest ones will do.
        return pool.max_amount is None
    amount = subject.amount_xof
    return (pool.min_amount or 0) <= amount and (
        pool.max_amount is None or amount <= pool.max_amount
    )


def rules_of(pool: Pool, *, required: int, timeout_s: int) -> Rules:
    """Write the rules the engine counts by: so many people of the pool, and one no ends it."""
    return Rules(
        quorum=Role(frozenset(pool.roles), required),
        ratio=Fraction(1),
        timeout=Duration(seconds=timeout_s),
        reject_threshold=1,
        # What takes several people takes more than a session each of them left open.
        step_up_max_age_s=STEP_UP_MAX_AGE_S if required > 1 else None,
        auto_execute=True,
    )


def payload_hash(payload: dict[str, Any]) -> bytes:
    return digest(_PAYLOAD, hashable(payload))


def check_payload(payload: dict[str, Any]) -> None:
    """
    Refuse numbers that cannot be stored or shown as they were sent.

    Raises:
        PayloadRefused: says what is wrong.
    """
    _check_numbers(payload)
    amount_of(payload)


def _check_numbers(value: object) -> None:
    match value:
        case bool():
            return
        case int() if abs(value) > _INTEGER_MAX:
            raise PayloadRefused("A number is too large; send it as text.")
        case Decimal() if abs(value.adjusted()) > _EXPONENT_MAX:
            raise PayloadRefused("The exponent of a number is too large; send it as text.")
        case dict():
            for each in value.values():
                _check_numbers(each)
        case list():
            for each in value:
                _check_numbers(each)


def amount_of(payload: dict[str, Any]) -> tuple[int | None, str | None]:
    """
    Read the amount a payload speaks of, in minor units, and its currency.

    Raises:
        PayloadRefused: an amount that is negative or no whole number, or an unknown currency.
    """
    amount, code = payload.get("amount"), payload.get("currency")
    if amount is not None and (isinstance(amount, bool) or not isinstance(amount, int)):
        raise PayloadRefused(
            "amount is a whole number of minor units, without point or exponent.", field="amount"
        )
    if amount is not None and amount < 0:
        raise PayloadRefused(
            "amount is not negative; zero says that no money moves.", field="amount"
        )
    if amount is not None and amount > MINOR_MAX:
        raise PayloadRefused("amount is too large.", field="amount")
    if code is not None and (not isinstance(code, str) or code not in CURRENCIES):
        raise PayloadRefused(f"currency is one of {', '.join(CURRENCIES)}.", field="currency")
    return amount, code


def score_request(
    *, action_type: str, module: str, payload: dict[str, Any], actor: tuple[str, Sequence[str]]
) -> ScoreRequest:
    """
    Write what SIRA is told about a request.

    A risk that cannot be read counts as the highest.

    Raises:
        PayloadRefused: the amount is not one.
    """
    amount, code = amount_of(payload)
    name, roles = actor
    return ScoreRequest(
        action=action_type,
        module=module,
        amount=amount,
        currency=code,
        origin_country=country_of(payload, "origin_country"),
        destination_country=country_of(payload, "account_country", "destination_country"),
        actor_id=name,
        actor_role=",".join(roles)[:_TEXT_MAX] or None,
        historical_risk=_risk_of(payload),
        entity_type=_text_of(payload, "entity_type"),
        metadata={
            key: payload[key]
            for key in ("business_hours", "merchant_type", "recurrence")
            if isinstance(payload.get(key), str | bool)
        },
    )


def country_of(payload: dict[str, Any], *names: str) -> str | None:
    """Read a country under the first of *names* that holds one."""
    for name in names:
        value = payload.get(name)
        if isinstance(value, str) and len(value) == _COUNTRY_LENGTH and value.isascii():
            upper = value.upper()
            return upper if upper.isalpha() else None
    return None


def _risk_of(payload: dict[str, Any]) -> Decimal | None:
    value = payload.get("historical_risk_score", payload.get("historical_risk"))
    if value is None:
        return None
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 <= value <= 1:
        return Decimal(value)
    return Decimal(1)


def _text_of(payload: dict[str, Any], name: str) -> str | None:
    value = payload.get(name)
    return value[:_TEXT_MAX] if isinstance(value, str) else None
