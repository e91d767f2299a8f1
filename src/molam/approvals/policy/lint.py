"""What is probably not meant in a policy, found before it decides anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from molam.approvals.policy.cells import Cell, TooManyCells, cells, is_opaque
from molam.approvals.policy.durations import seconds_of
from molam.approvals.policy.fields import Kind
from molam.approvals.policy.predicates import Leaf, Node, Test, leaves
from molam.approvals.policy.quorum import AllOf, AnyOf, Percentage, Quorum, Role, Stages, Users
from molam.approvals.policy.rule_words import share_words
from molam.approvals.policy.selection import StoredPolicy
from molam.platform.actions import Registry
from molam.platform.web.l10n import Formats

PEOPLE_USUAL_MAX = 4
TIMEOUT_USUAL_S = 86400
_NEAR = Fraction(1, 100)
_THIRDS = (Fraction(1, 3), Fraction(2, 3))


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark; an error keeps the policy from being saved."""

    level: Literal["error", "warning"]
    code: str
    path: str
    sentence_en: str
    sentence_fr: str


def lint(policy: StoredPolicy, others: Sequence[StoredPolicy], registry: Registry) -> list[Finding]:
    """List what is wrong or odd about *policy* beside *others*, errors first."""
    beside = [each for each in others if each.id is None or each.id != policy.id]
    found = [
        *_rules(policy, registry),
        *_presence(policy),
        *_alone(policy, registry),
        *_overlaps(policy, [each for each in beside if each.enabled], registry),
        *_shadow(policy, [each for each in beside if each.enabled], registry),
        *_gaps(policy, [each for each in beside if each.enabled], registry),
    ]
    return sorted(found, key=lambda each: each.level)


def _warning(code: str, path: str, en: str, fr: str) -> Finding:
    return Finding("warning", code, path, en, fr)


def _error(code: str, path: str, en: str, fr: str) -> Finding:
    return Finding("error", code, path, en, fr)


def _rules(policy: StoredPolicy, registry: Registry) -> Iterator[Finding]:
    rules = policy.rules
    for third in _THIRDS:
        if rules.ratio != third and abs(rules.ratio - third) < _NEAR:
            en, fr = share_words(rules.ratio, "en"), share_words(rules.ratio, "fr")
            yield _warning(
                "ratio-near-miss",
                "policy.required_ratio",
                f"{en} is not {third}: 2 votes of 3 do not reach 67%. Did you mean {third}?",
                f"{fr} n'est pas {third} : 2 voix sur 3 n'atteignent pas 67 %. "
                f"Vouliez-vous dire {third} ?",
            )
    if seconds_of(rules.timeout) < TIMEOUT_USUAL_S:
        yield _warning(
            "timeout-short",
            "policy.timeout_seconds",
            "Under 24 h, most decisions come too late unless somebody is on call.",
            "En moins de 24 h, la plupart des décisions arrivent trop tard, sauf astreinte.",
        )
    people = max(people_least(each.quorum) for each in rules.demands)
    if people > PEOPLE_USUAL_MAX:
        yield _warning(
            "quorum-large",
            "policy.required_quorum",
            f"{people} people must agree; more than {PEOPLE_USUAL_MAX} are rarely there at once.",
            f"{people} personnes doivent être d'accord ; plus de {PEOPLE_USUAL_MAX} sont "
            "rarement présentes ensemble.",
        )
    if rules.counting == "participation":
        yield _warning(
            "counts-participation",
            "policy.counting",
            "A vote against helps to fill the quorum.",
            "Une voix contre aide à atteindre le quorum.",
        )
    yield from _for_types(policy, people, registry)


def _for_types(policy: StoredPolicy, people: int, registry: Registry) -> Iterator[Finding]:
    types = [each for each in registry if each.name in _types(policy, registry)]
    rules = policy.rules
    grave = sorted(each.name for each in types if each.moves_money or each.risk == "critical")
    if grave and people == 1 and not policy.baseline:
        yield _warning(
            "one-person",
            "policy.required_quorum",
            f"One person alone decides {', '.join(grave)}.",
            f"Une seule personne décide de {', '.join(grave)}.",
        )
    lost = sorted(each.name for each in types if each.idempotency == "none")
    if lost and rules.auto_execute:
        yield _error(
            "auto-execute-unsafe",
            "policy.auto_execute",
            f"{', '.join(lost)} cannot be repeated or asked about: a person must execute it.",
            f"{', '.join(lost)} ne peut être ni répété ni vérifié : une personne doit l'exécuter.",
        )
    critical = sorted(each.name for each in types if each.risk == "critical")
    climbs = any(each.ladder.role or each.ladder.steps for each in rules.demands)
    if critical and not climbs and not policy.baseline:
        yield _warning(
            "no-escalation",
            "policy.escalation_role",
            f"Nobody is asked next when nobody decides {', '.join(critical)}.",
            f"Personne n'est sollicité ensuite si personne ne décide de {', '.join(critical)}.",
        )


def _presence(policy: StoredPolicy) -> Iterator[Finding]:
    tests = [leaf for leaf in leaves(policy.criteria.node) if isinstance(leaf, Test)]
    asked = {test.path for test in tests if test.operator == "$exists"}
    for path in sorted({t.path for t in tests if t.operator in {"$ne", "$nin"}} - asked):
        yield _warning(
            "absent-is-unknown",
            f"criteria.{path}",
            f"Where {path} is missing, nobody knows whether it differs: add $exists.",
            f"Quand {path} manque, nul ne sait s'il diffère : ajoutez $exists.",
        )


def _alone(policy: StoredPolicy, registry: Registry) -> Iterator[Finding]:
    node = policy.criteria.node
    others = [leaf for leaf in leaves(node) if not _names_type(leaf)]
    if not others:
        return
    try:
        truths = [(cell, cell.holds(node)) for cell in cells([node], _types(policy, registry))]
    except TooManyCells:
        yield _warning(
            "undecided",
            "criteria",
            "There are too many cases to say whether this overlaps or leaves gaps.",
            "Il y a trop de cas pour dire si cela se recoupe ou laisse des vides.",
        )
        return
    if not any(truth for _, truth in truths):
        yield _error(
            "never-true",
            "criteria",
            "No action can ever fit.",
            "Aucune action ne peut correspondre.",
        )
    elif all(truth for cell, truth in truths if _is_whole(cell, node)):
        yield _warning(
            "always-true",
            "criteria",
            "Beyond the action type, this says nothing: every action of it fits.",
            "Au-delà du type d'action, cela ne dit rien : toutes correspondent.",
        )


def _overlaps(
    policy: StoredPolicy, others: Iterable[StoredPolicy], registry: Registry
) -> Iterator[Finding]:
    if policy.baseline:
        return
    for other in others:
        if other.baseline or other.priority != policy.priority or not _meet(policy, other):
            continue
        nodes = [policy.criteria.node, other.criteria.node]
        shared = _types(policy, registry) & _types(other, registry)
        try:
            both = any(all(map(cell.holds, nodes)) for cell in cells(nodes, shared))
            sure = not any(is_opaque(leaf) for node in nodes for leaf in leaves(node))
        except TooManyCells:
            both, sure = True, False
        if both:
            make = _error if sure else _warning
            may_en, may_fr = ("", "") if sure else ("may ", "peut-être ")
            yield make(
                "overlap",
                "priority",
                f"Some actions {may_en}fit this and {other.name!r} at the same priority.",
                f"Des actions correspondent {may_fr}à celle-ci et à « {other.name} », à la même "
                "priorité.",
            )


def _shadow(
    policy: StoredPolicy, others: Iterable[StoredPolicy], registry: Registry
) -> Iterator[Finding]:
    above = [o for o in others if not o.baseline and o.priority > policy.priority]
    if policy.baseline or not above or any(each.valid_from or each.valid_until for each in above):
        return
    nodes = [policy.criteria.node, *(each.criteria.node for each in above)]
    if any(is_opaque(leaf) for node in nodes[1:] for leaf in leaves(node)):
        return
    try:
        mine = [c for c in cells(nodes, _types(policy, registry)) if c.holds(nodes[0])]
    except TooManyCells:
        return
    if mine and all(any(map(cell.holds, nodes[1:])) for cell in mine):
        names = ", ".join(sorted(each.name for each in above))
        yield _warning(
            "unreachable",
            "priority",
            f"Every action that fits is decided by a policy above: {names}.",
            f"Toute action qui correspond est décidée par une règle au-dessus : {names}.",
        )


def _gaps(
    policy: StoredPolicy, others: Iterable[StoredPolicy], registry: Registry
) -> Iterator[Finding]:
    """Find amounts that fall between the bands of policies for one action type."""
    family = [policy, *(each for each in others if _meet(policy, each))]
    nodes = [each.criteria.node for each in family if not each.baseline]
    axes = {path for node in nodes for leaf in leaves(node) for path in _amount_paths(leaf)}
    for path in sorted(axes if len(nodes) > 1 else ()):
        try:
            found = list(cells(nodes, _types(policy, registry)))
        except TooManyCells:
            return
        for code in _currencies(found, path):
            yield from _gap(path, code, _covered(found, nodes, path, code))


def _covered(found: Iterable[Cell], nodes: Sequence[Node], path: str, code: str) -> dict[int, bool]:
    """Tell for each amount whether any policy fits it in any case."""
    covered: dict[int, bool] = {}
    for cell in found:
        value = cell.point.get(path)
        if isinstance(value, dict) and value["currency"] == code:
            minor = value["minor"]
            covered[minor] = covered.get(minor, False) or any(map(cell.holds, nodes))
    return dict(sorted(covered.items()))


def _currencies(found: Iterable[Cell], path: str) -> list[str]:
    values = (cell.point.get(path) for cell in found)
    return sorted({value["currency"] for value in values if isinstance(value, dict)})


def _gap(path: str, code: str, covered: dict[int, bool]) -> Iterator[Finding]:
    points = list(covered)
    inside = [p for p in points if covered[p]]
    if not inside:
        return
    bare = [p for p in points if not covered[p] and inside[0] < p < inside[-1]]
    if not bare:
        return
    low, high = bare[0], bare[-1]
    named = code.isalpha()
    en, fr = (
        (
            (Formats("en").money(low, code), Formats("en").money(high, code)),
            (Formats("fr").money(low, code), Formats("fr").money(high, code)),
        )
        if named
        else (
            (Formats("en").number(low), Formats("en").number(high)),
            (Formats("fr").number(low), Formats("fr").number(high)),
        )
    )
    yield _warning(
        "gap",
        f"criteria.{path}",
        f"Amounts from {en[0]} to {en[1]} match no policy but the built-in one.",
        f"Les montants de {fr[0]} à {fr[1]} ne relèvent que de la règle par défaut.",
    )


def _amount_paths(leaf: Leaf) -> tuple[str, ...]:
    compared = isinstance(leaf, Test) and leaf.kind is Kind.MONEY and leaf.operator != "$exists"
    return (leaf.path,) if compared and isinstance(leaf, Test) else ()


def _is_whole(cell: Cell, node: Node) -> bool:
    """Whether the case has a value for each path that *node* speaks of."""
    tests = [leaf for leaf in leaves(node) if isinstance(leaf, Test) and not is_opaque(leaf)]
    paths = {test.path for test in tests if test.operator != "$exists"}
    roots = {path.removesuffix(".currency").removesuffix(".minor") for path in paths}
    known = cell.point.keys() | {"tenant.type", "tenant.id", "action_type"}
    return roots <= known


def _names_type(leaf: object) -> bool:
    return isinstance(leaf, Test) and leaf.path == "action_type"


def _types(policy: StoredPolicy, registry: Registry) -> frozenset[str]:
    everything = frozenset(each.name for each in registry)
    types = policy.criteria.types
    return everything if types is None else types


def _meet(first: StoredPolicy, second: StoredPolicy) -> bool:
    """Whether some type of action could fit both, at some time."""
    ours, theirs = first.criteria.types, second.criteria.types
    apart = ours is not None and theirs is not None and not ours & theirs
    return not (apart or _ends_before(first, second) or _ends_before(second, first))


def _ends_before(first: StoredPolicy, second: StoredPolicy) -> bool:
    end, start = first.valid_until, second.valid_from
    return end is not None and start is not None and end <= start


def people_least(quorum: Quorum) -> int:
    """Return how few people could fill *quorum*; a share counts as one."""
    match quorum:
        case Role() | Users():
            people = quorum.min_votes
        case Percentage():
            people = 1
        case AllOf() | Stages():
            people = sum(map(people_least, quorum.parts))
        case AnyOf():
            people = min(map(people_least, quorum.parts))
    return people
