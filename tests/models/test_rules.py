"""Rules of a policy: read exactly, joined as a lattice, tightened and never loosened."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_samples import QUORUM, some_rules

from molam.approvals.policy.decision import Ballot, Elector, decide
from molam.approvals.policy.durations import Duration
from molam.approvals.policy.quorum import AllOf, AnyOf, PolicyMalformed, Role, Stages, Users
from molam.approvals.policy.rules import (
    DEFAULT,
    Escalation,
    Rules,
    at_level,
    is_tighter,
    levels,
    normalised,
    read_rules,
    rules_json,
    sentence,
    strictest,
    tightened,
)

ROLES = ("finance_ops", "ops_admin", "cfo")
PEOPLE = ("ada", "bo", "cy", "di", "ed")

roles = st.frozensets(st.sampled_from(ROLES), min_size=1)
leaf = st.one_of(
    st.builds(Role, roles, st.integers(1, 3)),
    st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3, unique=True).map(
        lambda users: Users(tuple(users), len(users))
    ),
)
parts = st.lists(leaf, min_size=1, max_size=2).map(tuple)
quorums = st.one_of(
    leaf, st.builds(AllOf, parts), st.builds(AnyOf, parts), st.builds(Stages, parts)
)
seconds = st.sampled_from([60, 3600, 7200, 86400])
durations = st.one_of(
    st.builds(Duration, seconds=seconds), st.builds(Duration, business_hours=st.integers(1, 9))
)
step = st.builds(Escalation, after=st.builds(Duration, seconds=seconds), add_roles=roles)
ratios = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(2, 3), Fraction(3, 4), Fraction(1)])
rules = st.builds(
    Rules,
    quorum=quorums,
    ratio=ratios,
    timeout=durations,
    escalation_role=st.one_of(st.none(), st.sampled_from(ROLES)),
    escalation=st.one_of(st.just(()), st.tuples(step)),
    auto_execute=st.booleans(),
    execution_window=durations,
    not_before_delay_s=st.integers(0, 5),
    counting=st.sampled_from(["approvals", "participation"]),
    veto_roles=st.frozensets(st.sampled_from(ROLES), max_size=1),
    reject_threshold=st.one_of(st.none(), st.integers(1, 3)),
    objection_window_s=st.integers(0, 5),
    min_role_age_s=st.integers(0, 5),
    step_up_max_age_s=st.one_of(st.none(), st.integers(0, 5)),
    typed_confirmation=st.booleans(),
    voters_may_execute=st.booleans(),
)


def test_the_policy_of_the_specification_is_read():
    read = read_rules(
        {
            "required_quorum": {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}},
            "required_ratio": Decimal("0.75"),
            "timeout_seconds": 7200,
            "escalation_role": "cfo",
            "auto_execute": False,
        }
    )

    assert read.quorum == Role(frozenset({"finance_ops"}), 2)
    assert (read.ratio, read.timeout) == (Fraction(3, 4), Duration(seconds=7200))
    assert (read.escalation_role, read.auto_execute) == ("cfo", False)


def test_what_a_policy_leaves_out_has_its_default():
    read = some_rules()

    assert (read.ratio, read.timeout.seconds, read.auto_execute) == (Fraction(3, 5), 86400, False)
    assert read.min_role_age_s == 86400, "newcomers wait a day"


def test_an_explicit_zero_is_not_a_default():
    read = some_rules(required_ratio=0, min_role_age_s=0)

    assert (read.ratio, read.min_role_age_s) == (0, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("required_ratio", "abc"),
        ("required_ratio", "1/0"),
        ("required_ratio", Decimal("1.01")),
        ("required_ratio", True),
        ("required_ratio", "1e999999999"),
        ("required_ratio", "-1/2"),
        ("timeout_seconds", 0),
        ("timeout_seconds", -1),
        ("timeout_seconds", "2 hours"),
        ("escalation_role", ""),
        ("escalation_role", 3),
        ("escalation", {}),
        ("escalation", [{"after": "1h"}]),
        ("escalation", [{"after": "2h", "add_roles": ["x"]}, {"after": "1h", "add_roles": ["x"]}]),
        ("auto_execute", "true"),
        ("auto_execute", 1),
        ("execution_window", 0),
        ("not_before_delay_s", -1),
        ("counting", "votes"),
        ("veto_roles", "cfo"),
        ("reject_threshold", 0),
        ("min_role_age_s", Decimal("1.5")),
        ("step_up_max_age_s", "5"),
        ("typed_confirmation", None.__class__),
        ("calendar", {"country": "XX"}),
        ("calendar", {"timezone": "Dakar"}),
        ("calendar", {"opens": "18:00", "closes": "08:00"}),
        ("calendar", {"weekend": [0, 1, 2, 3, 4, 5, 6]}),
        ("calendar", {"weekend": [True]}),
        ("also", [{}]),
        ("requried_ratio", 1),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(key: str, value: object):
    with pytest.raises(PolicyMalformed) as refused:
        some_rules(**{key: value})

    assert key in refused.value.detail


@pytest.mark.parametrize("value", [None, [], "x", {}, {"required_quorum": None}])
def test_a_policy_that_names_nobody_is_refused(value: object):
    with pytest.raises(PolicyMalformed):
        read_rules(value)


def test_what_moves_money_counts_approvals_only():
    given_ = {"required_quorum": QUORUM, "counting": "participation"}

    assert read_rules(given_).counting == "participation"
    with pytest.raises(PolicyMalformed):
        read_rules(given_, moves_money=True)


@settings(deadline=None)
@given(rules)
def test_rules_are_read_as_they_are_written(each: Rules):
    assert read_rules(rules_json(each)) == normalised(each)


@settings(deadline=None)
@given(rules, rules)
def test_equal_rules_are_written_equally(first: Rules, second: Rules):
    both, other = strictest(first, second), strictest(second, first)

    assert rules_json(both) == rules_json(other)


@settings(deadline=None)
@given(rules, rules, rules)
def test_the_strictest_is_a_join(a: Rules, b: Rules, c: Rules):
    assert strictest(a, b) == strictest(b, a)
    assert strictest(strictest(a, b), c) == strictest(a, strictest(b, c))
    assert strictest(a, a) == normalised(a)
    assert strictest(strictest(a, b), b) == strictest(a, b)


@settings(deadline=None)
@given(rules, rules)
def test_the_strictest_is_tighter_than_either(a: Rules, b: Rules):
    # Of wall time and office hours, neither is always the shorter.
    b = replace(b, timeout=a.timeout, execution_window=a.execution_window)

    assert is_tighter(strictest(a, b), a)
    assert is_tighter(strictest(a, b), b)


@settings(deadline=None)
@given(rules)
def test_equal_rules_are_as_tight(each: Rules):
    assert is_tighter(each, each)


def test_quorums_that_differ_in_number_alone_become_one():
    one, two = (replace(DEFAULT, quorum=Role(frozenset({"cfo"}), n)) for n in (1, 2))

    joined = strictest(one, two)

    assert (joined.quorum, joined.also) == (two.quorum, ())


def test_a_floor_is_filled_besides_and_not_instead():
    floor = replace(DEFAULT, quorum=Role(frozenset({"cfo"}), 1))

    joined = strictest(DEFAULT, floor)

    assert {joined.quorum, *joined.also} == {DEFAULT.quorum, floor.quorum}


votes = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(["approve", "reject", "abstain"])),
    max_size=5,
    unique_by=lambda pair: pair[0],
)
crowds = st.dictionaries(st.sampled_from(PEOPLE), st.frozensets(st.sampled_from(ROLES)), min_size=1)


def _state(each: Rules, crowd: dict[str, frozenset[str]], cast: list[tuple[str, Any]]) -> str:
    electors = [Elector(who, who, f"{who}@molam.example", held) for who, held in crowd.items()]
    ballots = [Ballot(who, who, crowd[who], vote) for who, vote in cast if who in crowd]
    return decide(each, electors, ballots).state


@settings(max_examples=400, deadline=None)
@given(rules, rules, crowds, votes, st.integers(0, 2))
def test_what_tighter_rules_approve_looser_ones_approve_too(
    new: Rules, old: Rules, crowd: dict[str, frozenset[str]], cast: list[Any], level: int
):
    joined = strictest(new, old)
    pairs = [(joined, new), (joined, old), (new, old)]

    for tight, loose in pairs:
        # Levels are counted along each one's own steps, and compare where those are the same.
        if not is_tighter(tight, loose) or (level and levels(tight) != levels(loose)):
            continue
        if _state(at_level(tight, level), crowd, cast) == "approved":
            assert _state(at_level(loose, level), crowd, cast) == "approved"


def test_that_a_change_is_no_tightening_is_seen_on_every_axis():
    base = some_rules(
        veto_roles=["cfo"], reject_threshold=2, step_up_max_age_s=60, escalation_role="cfo"
    )
    looser: dict[str, Any] = {
        "quorum": Role(frozenset({"finance_ops"}), 1),
        "ratio": Fraction(1, 2),
        "timeout": Duration(seconds=86401),
        "escalation_role": "ops_admin",
        "escalation": (Escalation(after=Duration(seconds=60), add_roles=frozenset({"x"})),),
        "auto_execute": True,
        "execution_window": Duration(seconds=86401),
        "not_before_delay_s": None,
        "counting": "participation",
        "veto_roles": frozenset(),
        "reject_threshold": 3,
        "objection_window_s": None,
        "min_role_age_s": 86399,
        "step_up_max_age_s": None,
        "typed_confirmation": None,
        "voters_may_execute": True,
    }
    strict = replace(base, not_before_delay_s=5, objection_window_s=5, typed_confirmation=True)

    for name, value in looser.items():
        reset = {"not_before_delay_s": 0, "objection_window_s": 0, "typed_confirmation": False}
        changed = replace(strict, **{name: reset.get(name, value)})
        assert not is_tighter(changed, strict), name

    examined = {*looser, "also", "also_ladders", "calendar"}
    assert examined == {field.name for field in fields(Rules)}, "a new rule needs a comparison"


def test_business_hours_and_wall_time_are_compared_only_where_one_is_surely_shorter():
    office = replace(DEFAULT, timeout=Duration(business_hours=8))

    assert is_tighter(replace(DEFAULT, timeout=Duration(seconds=8 * 3600)), office)
    assert not is_tighter(replace(DEFAULT, timeout=Duration(seconds=8 * 3600 + 1)), office)
    assert not is_tighter(office, replace(DEFAULT, timeout=Duration(seconds=9 * 3600)))


requests = st.fixed_dictionaries(
    {},
    optional={
        "required_quorum": st.builds(
            lambda role, n: {"type": "role", "value": {"role": role, "min_votes": n}},
            st.sampled_from(ROLES),
            st.integers(1, 3),
        ),
        "required_ratio": st.sampled_from([Decimal("0.5"), "3/4", 1, 0]),
        "timeout_seconds": st.sampled_from([60, 3600, 10**6]),
        "escalation_role": st.sampled_from(ROLES),
        "auto_execute": st.booleans(),
    },
)


@settings(deadline=None)
@given(rules, requests)
def test_a_request_can_only_tighten(each: Rules, request_: dict[str, Any]):
    effective = tightened(each, request_)

    assert is_tighter(effective, each) or effective.timeout != each.timeout
    assert is_tighter(replace(effective, timeout=each.timeout), each)
    assert effective.escalation_role == each.escalation_role
    assert effective.auto_execute == (each.auto_execute and request_.get("auto_execute", True))


def test_automatic_execution_needs_the_wish_and_the_policy():
    allowed, refused = some_rules(auto_execute=True), some_rules()

    assert tightened(allowed, {"auto_execute": True}).auto_execute
    assert not tightened(allowed, {"auto_execute": False}).auto_execute
    assert not tightened(refused, {"auto_execute": True}).auto_execute
    assert tightened(allowed, {}).auto_execute


@pytest.mark.parametrize(
    "request_",
    [
        {"timeout_seconds": 59},
        {"timeout_seconds": "x"},
        {"required_ratio": 2},
        {"auto_execute": 1},
        {"required_quorum": {}},
    ],
)
def test_a_request_that_cannot_be_read_is_refused(request_: dict[str, Any]):
    with pytest.raises(PolicyMalformed):
        tightened(some_rules(), request_)


def test_the_escalation_role_joins_when_time_is_up():
    climbing = some_rules(escalation_role="cfo", timeout_seconds="2h")

    assert [(each.after.seconds, each.add_roles) for each in levels(climbing)] == [(7200, {"cfo"})]
    assert at_level(climbing, 0) == climbing
    assert at_level(climbing, 1).quorum == Role(frozenset({"finance_ops", "cfo"}), 2)


def test_steps_come_in_order_and_the_role_last():
    climbing = some_rules(
        escalation=[
            {"after": "1h", "add_roles": ["ops_admin"]},
            {"after": "2h", "add_roles": ["cfo"], "replace": True, "notify": ["duty"]},
        ],
        escalation_role="compliance",
    )

    reached = [at_level(climbing, level).quorum for level in range(4)]

    assert [each.roles for each in reached if isinstance(each, Role)] == [
        {"finance_ops"},
        {"finance_ops", "ops_admin"},
        {"cfo"},
        {"cfo", "compliance"},
    ]
    assert [level.notify for level in levels(climbing)] == [(), ("duty",), ("compliance",)]


def test_escalation_opens_a_quorum_to_its_own_people_only():
    climbing = some_rules(escalation_role="cfo")
    floor = replace(DEFAULT, quorum=Role(frozenset({"compliance"}), 1))

    opened = at_level(strictest(climbing, floor), 1)

    assert {opened.quorum, *opened.also} == {
        Role(frozenset({"finance_ops", "cfo"}), 2),
        Role(frozenset({"compliance"}), 1),
    }


def test_rules_are_said_in_both_languages():
    told = some_rules(required_ratio=Decimal("0.75"), timeout_seconds=7200, escalation_role="cfo")

    assert sentence(told, "fr").replace("\u00a0", " ") == (
        "2 approbations du rôle Opérations financières, au moins 75 % de voix pour, en 2 h. "
        "Après 2 h, le rôle Directeur financier peut aussi décider. Exécution par une personne."
    )
    assert sentence(told, "en").replace("\u00a0", " ") == (
        "2 approvals from Finance operations, at least 75% in favour, within 2 h. "
        "After 2 h, Chief financial officer may decide too. Executed by a person."
    )


@settings(deadline=None)
@given(rules)
def test_every_rule_can_be_said(each: Rules):
    assert sentence(each, "fr")
    assert sentence(each, "en")
