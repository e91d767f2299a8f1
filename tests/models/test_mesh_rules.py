"""Whether a change of a policy loosens it, decided for every rule."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.members.model import Capabilities, CapabilitiesRefused, read_capabilities
from molam.mesh.members.rules import Rules, RulesRefused, differs, loosens, read_rules, rules_json

_VALUES: dict[str, list[Any]] = {
    "mode": ["auto", "approval_required"],
    "auto_failover_enabled": [True, False],
    "auto_confidence_threshold": [Decimal("0.5"), Decimal("0.85"), Decimal(1)],
    "approval_required_threshold": [None, 0, 10_000],
    "allowed_crossborder": [True, False],
    "require_multisig_for_new_member": [True, False],
    "compliance_checks": [(), ("kyc_verified",), ("kyc_verified", "contract_signed")],
    "rollback_window_hours": [1, 12, 24],
    "leave_p_down": [Decimal("0.7"), Decimal("0.8")],
    "return_p_down": [Decimal("0.1"), Decimal("0.2")],
    "direct_p_down": [Decimal("0.9"), Decimal("0.99")],
    "reorder_probability": [Decimal("0.9"), Decimal("0.95")],
    "flap_suppress": [4000, 6000],
    "flap_reuse": [500, 750],
    "gradual_steps": [(100,), (5, 100), (5, 25, 50, 100), (10, 20, 100), (1, 2, 3, 4, 100)],
    "enforcing_pct": [0, 50, 100],
    "practice": [True, False],
    "practice_hour": [0, 3, 23],
    "return_hold_factor_max": [1, 8],
}


def _values(name: str) -> list[Any]:
    usual = getattr(Rules(), name)
    return _VALUES[name] if name in _VALUES else [usual, usual + 1]


some_rules = st.fixed_dictionaries(
    {name: st.sampled_from(_values(name)) for name in Rules.__struct_fields__}
).map(lambda fields: Rules(**fields))


@given(some_rules)
def test_nothing_loosens_itself(some: Rules):
    assert loosens(some, some) == []


@given(some_rules, some_rules)
def test_what_loosens_neither_way_is_the_same(first: Rules, second: Rules):
    """Every rule is on one side, so none can be changed without somebody noticing."""
    either = set(loosens(first, second)) | set(loosens(second, first))

    assert either == set(differs(first, second))


@settings(max_examples=150)
@given(some_rules, some_rules, some_rules)
def test_two_changes_that_tighten_loosen_nothing_together(one: Rules, two: Rules, three: Rules):
    apart = set(loosens(one, two)) | set(loosens(two, three))

    assert set(loosens(one, three)) <= apart


@given(some_rules)
def test_rules_are_read_as_they_were_written(some: Rules):
    assert read_rules(rules_json(some)) == some


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"mode": "auto"}, "mode"),
        ({"auto_failover_enabled": True}, "auto_failover_enabled"),
        ({"min_confidence_for_auto": "0.8"}, "auto_confidence_threshold"),
        ({"cooldown_minutes": 14}, "cooldown_minutes"),
        ({"applies_per_hour": 6}, "applies_per_hour"),
        ({"value_cap_pct": 26}, "value_cap_pct"),
        ({"gradual_steps": [5, 25, 100]}, "gradual_steps"),
        ({"gradual_steps": [6, 25, 50, 100]}, "gradual_steps"),
        ({"compliance_checks": ["kyc_verified"]}, "compliance_checks"),
        ({"direct_p_down": "0.98"}, "direct_p_down"),
        ({"practice": True}, "practice"),
        ({"practice_every_days": 6}, "practice_every_days"),
    ],
)
def test_what_lets_the_controller_do_more_loosens(change: dict[str, Any], name: str):
    after = read_rules(change, base=Rules())

    assert loosens(Rules(), after) == [name]
    assert loosens(after, Rules()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"value_cap_percent": 25}, "value_cap_percent"),
        ({"cooldown_minutes": -1}, "cooldown_minutes"),
        ({"auto_confidence_threshold": "0.4"}, "auto_confidence_threshold"),
        ({"max_cascading_depth": 0}, "max_cascading_depth"),
        ({"rollback_window_hours": 25}, "rollback_window_hours"),
        ({"approval_required_threshold": 10.5}, "approval_required_threshold"),
        ({"mode": "automatic"}, "mode"),
        ({"gradual_steps": [50, 25, 100]}, "gradual_steps rise to 100"),
        ({"gradual_steps": [50]}, "gradual_steps rise to 100"),
        ({"return_p_down": "0.9"}, "return_p_down is below leave_p_down"),
        ({"direct_p_down": "0.7"}, "direct_p_down is at least"),
        ({"flap_reuse": 7000}, "flap_reuse is below flap_suppress"),
        (
            {"min_confidence_for_auto": "0.9", "auto_confidence_threshold": "0.8"},
            "are one rule",
        ),
    ],
)
def test_rules_that_make_no_sense_are_refused_with_a_sentence(change: dict[str, Any], says: str):
    with pytest.raises(RulesRefused) as refused:
        read_rules(change)

    assert says in refused.value.detail
    assert refused.value.detail.endswith(".")


def test_the_usual_values_are_those_of_the_specification():
    usual = Capabilities()

    assert usual.max_amount("XOF") == 10_000_000
    assert usual.daily_limit("EUR") == 100_000_000
    assert usual.supported_currencies == ("XOF", "EUR", "USD")
    assert usual.cross_border_enabled
    assert (usual.settlement_time_hours, usual.sla_uptime_pct) == (24, Decimal("99.9"))


def test_an_amount_is_one_for_all_currencies_or_one_for_each():
    each = read_capabilities({"max_amount_per_txn": {"XOF": 500, "EUR": 7}})

    assert (each.max_amount("XOF"), each.max_amount("EUR")) == (500, 7)
    assert each.max_amount("USD") is None
    assert read_capabilities({"max_amount_per_txn": 9}).max_amount("USD") == 9


@pytest.mark.parametrize(
    "given_",
    [
        {"max_amount": 5},
        {"max_amount_per_txn": 0},
        {"max_amount_per_txn": 1.5},
        {"max_amount_per_txn": True},
        {"max_amount_per_txn": {"franc": 5}},
        {"supported_currencies": []},
        {"sla_uptime_pct": 101},
    ],
)
def test_capabilities_are_read_strictly(given_: dict[str, object]):
    with pytest.raises(CapabilitiesRefused):
        read_capabilities(given_)


def test_capabilities_are_read_as_they_are_stored():
    some = Capabilities(sla_uptime_pct=Decimal("99.95"), max_amount_per_txn={"XOF": 1})

    assert read_capabilities(msgspec.to_builtins(some)) == some
