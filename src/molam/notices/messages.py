"""Says a notice in sentences, in the reader's language, from facts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from molam.kernel.currency import UnknownCurrency
from molam.kernel.digests import check_words
from molam.kernel.shown import plain
from molam.notices.model import Kind
from molam.platform.web.l10n import LANGUAGES, Formats, Language, zone_name

NO_BREAK = "\u00a0"
_HEADLINE_MAX = 200

# What people read first, in a list and as the subject of a mail. `{title}` is the
# action's own sentence, which its domain's code makes; nothing a person typed gets here.
HEADLINES = MappingProxyType(
    {
        (Kind.ACTION_WAITING, "fr"): "Votre vote est demandé : {title}",
        (Kind.ACTION_WAITING, "en"): "Your vote is asked for: {title}",
        (Kind.ACTION_ESCALATED, "fr"): "Toujours sans décision, votre vote est demandé : {title}",
        (Kind.ACTION_ESCALATED, "en"): "Still undecided, your vote is asked for: {title}",
        (Kind.ACTION_BLOCKED, "fr"): "Plus assez de votants : {title}",
        (Kind.ACTION_BLOCKED, "en"): "Too few people left to vote: {title}",
        (Kind.ACTION_SENT_BACK, "fr"): "À voter de nouveau : {title}",
        (Kind.ACTION_SENT_BACK, "en"): "Sent back for more votes: {title}",
        (Kind.ACTION_APPROVED, "fr"): "Approuvé : {title}",
        (Kind.ACTION_APPROVED, "en"): "Approved: {title}",
        (Kind.ACTION_REJECTED, "fr"): "Rejeté : {title}",
        (Kind.ACTION_REJECTED, "en"): "Rejected: {title}",
        (Kind.ACTION_EXPIRED, "fr"): "Délai dépassé : {title}",
        (Kind.ACTION_EXPIRED, "en"): "Out of time: {title}",
        (Kind.ACTION_CANCELLED, "fr"): "Annulé : {title}",
        (Kind.ACTION_CANCELLED, "en"): "Cancelled: {title}",
        (Kind.ACTION_STALE, "fr"): "La situation a changé, rien n'est exécuté : {title}",
        (Kind.ACTION_STALE, "en"): "Things have changed, nothing is carried out: {title}",
        (Kind.ACTION_EXECUTED, "fr"): "Exécuté : {title}",
        (Kind.ACTION_EXECUTED, "en"): "Carried out: {title}",
        (Kind.ACTION_FAILED, "fr"): "L'exécution a échoué : {title}",
        (Kind.ACTION_FAILED, "en"): "Could not be carried out: {title}",
        (Kind.EXECUTION_UNKNOWN, "fr"): "Résultat inconnu, à vérifier : {title}",
        (Kind.EXECUTION_UNKNOWN, "en"): "Outcome unknown, please check: {title}",
        (Kind.BREAK_GLASS_USED, "fr"): "Exécuté en urgence, sans vote : {title}",
        (Kind.BREAK_GLASS_USED, "en"): "Carried out in an emergency, without votes: {title}",
        (Kind.REVIEW_DUE, "fr"): "Une revue est due : {title}",
        (Kind.REVIEW_DUE, "en"): "A review is due: {title}",
        (Kind.POLICY_CHANGED, "fr"): "Règle d'approbation {change} : {policy}",
        (Kind.POLICY_CHANGED, "en"): "Approval rule {change}: {policy}",
        (Kind.FREEZE_BEGUN, "fr"): "Les exécutions sont gelées",
        (Kind.FREEZE_BEGUN, "en"): "Executions are frozen",
        (Kind.FREEZE_ENDED, "fr"): "Les exécutions reprennent",
        (Kind.FREEZE_ENDED, "en"): "Executions go on",
        (Kind.DELEGATION_GIVEN, "fr"): "Un rôle vous est délégué : {title}",
        (Kind.DELEGATION_GIVEN, "en"): "A role is lent to you: {title}",
        (Kind.DELEGATION_ENDED, "fr"): "Une délégation prend fin : {title}",
        (Kind.DELEGATION_ENDED, "en"): "A delegation has ended: {title}",
        (Kind.BOOKS_DIFFER, "fr"): "Un compte bancaire ne tombe pas juste : {title}",
        (Kind.BOOKS_DIFFER, "en"): "An account at a bank does not add up: {title}",
        (Kind.MESH_FROZEN, "fr"): "Plusieurs banques faiblissent à la fois : {title}",
        (Kind.MESH_FROZEN, "en"): "Several banks are failing at once: {title}",
        (Kind.SHIFT_HALTED, "fr"): "Une bascule progressive s'est arrêtée : {title}",
        (Kind.SHIFT_HALTED, "en"): "A gradual shift was halted: {title}",
        (Kind.MESH_PRACTICE_FAILED, "fr"): "Une banque de secours échoue à l'exercice : {title}",
        (Kind.MESH_PRACTICE_FAILED, "en"): "A stand-in bank failed its practice run: {title}",
        (Kind.REMEDIATION_HELD, "fr"): "Plus rien ne se fait de soi-même : {title}",
        (Kind.REMEDIATION_HELD, "en"): "Nothing more is done by itself: {title}",
        (Kind.RECONCILIATION_OVERDUE, "fr"): "Versements déplacés non réglés à temps : {title}",
        (Kind.RECONCILIATION_OVERDUE, "en"): "Rerouted payouts not settled in time: {title}",
        (Kind.ALERT_OPENED, "fr"): "Alerte : {title}",
        (Kind.ALERT_OPENED, "en"): "Alert: {title}",
        (Kind.ALERT_ENDED, "fr"): "Alerte terminée : {title}",
        (Kind.ALERT_ENDED, "en"): "Alert over: {title}",
        (Kind.ALERT_ESCALATED, "fr"): "Personne n'a pris cette alerte : {title}",
        (Kind.ALERT_ESCALATED, "en"): "Nobody has taken this alert on: {title}",
        (Kind.PAYOUT_DESTINATION_CHANGED, "fr"): "Vos versements iront ailleurs : {title}",
        (Kind.PAYOUT_DESTINATION_CHANGED, "en"): "Your payouts will go elsewhere: {title}",
        (Kind.ACCOUNT_CHANGED, "fr"): "Compte marchand : {title}",
        (Kind.ACCOUNT_CHANGED, "en"): "Merchant account: {title}",
        (Kind.DISPUTE_DUE, "fr"): "Un litige attend votre réponse : {title}",
        (Kind.DISPUTE_DUE, "en"): "A dispute waits for your answer: {title}",
    }
)
assert {kind for kind, _ in HEADLINES} == set(Kind)
assert len(HEADLINES) == len(Kind) * len(LANGUAGES)

# What it means and what to do, where the headline does not say it all.
ADVICE = MappingProxyType(
    {
        (Kind.ACTION_WAITING, "fr"): "Ouvrez la page, vérifiez, puis décidez.",
        (Kind.ACTION_WAITING, "en"): "Open the page, check, then decide.",
        (Kind.ACTION_ESCALATED, "fr"): "Les premiers votants n'ont pas décidé à temps.",
        (Kind.ACTION_ESCALATED, "en"): "Those asked first have not decided in time.",
        (Kind.ACTION_BLOCKED, "fr"): (
            "Personne ne peut plus réunir les votes exigés. Il faut élargir ou annuler."
        ),
        (Kind.ACTION_BLOCKED, "en"): (
            "The votes it needs can no longer be found. Widen the circle, or cancel it."
        ),
        (Kind.ACTION_SENT_BACK, "fr"): (
            "La règle s'est durcie ou un votant a perdu son rôle. Les votes donnés restent."
        ),
        (Kind.ACTION_SENT_BACK, "en"): (
            "The rule was tightened, or a voter lost the role. Votes already given remain."
        ),
        (Kind.ACTION_EXPIRED, "fr"): "Rien n'a été exécuté.",
        (Kind.ACTION_EXPIRED, "en"): "Nothing was carried out.",
        (Kind.ACTION_STALE, "fr"): (
            "Ce qui a été approuvé n'est plus ce qui existe. Refaites la demande si besoin."
        ),
        (Kind.ACTION_STALE, "en"): (
            "What was approved is no longer what there is. Ask again if it is still needed."
        ),
        (Kind.EXECUTION_UNKNOWN, "fr"): (
            "Nul ne sait si l'effet a eu lieu. Ne recommencez pas : vérifiez, puis dites-le."
        ),
        (Kind.EXECUTION_UNKNOWN, "en"): (
            "Nobody knows whether it had its effect. Do not repeat it: find out, then say so."
        ),
        (Kind.BREAK_GLASS_USED, "fr"): "Quelqu'un d'autre doit en faire la revue sous 24 heures.",
        (Kind.BREAK_GLASS_USED, "en"): "Somebody else must review it within 24 hours.",
        (Kind.REVIEW_DUE, "fr"): "La procédure d'urgence a servi et attend sa revue.",
        (Kind.REVIEW_DUE, "en"): "The emergency procedure was used and awaits its review.",
        (Kind.DELEGATION_GIVEN, "fr"): (
            "Votre vote remplit sa place, une fois. Vous ne décidez plus de ses propres demandes ; "
            "vous pouvez rendre le rôle."
        ),
        (Kind.DELEGATION_GIVEN, "en"): (
            "Your vote fills their place, once. You no longer decide what they ask for themselves; "
            "you may give the role back."
        ),
        (Kind.DELEGATION_ENDED, "fr"): "Si elle a été reprise, les votes donnés par elle tombent.",
        (Kind.DELEGATION_ENDED, "en"): "If it was taken back, votes given by it stop counting.",
        (Kind.BOOKS_DIFFER, "fr"): "Ouvrez les écarts, et expliquez ou rapprochez chaque ligne.",
        (Kind.BOOKS_DIFFER, "en"): "Open the exceptions, and match or explain each line.",
        (Kind.MESH_FROZEN, "fr"): (
            "La cause est sans doute commune. Les routes restent en place et rien ne bouge tout "
            "seul : cherchez ce qu'elles partagent."
        ),
        (Kind.MESH_FROZEN, "en"): (
            "The cause is likely a common one. Routes stay as they are and nothing moves by "
            "itself: look for what they share."
        ),
        (Kind.SHIFT_HALTED, "fr"): (
            "Elle reste où elle en est et rien ne bouge de soi-même : poursuivez-la à deux, ou "
            "revenez sur la route."
        ),
        (Kind.SHIFT_HALTED, "en"): (
            "It stays where it is and nothing moves by itself: two people may let it go on, or "
            "roll the route back."
        ),
        (Kind.MESH_PRACTICE_FAILED, "fr"): (
            "Elle n'a pas payé ce qui lui a été confié pour essai. Si la première tombe, elle ne "
            "la remplacera pas : voyez avec elle ce qui manque."
        ),
        (Kind.MESH_PRACTICE_FAILED, "en"): (
            "It did not pay what it was given to try. If the first bank fails, it will not stand "
            "in for it: find out from it what is missing."
        ),
        (Kind.REMEDIATION_HELD, "fr"): (
            "Les alertes restent ouvertes et rien n'est proposé pour elles : voyez ensemble ce qui "
            "aiderait."
        ),
        (Kind.REMEDIATION_HELD, "en"): (
            "The alerts stay open and nothing is proposed for them: find out together what would "
            "help."
        ),
        (Kind.RECONCILIATION_OVERDUE, "fr"): (
            "La banque avait promis de payer plus tôt. Interrogez-la, et prévenez les marchands."
        ),
        (Kind.RECONCILIATION_OVERDUE, "en"): (
            "The bank had promised to pay earlier. Ask it, and tell the merchants."
        ),
        (Kind.ALERT_OPENED, "fr"): "Ouvrez la page et prenez-la en charge, ou dites pourquoi non.",
        (Kind.ALERT_OPENED, "en"): "Open the page and take it on, or say why not.",
        (Kind.ALERT_ESCALATED, "fr"): "Les premiers prévenus n'ont pas répondu : c'est à vous.",
        (Kind.ALERT_ESCALATED, "en"): "Those told first have not answered: it is your turn.",
        (Kind.PAYOUT_DESTINATION_CHANGED, "fr"): (
            "Les versements vers ce compte attendent 24 heures. Si ce n'était pas vous, changez-le "
            "et prévenez-nous."
        ),
        (Kind.PAYOUT_DESTINATION_CHANGED, "en"): (
            "Payouts to this account wait for 24 hours. If this was not one of you, change it back "
            "and tell us."
        ),
        (Kind.ACCOUNT_CHANGED, "fr"): (
            "Si ce n'était pas convenu, regardez le journal des changements et parlez-en."
        ),
        (Kind.ACCOUNT_CHANGED, "en"): (
            "If this was not agreed, look at the journal of changes and talk about it."
        ),
        (Kind.DISPUTE_DUE, "fr"): (
            "Sans réponse à temps, le litige est perdu et le client garde l'argent."
        ),
        (Kind.DISPUTE_DUE, "en"): (
            "Without an answer in time the dispute is lost and the customer keeps the money."
        ),
    }
)

# Of an approved action that nobody ran, "out of time" alone would mislead.
_NOT_RUN = MappingProxyType(
    {
        "fr": "Approuvé, mais non exécuté à temps. Rien n'a été exécuté.",
        "en": "Approved, but not carried out in time. Nothing was carried out.",
    }
)

_CHANGES = MappingProxyType(
    {
        ("created", "fr"): "créée",
        ("created", "en"): "created",
        ("tightened", "fr"): "durcie",
        ("tightened", "en"): "tightened",
        ("loosened", "fr"): "assouplie",
        ("loosened", "en"): "loosened",
        ("deleted", "fr"): "supprimée",
        ("deleted", "en"): "deleted",
    }
)

_LABELS = MappingProxyType(
    {
        "amount": {"fr": "Montant", "en": "Amount"},
        "target": {"fr": "Cible", "en": "Target"},
        "by": {"fr": "Par", "en": "By"},
        "missing": {"fr": "Il manque", "en": "Missing"},
        "deadline": {"fr": "Au plus tard", "en": "No later than"},
        "error": {"fr": "Cause", "en": "Cause"},
        "check": {"fr": "Empreinte à comparer", "en": "Check words"},
        "open": {"fr": "Ouvrir la page", "en": "Open the page"},
        "preferences": {
            "fr": "Choisir ce que je reçois par e-mail",
            "en": "Choose what I get by mail",
        },
        "why": {
            "fr": "Ce message ne permet pas de décider : la décision se prend sur la page.",
            "en": "Nothing can be decided from this message: decisions are made on the page.",
        },
    }
)


@dataclass(frozen=True, slots=True)
class Detail:
    """One fact with its name, both ready to be shown."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Message:
    """
    A notice in words.

    *quote* is what a person typed; show it escaped, and apart from our own words.
    """

    headline: str
    advice: str
    details: tuple[Detail, ...]
    quote: str


def say(
    kind: Kind, facts: Mapping[str, object], language: Language, *, zone: str = "UTC"
) -> Message:
    """
    Write a notice of *kind* about *facts*, which are `Notice.facts` as stored.

    *zone* is the reader's, where it is known: a page knows it, a mail does not.
    """
    words = {
        "title": _spoken(facts.get("title"), language) or _text(facts, "action_type") or "…",
        "policy": _text(facts, "policy") or "…",
        "change": _CHANGES.get((_text(facts, "change"), language), "…"),
    }
    advice = ADVICE.get((kind, language), "")
    if kind is Kind.ACTION_EXPIRED and facts.get("window") == "execution":
        advice = _NOT_RUN[language]
    return Message(
        headline=plain(_spaced(HEADLINES[kind, language], language).format(**words), _HEADLINE_MAX),
        advice=_spaced(advice, language),
        details=tuple(_details(facts, language, zone)),
        quote=_text(facts, "reason"),
    )


def label(name: str, language: Language) -> str:
    """Name a part of a message: ``open``, ``why``, and those of its details."""
    return _spaced(_LABELS[name][language], language)


def lines(message: Message, language: Language) -> list[str]:
    """Write each detail on a line of its own."""
    return [named(detail.label, detail.value, language) for detail in message.details]


def named(name: str, value: str, language: Language) -> str:
    """Write a name and what it stands for, with the colon of *language*."""
    colon = f"{NO_BREAK}:" if language == "fr" else ":"
    return f"{name}{colon} {value}"


def moment(instant: datetime, language: Language, zone: str = "UTC") -> str:
    """Write an instant in *zone*, and which zone that is."""
    local = instant.astimezone(ZoneInfo(zone))
    return f"{Formats(language).day(local.date())}, {local:%H:%M}{NO_BREAK}{zone_name(local)}"


def _details(facts: Mapping[str, object], language: Language, zone: str) -> list[Detail]:
    written = {
        "amount": _amount(facts.get("amount"), language),
        "target": _text(facts, "target"),
        "by": _text(facts, "by"),
        "missing": _spoken(facts.get("missing"), language),
        "deadline": _deadline(facts.get("deadline"), language, zone),
        "error": _text(facts, "error"),
        "check": _check(facts.get("intent_hash")),
    }
    return [Detail(label(name, language), value) for name, value in written.items() if value]


def _text(facts: Mapping[str, object], name: str) -> str:
    value = facts.get(name)
    return plain(value) if isinstance(value, str) else ""


def _spoken(value: object, language: Language) -> str:
    """Read a sentence that is given in both languages."""
    if isinstance(value, Mapping):
        value = value.get(language)
    return plain(value) if isinstance(value, str) else ""


def _amount(value: object, language: Language) -> str:
    if not isinstance(value, Mapping):
        return ""
    minor, code = value.get("minor"), value.get("currency")
    if not isinstance(minor, int) or not isinstance(code, str):
        return ""
    try:
        return Formats(language).money(minor, code)
    except UnknownCurrency:
        # One odd row must not make its reader's whole inbox unreadable.
        return ""


def _deadline(value: object, language: Language, zone: str) -> str:
    if not isinstance(value, str):
        return ""
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return ""
    return moment(instant, language, zone) if instant.tzinfo is not None else ""


def _check(value: object) -> str:
    try:
        return check_words(bytes.fromhex(value)) if isinstance(value, str) else ""
    except ValueError:
        return ""


def _spaced(text: str, language: Language) -> str:
    """Keep French signs on the line of their word."""
    if language != "fr":
        return text
    for sign in ":;?!»":
        text = text.replace(f" {sign}", f"{NO_BREAK}{sign}")
    return text
