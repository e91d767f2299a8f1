"""Who may decide an action now, and what they have said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from molam.approvals.policy.decision import Ballot, Elector
from molam.approvals.policy.quorum import pin, roles_in, users_in
from molam.approvals.policy.rules import Rules
from molam.approvals.store import StandingRow


def roles_asked(rules: Rules) -> frozenset[str]:
    """Return the roles whose holders may fill a slot or refuse for all."""
    return rules.veto_roles.union(*(roles_in(each.quorum) for each in rules.demands))


def people_named(rules: Rules) -> frozenset[str]:
    return frozenset().union(*(users_in(each.quorum) for each in rules.demands))


def electorate(rules: Rules, standing: StandingRow, *, excluded: frozenset[str]) -> list[Elector]:
    """
    Find who may decide under *rules* now.

    A role held for less than ``min_role_age_s`` does not count yet, so that a role
    cannot be stuffed for one vote.
    """
    asked, named = roles_asked(rules), people_named(rules)
    latest = standing.now - timedelta(seconds=rules.min_role_age_s)
    roles: dict[str, set[str]] = {}
    about: dict[str, tuple[str, str]] = {}
    for held in standing.holders:
        person = held["id"]
        if person in excluded:
            continue
        about[person] = (held["name"], held["email"])
        if held["role"] in asked and datetime.fromisoformat(held["since"]) <= latest:
            roles.setdefault(person, set()).add(held["role"])
        elif person in named:
            roles.setdefault(person, set())
    return [
        Elector(person, *about[person], frozenset(held)) for person, held in sorted(roles.items())
    ]


def ballots_of(standing: StandingRow, *, excluded: frozenset[str] = frozenset()) -> list[Ballot]:
    """
    Return the vote each person stands by; one taken back counts for nothing.

    Nor does that of somebody *excluded* by now, even in another's seat.
    """
    return [
        Ballot(each["voter"], each["seat"], frozenset(each["roles"]), each["vote"])
        for each in standing.ballots
        if each["vote"] != "withdrawn" and each["voter"] not in excluded
    ]


def pinned(rules: Rules, electors: Sequence[Elector]) -> Rules:
    """Fix the size of every pool, so that shrinking a role later cannot lower the bar."""
    return replace(
        rules,
        quorum=pin(rules.quorum, electors),
        also=tuple(pin(each, electors) for each in rules.also),
    )
