"""The rules of a policy as one sentence, in each language."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from molam.approvals.policy.durations import Duration
from molam.approvals.policy.quorum import AllOf, AnyOf, Percentage, Quorum, Role, Stages, Users
from molam.approvals.policy.ruleset import Rules
from molam.approvals.policy.strictness import levels
from molam.platform.web.l10n import NO_BREAK, Formats, Language

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_FRENCH_UNITS = {"d": "j", "h": "h", "min": "min", "s": "s"}
_TENS = (2, 5)

# (English, French), as the console names them. A role we do not know is shown as it is.
ROLES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ops_admin": ("Operations administrator", "Administrateur des opérations"),
        "finance_ops": ("Finance operations", "Opérations financières"),
        "pay_admin": ("Payments administrator", "Administrateur des paiements"),
        "compliance": ("Compliance", "Conformité"),
        "cfo": ("Chief financial officer", "Directeur financier"),
        "auditor": ("Auditor", "Auditeur"),
        "treasury_ops": ("Treasury operations", "Trésorerie"),
        "super_admin": ("Superadministrator", "Superadministrateur"),
        "merchant_admin": ("Merchant's administrator", "Administrateur du marchand"),
        "mesh_viewer": ("Mesh viewer", "Lecteur du réseau"),
    }
)


def sentence(rules: Rules, language: Language) -> str:
    """Say who must agree, how much, how soon, and what follows."""
    fr = language == "fr"
    plus = " ; et " if fr else "; and "
    parts = [plus.join(quorum_words(each.quorum, language) for each in rules.demands)]
    if rules.ratio > 0:
        share = share_words(rules.ratio, language)
        parts.append(f"au moins {share} de voix pour" if fr else f"at least {share} in favour")
    within = duration_words(rules.timeout, language)
    parts.append(f"en {within}" if fr else f"within {within}")
    return ", ".join(parts) + ". " + " ".join(_further(rules, language))


def _further(rules: Rules, language: Language) -> Iterable[str]:
    fr = language == "fr"
    for level in levels(rules):
        after = duration_words(level.after, language)
        who = roles_words(level.add_roles, language, "le rôle ", "les rôles ")
        alone = (
            (" décide seul" if fr else " decides alone")
            if level.replace
            else (" peut aussi décider" if fr else " may decide too")
        )
        yield f"Après {after}, {who}{alone}." if fr else f"After {after}, {who}{alone}."
    if rules.counting == "participation":
        yield (
            "Chaque voix exprimée compte pour le quorum."
            if fr
            else "Every vote cast counts towards the quorum."
        )
    if rules.veto_roles:
        who = roles_words(rules.veto_roles, language, "du rôle ", "d'un des rôles ")
        yield f"Un refus {who} suffit à rejeter." if fr else f"One rejection by {who} is enough."
    if rules.reject_threshold is not None:
        n = rules.reject_threshold
        yield f"{n} refus rejettent." if fr else f"{n} rejections reject."
    if rules.objection_window_s:
        wait = duration_words(Duration(seconds=rules.objection_window_s), language)
        yield f"{wait} pour s'y opposer." if fr else f"{wait} to object."
    if rules.auto_execute:
        yield "Exécution automatique." if fr else "Executed automatically."
    else:
        yield "Exécution par une personne." if fr else "Executed by a person."


def quorum_words(quorum: Quorum, language: Language) -> str:
    """Say who fills *quorum*."""
    fr = language == "fr"
    match quorum:
        case Role():
            n = quorum.min_votes
            noun = ("approbation" if fr else "approval") + ("s" if n > 1 else "")
            who = roles_words(quorum.roles, language, "du rôle ", "des rôles ")
            words = f"{n} {noun} {who}" if fr else f"{n} {noun} from {who}"
        case Users():
            words = _users_words(quorum, language)
        case Percentage():
            share = share_words(quorum.share, language)
            if quorum.roles:
                of = roles_words(quorum.roles, language, "du rôle ", "des rôles ")
            else:
                of = ("de " if fr else "") + _listed(quorum.pool, language)
            words = f"{share} {of}" if fr else f"{share} of {of}"
        case AllOf():
            words = _joined(quorum.parts, " et " if fr else " and ", language)
        case AnyOf():
            words = _joined(quorum.parts, " ou " if fr else " or ", language)
        case Stages():
            words = _joined(quorum.parts, ", puis " if fr else ", then ", language)
    return words


def _users_words(quorum: Users, language: Language) -> str:
    names = _listed(quorum.users, language)
    if quorum.min_votes < len(quorum.users):
        return f"{quorum.min_votes} {'parmi' if language == 'fr' else 'of'} {names}"
    return f"l'accord de {names}" if language == "fr" else f"the approval of {names}"


def share_words(share: Fraction, language: Language) -> str:
    """Write a share in hundredths where it has finitely many decimals, else as it is."""
    rest = share.denominator
    for prime in _TENS:
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return f"{share.numerator}/{share.denominator}"
    hundredths = Decimal(share.numerator * 100) / share.denominator
    exponent = hundredths.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return Formats(language).percent(hundredths, max(0, -exponent))


def duration_words(duration: Duration, language: Language) -> str:
    """Write a duration in its largest units: ``2 h``, ``1 d 6 h``, ``8 business hours``."""
    if duration.business_hours is not None:
        unit = "h ouvrées" if language == "fr" else "business hours"
        return f"{duration.business_hours}{NO_BREAK}{unit}"
    assert duration.seconds is not None
    left, parts = duration.seconds, []
    for unit, size in _UNITS:
        # A day is what people call 24 hours only from the second one on.
        if unit == "d" and left <= size:
            continue
        count, left = divmod(left, size)
        if count:
            name = _FRENCH_UNITS[unit] if language == "fr" else unit
            parts.append(f"{count}{NO_BREAK}{name}")
    return " ".join(parts) or f"0{NO_BREAK}s"


def _joined(parts: tuple[Quorum, ...], joint: str, language: Language) -> str:
    written = [quorum_words(part, language) for part in parts]
    nested = [isinstance(part, AllOf | AnyOf | Stages) for part in parts]
    return joint.join(f"({w})" if n else w for w, n in zip(written, nested, strict=True))


def roles_words(codes: Collection[str], language: Language, one: str, several: str) -> str:
    """Name roles by what people call them; *one* and *several* lead them in, in French only."""
    fr = language == "fr"
    names = sorted(ROLES.get(code, (code, code))[fr] for code in codes)
    lead = (several if len(names) > 1 else one) if fr else ""
    return lead + (" ou " if fr else " or ").join(names)


def _listed(names: Iterable[str], language: Language) -> str:
    *most, last = sorted(names)
    joint = " et " if language == "fr" else " and "
    return ", ".join(most) + joint + last if most else last
