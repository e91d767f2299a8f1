"""Quorums: every shape that is in use is read, and nothing that names nobody."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from fractions import Fraction

import decision_oracle as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.approvals.policy.decision import Elector
from molam.approvals.policy.quorum import (
    AllOf,
    AnyOf,
    Percentage,
    PolicyMalformed,
    Role,
    Stages,
    Users,
    pin,
    quorum_json,
    read_quorum,
    roles_in,
    users_in,
    widened,
)
from molam.approvals.policy.quorum_tree import leaves
from molam.kernel.canonical import parse

FIN, OPS = frozenset({"finance_ops"}), frozenset({"ops_admin"})
TWO_FIN = {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}}

READ = [
    (TWO_FIN, Role(FIN, 2)),
    ({"type": "role", "value": {"role": "finance_ops"}}, Role(FIN, 1)),
    (
        {"type": "role", "value": {"roles": ["finance_ops", "ops_admin"], "min_votes": "3"}},
        Role(FIN | OPS, 3),
    ),
    ({"type": "role", "role": "finance_ops", "min_count": 2}, Role(FIN, 2)),
    ({"type": "role", "role": "finance_ops", "min_count": 2, "threshold_pct": None}, Role(FIN, 2)),
    ({"type": "role", "role": "finance_ops", "value": 2}, Role(FIN, 2)),
    ({"type": "role", "role": "finance_ops", "value": Decimal("2.0")}, Role(FIN, 2)),
    (
        {"type": "percentage", "value": {"percentage": Decimal("0.5"), "pool": ["b", "a"]}},
        Percentage(frozenset(), ("a", "b"), Fraction(1, 2)),
    ),
    (
        {"type": "percentage", "value": {"role": "ops_admin", "percent": "2/3"}},
        Percentage(OPS, (), Fraction(2, 3)),
    ),
    (
        {"type": "percentage", "value": {"role": "ops_admin", "percent": 60}},
        Percentage(OPS, (), Fraction(3, 5)),
    ),
    (
        {"type": "percentage", "value": {"role": "ops_admin", "percentage": 1}},
        Percentage(OPS, (), Fraction(1)),
    ),
    (
        {"type": "percentage", "value": {"role": "ops_admin", "pool": ["a"], "percent": "0.25"}},
        Percentage(OPS, ("a",), Fraction(1, 4)),
    ),
    ({"type": "specific_users", "value": {"users": ["b", "a"]}}, Users(("a", "b"), 2)),
    (
        {"type": "specific_users", "value": {"users": ["a", "b"], "min_votes": "all"}},
        Users(("a", "b"), 2),
    ),
    (
        {"type": "specific_users", "value": {"users": ["a", "b"], "min_votes": 1}},
        Users(("a", "b"), 1),
    ),
    ({"type": "all_of", "value": [TWO_FIN]}, AllOf((Role(FIN, 2),))),
    ({"type": "any_of", "parts": [TWO_FIN, TWO_FIN]}, AnyOf((Role(FIN, 2), Role(FIN, 2)))),
    ({"type": "stages", "value": {"parts": [TWO_FIN]}}, Stages((Role(FIN, 2),))),
]


@pytest.mark.parametrize(("written", "expected"), READ)
def test_every_shape_in_use_is_read(written: object, expected: object):
    assert read_quorum(written) == expected


def test_a_share_and_a_number_together_are_both_wanted():
    quorum = read_quorum(
        {"type": "role", "role": "finance_ops", "min_count": 2, "threshold_pct": 60}
    )

    assert isinstance(quorum, Percentage)
    assert [quorum.need(now) for now in (0, 1, 2, 3, 4, 5, 10)] == [2, 2, 2, 2, 3, 3, 6]


ANY = {"type": "any_of", "value": [TWO_FIN] * 9}
DEEP = "".join('{"type":"all_of","value":[' for _ in range(9)) + "{}" + "]}" * 9

MALFORMED = [
    (2, "required_quorum"),
    (None, "required_quorum"),
    ([], "required_quorum"),
    ({}, "required_quorum.type"),
    ({"type": "roles"}, "required_quorum.type"),
    ({"type": ["role"]}, "required_quorum.type"),
    ({"type": "role", "value": 2}, "required_quorum.role"),
    ({"type": "role", "value": {}}, "required_quorum.value.role"),
    ({"type": "role", "value": {"role": ""}}, "required_quorum.value.role"),
    ({"type": "role", "value": {"role": " ops"}}, "required_quorum.value.role"),
    ({"type": "role", "value": {"role": "a\u202eb"}}, "required_quorum.value.role"),
    ({"type": "role", "value": {"role": None}}, "required_quorum.value.role"),
    ({"type": "role", "value": {"roles": []}}, "required_quorum.value.roles"),
    ({"type": "role", "value": {"roles": "ops"}}, "required_quorum.value.roles"),
    ({"type": "role", "value": {"roles": ["a", "a"]}}, "required_quorum.value.roles"),
    ({"type": "role", "value": {"roles": ["a", 1]}}, "required_quorum.value.roles[1]"),
    ({"type": "role", "value": {"role": "a", "roles": ["b"]}}, "required_quorum.value.roles"),
    (
        {"type": "role", "value": {"role": "a", "min_votes": 0}},
        "required_quorum.value.min_votes",
    ),
    (
        {"type": "role", "value": {"role": "a", "min_votes": True}},
        "required_quorum.value.min_votes",
    ),
    (
        {"type": "role", "value": {"role": "a", "min_votes": Decimal("1.5")}},
        "required_quorum.value.min_votes",
    ),
    (
        {"type": "role", "value": {"role": "a", "min_votes": Decimal("NaN")}},
        "required_quorum.value.min_votes",
    ),
    (
        {"type": "role", "value": {"role": "a", "min_votes": Decimal("1E+999999")}},
        "required_quorum.value.min_votes",
    ),
    (
        {"type": "role", "value": {"role": "a", "min_votes": 2.0}},
        "required_quorum.value.min_votes",
    ),
    (
        {"type": "role", "value": {"role": "a", "min_votes": 1, "min_count": 1}},
        "required_quorum.value.min_count",
    ),
    (
        {"type": "role", "value": {"role": "a", "min_vote": 2}},
        "required_quorum.value.min_vote",
    ),
    ({"type": "role", "value": {"role": "a"}, "min_votes": 2}, "required_quorum.min_votes"),
    ({"type": "percentage", "value": {"role": "a"}}, "required_quorum.value.percentage"),
    (
        {"type": "percentage", "value": {"percentage": "0.5"}},
        "required_quorum.value.role",
    ),
    (
        {"type": "percentage", "value": {"role": "a", "percentage": 0.5}},
        "required_quorum.value.percentage",
    ),
    (
        {"type": "percentage", "value": {"role": "a", "percentage": 0}},
        "required_quorum.value.percentage",
    ),
    (
        {"type": "percentage", "value": {"role": "a", "percentage": "1.5"}},
        "required_quorum.value.percentage",
    ),
    (
        {"type": "percentage", "value": {"role": "a", "percentage": 101}},
        "required_quorum.value.percentage",
    ),
    (
        {"type": "percentage", "value": {"role": "a", "percentage": "1/0"}},
        "required_quorum.value.percentage",
    ),
    (
        {"type": "percentage", "value": {"role": "a", "percentage": "-1/2"}},
        "required_quorum.value.percentage",
    ),
    (
        {"type": "percentage", "value": {"role": "a", "percentage": "1", "percent": "1"}},
        "required_quorum.value.percentage",
    ),
    (
        {"type": "percentage", "value": {"pool": [], "percentage": "1"}},
        "required_quorum.value.pool",
    ),
    ({"type": "specific_users", "value": {}}, "required_quorum.value.users"),
    ({"type": "specific_users", "value": {"users": []}}, "required_quorum.value.users"),
    ({"type": "specific_users", "value": {"users": ["a", "a"]}}, "required_quorum.value.users"),
    (
        {"type": "specific_users", "value": {"users": ["a"], "min_votes": 2}},
        "required_quorum.value.min_votes",
    ),
    (
        {"type": "specific_users", "value": {"users": ["a"], "reserves": ["ops"]}},
        "required_quorum.value.reserves",
    ),
    ({"type": "all_of"}, "required_quorum"),
    ({"type": "all_of", "value": []}, "required_quorum.value"),
    ({"type": "all_of", "value": TWO_FIN}, "required_quorum.value"),
    ({"type": "any_of", "value": [TWO_FIN, {}]}, "required_quorum.value[1].type"),
    ({"type": "any_of", "value": [TWO_FIN], "min_votes": 1}, "required_quorum"),
    (
        {"type": "stages", "parts": [{"type": "any_of", "value": [{"type": "role"}]}]},
        "required_quorum.parts[0].value[0].role",
    ),
    ({"type": "all_of", "value": [ANY, ANY]}, "required_quorum"),
    (
        {"type": "all_of", "value": [{"type": "all_of", "value": [TWO_FIN] * 22}] * 3},
        "required_quorum",
    ),
    (parse(DEEP.encode()), "required_quorum" + ".value[0]" * 8),
]


@pytest.mark.parametrize(("written", "path"), MALFORMED)
def test_what_is_not_a_quorum_is_refused_with_its_place(written: object, path: str):
    with pytest.raises(PolicyMalformed) as refused:
        read_quorum(written)

    assert refused.value.facts["path"] == path
    assert refused.value.detail.startswith(f"{path} ")


def test_a_path_begins_where_the_caller_says():
    with pytest.raises(PolicyMalformed, match=r"^policy\.quorum\.type is one of"):
        read_quorum({}, "policy.quorum")


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_is_written_is_read_back(rnd: random.Random):
    quorum = oracle.a_quorum(rnd, ["ada", "bo", "cy"])
    plain = all(not getattr(leaf, "reserves", None) for leaf in leaves(quorum))

    written = parse(json.dumps(quorum_json(quorum)).encode())

    if plain:
        assert read_quorum(written) == quorum
    else:
        with pytest.raises(PolicyMalformed, match="reserves is not known"):
            read_quorum(written)


def test_equal_quorums_are_written_equally():
    first = Users(("b", "a"), 1), Percentage(OPS | FIN, ("d", "c"), Fraction(1, 2))
    second = Users(("a", "b"), 1), Percentage(FIN | OPS, ("c", "d"), Fraction(2, 4))

    assert first == second
    assert json.dumps(list(map(quorum_json, first))) == json.dumps(list(map(quorum_json, second)))


def test_a_pool_is_pinned_at_its_size_and_never_at_less():
    electors = [
        Elector("a", "A", "", FIN),
        Elector("b", "B", "", OPS),
        Elector("c", "C", "", frozenset()),
    ]
    quorum = AllOf((Percentage(FIN, ("c", "gone"), Fraction(1, 2)), Role(OPS, 1)))

    pinned = pin(quorum, electors)

    assert pinned == AllOf((Percentage(FIN, ("c", "gone"), Fraction(1, 2), base=2), Role(OPS, 1)))
    assert pin(pinned, electors[:1]) == pinned


def test_a_widened_quorum_has_as_many_slots_and_more_who_may_fill_them():
    quorum = Stages((Role(FIN, 2), AnyOf((Users(("a",), 1), Percentage(FIN, (), Fraction(1, 2))))))

    wide = widened(quorum, OPS)

    assert roles_in(wide) == FIN | OPS
    assert users_in(wide) == {"a"}
    assert [type(leaf) for leaf in leaves(wide)] == [Role, Users, Percentage]
    assert leaves(wide)[0] == Role(FIN | OPS, 2)


def test_roles_and_users_of_every_part_are_found():
    quorum = AllOf((AnyOf((Role(FIN, 1), Users(("a",), 1))), Percentage(OPS, ("b",), Fraction(1))))

    assert roles_in(quorum) == FIN | OPS
    assert users_in(quorum) == {"a", "b"}
