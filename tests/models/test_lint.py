"""The linter finds what a policy probably does not mean."""

from __future__ import annotations

from typing import Any

import pytest
from policy_samples import REGISTRY, a_policy, some_rules

from molam.approvals.policy.lint import Finding, lint
from molam.approvals.policy.selection import StoredPolicy

FEE = {"action_type": "ADJUST_MERCHANT_FEE"}
REVERSE = {"action_type": "REVERSE_PAYOUT"}


def findings(policy: StoredPolicy, *others: StoredPolicy) -> dict[str, Finding]:
    return {each.code: each for each in lint(policy, others, REGISTRY)}


def amounts(low: int | None = None, high: int | None = None, **more: Any) -> StoredPolicy:
    bounds = {"$gte": low} if low is not None else {}
    bounds |= {"$lt": high} if high is not None else {}
    said = {op: {"currency": "XOF", "minor": minor} for op, minor in bounds.items()}
    return a_policy(REVERSE | {"amount": said}, **more)


def test_a_plain_policy_is_left_alone():
    assert findings(a_policy(FEE)) == {}


@pytest.mark.parametrize("ratio", ["0.67", "0.6667", "0.66", "0.33", "0.333"])
def test_a_ratio_that_almost_is_a_third_is_asked_about(ratio: str):
    found = findings(a_policy(FEE, rules=some_rules(required_ratio=ratio)))

    assert set(found) == {"ratio-near-miss"}
    assert "/3" in found["ratio-near-miss"].sentence_fr


@pytest.mark.parametrize("ratio", ["2/3", "0.75", "1/2", "0.6", "1/3"])
def test_a_ratio_that_is_meant_is_not(ratio: str):
    assert findings(a_policy(FEE, rules=some_rules(required_ratio=ratio))) == {}


def test_little_time_is_noted():
    assert set(findings(a_policy(FEE, rules=some_rules(timeout_seconds=7200)))) == {"timeout-short"}


def test_a_crowd_is_noted():
    crowd = some_rules(required_quorum={"type": "role", "value": {"role": "x", "min_votes": 5}})

    assert set(findings(a_policy(FEE, rules=crowd))) == {"quorum-large"}


def test_one_person_alone_on_money_is_noted():
    alone = some_rules(required_quorum={"type": "role", "value": {"role": "x", "min_votes": 1}})

    assert "one-person" in findings(a_policy(REVERSE, rules=alone))
    assert "one-person" not in findings(a_policy(FEE, rules=alone))


def test_what_cannot_be_repeated_is_not_executed_by_itself():
    rules = some_rules(auto_execute=True, escalation_role="cfo")

    found = findings(a_policy({"action_type": "EMERGENCY_CIRCUIT_BREAK"}, rules=rules))

    assert found["auto-execute-unsafe"].level == "error"


def test_a_critical_action_without_escalation_is_noted():
    assert "no-escalation" in findings(a_policy({"action_type": "FREEZE_MERCHANT"}))


def test_ne_without_exists_is_noted():
    policy = a_policy(FEE | {"params.merchant_id": {"$ne": "m"}})
    sure = a_policy(FEE | {"params.merchant_id": {"$ne": "m", "$exists": True}})

    assert findings(policy)["absent-is-unknown"].path == "criteria.params.merchant_id"
    assert findings(sure) == {}


def test_criteria_that_nothing_fulfils_are_an_error():
    assert (
        findings(a_policy(FEE | {"params.fee_percentage": {"$gt": 3, "$lt": 3}}))[
            "never-true"
        ].level
        == "error"
    )
    assert findings(a_policy(FEE | {"origin": "sira", "$not": {"origin": "sira"}}))["never-true"]


def test_criteria_that_say_nothing_are_noted():
    either = [{"params.fee_percentage": {"$lt": 3}}, {"params.fee_percentage": {"$gte": 3}}]

    assert set(findings(a_policy(FEE | {"$or": either}))) == {"always-true"}


def test_an_overlap_at_the_same_priority_is_an_error():
    ours, theirs = amounts(low=1000, name="ours"), amounts(high=1001, name="theirs")

    assert findings(ours, theirs)["overlap"].level == "error"


def test_bands_that_only_touch_do_not_overlap():
    ours, theirs = amounts(low=1000, name="ours"), amounts(high=1000, name="theirs")

    assert findings(ours, theirs) == {}


@pytest.mark.parametrize(
    "other",
    [
        {"priority": 99},
        {"baseline": True},
        {"enabled": False},
    ],
)
def test_an_overlap_elsewhere_is_none(other: dict[str, Any]):
    assert "overlap" not in findings(
        amounts(low=1, name="ours"), amounts(low=1, name="theirs", **other)
    )


def test_other_currencies_and_types_do_not_overlap():
    ghs = a_policy(REVERSE | {"amount": {"$gte": {"currency": "GHS", "minor": 1}}}, name="ghs")

    assert "overlap" not in findings(amounts(low=1, name="ours"), ghs)
    assert "overlap" not in findings(amounts(low=1, name="ours"), a_policy(FEE, name="fee"))


def test_patterns_may_overlap():
    ours = a_policy(FEE | {"params.merchant_id": {"$regex": "a.*"}}, name="ours")
    theirs = a_policy(FEE | {"params.merchant_id": {"$regex": "b.*"}}, name="theirs")

    assert findings(ours, theirs)["overlap"].level == "warning"


def test_a_policy_that_others_decide_first_is_unreachable():
    above = a_policy(REVERSE, name="above", priority=200)

    assert "unreachable" in findings(amounts(low=1, name="ours"), above)
    assert "unreachable" not in findings(
        a_policy(REVERSE, name="ours"), amounts(low=1, name="above", priority=200)
    )


def test_a_gap_between_bands_is_named():
    small, large = amounts(high=100_000, name="small"), amounts(low=250_000, name="large")

    gap = findings(small, large)["gap"].sentence_fr.replace("\u00a0", " ").replace("\u202f", " ")

    assert "de 100 000 F CFA à 249 999 F CFA" in gap


def test_below_the_lowest_band_there_is_no_gap():
    assert findings(amounts(low=100, high=200, name="a"), amounts(low=200, name="b")) == {}


def test_a_policy_is_not_compared_with_its_own_earlier_version():
    ours = amounts(low=1, name="same")

    assert findings(ours, amounts(low=1, name="same")) == {}


def test_too_many_cases_are_said_to_be_undecided():
    wide = {
        "$or": [
            {path: {"$in": [f"{i}" for i in range(40)]}}
            for path in ("target_tenant_id", "target_tenant_type", "params.merchant_id")
        ]
    }

    assert set(findings(a_policy(FEE | wide))) == {"undecided"}
