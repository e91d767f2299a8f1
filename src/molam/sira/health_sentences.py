"""Says what SIRA predicts of a bank in one sentence, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

import msgspec
from babel.numbers import format_decimal, format_percent

from molam.sira.health_rules import RecommendedAction

Language = Literal["fr", "en"]

_EXPECTED = MappingProxyType(
    {
        "en": (
            "{score} of payouts are expected to complete in time over the next {window} minutes "
            "({low} to {high})"
        ),
        "fr": (
            "{score} des versements devraient aboutir à temps dans les {window} prochaines "
            "minutes ({low} à {high})"
        ),
    }
)
_BECAUSE = MappingProxyType(
    {
        "en": (
            ": {failures} of the last {attempts} attempts failed, and the bank is down with a "
            "probability of {down}"
        ),
        "fr": (
            "\u00a0: {failures} des {attempts} dernières tentatives ont échoué, et la banque "
            "est en panne avec une probabilité de {down}"
        ),
    }
)
_SILENT = MappingProxyType(
    {
        "en": ": nothing was tried for a quarter of an hour; the bank is down with a "
        "probability of {down}",
        "fr": "\u00a0: rien n'a été tenté depuis un quart d'heure\u00a0; la banque est en "
        "panne avec une probabilité de {down}",
    }
)
_BY_RULE = MappingProxyType(
    {
        "en": ", by a rule of thumb: SIRA did not answer",
        "fr": ", selon une règle simple\u00a0: SIRA n'a pas répondu",
    }
)
_STAYS = MappingProxyType(
    {
        ("en", True): "; payouts stay with up to {stays} {fails} in a quarter of an hour",
        ("en", False): "; payouts would stay, had at most {stays} failed in the last quarter of "
        "an hour",
        ("fr", True): "\u00a0; les versements y restent jusqu'à {stays} {fails} en un quart "
        "d'heure",
        ("fr", False): "\u00a0; les versements y resteraient avec {stays} {fails} au plus au "
        "dernier quart d'heure",
    }
)
_FAILS = MappingProxyType({"en": ("failure", "failures"), "fr": ("échec", "échecs")})
_DOUBTED = MappingProxyType(
    {
        "en": "; other regions see it down as well: {regions}",
        "fr": "\u00a0; d'autres régions la voient aussi en panne\u00a0: {regions}",
    }
)
_RESERVE = MappingProxyType(
    {
        "en": "; the bank is short of funds, and not of health",
        "fr": "\u00a0; ce sont les fonds qui manquent, et non la santé de la banque",
    }
)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the sentence is made of; other fields of a prediction do not matter to it."""

    predicted_score: Decimal
    p10: Decimal
    p90: Decimal
    p_down: float
    window_minutes: int
    recommended_action: RecommendedAction
    served_by: str
    recent_attempts: int = 0
    recent_failures: int = 0
    stays_with: int | None = None
    doubted_by: tuple[str, ...] = ()


def explain(said: Said, language: Language) -> str:
    """Say in one sentence what is expected, why, and what would have changed it."""
    parts = [_EXPECTED[language]]
    if said.served_by == "fallback":
        parts.append(_BY_RULE[language])
    elif said.recent_attempts:
        parts.append(_BECAUSE[language])
    else:
        parts.append(_SILENT[language])
    if said.doubted_by:
        parts.append(_DOUBTED[language])
    if said.stays_with is not None:
        parts.append(_STAYS[language, said.recommended_action != "failover"])
    if said.recommended_action == "increase_reserve":
        parts.append(_RESERVE[language])
    return "".join(parts).format(
        score=_percent(said.predicted_score / 100, language),
        low=_percent(said.p10 / 100, language),
        high=_percent(said.p90 / 100, language),
        down=_percent(Decimal(said.p_down), language),
        window=said.window_minutes,
        attempts=format_decimal(said.recent_attempts, locale=language),
        failures=format_decimal(said.recent_failures, locale=language),
        stays=said.stays_with,
        # French counts none as it counts one.
        fails=_FAILS[language][said.stays_with not in ((0, 1) if language == "fr" else (1,))],
        regions=", ".join(said.doubted_by),
    ) + (".")


def explain_stored(content: Mapping[str, object], language: Language) -> str | None:
    """
    Say a stored prediction again, from its content; None when it is not one of ours.

    What the mesh keeps and what SIRA's service answers put the same things elsewhere.
    """
    try:
        return explain(msgspec.convert(_flat(content), Said, strict=False), language)
    except msgspec.ValidationError:
        return None


def _flat(content: Mapping[str, object]) -> dict[str, object]:
    flat = dict(content)
    for name in ("interval", "intervals", "sira_confidence_intervals", "explanation"):
        inner = content.get(name)
        if isinstance(inner, Mapping):
            flat.update(inner)
    if "prediction_window_minutes" in content:
        flat["window_minutes"] = content["prediction_window_minutes"]
    return flat


def _percent(share: Decimal, language: Language) -> str:
    pattern = "0.0\u00a0%" if language == "fr" else "0.0%"
    return format_percent(share, pattern, locale=language)
