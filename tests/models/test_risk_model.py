"""Policies, pools and bands: the same request always needs the same people."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW
from molam.approvals.policy.quorum import Role
from molam.approvals.risk.links import (
    Links,
    MissingToken,
    TokenNotFound,
    approval_named_in,
)
from molam.approvals.risk.model import (
    NoPolicy,
    PayloadRefused,
    Pool,
    RiskPolicy,
    Subject,
    choose_policy,
    fitting_pools,
    needs_evidence,
    payload_hash,
    required_approvals,
    risk_of,
    rules_of,
    score_request,
)
from molam.platform.settings import Secret

GLOBAL = RiskPolicy(name="Global Default")
PAY = RiskPolicy(
    name="High-Value Payouts",
    module="pay",
    min_score_auto=20,
    min_score_single=50,
    min_score_double=75,
    timeout_minutes=30,
    evidence_required_score=75,
)
EMERGENCY = RiskPolicy(
    name="Emergency Actions",
    min_score_auto=50,
    min_score_single=70,
    min_score_double=90,
    timeout_minutes=15,
    evidence_required_score=90,
)
APPROVAL = UUID("01890000-0000-7000-8000-000000000001")


def a_subject(**changed: object) -> Subject:
    said = {"action_type": "refund.large", "module": "wallet", "country": "SN", "amount_xof": 1}
    return Subject(**{**said, **changed})


@pytest.mark.parametrize(
    ("score", "required"),
    [(0, 0), (24, 0), (25, 1), (59, 1), (60, 2), (84, 2), (85, 3), (100, 3)],
)
def test_bands_say_how_many_must_agree(score, required):
    assert required_approvals(GLOBAL, score) == required


def test_policy_may_ask_for_fewer_at_most():
    lenient = RiskPolicy(name="x", max_approvals=1)

    assert [required_approvals(lenient, score) for score in (30, 70, 95)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("score", "risk"),
    [
        (0, "low"),
        (24, "low"),
        (25, "medium"),
        (59, "medium"),
        (60, "high"),
        (84, "high"),
        (85, "critical"),
        (100, "critical"),
    ],
)
def test_bands_name_the_risk(score, risk):
    assert risk_of(score) == risk


def test_evidence_is_needed_from_its_own_score_on():
    assert [needs_evidence(GLOBAL, score) for score in (84, 85)] == [False, True]


def test_most_specific_policy_wins():
    assert choose_policy([GLOBAL, PAY], a_subject(module="pay")).min_score_auto == 20
    assert choose_policy([GLOBAL, PAY], a_subject(module="wallet")).min_score_auto == 25


def test_two_scopes_are_more_specific_than_one():
    senegal = RiskPolicy(name="pay in SN", module="pay", country="SN", min_score_auto=5)

    assert choose_policy([senegal, PAY], a_subject(module="pay")).name == "pay in SN"
    assert choose_policy([senegal, PAY], a_subject(module="pay", country="CI")).name == PAY.name


def test_policy_of_another_action_does_not_fit():
    other = RiskPolicy(name="bank_add", action_type="bank_add")

    with pytest.raises(NoPolicy):
        choose_policy([other], a_subject())


@pytest.mark.parametrize("order", [(GLOBAL, EMERGENCY), (EMERGENCY, GLOBAL)])
def test_equals_are_joined_into_the_strictest_whatever_their_order(order):
    joined = choose_policy(order, a_subject())

    assert joined.name == "Emergency Actions + Global Default"
    assert (joined.min_score_auto, joined.min_score_single, joined.min_score_double) == (25, 60, 85)
    assert (joined.timeout_minutes, joined.evidence_required_score) == (15, 85)


@given(
    bands=st.lists(
        st.lists(st.integers(0, 101), min_size=3, max_size=3).map(sorted), min_size=1, max_size=4
    ),
    score=st.integers(0, 100),
)
def test_joined_policy_never_needs_fewer_than_any_of_its_equals(bands, score):
    equals = [
        RiskPolicy(
            name=str(at), min_score_auto=a, min_score_single=b, min_score_double=c, max_approvals=3
        )
        for at, (a, b, c) in enumerate(bands)
    ]
    joined = choose_policy(equals, a_subject())

    assert required_approvals(joined, score) == max(
        required_approvals(each, score) for each in equals
    )


def test_pools_come_by_how_much_they_fit_and_then_by_priority():
    pools = [
        Pool(name="ops", roles=("ops_admin",), priority=10),
        Pool(name="compliance", roles=("compliance",), priority=5),
        Pool(name="wallet", roles=("finance_ops",), module="wallet", priority=99),
        Pool(name="abroad", roles=("cfo",), country="CI", priority=1),
    ]

    names = [each.name for each in fitting_pools(pools, a_subject())]
    assert names == ["wallet", "compliance", "ops"]


def test_pool_for_small_amounts_does_not_decide_an_unknown_one():
    small = Pool(name="small", roles=("a",), max_amount=1000)
    large = Pool(name="large", roles=("b",), min_amount=1001)
    both = [small, large]

    assert fitting_pools(both, a_subject(amount_xof=1000)) == [small]
    assert fitting_pools(both, a_subject(amount_xof=1001)) == [large]
    assert fitting_pools(both, a_subject(amount_xof=None)) == [large]


def test_rules_are_so_many_of_the_pool_and_one_no_ends_it():
    rules = rules_of(Pool(name="x", roles=("a", "b")), required=2, timeout_s=900)

    assert rules.quorum == Role(frozenset({"a", "b"}), 2)
    assert (rules.ratio, rules.reject_threshold, rules.auto_execute) == (Fraction(1), 1, True)
    assert rules.timeout.seconds == 900


@pytest.mark.parametrize(
    "payload",
    [
        {"amount": Decimal("1.5")},
        {"amount": "100"},
        {"amount": True},
        {"amount": 2**53},
        {"amount": 1, "currency": "ZZZ"},
        {"amount": 1, "currency": 5},
    ],
)
def test_amount_that_is_none_is_refused(payload):
    with pytest.raises(PayloadRefused):
        score_request(action_type="a", module="m", payload=payload, actor=("x", []))


def test_risk_that_cannot_be_read_counts_as_the_highest():
    def risk(value):
        request = score_request(
            action_type="a",
            module="m",
            payload={"historical_risk_score": value},
            actor=("x", ["service"]),
        )
        return request.historical_risk

    assert risk(Decimal("0.3")) == Decimal("0.3")
    assert [risk(value) for value in ("low", -1, 2, True, [])] == [Decimal(1)] * 5


def test_request_tells_sira_where_money_goes():
    request = score_request(
        action_type="refund.large",
        module="wallet",
        payload={"origin_country": "sn", "account_country": "CI", "business_hours": False, "x": 1},
        actor=("service:wallet", ["service"]),
    )

    assert (request.origin_country, request.destination_country) == ("SN", "CI")
    assert request.metadata == {"business_hours": False}
    assert (request.actor_id, request.actor_role) == ("service:wallet", "service")


def test_payload_hash_goes_by_content_and_not_by_spelling():
    one = {"amount": 1, "rate": Decimal("0.50")}

    assert payload_hash(one) == payload_hash({"rate": Decimal("0.5"), "amount": 1})
    assert payload_hash(one) != payload_hash({**one, "amount": 2})


LINKS = Links(Secret("k" * 32), 600)


def a_link(**changed: object) -> str:
    said = {
        "id_": APPROVAL,
        "approval_id": APPROVAL,
        "approver_id": "awa.diop",
        "decision": "approve",
        "at": NOW,
    }
    return LINKS.raw(**{**said, **changed})


def test_link_has_five_parts_and_names_its_approval():
    parts = a_link().split("|")

    assert parts[:3] == [str(APPROVAL), "awa.diop", "approve"]
    assert parts[3] == str(int(NOW.timestamp()))
    assert len(bytes.fromhex(parts[4])) == 16
    assert approval_named_in(a_link()) == APPROVAL


def test_link_can_be_written_again_by_whoever_has_the_key_and_by_nobody_else():
    other = Links(Secret("x" * 32), 600)

    assert a_link() == a_link()
    assert other.hash(a_link()) != LINKS.hash(a_link())
    assert (
        other.raw(
            id_=APPROVAL, approval_id=APPROVAL, approver_id="awa.diop", decision="approve", at=NOW
        )
        != a_link()
    )


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (None, MissingToken),
        ("", MissingToken),
        ("x", TokenNotFound),
        ("a|b|c|d|e", TokenNotFound),
        ("|" * 2000, TokenNotFound),
    ],
)
def test_what_is_no_link_is_refused(raw, refusal):
    with pytest.raises(refusal):
        approval_named_in(raw)
