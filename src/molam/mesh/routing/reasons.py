"""Why a bank comes first, next, or not at all, in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec
from babel.numbers import format_currency, format_decimal

from molam.kernel.currency import currency as currency_of
from molam.kernel.money import Money

Language = Literal["fr", "en"]


class Reason(msgspec.Struct, frozen=True):
    """
    A reason as it is stored: a code, and what fills its sentence.

    *facts* are JSON; a name that ends in ``_amount`` is in minor units.
    """

    code: str
    facts: dict[str, str | int] = {}


_ENGLISH: Mapping[str, str] = MappingProxyType(
    {
        "promoted": (
            "{bank} passes {other}: its fee is {saved_amount} less on a payout of "
            "{payout_amount} ({fee_amount} against {other_fee_amount})."
        ),
        "promoted_fx": (
            "{bank} passes {other}: converting costs {saved_amount} less there on a payout of "
            "{payout_amount}; the fees are {fee_amount} and {other_fee_amount}."
        ),
        "promoted_delay": (
            "{bank} passes {other}: it pays sooner, which counts {saved_amount} on a payout of "
            "{payout_amount}; the fees are {fee_amount} and {other_fee_amount}."
        ),
        "promoted_liquidity": (
            "{bank} passes {other}: our money there is needed less elsewhere, which counts "
            "{saved_amount} on a payout of {payout_amount}; the fees are {fee_amount} and "
            "{other_fee_amount}."
        ),
        "promoted_risk": (
            "{bank} passes {other}: its risk is lower, which counts {saved_amount} on a payout "
            "of {payout_amount}; the fees are {fee_amount} and {other_fee_amount}."
        ),
        "promoted_punctuality": (
            "{bank} passes {other}: {score} % of its payouts are on time against {other_score} %, "
            "which counts {saved_amount} on a payout of {payout_amount}; the fees are "
            "{fee_amount} and {other_fee_amount}."
        ),
        "promoted_barely": (
            "{bank} passes {other} by very little on a payout of {payout_amount}; the fees are "
            "{fee_amount} and {other_fee_amount}."
        ),
        "rescues": (
            "{other} is probably down ({p_down} %): of payouts of {payout_amount}, {bank} is "
            "expected to complete {score} % on time, {other} {other_score} %."
        ),
        "rescues_doubted": (
            "{other} is probably down ({p_down} %), and so say {regions}: of payouts of "
            "{payout_amount}, {bank} is expected to complete {score} % on time, {other} "
            "{other_score} %."
        ),
        "preferred": "{bank} and {other} are within a basis point; {bank} is preferred.",
        "best": (
            "{bank} is worth most for a payout of {payout_amount}: fee {fee_amount}, {score} % "
            "expected on time."
        ),
        "only": "{bank} is the only bank that may carry a payout of {payout_amount}.",
        "asked": "{bank} was put here by whoever asked for this route.",
        "independent": (
            "If those before it fail, {bank} still completes {survives} %: they share nothing "
            "that is known to fail."
        ),
        "related": "If those before it fail, {bank} completes {survives} %: they share {shared}.",
        "left": "Payouts are to leave this bank.",
        "left_before": "Payouts have been led away from this bank.",
        "not_active": "As a member it is {status}.",
        "observer": "It only observes, and carries nothing.",
        "bank_not_in_use": "The bank is not in use.",
        "currency": "It does not carry {currency}.",
        "rail": "It does not reach {rail}.",
        "kyc_verified": "Who stands behind it has not been verified.",
        "contract_signed": "It has signed no contract.",
        "compliance": "Compliance has not approved it.",
        "crossborder": "It is in {country}, outside the region; payouts may not cross that border.",
        "no_corridor": "It is in {region}, and no corridor carries {currency} there.",
        "corridor_path": (
            "The corridor to {region} has more than {steps} steps, or comes to a region twice."
        ),
        "corridor_full": "Of the corridor to its region, {limit_amount} are left.",
        "amount_limit": "It takes payouts up to {limit_amount} only.",
        "daily_limit": "Of its limit for today, {limit_amount} are left.",
        "no_account": "We have no payout account there in {currency}.",
        "cover": "Of our money there, {limit_amount} are not spoken for.",
        "switch": "A kill switch is engaged for it.",
        "gate": "No payouts are handed to it now: {cause}.",
        "outage": "An outage has been announced.",
        "short_of_funds": "It said that it is short of funds.",
        "cut_off": "Its next file leaves in {hours} hours, later than what was promised allows.",
        "no_prediction": "SIRA does not answer, and nothing may take its place.",
        "cost": (
            "For no amount does it cost at most {percent} % more than {other}, failures included."
        ),
        "capabilities": "What it can do is not written down properly.",
    }
)
_FRENCH: Mapping[str, str] = MappingProxyType(
    {
        "promoted": (
            "{bank} passe devant {other} : {saved_amount} de frais en moins pour un versement de "
            "{payout_amount} ({fee_amount} contre {other_fee_amount})."
        ),
        "promoted_fx": (
            "{bank} passe devant {other} : le change y coûte {saved_amount} de moins pour un "
            "versement de {payout_amount} ; les frais sont de {fee_amount} et "
            "{other_fee_amount}."
        ),
        "promoted_delay": (
            "{bank} passe devant {other} : elle paie plus tôt, ce qui compte pour {saved_amount} "
            "sur un versement de {payout_amount} ; les frais sont de {fee_amount} et "
            "{other_fee_amount}."
        ),
        "promoted_liquidity": (
            "{bank} passe devant {other} : notre argent y manque moins ailleurs, ce qui compte "
            "pour {saved_amount} sur un versement de {payout_amount} ; les frais sont de "
            "{fee_amount} et {other_fee_amount}."
        ),
        "promoted_risk": (
            "{bank} passe devant {other} : son risque est moindre, ce qui compte pour "
            "{saved_amount} sur un versement de {payout_amount} ; les frais sont de {fee_amount} "
            "et {other_fee_amount}."
        ),
        "promoted_punctuality": (
            "{bank} passe devant {other} : {score} % de ses versements arrivent à l'heure contre "
            "{other_score} %, ce qui compte pour {saved_amount} sur un versement de "
            "{payout_amount} ; les frais sont de {fee_amount} et {other_fee_amount}."
        ),
        "promoted_barely": (
            "{bank} passe de très peu devant {other} pour un versement de {payout_amount} ; les "
            "frais sont de {fee_amount} et {other_fee_amount}."
        ),
        "rescues": (
            "{other} est probablement en panne ({p_down} %) : pour des versements de "
            "{payout_amount}, {bank} en mènerait {score} % à temps, {other} {other_score} %."
        ),
        "rescues_doubted": (
            "{other} est probablement en panne ({p_down} %), ce que disent aussi {regions} : pour "
            "des versements de {payout_amount}, {bank} en mènerait {score} % à temps, {other} "
            "{other_score} %."
        ),
        "preferred": "{bank} et {other} se valent à un point de base près ; {bank} est préférée.",
        "best": (
            "{bank} vaut le mieux pour un versement de {payout_amount} : frais {fee_amount}, "
            "{score} % attendus à temps."
        ),
        "only": "{bank} est la seule banque qui puisse porter un versement de {payout_amount}.",
        "asked": "{bank} a été placée ici par la personne qui a demandé cette route.",
        "independent": (
            "Si les précédentes tombent, {bank} en mène encore {survives} % à bien : elles ne "
            "partagent rien dont on sache que cela tombe en panne."
        ),
        "related": (
            "Si les précédentes tombent, {bank} en mène {survives} % à bien : elles partagent "
            "{shared}."
        ),
        "left": "Les versements doivent quitter cette banque.",
        "left_before": "Les versements ont déjà quitté cette banque.",
        "not_active": "Comme membre, son état est : {status}.",
        "observer": "Elle ne fait qu'observer et ne porte rien.",
        "bank_not_in_use": "La banque n'est pas en service.",
        "currency": "Elle ne porte pas de {currency}.",
        "rail": "Elle n'atteint pas {rail}.",
        "kyc_verified": "Son identité n'a pas été vérifiée.",
        "contract_signed": "Elle n'a pas signé de contrat.",
        "compliance": "La conformité ne l'a pas approuvée.",
        "crossborder": (
            "Elle est en {country}, hors de la région, et les versements ne peuvent passer la "
            "frontière."
        ),
        "no_corridor": "Elle est dans la région {region}, où aucun corridor ne mène en {currency}.",
        "corridor_path": (
            "Le corridor vers {region} compte plus de {steps} étapes, ou passe deux fois par une "
            "même région."
        ),
        "corridor_full": "Du corridor vers sa région, il reste {limit_amount}.",
        "amount_limit": "Elle n'accepte que les versements jusqu'à {limit_amount}.",
        "daily_limit": "De sa limite du jour, il reste {limit_amount}.",
        "no_account": "Nous n'y avons pas de compte de versement en {currency}.",
        "cover": "De notre argent chez elle, {limit_amount} restent disponibles.",
        "switch": "Un arrêt d'urgence est actif pour elle.",
        "gate": "Aucun versement ne lui est confié en ce moment : {cause}.",
        "outage": "Une panne a été annoncée.",
        "short_of_funds": "Elle a dit manquer de fonds.",
        "cut_off": "Son prochain fichier part dans {hours} heures, au-delà de ce qui est promis.",
        "no_prediction": "SIRA ne répond pas, et rien ne peut la remplacer.",
        "cost": (
            "Pour aucun montant elle ne coûte au plus {percent} % de plus que {other}, pannes "
            "comprises."
        ),
        "capabilities": "Ce qu'elle sait faire n'est pas correctement enregistré.",
    }
)
assert _ENGLISH.keys() == _FRENCH.keys()
CODES = frozenset(_ENGLISH)
# Each sentence in English and in French.
PAIRS = tuple((english, _FRENCH[code]) for code, english in _ENGLISH.items())


def sentence(reason: Reason, language: Language, *, currency: str) -> str:
    """Say *reason* in one sentence, its amounts in *currency*."""
    pattern = (_FRENCH if language == "fr" else _ENGLISH)[reason.code]
    return pattern.format_map(
        {name: _shown(name, value, language, currency) for name, value in reason.facts.items()}
    )


def read(stored: object) -> Reason | None:
    """Read a reason as it was stored; None when a later release wrote it."""
    try:
        reason = msgspec.convert(stored, Reason)
    except msgspec.ValidationError:
        return None
    return reason if reason.code in CODES else None


def route_of(stored_cause: str) -> str | None:
    """Return the proposal that closed or opened a gate; None: it was something else."""
    match = _BY_ROUTE.fullmatch(stored_cause)
    return None if match is None else match["id"]


def cause(stored: str, language: Language) -> str:
    """Say why a gate is closed; what people wrote stays as it is."""
    match = _BY_ROUTE.fullmatch(stored)
    if match is not None:
        return _CAUSES["rolled back" if match["back"] else "applied"][language]
    return _CAUSES[stored][language] if stored in _CAUSES else stored


_BY_ROUTE = re.compile(r"proposal (?P<id>\S+?)(?P<back> was rolled back)?")
_CAUSES: Mapping[str, Mapping[Language, str]] = MappingProxyType(
    {
        "applied": {"en": "a route was applied", "fr": "une route a été appliquée"},
        "rolled back": {"en": "a route was taken back", "fr": "une route a été annulée"},
        "it is fit again": {"en": "it is fit again", "fr": "elle est de nouveau en état"},
        "restored": {"en": "it was restored", "fr": "elle a été rétablie"},
    }
)
# What a code in a sentence is called; others are names.
_NAMED: Mapping[str, Mapping[Language, str]] = MappingProxyType(
    {
        "bank": {"en": "bank accounts", "fr": "les comptes bancaires"},
        "pending_approval": {"en": "not approved yet", "fr": "pas encore approuvée"},
        "suspended": {"en": "suspended", "fr": "suspendue"},
        "disabled": {"en": "not let in", "fr": "non admise"},
    }
)
_PLAIN_DECIMAL = re.compile(r"\d+\.\d+")


def _text(name: str, value: str, language: Language) -> str:
    if name == "cause":
        return cause(value, language)
    if name == "rail":
        wallet = value.removeprefix("wallet:").replace("_", " ").title()
        return _NAMED[value][language] if value in _NAMED else wallet
    if name == "status" and value in _NAMED:
        return _NAMED[value][language]
    if language == "fr" and _PLAIN_DECIMAL.fullmatch(value):
        return value.replace(".", ",")
    return value


def _shown(name: str, value: str | int, language: Language, currency: str) -> str:
    if not isinstance(value, int):
        return _text(name, value, language)
    if not name.endswith("_amount"):
        return format_decimal(value, locale=language)
    amount = Money(value, currency_of(currency))
    # English would write "F CFA300", French "300 F CFA".
    pattern = "#,##0.00 ¤¤" if language == "en" else None
    return format_currency(amount.decimal(), currency, pattern, locale=language)
