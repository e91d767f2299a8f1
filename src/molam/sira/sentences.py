"""Says a finding in one sentence, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from babel.numbers import format_currency, format_decimal, format_percent

from molam.kernel.currency import currency as currency_of
from molam.kernel.money import Money
from molam.sira.finding import Finding, Kind

Language = Literal["fr", "en"]

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
    }
)
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
    elif finding.kind in _RATES:
        observed = format_percent(finding.observed, "#,##0.0 %", locale=language)
        expected = format_percent(finding.expected, "#,##0.0 %", locale=language)
        if language == "en":
            observed, expected = observed.replace(" %", "%"), expected.replace(" %", "%")
    else:
        pattern = "#,##0.0" if finding.kind in (Kind.TICKET_HIGH, Kind.TICKET_LOW) else "#,##0.#"
        observed = format_decimal(finding.observed, pattern, locale=language)
        expected = format_decimal(finding.expected, pattern, locale=language)
    ratio = finding.observed / finding.expected if finding.expected > _FIGURE_MIN else 0.0
    return _SENTENCES[finding.kind, language].format(
        observed=observed,
        expected=expected,
        ratio=format_decimal(ratio, "#,##0.0", locale=language),
        window=_WINDOWS[language, finding.hours > 1].format(hours=finding.hours),
        odds=_odds(finding.score, language),
        trials=format_decimal(finding.trials, locale=language),
        days=finding.hours // 24,
    )


def explain_stored(facts: Mapping[str, object], language: Language) -> str | None:
    """
    Say a stored finding again, for a reader of another language.

    *facts* are those an alert keeps: ``finding``, ``observed``, ``expected`` and,
    where they matter, ``score``, ``hours``, ``trials``, ``currency``. None when they
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
        )
    except (KeyError, ValueError):
        return None
    if finding.kind is Kind.SALES_SURGE and not isinstance(currency, str):
        return None
    return explain(finding, language, currency=currency if isinstance(currency, str) else None)


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
