"""How risky a request is, from 0 to 100, by rules that say what each of them added."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.kernel.money import MINOR_MAX

FALLBACK = "fallback-heuristic-v1"
"""The rules below. A trained model would bear another name, and be held to these."""

SCORE_MAX = 100
CONFIDENCE = Decimal("0.6")
HIGH_RISK_MIN = Decimal("0.7")

# From which amount on, in francs CFA: the only bands there are, so that 2,000 US
# dollars weigh as much as the francs they are worth.
AMOUNT_BANDS = (
    (1_000_000, 60, "very_high_amount"),
    (100_000, 40, "high_amount"),
    (10_000, 20, "medium_amount"),
)
UNKNOWN_AMOUNT_WEIGHT = 60

Channel = Literal["email", "slack", "push"]
Text = Annotated[str, Meta(max_length=255)]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z", max_length=2, description="ISO 3166-1")]

# Recommendations begin at these scores.
_APPROVERS = ((85, 3), (60, 2), (25, 1))
_CHANNELS: tuple[tuple[int, tuple[Channel, ...]], ...] = (
    (60, ("email", "slack", "push")),
    (25, ("email", "push")),
    (0, ("email",)),
)

_NAMES = {
    "very_high_amount": ("a very high amount", "un montant très élevé"),
    "high_amount": ("a high amount", "un montant élevé"),
    "medium_amount": ("a considerable amount", "un montant notable"),
    "unknown_amount": (
        "an amount nobody knows in francs",
        "un montant qu'on ne connaît pas en francs",
    ),
    "cross_country": ("two different countries", "deux pays différents"),
    "high_historical_risk": ("a risky history", "un historique à risque"),
    "critical_action": ("a freeze or a reversal", "un gel ou une annulation"),
    "off_hours": ("outside business hours", "en dehors des heures ouvrées"),
    "high_risk_merchant": ("a merchant at high risk", "un marchand à haut risque"),
    "recurring": ("a recurring operation", "une opération récurrente"),
    "score_unavailable": ("no score that could be trusted", "aucun score digne de confiance"),
}


class ScoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What SIRA is told. *amount* is in minor units of *currency*.

    Zero says that no money moves. Leaving it out says nothing, and weighs as the highest.
    """

    action: Annotated[str, Meta(min_length=1, max_length=255)]
    module: Text = ""
    amount: Annotated[int, Meta(ge=0, le=MINOR_MAX)] | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None
    origin_country: Country | None = None
    destination_country: Country | None = None
    actor_id: Text | None = None
    actor_role: Text | None = None
    historical_risk: Decimal | None = None
    entity_type: Text | None = None
    metadata: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.historical_risk is not None and not self.historical_risk.is_finite():
            raise ValueError("historical_risk is a number")


class Contribution(msgspec.Struct, frozen=True):
    """One rule that held: what it saw, and what it added."""

    name: str
    value: str
    weight: int


class Advice(msgspec.Struct, frozen=True):
    """A score, and everything that made it."""

    score: int
    tags: tuple[str, ...]
    reason: str
    recommended_approvals: int
    recommended_channels: tuple[Channel, ...]
    confidence: Decimal
    model_version: str
    contributions: tuple[Contribution, ...]


def advise(request: ScoreRequest, *, amount_xof: int | None) -> Advice:
    """
    Score *request* by the rules.

    *amount_xof* is its amount in francs; None means that nobody said or could convert
    it, which weighs as much as the highest amount.
    """
    found = tuple(_contributions(request, amount_xof))
    score = max(0, min(SCORE_MAX, sum(each.weight for each in found)))
    return advice_of(score, found, model_version=FALLBACK)


def worst(cause: str, *, model_version: str) -> Advice:
    """Stand in for a score that is missing or cannot be trusted: the highest there is."""
    found = (Contribution("score_unavailable", cause, SCORE_MAX),)
    return advice_of(SCORE_MAX, found, model_version=model_version)


def advice_of(score: int, found: tuple[Contribution, ...], *, model_version: str) -> Advice:
    assert 0 <= score <= SCORE_MAX
    return Advice(
        score=score,
        tags=tuple(each.name for each in found),
        reason=explain(score, found, "en"),
        recommended_approvals=next((count for least, count in _APPROVERS if score >= least), 0),
        recommended_channels=next(names for least, names in _CHANNELS if score >= least),
        confidence=CONFIDENCE,
        model_version=model_version,
        contributions=found,
    )


def explain(score: int, found: tuple[Contribution, ...], locale: str) -> str:
    """Say in one sentence what *score* is made of."""
    french = locale == "fr"
    if not found:
        return (
            f"Score {score}\u00a0: rien de particulier."
            if french
            else f"Score {score}: nothing unusual."
        )
    said = [f"{name_of(each, locale)} ({each.weight:+d})" for each in found]
    return f"Score {score}{chr(0xA0) if french else ''}: {', '.join(said)}."


def name_of(each: Contribution, locale: str) -> str:
    """Name a rule that held. Another SIRA may know rules that we have no words for."""
    words = _NAMES.get(each.name)
    return each.name[:64] if words is None else words[1 if locale == "fr" else 0]


def _contributions(request: ScoreRequest, amount_xof: int | None) -> list[Contribution]:
    found = _amount(request, amount_xof)
    origin, destination = request.origin_country, request.destination_country
    if origin and destination and origin != destination:
        found.append(Contribution("cross_country", f"{origin} {destination}", 15))
    risk = request.historical_risk
    if risk is not None and not risk <= HIGH_RISK_MIN:
        found.append(Contribution("high_historical_risk", str(risk), 25))
    if any(word in request.action.casefold() for word in ("freeze", "reverse", "reversal")):
        found.append(Contribution("critical_action", request.action, 10))
    return [*found, *_circumstances(request.metadata)]


def _amount(request: ScoreRequest, amount_xof: int | None) -> list[Contribution]:
    if request.amount == 0:
        return []
    if request.amount is None or amount_xof is None:
        # Whoever misspells or forgets the amount must not pass as asking for nothing.
        number = "?" if request.amount is None else request.amount
        shown = f"{number} {request.currency or '?'}"
        return [Contribution("unknown_amount", shown, UNKNOWN_AMOUNT_WEIGHT)]
    for above, weight, name in AMOUNT_BANDS:
        if amount_xof > above:
            return [Contribution(name, f"{amount_xof} XOF", weight)]
    return []


def _circumstances(metadata: dict[str, Any]) -> list[Contribution]:
    found = []
    if metadata.get("business_hours") is False:
        found.append(Contribution("off_hours", "false", 10))
    kind = metadata.get("merchant_type")
    if isinstance(kind, str) and kind.casefold().replace("-", "_") == "high_risk":
        found.append(Contribution("high_risk_merchant", kind, 25))
    recurrence = metadata.get("recurrence")
    if recurrence is True or (isinstance(recurrence, str) and recurrence in _RECURRENCES):
        found.append(Contribution("recurring", str(recurrence).lower(), -5))
    return found


_RECURRENCES = frozenset({"daily", "weekly", "monthly", "quarterly", "yearly", "recurring"})
