"""What a recommendation says, in either language, from its numbers."""

from __future__ import annotations

from typing import Any

from molam.platform.web.l10n import Formats, Language, of_name

# (title, sentence) in English and in French.
_SENTENCES = {
    ("ADJUST_FLOAT", "en"): (
        "Add {amount} to the float of {name}",
        (
            "{balance} is left. Going by {days_low} of the last {days} days, it would be below"
            " {floor} by tomorrow."
        ),
    ),
    ("ADJUST_FLOAT", "fr"): (
        "Ajouter {amount} au float {of_name}",
        (
            "Il reste {balance}. D'après {days_low} des {days} derniers jours, il passerait sous"
            " {floor} d'ici demain."
        ),
    ),
    ("set_hold", "en"): (
        "Pause the payouts of {name} for {duration}",
        "{bad} {what} of {sales} sales in 30 days, beyond the limit of {limit}.",
    ),
    ("set_hold", "fr"): (
        "Suspendre les versements {of_name} pendant {duration}",
        "{bad} {what} pour {sales} ventes en 30 jours, au-delà de la limite de {limit}.",
    ),
    ("route_payout", "en"): (
        "Lead payouts in {currency} to {to_bank}",
        (
            "{from_bank} is down with a probability of {p_down}; payouts waiting there: {waiting},"
            " {amount} in all."
        ),
    ),
    ("route_payout", "fr"): (
        "Conduire les versements en {currency} vers {to_bank}",
        (
            "{from_bank} est en panne avec une probabilité de {p_down} ; versements qui y"
            " attendent : {waiting}, soit {amount}."
        ),
    ),
    ("adjust_threshold", "en"): (
        "Move the level of alert {name} from {level} to {new_level}",
        (
            "{quiet} of its {fired} alerts in 30 days ended by themselves; this level would have"
            " spared {spared}."
        ),
    ),
    ("adjust_threshold", "fr"): (
        "Porter le seuil de l'alerte {name} de {level} à {new_level}",
        (
            "{quiet} de ses {fired} alertes en 30 jours ont cessé d'elles-mêmes ; ce seuil en"
            " aurait épargné {spared}."
        ),
    ),
}
_KINDS = {
    ("chargeback_rate", "en"): "chargebacks",
    ("chargeback_rate", "fr"): "contestations",
    ("refund_rate", "en"): "refunds",
    ("refund_rate", "fr"): "remboursements",
}
_AMOUNTS = ("amount", "balance", "floor")
_LEVELS = ("level", "new_level")


def words(kind: str, facts: dict[str, Any], language: Language) -> tuple[str, str]:
    """Write the title and the sentence that explains it."""
    formats = Formats(language)
    said = dict(facts)
    if "name" in facts:
        said["of_name"] = of_name(str(facts["name"]))
    currency = facts.get("currency")
    for name in _AMOUNTS:
        if name in facts:
            said[name] = formats.money(facts[name], str(currency))
    for name in _LEVELS:
        if name in facts:
            said[name] = _level(facts[name], facts["unit"], currency, formats)
    if "limit" in facts:
        said["limit"] = formats.percent(facts["limit"] * 100, 1)
        said["what"] = _KINDS[facts["kind"], language]
    if "p_down" in facts:
        said["p_down"] = formats.percent(facts["p_down"] * 100, 0)
    title, sentence = _SENTENCES[kind, language]
    return title.format_map(said), sentence.format_map(said)


def _level(value: float, unit: str, currency: str | None, formats: Formats) -> str:
    if unit == "amount" and currency is not None:
        return formats.money(int(value), currency)
    return formats.percent(value * 100, 2) if unit == "share" else f"{value:g}"
