"""Criteria as a sentence, in each language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType

from molam.approvals.policy.durations import Duration
from molam.approvals.policy.fields import Kind
from molam.approvals.policy.predicates import (
    All,
    Elem,
    History,
    Literal,
    Money,
    Node,
    Not,
    Some,
    Test,
    Value,
)
from molam.approvals.policy.rule_words import duration_words
from molam.platform.web.l10n import Formats, Language

# (English, French) for the paths whose own names are not words.
_NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "action_type": ("action", "action"),
        "origin": ("origin", "origine"),
        "risk_level": ("risk", "risque"),
        "target_tenant_type": ("target type", "type de cible"),
        "tenant.type": ("target type", "type de cible"),
        "target_tenant_id": ("target", "cible"),
        "tenant.id": ("target", "cible"),
        "amount": ("amount", "montant"),
        "params.amount": ("amount", "montant"),
        "amount.minor": ("amount in minor units", "montant en unités mineures"),
        "amount.currency": ("currency", "devise"),
        "country": ("country", "pays"),
        "context.confidence": ("confidence", "confiance"),
        "params.fee_percentage": ("fee", "frais"),
        "params.reason": ("reason", "motif"),
        "params.duration": ("duration", "durée"),
        "params.limit": ("limit", "limite"),
        "params.max_items": ("items", "éléments"),
        "params.adjustment": ("adjustment", "ajustement"),
        "params.merchant_id": ("merchant", "marchand"),
        "params.agent_id": ("agent", "agent"),
    }
)
_RISKS = MappingProxyType(
    {"low": "faible", "medium": "moyen", "high": "élevé", "critical": "critique"}
)
# (English, French), as the console names them. A type we do not know is its code.
TYPES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "MESH_APPLY_ROUTE": ("Apply a mesh route", "Appliquer une route du réseau"),
        "MESH_ROLL_BACK": ("Roll back a mesh route", "Revenir sur une route du réseau"),
        "ADD_MESH_MEMBER": (
            "Let a bank into the mesh",
            "Admettre une banque dans le réseau",
        ),
        "SUSPEND_MESH_MEMBER": (
            "Suspend a member of the mesh",
            "Suspendre un membre du réseau",
        ),
        "REINSTATE_MESH_MEMBER": (
            "Let a member back into the mesh",
            "Réadmettre un membre du réseau",
        ),
        "CHANGE_MESH_POLICY": (
            "Change a mesh policy",
            "Changer une règle du réseau",
        ),
        "CHANGE_MESH_REGION": (
            "Change a mesh region",
            "Changer une région du réseau",
        ),
        "RELEASE_MESH_SWITCH": (
            "Let the mesh act again",
            "Laisser le réseau agir de nouveau",
        ),
        "EMERGENCY_CIRCUIT_BREAK": (
            "Hand a bank nothing more",
            "Ne plus rien confier à une banque",
        ),
        "RESTORE_CIRCUIT": (
            "Hand payouts to a bank again",
            "Confier de nouveau des versements à une banque",
        ),
        "EMERGENCY_SHUTDOWN": (
            "Shut the mesh down",
            "Arrêter le réseau",
        ),
        "ROUTE_PAYOUT_OVERRIDE": (
            "Lead payouts to a bank",
            "Imposer une banque aux versements",
        ),
        "RECALL_PAYOUTS": (
            "Ask banks to give payouts back",
            "Rappeler des versements auprès des banques",
        ),
        "MESH_RESUME_SHIFT": ("Let a halted shift go on", "Poursuivre une bascule arrêtée"),
        "EXECUTE_PLAN": (
            "Execute a plan",
            "Exécuter un plan",
        ),
        "POOL_DRAW": ("Draw from a liquidity pool", "Tirer sur un fonds commun de liquidité"),
        "ADJUST_FLOAT": ("Adjust an agent's float", "Ajuster le float d'un agent"),
        "FREEZE_MERCHANT": ("Freeze a merchant", "Geler un marchand"),
        "UNFREEZE_MERCHANT": ("Unfreeze a merchant", "Dégeler un marchand"),
        "MERCHANT_REFUND": (
            "Approve a merchant's refund",
            "Approuver le remboursement d'un marchand",
        ),
        "ISSUE_MANUAL_REFUND": ("Refund a payment by hand", "Rembourser un paiement à la main"),
        "MANUAL_REVERSAL": ("Reverse a payment", "Annuler un paiement"),
        "PAUSE_PAYOUT": ("Pause a merchant's payouts", "Suspendre les versements d'un marchand"),
        "RESUME_PAYOUT": ("Resume a merchant's payouts", "Reprendre les versements d'un marchand"),
        "FORCE_RETRY_PAYOUT": ("Send a payout again", "Renvoyer un versement"),
        "REVERSE_PAYOUT": ("Take a payout back", "Reprendre un versement"),
        "RELEASE_HOLD": ("Release held money", "Libérer de l'argent retenu"),
        "FORCE_RECONCILE": ("Force a reconciliation", "Forcer un rapprochement"),
        "ADJUST_MERCHANT_FEE": ("Change a merchant's fee", "Changer les frais d'un marchand"),
        "REQUEUE_DLQ": ("Put dead letters back", "Remettre des lettres mortes en file"),
        "ADJUST_RATE_LIMIT": ("Change a rate limit", "Changer une limite de débit"),
        "CHANGE_APPROVAL_POLICY": ("Change a policy", "Changer une règle"),
        "UPDATE_RISK_THRESHOLD": ("Change when an alert opens", "Changer un seuil d'alerte"),
        "CHANGE_INHIBITION": ("Keep more alerts quiet", "Taire davantage d'alertes"),
        "CHANGE_REMEDIATION_POLICY": (
            "Let more happen by itself about alerts",
            "Permettre davantage de soi-même aux alertes",
        ),
        "REMEDIATE_GROUP": (
            "Remedy many targets at once",
            "Remédier à de nombreuses cibles à la fois",
        ),
        "APPLY_SIRA_RECOMMENDATION": (
            "Apply a recommendation of SIRA",
            "Appliquer une recommandation de SIRA",
        ),
        "RISK_APPROVAL": ("Approve a risky operation", "Approuver une opération risquée"),
        "LIFT_FREEZE": ("Lift a freeze of executions", "Lever un gel des exécutions"),
    }
)
_PERCENT = "percentage"
_SIGNS = MappingProxyType(
    {"$eq": "=", "$ne": "≠", "$gt": ">", "$gte": "≥", "$lt": "<", "$lte": "≤", "$cidr": "∈"}
)
_VERBS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "$in": ("is one of", "parmi"),
        "$nin": ("is none of", "hors de"),
        "$all": ("has all of", "contient tous"),
        "$size": ("has as many elements as", "a pour nombre d'éléments"),
        "$regex": ("has the form", "a la forme"),
        "$prefix": ("starts with", "commence par"),
    }
)


def sentence(node: Node, language: Language) -> str:
    """Say *node*, the action types first: ``REVERSE_PAYOUT si montant ≥ 5 000 F CFA``."""
    parts = node.parts if isinstance(node, All) else (node,)
    types = list(filter(None, [_types(part, language) for part in parts if _names_types(part)]))
    others = [_words(part, language, inside=True) for part in parts if not _names_types(part)]
    every = "toute action" if language == "fr" else "every action"
    subject = " / ".join(types) or every
    if not others:
        return subject
    joint = " et " if language == "fr" else " and "
    return f"{subject} {'si' if language == 'fr' else 'if'} {joint.join(others)}"


def comparison(node: Node, language: Language) -> str:
    """Say one comparison alone: ``montant ≥ 5 000 F CFA``."""
    return _words(node, language)


def _names_types(node: Node) -> bool:
    return isinstance(node, Test) and node.path == "action_type"


def _types(node: Node, language: Language) -> str:
    assert isinstance(node, Test)
    if node.operator == "$exists":
        return ""
    codes = node.value if isinstance(node.value, tuple) else (node.value,)
    return ", ".join(_type(str(code), language) for code in codes)


def _type(code: str, language: Language) -> str:
    named = TYPES.get(code)
    return code if named is None else f"{named[language == 'fr']} ({code})"


def _words(node: Node, language: Language, *, inside: bool = False) -> str:
    fr = language == "fr"
    match node:
        case Test():
            return _test(node, language)
        case Elem():
            tests = (" et " if fr else " and ").join(_compared(t, language) for t in node.tests)
            name = _name(node.path, language)
            return f"un élément de {name} {tests}" if fr else f"an element of {name} {tests}"
        case History():
            return _history(node, language)
        case Not():
            return (
                f"non ({_words(node.part, language)})"
                if fr
                else (f"not ({_words(node.part, language)})")
            )
        case All() | Some():
            both, either = (" et ", " ou ") if fr else (" and ", " or ")
            joint = both if isinstance(node, All) else either
            joined = joint.join(_words(part, language, inside=True) for part in node.parts)
            return f"({joined})" if inside else joined


def _test(test: Test, language: Language) -> str:
    name = _name(test.path, language)
    if test.operator == "$exists":
        fr, en = ("est connu", "is known") if test.value else ("est inconnu", "is unknown")
        return f"{name} {fr if language == 'fr' else en}"
    return f"{name} {_compared(test, language)}"


def _compared(test: Test, language: Language) -> str:
    sign = _SIGNS.get(test.operator)
    if sign is None:
        sign = _VERBS[test.operator][language == "fr"]
    return f"{sign} {_value(test.value, test, language)}"


def _history(leaf: History, language: Language) -> str:
    fr, about = language == "fr", leaf.aggregate
    window = duration_words(about.window, language)
    bound = (
        _money(leaf.value, language) if about.field else Formats(language).number(leaf.value.minor)
    )
    by = ", ".join(_name(path, language) for path in about.group_by)
    if about.field is None:
        what = "demandes" if fr else "requests"
    else:
        what = (
            f"somme de {_name(about.field, language)}"
            if fr
            else (f"sum of {_name(about.field, language)}")
        )
    within = f"en {window}" if fr else f"within {window}"
    same = (f" par {by}" if fr else f" by {by}") if by else ""
    return f"{what} {within}{same} {_SIGNS[leaf.operator]} {bound}"


def _value(value: Value, test: Test, language: Language) -> str:
    if isinstance(value, tuple):
        return ", ".join(_literal(each, test, language) for each in value)
    return _literal(value, test, language)


def _literal(value: Literal, test: Test, language: Language) -> str:
    formats = Formats(language)
    match value:
        case bool():
            yes, no = ("oui", "non") if language == "fr" else ("yes", "no")
            words = yes if value else no
        case Money():
            words = _money(value, language)
        case Duration():
            words = duration_words(value, language)
        case datetime():
            words = value.strftime("%Y-%m-%d %H:%M:%S UTC")
        case date():
            words = formats.day(value)
        case Decimal():
            words = _decimal(value, test.path, formats)
        case int():
            words = formats.number(value)
        case str():
            known = _RISKS if test.kind is Kind.RISK and language == "fr" else {}
            words = known.get(value, value)
    return words


def _decimal(value: Decimal, path: str, formats: Formats) -> str:
    decimals = max(0, -_exponent(value))
    # A share in hundredths keeps a decimal, as rates are written: 3,0 %.
    if _PERCENT in path:
        return formats.percent(value, max(1, decimals))
    return formats.number(value, decimals)


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def _money(value: Money, language: Language) -> str:
    formats = Formats(language)
    if value.currency is not None:
        return formats.money(value.minor, value.currency)
    unit = "unités mineures, toute devise" if language == "fr" else "minor units, any currency"
    return f"{formats.number(value.minor)} ({unit})"


def _name(path: str, language: Language) -> str:
    named = _NAMES.get(path)
    if named is not None:
        return named[language == "fr"]
    return path.removeprefix("params.").replace("_", " ")
