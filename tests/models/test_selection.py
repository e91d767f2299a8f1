"""Which policy decides: by order, with floors, and never laxer for what nobody knows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_samples import NOW, a_policy, facts, some_rules

from molam.approvals.policy import selection
from molam.approvals.policy.quorum import Role
from molam.approvals.policy.rules import DEFAULT, Rules, is_tighter, normalised, strictest
from molam.approvals.policy.selection import StoredPolicy, replay, replayed, select

FEE = {"action_type": "ADJUST_MERCHANT_FEE"}
HIGH = FEE | {"params.fee_percentage": {"$gte": 3}}

ONE = some_rules(
    required_ratio=1, required_quorum={"type": "role", "value": {"role": "cfo", "min_votes": 1}}
)
MANY = some_rules(
    required_ratio=1, required_quorum={"type": "role", "value": {"role": "cfo", "min_votes": 4}}
)
FLOOR = some_rules(
    required_ratio=1,
    required_quorum={"type": "role", "value": {"role": "compliance", "min_votes": 1}},
)


def fee(value: object, **more: Any) -> dict[str, Any]:
    return facts(params={"merchant_id": "m", "fee_percentage": value}, **more)


def test_what_no_policy_speaks_of_is_decided_by_the_built_in_one():
    chosen = select([a_policy(HIGH)], fee("2"), NOW)

    assert (chosen.policy.name, chosen.policy.id, chosen.policy.version) == ("__default__", None, 1)
    assert chosen.rules == DEFAULT
    assert DEFAULT.quorum == Role(frozenset({"ops_admin"}), 2)
    assert (DEFAULT.ratio, DEFAULT.auto_execute) == (Fraction(1), False)


def test_the_higher_priority_wins():
    low, high = (
        a_policy(FEE, name="low", priority=1),
        a_policy(FEE, name="high", priority=2, rules=ONE),
    )

    chosen = select([low, high], fee("3"), NOW)

    assert (chosen.policy.name, chosen.rules) == ("high", ONE)


def test_a_tie_takes_the_strictest_and_is_named_after_the_more_specific():
    wide, narrow = a_policy(FEE, name="wide", rules=MANY), a_policy(HIGH, name="narrow", rules=ONE)

    chosen = select([wide, narrow], fee("3"), NOW)

    assert chosen.policy.name == "narrow"
    assert chosen.rules == strictest(ONE, MANY)
    assert chosen.trace["tie"] == ["wide"]


def test_a_newer_policy_does_not_win_by_being_new():
    old = a_policy(FEE, name="old", rules=MANY)
    new = a_policy(FEE, name="new", rules=ONE, created_at=NOW + timedelta(days=1))

    assert select([new, old], fee("3"), NOW).policy.name == "old"


@pytest.mark.parametrize("given_", [None, "many", True, [3], 3.5])
def test_a_policy_that_cannot_be_evaluated_tightens_what_stands_below(given_: object):
    strict = a_policy(HIGH, name="strict", priority=2, rules=MANY)
    lax = a_policy(FEE, name="lax", priority=1, rules=ONE)

    chosen = select([strict, lax], fee(given_), NOW)

    assert chosen.policy.name == "lax"
    assert chosen.rules == strictest(MANY, ONE)
    assert chosen.trace["merged"] == [{"name": "strict", "version": 1}]


def test_without_a_winner_what_cannot_be_evaluated_tightens_the_built_in_one():
    chosen = select([a_policy(HIGH, rules=MANY)], fee(None), NOW)

    assert (chosen.policy.name, chosen.rules) == ("__default__", strictest(DEFAULT, MANY))


def test_a_policy_that_cannot_be_evaluated_below_the_winner_changes_nothing():
    above, below = (
        a_policy(FEE, name="above", priority=2, rules=ONE),
        a_policy(HIGH, priority=1, rules=MANY),
    )

    assert select([above, below], fee(None), NOW).rules == ONE


def test_a_floor_is_added_to_whoever_wins_and_never_wins():
    floor = a_policy(
        {"action_type": {"$exists": True}}, name="floor", baseline=True, priority=500, rules=FLOOR
    )
    winner = a_policy(FEE, name="winner", rules=ONE)

    assert select([floor, winner], fee("3"), NOW).rules == strictest(ONE, FLOOR)
    assert select([floor, winner], fee("3"), NOW).policy.name == "winner"
    assert select([floor], fee("3"), NOW).rules == strictest(DEFAULT, FLOOR)


def test_a_policy_holds_from_its_first_instant_and_no_longer_at_its_last():
    until = NOW + timedelta(days=1)
    timed = a_policy(FEE, name="timed", valid_from=NOW, valid_until=until)

    for at, name in (
        (NOW - timedelta(microseconds=1), "__default__"),
        (NOW, "timed"),
        (until - timedelta(microseconds=1), "timed"),
        (until, "__default__"),
    ):
        assert select([timed], fee("3"), at).policy.name == name


def test_a_disabled_policy_does_not_count():
    assert select([a_policy(FEE, enabled=False)], fee("3"), NOW).policy.name == "__default__"


def test_a_policy_of_one_tenant_never_fits_another():
    theirs = a_policy(FEE | {"tenant.id": "merchant-9"}, name="theirs", rules=ONE)

    assert select([theirs], fee("3"), NOW).policy.name == "__default__"


HISTORY = {"$count_over": {"window": "1h", "$gte": 3}}


def test_a_selection_is_replayed_from_its_trace():
    policies = [
        a_policy(HIGH, name="high", priority=3, rules=MANY),
        a_policy(FEE | HISTORY, name="often", priority=2, rules=MANY),
        a_policy(FEE, name="any", priority=1, rules=ONE),
        a_policy({"action_type": {"$exists": True}}, name="floor", baseline=True, rules=FLOOR),
    ]
    key = next(iter(selection.aggregates(policies[1].criteria))).key
    intent = fee("x", history={key: 2, "of no interest": 9})

    chosen = select(policies, intent, NOW)
    trace = json.loads(json.dumps(chosen.trace))
    rules_of = {(each.name, each.version): each.rules for each in policies}

    assert trace["history"] == {key: 2}
    assert replay(trace, rules_of) == chosen.rules
    assert replayed(trace, fee("x"), policies, NOW) == chosen


def test_the_trace_tells_what_each_policy_came_to():
    chosen = select([a_policy(HIGH, name="high")], fee("2"), NOW)

    (told,) = chosen.trace["policies"]

    assert (told["name"], told["truth"]) == ("high", "false")
    assert [test["truth"] for test in told["tests"]] == ["true", "false"]


criteria = st.sampled_from(
    [
        FEE,
        HIGH,
        FEE | {"params.fee_percentage": {"$lt": 3}},
        FEE | {"params.merchant_id": "m"},
        FEE | {"$not": {"params.merchant_id": "m"}},
        FEE | {"$or": [{"params.fee_percentage": {"$gt": 5}}, {"risk_level": "high"}]},
        FEE | {"target_tenant_id": {"$ne": "merchant-123"}},
    ]
)
policy = st.builds(
    lambda given_, rules, priority, baseline, name: a_policy(
        given_, name=name, rules=rules, priority=priority, baseline=baseline
    ),
    criteria,
    st.sampled_from([ONE, MANY, FLOOR, DEFAULT]),
    st.integers(1, 3),
    st.booleans(),
    st.text("abcdef", min_size=1, max_size=4),
)
policies = st.lists(policy, max_size=5, unique_by=lambda each: each.name)
spoils = st.sampled_from(
    [
        ("fee_percentage", ["3"]),
        ("fee_percentage", True),
        ("merchant_id", 3),
        ("risk_level", 5),
        ("target_tenant_id", []),
    ]
)


def _laxer_when_spoiled(
    held: list[StoredPolicy], value: str, spoil: tuple[str, Any]
) -> tuple[Rules, Rules]:
    right = fee(value)
    name, wrong = spoil
    if name in right["params"]:
        spoiled = right | {"params": right["params"] | {name: wrong}}
    else:
        spoiled = right | {name: wrong}
    return select(held, right, NOW).rules, select(held, spoiled, NOW).rules


@settings(deadline=None)
@given(policies, st.sampled_from(["2", "3", "6"]), spoils)
def test_a_field_of_the_wrong_kind_never_makes_rules_laxer(
    held: list[StoredPolicy], value: str, spoil: tuple[str, Any]
):
    right, wrong = _laxer_when_spoiled(held, value, spoil)

    assert is_tighter(wrong, right)


def test_skipping_what_cannot_be_evaluated_would_make_rules_laxer(monkeypatch: pytest.MonkeyPatch):
    held = [
        a_policy(HIGH, name="a", priority=2, rules=MANY),
        a_policy(FEE, name="b", priority=1, rules=ONE),
    ]
    monkeypatch.setattr(selection, "_before", lambda _ordinary, _winner: [])

    right, wrong = _laxer_when_spoiled(held, "3", ("fee_percentage", True))

    assert not is_tighter(wrong, right)


@settings(deadline=None)
@given(policies, st.sampled_from(["2", "3", "6", None]), st.randoms())
def test_the_order_in_which_policies_are_read_makes_no_difference(
    held: list[StoredPolicy], value: str | None, random: Any
):
    held = [replace(each, id=None) for each in held]
    shuffled = random.sample(held, len(held))

    assert select(held, fee(value), NOW).rules == select(shuffled, fee(value), NOW).rules


@settings(deadline=None)
@given(policies, st.sampled_from(["2", "3", "6", None]))
def test_a_selection_is_never_laxer_than_any_floor(held: list[StoredPolicy], value: str | None):
    chosen = select(held, fee(value), NOW)

    for each in held:
        if each.baseline and each.name in {name["name"] for name in chosen.trace["merged"]}:
            assert is_tighter(chosen.rules, each.rules)
    assert chosen.rules == normalised(chosen.rules)
