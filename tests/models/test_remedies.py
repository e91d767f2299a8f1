"""What SIRA recommends, how its confidence adds up, and that confidence never loosens anything."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.alerts.remediation.evidence_store import PointRow
from molam.alerts.remediation.following import holds
from molam.alerts.remediation.model import Policy, tightening
from molam.alerts.rules.model import Rule
from molam.approvals.permissions import STAFF
from molam.approvals.policy.rules import Rules, is_tighter, tightened
from molam.approvals.policy.ruleset import DEFAULT
from molam.kernel.clock import SystemClock
from molam.platform.settings import Secret
from molam.sira import health_filter, recommending
from molam.sira import recommending_client as client
from molam.sira.recommending import Bank, Evidence, Situation, recommend
from molam.sira.recommending_messages import RecommendRequest
from molam.sira.signing import AdviceRefused

T0 = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
KEY = Secret("a signing key of the tests, long enough")


def low(value: int = 500_000, **changed: Any) -> Situation:
    fields: dict[str, Any] = {
        "alert_id": "alert-1",
        "alert_type": "float_low",
        "severity": "critical",
        "tenant_type": "agent",
        "tenant_id": "agent-123",
        "currency": "XOF",
        "metric": "float_available",
        "value": Decimal(value),
        "fire_at": Decimal(1_000_000),
        "clear_at": Decimal(1_100_000),
        "critical_at": Decimal(500_000),
    }
    return Situation(**{**fields, **changed})


def spike(value: str, **changed: Any) -> Situation:
    fields = {
        "alert_type": "fraud_score_high",
        "tenant_type": "merchant",
        "tenant_id": "merchant-123",
        "metric": "fraud_score",
        "value": Decimal(value),
        "fire_at": Decimal("0.70"),
        "clear_at": Decimal("0.60"),
        "critical_at": Decimal("0.90"),
    }
    return low(**{**fields, **changed})


def test_the_example_of_the_specification_is_what_is_recommended() -> None:
    made = recommend(low(), Evidence())

    assert made.action == "ADJUST_FLOAT"
    assert made.params == {"adjustment": "top_up", "amount": 1_000_000}
    assert made.confidence == Decimal("0.95")


def test_a_float_is_filled_for_the_worst_day_of_the_past() -> None:
    quiet = recommend(low(), Evidence(daily_outflows=(100_000,) * 28))
    busy = recommend(low(), Evidence(daily_outflows=(100_000,) * 27 + (2_345_678,)))

    assert quiet.params["amount"] == 1_000_000
    assert busy.params["amount"] == 3_000_000
    assert quiet.confidence > busy.confidence


def test_a_full_float_needs_nothing() -> None:
    assert recommend(low(1_200_000), Evidence()).action == "manual_review"


def test_a_merchant_is_frozen_for_longer_if_it_is_critical() -> None:
    critical = recommend(spike("0.95"), Evidence(earlier=(Decimal("0.2"),)))
    warning = recommend(spike("0.75", severity="warning"), Evidence())

    assert (critical.params["duration"], warning.params["duration"]) == ("24h", "12h")
    assert critical.confidence == Decimal("0.97")
    assert warning.confidence == Decimal("0.83")


def test_payouts_are_led_to_the_bank_where_surely_fewer_fail() -> None:
    def bank(id_: str, failures: float) -> Bank:
        belief = health_filter.fresh(0.01)
        for second in range(200):
            belief = health_filter.observe(
                health_filter.advance(belief, 1_000.0 + second), failures, 1_000.0 + second
            )
        written = {name: getattr(belief, name) for name in belief.__struct_fields__}
        return Bank(id_, written)

    evidence = Evidence(
        bank=bank("bp_bad", 1.0), banks=(bank("bp_good", 0.0), bank("bp_poor", 0.6))
    )
    made = recommend(low(alert_type="payout_fail_rate", tenant_type="bank"), evidence)

    assert made.params == {"bank_profile_id": "bp_good"}
    assert made.confidence > Decimal("0.9")


@given(
    st.integers(0, 2_000_000),
    st.lists(st.integers(0, 10**10), max_size=60),
    st.sampled_from(["float_low", "dlq_growth", "conversion_drop", "recon_match_drop"]),
)
def test_weights_add_up_and_confidence_is_a_probability(
    value: int, outflows: list[int], alert_type: str
) -> None:
    made = recommend(low(value, alert_type=alert_type), Evidence(daily_outflows=tuple(outflows)))

    assert sum(each.weight for each in made.explanation.features) == made.confidence
    assert 0 <= made.confidence <= 1


@given(st.decimals("0", "1", places=3), st.lists(st.decimals("0", "1", places=2), max_size=5))
def test_nobody_is_frozen_with_more_certainty_than_a_score_has(
    value: Decimal, earlier: list[Decimal]
) -> None:
    made = recommend(spike(str(value)), Evidence(earlier=tuple(earlier)))

    assert sum(each.weight for each in made.explanation.features) == made.confidence
    assert made.confidence <= Decimal("0.98")


@given(st.integers(1, 10**15))
def test_a_sum_is_rounded_up_to_two_figures(amount: int) -> None:
    rounded = recommending.rounded_up(Decimal(amount))

    assert amount <= rounded <= amount * 1.1 + 1
    assert len(str(rounded).rstrip("0")) <= 2


def test_a_signature_is_of_this_alert_and_of_all_that_is_said() -> None:
    clock = SystemClock()
    asked = RecommendRequest(low(), Evidence())
    said = client.here(asked, key=KEY, clock=clock)
    other = RecommendRequest(low(value=400_000), Evidence())

    assert client.believed(asked, said, key=KEY, clock=clock).confidence == Decimal("0.95")
    with pytest.raises(AdviceRefused):
        client.believed(other, said, key=KEY, clock=clock)
    with pytest.raises(AdviceRefused):
        client.believed(asked, said, key=Secret("another key, just as long as it is"), clock=clock)


def policy(**changed: Any) -> Policy:
    fields: dict[str, Any] = {
        "id": "float_low",
        "alert_type": "float_low",
        "enabled": True,
        "auto_action": {"action_type": "ADJUST_FLOAT", "params": {}},
        "bounds": {"ADJUST_FLOAT": {}},
        "auto_threshold": Decimal("0.9"),
        "cooldown_seconds": 600,
        "last_executed_at": None,
        "require_multi_sig": True,
        "required_approvals": 2,
        "notify_channels": ["email"],
        "targets_per_hour": 10,
        "share_of_targets": Decimal("0.1"),
        "verify_hold_s": 0,
        "verify_within_s": 900,
        "version": 1,
        "created_by": "system",
        "updated_by": "system",
        "created_at": T0,
        "updated_at": T0,
    }
    return Policy(**{**fields, **changed})


@given(st.booleans(), st.integers(1, 10), st.booleans())
def test_being_surer_never_loosens_what_the_policy_asks(
    multi: bool, approvals: int, runs_itself: bool
) -> None:
    """The wish takes no confidence at all, and whatever it is, the rules become no looser."""
    base: Rules = DEFAULT
    if runs_itself:
        base = Rules(quorum=base.quorum, ratio=base.ratio, timeout=base.timeout, auto_execute=True)
    asked = tightening(policy(require_multi_sig=multi, required_approvals=approvals), STAFF)

    after = tightened(base, asked)

    assert is_tighter(after, base)
    assert after.auto_execute == (runs_itself and not multi)


def test_targets_of_an_hour_are_bounded_by_number_and_by_share() -> None:
    few = policy(targets_per_hour=10, share_of_targets=Decimal("0.1"))

    assert [few.targets_max(active) for active in (0, 5, 50, 10_000)] == [1, 1, 5, 10]


def a_rule() -> Rule:
    return Rule(
        id="float_low",
        alert_type="float_low",
        metric="float_available",
        comparison="below",
        tenant_type="agent",
        tenant_id=None,
        currency="XOF",
        unit="amount",
        fire_at=Decimal(1_000_000),
        clear_at=Decimal(1_100_000),
        critical_at=Decimal(500_000),
        for_s=0,
        keep_firing_s=60,
        no_data_s=None,
        severity="warning",
        notify_roles=(),
        escalation=(),
        enabled=True,
        version=1,
        updated_by="system",
        updated_at=T0,
    )


@pytest.mark.parametrize(
    ("values", "hold_s", "held"),
    [
        ([], 0, False),
        ([(0, 400_000)], 0, False),
        ([(0, 1_500_000)], 0, True),
        ([(0, 1_500_000)], 120, False),
        ([(0, 1_500_000), (60, 1_500_000), (120, 1_500_000)], 120, True),
        ([(0, 1_500_000), (60, 900_000), (120, 1_500_000)], 60, False),
        ([(0, 1_050_000)], 0, False),
    ],
)
def test_a_remedy_has_helped_once_the_value_holds(
    values: list[tuple[int, int]], hold_s: int, held: bool
) -> None:
    from_t0 = [T0.timestamp() + second for second, _ in values]
    points = [
        PointRow(at, at, Decimal(value), Decimal(value), Decimal(value))
        for at, (_, value) in zip(
            [datetime.fromtimestamp(second, UTC) for second in from_t0], values, strict=True
        )
    ]
    now = points[-1].last_at if points else T0

    assert holds(a_rule(), points, hold=_seconds(hold_s), now=now) is held


def _seconds(count: int) -> Any:
    return datetime.fromtimestamp(count, UTC) - datetime.fromtimestamp(0, UTC)
