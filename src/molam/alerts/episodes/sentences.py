"""Says an alert in sentences, in the reader's language, from facts alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from zoneinfo import ZoneInfo

from molam.alerts.rules.model import AlertType
from molam.kernel.clock import Instant
from molam.kernel.currency import UnknownCurrency
from molam.kernel.shown import plain
from molam.platform.web.l10n import Formats, Language, of_name, zone_name
from molam.sira.sentences import explain_stored

NO_BREAK = "\u00a0"
_NAME_MAX = 80
_HALF_A_DAY_S = 43_200

TYPES = MappingProxyType(
    {
        ("float_low", "fr"): "Float bas",
        ("float_low", "en"): "Low float",
        ("recon_match_drop", "fr"): "Rapprochement en baisse",
        ("recon_match_drop", "en"): "Reconciliation drops",
        ("refund_spike", "fr"): "Pic de remboursements",
        ("refund_spike", "en"): "Refunds surge",
        ("payout_fail_rate", "fr"): "Versements en échec",
        ("payout_fail_rate", "en"): "Payouts fail",
        ("dlq_growth", "fr"): "Tâches retenues",
        ("dlq_growth", "en"): "Jobs held back",
        ("fraud_score_high", "fr"): "Risque de fraude",
        ("fraud_score_high", "en"): "Fraud risk",
        ("conversion_drop", "fr"): "Conversion en baisse",
        ("conversion_drop", "en"): "Conversion drops",
        ("chargeback_spike", "fr"): "Pic de rétrofacturations",
        ("chargeback_spike", "en"): "Chargebacks surge",
    }
)

# `{name}` is the directory's, cleaned; everything else is made here.
_SAID = MappingProxyType(
    {
        ("float_low", "fr"): "Le float {of_name} est de {value}, sous {limit} depuis {since}",
        ("float_low", "en"): "The float of {name} is {value}, under {limit} since {since}",
        ("recon_match_drop", "fr"): (
            "{value} du relevé {of_name} se rapproche, moins de {limit} depuis {since}"
        ),
        ("recon_match_drop", "en"): (
            "{value} of the statement of {name} matches, less than {limit} since {since}"
        ),
        ("refund_spike", "fr"): (
            "{name} rembourse {value} de ses ventes, plus de {limit} depuis {since}"
        ),
        ("refund_spike", "en"): (
            "{name} refunds {value} of its sales, more than {limit} since {since}"
        ),
        ("payout_fail_rate", "fr"): (
            "{value} des versements par {name} échouent, plus de {limit} depuis {since}"
        ),
        ("payout_fail_rate", "en"): (
            "{value} of payouts through {name} fail, more than {limit} since {since}"
        ),
        ("dlq_growth", "fr"): "{value} tâches sont retenues, plus de {limit} depuis {since}",
        ("dlq_growth", "en"): "{value} jobs are held back, more than {limit} since {since}",
        ("fraud_score_high", "fr"): (
            "Le risque de fraude {of_name} est de {value}, plus de {limit} depuis {since}"
        ),
        ("fraud_score_high", "en"): (
            "The fraud risk of {name} is {value}, more than {limit} since {since}"
        ),
        ("conversion_drop", "fr"): (
            "{value} des paiements chez {name} aboutissent, moins de {limit} depuis {since}"
        ),
        ("conversion_drop", "en"): (
            "{value} of payments at {name} succeed, less than {limit} since {since}"
        ),
        ("chargeback_spike", "fr"): (
            "{value} des ventes {of_name} sont rétrofacturées, plus de {limit} depuis {since}"
        ),
        ("chargeback_spike", "en"): (
            "{value} of sales of {name} are charged back, more than {limit} since {since}"
        ),
    }
)
_SILENT = MappingProxyType(
    {
        "fr": "{type} : plus rien n'est mesuré pour {name} depuis {since}",
        "en": "{type}: nothing has been measured for {name} since {since}",
    }
)
# Between its two levels an alert is open still, and its value not where it opened it.
_NOT_OVER = MappingProxyType(
    {
        ("below", "fr"): "ce n'est pas rétabli, il faut {clear} ou plus",
        ("below", "en"): "it has not recovered, and ends at {clear} or more",
        ("above", "fr"): "ce n'est pas rétabli, il faut {clear} ou moins",
        ("above", "en"): "it has not recovered, and ends at {clear} or less",
    }
)
_RECOVERED = MappingProxyType(
    {
        ("below", "fr"): "l'alerte vient sous {limit}",
        ("below", "en"): "the alert is for less than {limit}",
        ("above", "fr"): "l'alerte vient au-delà de {limit}",
        ("above", "en"): "the alert is for more than {limit}",
    }
)
_UNUSUAL = MappingProxyType(
    {
        "fr": "{type} : {name} sort de l'ordinaire depuis {since}",
        "en": "{type}: {name} has been out of the ordinary since {since}",
    }
)
_PLATFORM = MappingProxyType({"fr": "la plateforme", "en": "the platform"})


def type_word(alert_type: AlertType | str, language: Language) -> str:
    return TYPES.get((alert_type, language), alert_type)


def name_of(facts: Mapping[str, object], language: Language) -> str:
    name = facts.get("name")
    return plain(name)[:_NAME_MAX] if isinstance(name, str) and name else _PLATFORM[language]


def subject(alert_type: AlertType | str, facts: Mapping[str, object], language: Language) -> str:
    """Name an alert shortly: ``Low float, Kiosque Médina``."""
    return f"{type_word(alert_type, language)}, {name_of(facts, language)}"


def sentence(
    alert_type: AlertType | str,
    facts: Mapping[str, object],
    language: Language,
    *,
    now: Instant,
    zone: str = "UTC",
) -> str:
    """Say what is the matter: of whom, how much, beyond what, since when."""
    name = name_of(facts, language)
    words = {
        "type": type_word(alert_type, language),
        "name": name,
        "of_name": of_name(name),
        "value": value(facts.get("value"), facts, language),
        "limit": value(facts.get("fire_at"), facts, language),
        "clear": value(facts.get("clear_at"), facts, language),
        "since": _since(facts.get("since"), language, now=now, zone=zone),
    }
    unusual = facts.get("unusual")
    found = explain_stored(unusual, language) if isinstance(unusual, Mapping) else None
    if found is not None:
        space = NO_BREAK if language == "fr" else ""
        return f"{name[:1].upper()}{name[1:]}{space}: {found.removesuffix('.')}"
    pattern = _pattern(alert_type, facts, language)
    if facts.get("unit") == "score":
        pattern = _UNUSUAL[language]
    if facts.get("cause") == "silence":
        pattern = _SILENT[language]
    return pattern.format(**words).replace(" :", f"{NO_BREAK}:")


def _pattern(alert_type: AlertType | str, facts: Mapping[str, object], language: Language) -> str:
    """Choose what is true of the value now: beyond its level, between the two, or back."""
    pattern = _SAID.get((alert_type, language), "{type}, {name}")
    comparison = facts.get("comparison")
    numbers = [_exact(facts.get(name)) for name in ("value", "fire_at", "clear_at")]
    at, fire, clear = numbers
    if comparison not in {"below", "above"} or at is None or fire is None or clear is None:
        return pattern
    is_below = comparison == "below"
    if at < fire if is_below else at > fire:
        return pattern
    tails = _RECOVERED if (at >= clear if is_below else at <= clear) else _NOT_OVER
    measured = pattern.rpartition(", ")[0] or pattern
    colon = f"{NO_BREAK}: " if language == "fr" else ": "
    return f"{measured}{colon}{tails[str(comparison), language]}"


def _exact(number: object) -> Decimal | None:
    if not isinstance(number, int | float | Decimal) or isinstance(number, bool):
        return None
    return Decimal(str(number))


def value(number: object, facts: Mapping[str, object], language: Language) -> str:
    """Write a value in the unit of its metric."""
    exact = _exact(number)
    if exact is None:
        return "\u2013"
    formats, unit, code = Formats(language), facts.get("unit"), facts.get("currency")
    if unit == "amount" and isinstance(code, str):
        try:
            return formats.money(int(exact), code)
        except UnknownCurrency:
            return formats.number(int(exact))
    if unit == "share":
        hundredths = exact * 100
        return formats.percent(hundredths, 0 if hundredths == int(hundredths) else 1)
    written = formats.number(exact, 0 if exact == int(exact) else 2)
    return f"{written}{NO_BREAK}points" if unit == "score" else written


def _since(text: object, language: Language, *, now: Instant, zone: str) -> str:
    if not isinstance(text, str):
        return "\u2013"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return "\u2013"
    local = at.astimezone(ZoneInfo(zone))
    clock = f"{local:%H:%M}{NO_BREAK}{zone_name(local)}"
    if abs((now - at).total_seconds()) < _HALF_A_DAY_S:
        return clock
    return f"{Formats(language).day(local.date())}, {clock}"
