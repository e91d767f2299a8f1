"""A change called a tightening lets nothing more through, whatever is asked for and whenever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from policy_samples import NOW, REGISTRY, a_policy, facts, some_rules

from molam.approvals.policy import cells
from molam.approvals.policy.effect import is_tightening
from molam.approvals.policy.rules import Rules, is_tighter
from molam.approvals.policy.selection import StoredPolicy, select

FEE = {"action_type": "ADJUST_MERCHANT_FEE"}
DAY = timedelta(days=1)


def by(role: str, least: int) -> Rules:
    quorum = {"type": "role", "value": {"role": role, "min_votes": least}}
    return some_rules(required_ratio=1, required_quorum=quorum)


RULES = [by("ops_admin", 1), by("ops_admin", 2), by("ops_admin", 3), by("cfo", 1)]

leaf = st.sampled_from(
    [
        {"params.fee_percentage": {"$gte": 3}},
        {"params.fee_percentage": {"$lt": 5}},
        {"params.fee_percentage": {"$in": [3, 4]}},
        {"params.merchant_id": "m"},
        {"params.merchant_id": {"$ne": "m"}},
        {"params.merchant_id": {"$prefix": "m"}},
        {"params.effective_date": {"$exists": True}},
        {"origin": {"$in": ["sira", "alert"]}},
        {"risk_level": {"$gte": "high"}},
        {"amount": {"$gte": {"currency": "XOF", "minor": 10}}},
        {"amount": {"$gte": 20}},
        {"currency": "XOF"},
        {"tenant.id": "merchant-9"},
        {"$count_over": {"window": "1h", "$gte": 2}},
    ]
)
criteria = st.one_of(
    st.just({}),
    leaf,
    leaf.map(lambda each: {"$not": each}),
    st.tuples(leaf, leaf).map(lambda two: {"$or": list(two)}),
    st.tuples(leaf, leaf).map(lambda two: {"$and": list(two)}),
)
windows = st.sampled_from([(None, None), (NOW + DAY, None), (None, NOW + DAY), (NOW - DAY, NOW)])


@st.composite
def policies(draw: Any, name: str) -> StoredPolicy:
    since, until = draw(windows)
    return a_policy(
        FEE | draw(criteria),
        name=name,
        rules=draw(st.sampled_from(RULES)),
        priority=draw(st.integers(1, 3)),
        baseline=draw(st.booleans()),
        enabled=draw(st.sampled_from([True, True, False])),
        valid_from=since,
        valid_until=until,
    )


sets = st.tuples(policies("a"), policies("b")).map(list)
intents = st.builds(
    lambda fee, merchant, origin, risk, amount, tenant: facts(
        params={"fee_percentage": fee, "merchant_id": merchant},
        origin=origin,
        risk_level=risk,
        tenant={"type": "merchant", "id": tenant},
        target_tenant_id=tenant,
        **({} if amount is None else {"amount": amount}),
    ),
    st.sampled_from(["2", "3", "3.5", "4", "5", None, True]),
    st.sampled_from(["m", "m2", "x", None, 5]),
    st.sampled_from(["sira", "ops_ui"]),
    st.sampled_from(["low", "high", "critical"]),
    st.one_of(
        st.none(),
        st.builds(
            lambda code, minor: {"currency": code, "minor": minor},
            st.sampled_from(["XOF", "GHS"]),
            st.sampled_from([9, 10, 11, 20, 30]),
        ),
    ),
    st.sampled_from(["merchant-9", "merchant-1"]),
)
instants = st.sampled_from([NOW, NOW + DAY - timedelta(seconds=1), NOW + DAY, NOW + 9 * DAY])


@settings(max_examples=100, deadline=None)
@given(
    sets, policies("changed"), st.lists(intents, min_size=5, max_size=30), instants, st.booleans()
)
def test_no_action_is_decided_more_easily_after_a_tightening(
    held: list[StoredPolicy],
    changed: StoredPolicy,
    asked: list[dict[str, Any]],
    at: Any,
    replaces: bool,
):
    after = [changed if replaces else held[0], *held[1:], *([] if replaces else [changed])]
    assume(is_tightening(held, after, REGISTRY, NOW))

    for intent in asked:
        before_rules = select(held, intent, at).rules
        assert is_tighter(select(after, intent, at).rules, before_rules)


def test_equal_sets_tighten_each_other():
    held = [a_policy(FEE)]

    assert is_tightening(held, held, REGISTRY, NOW)


def test_tightening_one_band_of_amounts_is_a_tightening():
    amount = {"amount": {"$gte": {"currency": "XOF", "minor": 1000}}}
    lax = a_policy({"action_type": "REVERSE_PAYOUT"}, name="lax", rules=by("ops_admin", 2))
    band = a_policy(
        {"action_type": "REVERSE_PAYOUT"} | amount,
        name="band",
        rules=by("ops_admin", 3),
        priority=200,
    )

    assert is_tightening([lax], [lax, band], REGISTRY, NOW)
    assert not is_tightening([lax, band], [lax], REGISTRY, NOW)


def test_an_exception_carved_out_of_a_policy_is_a_loosening():
    strict = a_policy(FEE, name="strict", rules=by("ops_admin", 3))
    exception = a_policy(
        FEE | {"tenant.id": "merchant-9"}, name="mine", rules=by("ops_admin", 1), priority=999
    )

    assert not is_tightening([strict], [strict, exception], REGISTRY, NOW)


def test_what_begins_later_counts_from_now_on():
    strict = a_policy(FEE, name="strict", rules=by("ops_admin", 3))
    later = replace(strict, valid_until=NOW + 1000 * DAY)

    assert not is_tightening([strict], [later], REGISTRY, NOW)
    assert is_tightening([later], [strict], REGISTRY, NOW)


def test_a_window_that_has_passed_changes_nothing():
    over = a_policy(FEE, name="over", rules=by("ops_admin", 9), valid_until=NOW)

    assert is_tightening([over], [], REGISTRY, NOW)


def test_too_many_cases_to_look_at_are_no_proof():
    wide = {
        "$or": [
            {path: {"$in": [f"{i}" for i in range(60)]}}
            for path in ("target_tenant_id", "target_tenant_type", "params.merchant_id")
        ]
    }
    strict = a_policy(FEE | wide, rules=by("ops_admin", 3))

    assert not is_tightening([], [strict], REGISTRY, NOW)


def test_looking_at_certain_cases_only_would_call_a_loosening_a_tightening(monkeypatch: Any):
    floor = a_policy(
        FEE | {"params.merchant_id": {"$prefix": "m"}},
        name="unsure",
        rules=by("ops_admin", 3),
        priority=300,
        id=UUID(int=3),
    )
    never = replace(
        floor,
        criteria=a_policy(FEE | {"params.merchant_id": {"$prefix": "m", "$exists": True}}).criteria,
    )
    assert not is_tightening([floor], [never], REGISTRY, NOW)

    original = cells._axes
    monkeypatch.setattr(
        cells,
        "_axes",
        lambda found, types: [
            replace(axis, points=tuple(p for p in axis.points if p is not cells._ABSENT))
            for axis in original(found, types)
        ],
    )

    assert is_tightening([floor], [never], REGISTRY, NOW), "the harness notices"
    unknown = facts(params={"fee_percentage": "3"})
    assert not is_tighter(select([never], unknown, NOW).rules, select([floor], unknown, NOW).rules)
