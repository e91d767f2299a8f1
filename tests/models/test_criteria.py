"""Criteria: refused when they cannot be meant, three-valued when they are asked."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_samples import REGISTRY, facts

from molam.approvals.policy.criteria import (
    Criteria,
    CriteriaMalformed,
    Truth,
    aggregates,
    compile_criteria,
    criteria_json,
    evaluate,
    explained,
    sentence,
)
from molam.kernel.canonical import parse

FEE = {"action_type": "ADJUST_MERCHANT_FEE"}
REVERSE = {"action_type": "REVERSE_PAYOUT"}
FREEZE = {"action_type": "FREEZE_MERCHANT"}
XOF = {"currency": "XOF", "minor": 1_000_000}


def compiled(criteria: dict[str, Any], **how: Any) -> Criteria:
    return compile_criteria(criteria, REGISTRY, **how)


def truth(criteria: dict[str, Any], given_: dict[str, Any], **how: Any) -> Truth:
    return evaluate(compiled(criteria, **how), given_)


def fee(value: object) -> dict[str, Any]:
    return facts(params={"merchant_id": "m", "fee_percentage": value})


def reversal(minor: object, currency: str = "XOF", **params: Any) -> dict[str, Any]:
    amount = {"currency": currency, "minor": minor}
    return facts("REVERSE_PAYOUT", amount=amount, params={"amount": amount, **params})


def test_the_criteria_of_the_specification_compile():
    body = b'{"action_type": "ADJUST_MERCHANT_FEE", "params.fee_percentage": {"$gte": 3.0}}'

    criteria = compile_criteria(parse(body), REGISTRY)

    assert evaluate(criteria, fee("3.5")) is Truth.TRUE
    assert evaluate(criteria, fee("3")) is Truth.TRUE
    assert evaluate(criteria, fee("2.99")) is Truth.FALSE
    assert evaluate(criteria, facts("REVERSE_PAYOUT")) is Truth.FALSE


def test_the_older_words_for_amounts_compile():
    older = compiled(REVERSE | {"min_amount": 1_000_000, "currency": "XOF"})

    assert evaluate(older, reversal(1_000_000)) is Truth.TRUE
    assert evaluate(older, reversal(999_999)) is Truth.FALSE
    assert evaluate(older, reversal(1_000_000, "GHS")) is Truth.FALSE
    assert truth(REVERSE | {"min_amount": 1_000_000}, reversal(1_000_000, "GHS")) is Truth.TRUE


def test_a_bare_number_compares_minor_units_and_says_so():
    criteria = compiled(REVERSE | {"params.amount": {"$gte": 1_000_000}})

    assert evaluate(criteria, reversal(1_000_000)) is Truth.TRUE
    assert "unités mineures" in sentence(criteria, "fr")
    assert "minor units" in sentence(criteria, "en")


def test_amounts_of_different_currencies_do_not_compare():
    criteria = REVERSE | {"amount": {"$gte": XOF}}

    assert truth(criteria, reversal(2_000_000)) is Truth.TRUE
    assert truth(criteria, reversal(2_000_000, "GHS")) is Truth.UNKNOWN


@pytest.mark.parametrize(
    ("criteria", "path"),
    [
        ({}, "criteria"),
        ([], "criteria"),
        (None, "criteria"),
        ({"risk_level": "low"}, "action_type"),
        ({"action_type": {"$exists": True}}, "action_type"),
        ({"action_type": {"$exists": False}, "origin": "sira"}, "action_type"),
        ({"$or": [FEE, {"origin": "sira"}]}, "action_type"),
        ({"$not": FEE}, "action_type"),
        ({"action_type": "NO_SUCH_TYPE"}, "action_type"),
        ({"action_type": {"$regex": ".*"}}, "action_type"),
        ({"action_type": {"$ne": "FREEZE_MERCHANT"}}, "action_type"),
        (FEE | {"params.amuont": {"$gte": 1}}, "params.amuont"),
        (FEE | {"params": 1}, "params"),
        (FEE | {"nothing": 1}, "nothing"),
        (FEE | {"params.fee_percentage": {"gte": 5}}, "params.fee_percentage"),
        (FEE | {"params.fee_percentage": {"$noop": 5}}, "$noop"),
        (FEE | {"params.fee_percentage": {}}, "params.fee_percentage"),
        (FEE | {"params.fee_percentage": {"$gte": "many"}}, "$gte"),
        (FEE | {"params.fee_percentage": {"$gte": True}}, "$gte"),
        (FEE | {"params.fee_percentage": {"$gte": None}}, "$gte"),
        (FEE | {"params.fee_percentage": {"$gte": 3.0}}, "$gte"),
        (FEE | {"params.fee_percentage": {"$gte": "NaN"}}, "$gte"),
        (FEE | {"params.fee_percentage": {"$regex": "3.*"}}, "$regex"),
        (FEE | {"params.fee_percentage": None}, "params.fee_percentage"),
        (FEE | {"params.effective_date": {"$gt": "tomorrow"}}, "$gt"),
        (FEE | {"params.merchant_id": {"$gt": "m"}}, "$gt"),
        (FEE | {"params.merchant_id": {"$regex": "(a"}}, "$regex"),
        (FEE | {"params.merchant_id": {"$regex": "(?=a)"}}, "$regex"),
        (FEE | {"params.merchant_id": {"$regex": "a" * 201}}, "$regex"),
        (FEE | {"params.merchant_id": {"$in": []}}, "$in"),
        (FEE | {"params.merchant_id": {"$in": ["m", 1]}}, "$in[1]"),
        (FEE | {"params.merchant_id": {"$in": [str(i) for i in range(1001)]}}, "$in"),
        (FEE | {"risk_level": "extreme"}, "risk_level"),
        (FEE | {"origin": "somewhere"}, "origin"),
        (FEE | {"context.confidence": {"$lt": "0.9"}}, "context.confidence"),
        (FEE | {"context.alert_id": "a"}, "context.alert_id"),
        (FEE | {"$and": []}, "$and"),
        (FEE | {"$xor": [FEE]}, "$xor"),
        (REVERSE | {"amount": {"$gte": Decimal("1000.5")}}, "$gte"),
        (REVERSE | {"amount": {"$gte": {"currency": "ZZZ", "minor": 1}}}, "$gte"),
        (REVERSE | {"amount": {"$gte": {"currency": "XOF", "minor": "1"}}}, "minor"),
        (REVERSE | {"amount": {"$gte": 1}, "min_amount": 1}, "amount"),
        (REVERSE | {"params.tags": {"$elem": {"$size": 1}}}, "$elem"),
        (REVERSE | {"params.tags": {"$all": "x"}}, "$all"),
        (REVERSE | {"params.ip": {"$cidr": "10.0.0.1/8"}}, "$cidr"),
        (FREEZE | {"params.mode": "medium"}, "params.mode"),
        (FREEZE | {"params.urgent": {"$gt": False}}, "$gt"),
        (FREEZE | {"params.duration": {"$gt": "long"}}, "$gt"),
        (REVERSE | {"$sum_over": {"field": "amount", "window": "24h"}}, "$sum_over"),
        (REVERSE | {"$sum_over": {"field": "params.tags", "window": "24h", "$gt": 1}}, "field"),
        (REVERSE | {"$sum_over": {"field": "amount", "window": "8bh", "$gt": 1}}, "window"),
        (REVERSE | {"$count_over": {"field": "amount", "window": "1h", "$gt": 1}}, "field"),
        (
            REVERSE | {"$count_over": {"window": "1h", "group_by": ["params.x"], "$gt": 1}},
            "group_by",
        ),
        (REVERSE | {"$count_over": {"window": "1h", "where": {"origin": "x"}, "$gt": 1}}, "where"),
        (
            {"action_type": {"$in": ["FREEZE_MERCHANT", "REVERSE_PAYOUT"]}, "params.mode": "hard"},
            "params.mode",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_path(criteria: Any, path: str):
    with pytest.raises(CriteriaMalformed) as refused:
        compile_criteria(criteria, REGISTRY)

    assert path in refused.value.detail


def test_every_action_is_matched_only_on_purpose():
    purpose = {"action_type": {"$exists": True}}

    assert truth(purpose | {"risk_level": "low"}, facts(risk_level="low")) is Truth.TRUE
    assert truth(purpose, facts(), baseline=True) is Truth.TRUE


def test_confidence_is_asked_for_in_floors_only():
    floor = compiled(FEE | {"context.confidence": {"$lt": Decimal("0.9")}}, baseline=True)

    assert evaluate(floor, facts(context={"confidence": Decimal("0.8")})) is Truth.TRUE
    assert evaluate(floor, facts(context={})) is Truth.UNKNOWN


@pytest.mark.parametrize("value", ["many", None, [3], {"a": 1}, True, "NaN", "Infinity", "", 3.5])
def test_a_value_of_the_wrong_kind_is_unknown_and_never_false(value: object):
    for operator in ("$gte", "$lt", "$eq", "$ne"):
        criteria = FEE | {"params.fee_percentage": {operator: "3"}}
        assert truth(criteria, fee(value)) is Truth.UNKNOWN

    assert truth(FEE | {"params.fee_percentage": {"$nin": ["3"]}}, fee(value)) is Truth.UNKNOWN
    assert (
        truth(FEE | {"$not": {"params.fee_percentage": {"$gte": 3}}}, fee(value)) is Truth.UNKNOWN
    )


def test_what_is_missing_is_unknown_but_for_exists():
    absent = facts(params={})

    assert truth(FEE | {"params.fee_percentage": {"$ne": 3}}, absent) is Truth.UNKNOWN
    assert truth(FEE | {"params.fee_percentage": {"$exists": False}}, absent) is Truth.TRUE
    assert (
        truth(FEE | {"params.fee_percentage": {"$exists": True, "$gt": 3}}, absent) is Truth.FALSE
    )


@pytest.mark.parametrize(
    ("test", "params", "expected"),
    [
        ({"params.mode": "hard"}, {"mode": "hard"}, True),
        ({"params.mode": {"$in": ["hard"]}}, {"mode": "soft"}, False),
        ({"params.urgent": True}, {"urgent": True}, True),
        ({"params.count": {"$gt": 3}}, {"count": 3}, False),
        ({"params.duration": {"$gte": "24h"}}, {"duration": "1d"}, True),
        ({"params.duration": {"$gte": "24h"}}, {"duration": "12h"}, False),
        ({"params.reason": {"$regex": "fraud.*"}}, {"reason": "fraud ring"}, True),
        ({"params.reason": {"$regex": "fraud"}}, {"reason": "fraud ring"}, False),
        ({"params.reason": {"$prefix": "fraud"}}, {"reason": "fraud ring"}, True),
        ({"risk_level": {"$gte": "high"}}, {}, False),
        ({"risk_level": {"$lte": "high"}}, {}, True),
        ({"tenant.id": "merchant-123"}, {}, True),
        ({"target_tenant_id": "another"}, {}, False),
        ({"$nor": [{"origin": "sira"}, {"origin": "alert"}]}, {}, True),
        ({"$or": [{"origin": "sira"}, {"params.count": {"$eq": 2}}]}, {"count": 2}, True),
    ],
)
def test_operators_mean_what_they_say(test: Any, params: dict[str, Any], expected: bool):
    said = truth(FREEZE | test, facts("FREEZE_MERCHANT", params=params))

    assert said is (Truth.TRUE if expected else Truth.FALSE)


@pytest.mark.parametrize(
    ("test", "params", "expected"),
    [
        ({"params.tags": {"$size": 2}}, {"tags": ["a", "b"]}, Truth.TRUE),
        ({"params.tags": {"$all": ["a"]}}, {"tags": ["a", "b"]}, Truth.TRUE),
        ({"params.tags": {"$all": ["c"]}}, {"tags": ["a", "b"]}, Truth.FALSE),
        ({"params.tags": {"$elem": {"$prefix": "a"}}}, {"tags": ["ab"]}, Truth.TRUE),
        ({"params.tags": {"$elem": {"$prefix": "a"}}}, {"tags": [1]}, Truth.UNKNOWN),
        ({"params.tags": {"$size": 2}}, {"tags": "ab"}, Truth.UNKNOWN),
        ({"params.ip": {"$cidr": "10.0.0.0/8"}}, {"ip": "10.1.2.3"}, Truth.TRUE),
        ({"params.ip": {"$cidr": "10.0.0.0/8"}}, {"ip": "11.1.2.3"}, Truth.FALSE),
        ({"params.ip": {"$cidr": "10.0.0.0/8"}}, {"ip": "somewhere"}, Truth.UNKNOWN),
    ],
)
def test_lists_and_networks_are_looked_into(test: Any, params: dict[str, Any], expected: Truth):
    assert truth(REVERSE | test, reversal(1, **params)) is expected


def test_sums_are_declared_and_taken_from_the_history():
    splitting = compiled(REVERSE | {"$sum_over": {"field": "amount", "window": "24h", "$gt": XOF}})
    (aggregate,) = aggregates(splitting)
    above, below = ({"history": {aggregate.key: n}} for n in (1_000_001, 1_000_000))

    assert aggregate.action_types == ("REVERSE_PAYOUT",)
    assert evaluate(splitting, reversal(1) | above) is Truth.TRUE
    assert evaluate(splitting, reversal(1) | below) is Truth.FALSE
    assert evaluate(splitting, reversal(1)) is Truth.UNKNOWN
    assert evaluate(splitting, reversal(1, "GHS") | above) is Truth.UNKNOWN


def test_counts_have_no_field():
    often = compiled(REVERSE | {"$count_over": {"window": "1h", "$gte": 3, "group_by": []}})
    (aggregate,) = aggregates(often)

    assert evaluate(often, reversal(1) | {"history": {aggregate.key: 3}}) is Truth.TRUE


def test_nesting_and_operators_have_limits():
    deep: dict[str, Any] = FEE
    for _ in range(9):
        deep = {"$not": deep}
    wide = {"$or": [FEE for _ in range(64)]}

    for criteria in (FEE | deep, FEE | wide):
        with pytest.raises(CriteriaMalformed):
            compiled(criteria)


def test_a_catastrophic_pattern_answers_at_once():
    criteria = compiled(FREEZE | {"params.reason": {"$regex": "(a+)+b"}})
    given_ = facts("FREEZE_MERCHANT", params={"reason": "a" * 4000})

    start = time.perf_counter()
    said = evaluate(criteria, given_)

    assert said is Truth.FALSE
    assert time.perf_counter() - start < 0.05


def test_criteria_that_types_moved_away_from_are_unknown_when_stored():
    gone = {"action_type": "FREEZE_MERCHANT", "params.gone": 1}

    with pytest.raises(CriteriaMalformed):
        compiled(gone)
    kept = compiled(gone, stored=True)

    assert evaluate(kept, facts("FREEZE_MERCHANT")) is Truth.UNKNOWN
    assert evaluate(kept, facts("REVERSE_PAYOUT")) is Truth.FALSE


def test_each_comparison_is_explained():
    criteria = compiled(FEE | {"params.fee_percentage": {"$gte": 3}})

    said, tests = explained(criteria, fee("2"))

    assert said is Truth.FALSE
    assert tests == [
        {"test": {"action_type": {"$eq": "ADJUST_MERCHANT_FEE"}}, "truth": "true"},
        {"test": {"params.fee_percentage": {"$gte": "3"}}, "truth": "false"},
    ]


def test_equal_criteria_are_written_equally():
    one = compiled({"params.fee_percentage": {"$gte": Decimal("3.00")}, **FEE})
    other = compiled({"$and": [FEE, {"$and": [{"params.fee_percentage": {"$gte": "3"}}]}, FEE]})

    assert criteria_json(one) == criteria_json(other)
    assert one == other


decimals = st.decimals(0, 9, places=2)
leaf = st.one_of(
    st.builds(
        lambda op, d: {"params.fee_percentage": {op: d}},
        st.sampled_from(["$gte", "$lt", "$eq", "$ne"]),
        decimals,
    ),
    st.builds(
        lambda ds: {"params.fee_percentage": {"$in": ds}},
        st.lists(decimals, min_size=1, max_size=3),
    ),
    st.builds(lambda o: {"origin": o}, st.sampled_from(["sira", "ops_ui"])),
    st.builds(
        lambda n, flag: {"params.merchant_id": {"$prefix": n, "$exists": flag}},
        st.sampled_from(["m", "x"]),
        st.booleans(),
    ),
    st.builds(lambda n: {"$count_over": {"window": "1h", "$gte": n}}, st.integers(1, 3)),
)
trees = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"$and": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"$or": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"$nor": each}),
        inner.map(lambda each: {"$not": each}),
    ),
    max_leaves=6,
)
intents = st.builds(
    lambda value, origin, merchant, count: facts(
        params={"fee_percentage": value, "merchant_id": merchant}, origin=origin, history=count
    ),
    st.one_of(decimals.map(str), st.sampled_from([None, "x", True])),
    st.sampled_from(["sira", "ops_ui", 3]),
    st.sampled_from(["m1", "x1", None, 4]),
    st.just({}),
)


@settings(deadline=None)
@given(trees, intents)
def test_criteria_compile_to_what_they_are_written_as(tree: dict[str, Any], intent: dict[str, Any]):
    criteria = compiled(FEE | tree)

    again = compile_criteria(parse(json.dumps(criteria_json(criteria)).encode()), REGISTRY)

    assert again == criteria
    assert evaluate(again, intent) is evaluate(criteria, intent)


@settings(deadline=None)
@given(trees)
def test_every_criterion_can_be_said(tree: dict[str, Any]):
    criteria = compiled(FEE | tree)

    assert sentence(criteria, "fr").startswith("Changer les frais d'un marchand (ADJUST_MERCHANT")
    assert sentence(criteria, "en").startswith("Change a merchant's fee (ADJUST_MERCHANT_FEE)")


@settings(deadline=None)
@given(trees, intents, st.sampled_from(["params", "origin", "history"]))
def test_a_wrong_kind_makes_unknown_of_an_answer_and_never_the_other_answer(
    tree: dict[str, Any], intent: dict[str, Any], spoiled: str
):
    criteria = compiled(FEE | tree)
    wrong = intent | {
        spoiled: {"fee_percentage": ["3"], "merchant_id": 5} if spoiled == "params" else 7
    }
    there = {key: value is not None for key, value in intent["params"].items()}

    before, after = evaluate(criteria, intent), evaluate(criteria, wrong)

    if all(there.values()):
        assert after in {before, Truth.UNKNOWN}


def test_criteria_are_said_as_people_write_them():
    criteria = compiled(FEE | {"params.fee_percentage": {"$gte": Decimal("3.0")}})
    banded = compiled(
        REVERSE | {"amount": {"$gte": XOF, "$lt": {"currency": "XOF", "minor": 5_000_000}}}
    )

    said = [
        sentence(each, "fr").replace("\u00a0", " ").replace("\u202f", " ")
        for each in (criteria, banded)
    ]

    assert said == [
        "Changer les frais d'un marchand (ADJUST_MERCHANT_FEE) si frais ≥ 3,0 %",
        "Reprendre un versement (REVERSE_PAYOUT) si montant ≥ 1 000 000 F CFA et montant < 5 000 000 F CFA",
    ]
    assert sentence(criteria, "en") == (
        "Change a merchant's fee (ADJUST_MERCHANT_FEE) if fee ≥ 3.0%"
    )
