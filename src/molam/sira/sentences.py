"""Says a finding in one sentence, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec
from babel.numbers import format_currency, format_decimal, format_percent

from molam.kernel.currency import currency as currency_of
from molam.kernel.money import Money
from molam.sira.finding import Dimension, Finding, Kind, Part

Language = Literal["fr", "en"]
Style = Literal["count", "share", "factor"]

SCORE_MAX = 300.0
"""Of what is kept and told: nothing is rarer than that."""

_SENTENCES = MappingProxyType(
    {
        (Kind.SALES_SURGE, "fr"): (
            "Les ventes du jour atteignent {observed}, soit {ratio} fois les {expected} "
            "de la veille ; l'alerte se déclenche au-delà de 3 fois."
        ),
        (Kind.SALES_SURGE, "en"): (
            "Sales today reached {observed}, {ratio} times the {expected} of the day before; "
            "the alert starts above 3 times."
        ),
        (Kind.PAYMENTS_HIGH, "fr"): (
            "{observed} paiements {window}, alors que ce moment de la semaine en compte "
            "d'ordinaire {expected} : une chance sur {odds} que ce soit un hasard."
        ),
        (Kind.PAYMENTS_HIGH, "en"): (
            "{observed} payments {window}, where this time of the week usually has {expected}: "
            "a chance of one in {odds}."
        ),
        (Kind.PAYMENTS_LOW, "fr"): (
            "Seulement {observed} paiements {window}, alors que ce moment de la semaine en compte "
            "d'ordinaire {expected} : une chance sur {odds} que ce soit un hasard."
        ),
        (Kind.PAYMENTS_LOW, "en"): (
            "Only {observed} payments {window}, where this time of the week usually has "
            "{expected}: a chance of one in {odds}."
        ),
        (Kind.REFUNDS_HIGH, "fr"): (
            "{observed} remboursements {window}, alors que ce moment de la semaine en compte "
            "d'ordinaire {expected} : une chance sur {odds} que ce soit un hasard."
        ),
        (Kind.REFUNDS_HIGH, "en"): (
            "{observed} refunds {window}, where this time of the week usually has {expected}: "
            "a chance of one in {odds}."
        ),
        (Kind.DISPUTES_HIGH, "fr"): (
            "{observed} litiges {window}, alors que ce moment de la semaine en compte "
            "d'ordinaire {expected} : une chance sur {odds} que ce soit un hasard."
        ),
        (Kind.DISPUTES_HIGH, "en"): (
            "{observed} disputes {window}, where this time of the week usually has {expected}: "
            "a chance of one in {odds}."
        ),
        (Kind.SUCCESS_RATE_LOW, "fr"): (
            "{observed} des {trials} paiements {window} ont abouti, contre {expected} d'ordinaire."
        ),
        (Kind.SUCCESS_RATE_LOW, "en"): (
            "{observed} of the {trials} payments {window} succeeded, against {expected} usually."
        ),
        (Kind.CHARGEBACK_RATE_HIGH, "fr"): (
            "{observed} des {trials} paiements {window} ont été contestés, contre {expected} "
            "d'ordinaire."
        ),
        (Kind.CHARGEBACK_RATE_HIGH, "en"): (
            "{observed} of the {trials} payments {window} were disputed, against {expected} "
            "usually."
        ),
        (Kind.TICKET_HIGH, "fr"): "Le panier moyen {window} est {observed} fois l'ordinaire.",
        (Kind.TICKET_HIGH, "en"): "The average ticket {window} is {observed} times the usual.",
        (Kind.TICKET_LOW, "fr"): "Le panier moyen {window} n'est que {observed} fois l'ordinaire.",
        (Kind.TICKET_LOW, "en"): "The average ticket {window} is only {observed} times the usual.",
        (Kind.PAYMENTS_SINKING, "fr"): (
            "Les paiements baissent depuis {days} jours : {observed} par jour, contre {expected} "
            "d'ordinaire les mêmes jours."
        ),
        (Kind.PAYMENTS_SINKING, "en"): (
            "Payments have been sinking for {days} days: {observed} a day, against {expected} "
            "usually on the same days."
        ),
        (Kind.PAYMENTS_RISING, "fr"): (
            "Les paiements augmentent depuis {days} jours : {observed} par jour, contre {expected} "
            "d'ordinaire les mêmes jours."
        ),
        (Kind.PAYMENTS_RISING, "en"): (
            "Payments have been rising for {days} days: {observed} a day, against {expected} "
            "usually on the same days."
        ),
        (Kind.PAYOUT_FAILURES_HIGH, "fr"): (
            "{observed} des {trials} envois à cette banque {window} ont échoué, contre {expected} "
            "d'ordinaire."
        ),
        (Kind.PAYOUT_FAILURES_HIGH, "en"): (
            "{observed} of the {trials} payouts sent to this bank {window} failed, against "
            "{expected} usually."
        ),
        (Kind.JOINT_UNUSUAL, "fr"): (
            "Pris ensemble, les chiffres sortent de l'ordinaire {window}, surtout {parts}."
        ),
        (Kind.JOINT_UNUSUAL, "en"): (
            "Taken together, the figures are out of the ordinary {window}, above all {parts}."
        ),
    }
)
_PARTS: Mapping[tuple[Dimension, Language], str] = MappingProxyType(
    {
        ("payments", "fr"): "{observed} paiements au lieu de {expected}",
        ("payments", "en"): "{observed} payments instead of {expected}",
        ("ticket", "fr"): "un panier moyen de {observed} fois l'ordinaire",
        ("ticket", "en"): "an average ticket of {observed} times the usual",
        ("fees", "fr"): "des frais de {observed} des ventes au lieu de {expected}",
        ("fees", "en"): "fees of {observed} of sales instead of {expected}",
        ("success", "fr"): "{observed} des paiements aboutis au lieu de {expected}",
        ("success", "en"): "{observed} of payments succeeding instead of {expected}",
        ("refunds", "fr"): "{observed} remboursements au lieu de {expected}",
        ("refunds", "en"): "{observed} refunds instead of {expected}",
    }
)
_AND = MappingProxyType({"fr": " et ", "en": " and "})
_WINDOWS = MappingProxyType(
    {
        ("fr", False): "dans la dernière heure",
        ("fr", True): "dans les {hours} dernières heures",
        ("en", False): "in the last hour",
        ("en", True): "in the last {hours} hours",
    }
)
_RATES = (Kind.SUCCESS_RATE_LOW, Kind.CHARGEBACK_RATE_HIGH, Kind.PAYOUT_FAILURES_HIGH)
_ODDS_POWER_MAX = 9
_PARTS_MAX = 2
_FIGURE_MIN = 1e-9
_FIGURE_MAX = 10**16
"""More than any sum of minor units."""


def explain(finding: Finding, language: Language, *, currency: str | None = None) -> str:
    """
    Say in one sentence what was found and why it is unusual.

    *currency* is needed for findings about sales, whose figures are minor units.
    """
    if finding.kind is Kind.SALES_SURGE:
        assert currency is not None
        observed = _money(finding.observed, currency, language)
        expected = _money(finding.expected, currency, language)
    else:
        style = _style(finding.kind)
        observed = _figure(finding.observed, style, language)
        expected = _figure(finding.expected, style, language)
    ratio = finding.observed / finding.expected if finding.expected > _FIGURE_MIN else 0.0
    return _SENTENCES[finding.kind, language].format(
        observed=observed,
        expected=expected,
        ratio=format_decimal(ratio, "#,##0.0", locale=language),
        window=_WINDOWS[language, finding.hours > 1].format(hours=finding.hours),
        odds=_odds(finding.score, language),
        trials=format_decimal(finding.trials, locale=language),
        days=finding.hours // 24,
        parts=_AND[language].join(_part(part, language) for part in finding.parts),
    )


def facts_of(finding: Finding) -> dict[str, object]:
    """Return what `explain_stored` says it again from."""
    return {
        "finding": finding.kind.value,
        "observed": round(finding.observed, 4),
        "expected": round(finding.expected, 4),
        "score": round(min(finding.score, SCORE_MAX), 2),
        "hours": finding.hours,
        "trials": finding.trials,
        "window_s": finding.hours * 3600,
        **({"parts": [_stored(part) for part in finding.parts]} if finding.parts else {}),
    }


def explain_stored(facts: Mapping[str, object], language: Language) -> str | None:
    """
    Say a stored finding again, for a reader of another language.

    *facts* are those of `facts_of` and, where it matters, ``currency``. None when they
    are not those of a finding.
    """
    currency = facts.get("currency")
    try:
        finding = Finding(
            kind=Kind(facts["finding"]),
            severity="info",
            score=_number(facts.get("score", 0)),
            observed=_number(facts["observed"]),
            expected=_number(facts["expected"]),
            hours=int(_number(facts.get("hours", 24))),
            trials=int(_number(facts.get("trials", 0))),
            parts=_read_parts(facts.get("parts")),
        )
    except (KeyError, ValueError):
        return None
    if finding.kind is Kind.JOINT_UNUSUAL and not finding.parts:
        return None
    if finding.kind is Kind.SALES_SURGE and not isinstance(currency, str):
        return None
    return explain(finding, language, currency=currency if isinstance(currency, str) else None)


def _style(of: Kind | Dimension) -> Style:
    if of in _RATES or of in ("fees", "success"):
        return "share"
    return "factor" if of in (Kind.TICKET_HIGH, Kind.TICKET_LOW, "ticket") else "count"


def _figure(value: float, style: Style, language: Language) -> str:
    if style == "share":
        said = str(format_percent(value, "#,##0.0 %", locale=language))
        return said.replace(" %", "%") if language == "en" else said
    pattern = "#,##0.0" if style == "factor" else "#,##0.#"
    return str(format_decimal(value, pattern, locale=language))


def _part(part: Part, language: Language) -> str:
    style = _style(part.of)
    return _PARTS[part.of, language].format(
        observed=_figure(part.observed, style, language),
        expected=_figure(part.expected, style, language),
    )


def _stored(part: Part) -> dict[str, object]:
    return {
        "of": part.of,
        "observed": round(part.observed, 4),
        "expected": round(part.expected, 4),
    }


def _read_parts(stored: object) -> tuple[Part, ...]:
    """Read back what `_stored` wrote; anybody may have written something else."""
    if stored is None:
        return ()
    try:
        parts = msgspec.convert(stored, tuple[Part, ...])
    except msgspec.ValidationError as error:
        raise ValueError(stored) from error
    for part in parts[:_PARTS_MAX]:
        _number(part.observed)
        _number(part.expected)
    return parts[:_PARTS_MAX]


def _number(value: object) -> float:
    if isinstance(value, int | float) and 0 <= value <= _FIGURE_MAX:
        return value
    raise ValueError(value)


def _money(minor: float, currency: str, language: Language) -> str:
    amount = Money(round(minor), currency_of(currency))
    # English would write "F CFA2,410,175", French "2 410 175 F CFA".
    pattern = "#,##0.00 ¤¤" if language == "en" else None
    return format_currency(amount.decimal(), currency, pattern, locale=language)


def _odds(score: float, language: Language) -> str:
    """Write one in a million as a number while a number can still be read."""
    power = min(int(score), _ODDS_POWER_MAX)
    return format_decimal(10**power, locale=language)
