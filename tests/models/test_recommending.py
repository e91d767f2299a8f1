"""What is recommended in a situation, and that its reasons come to its confidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.ops.dashboard import recommending
from molam.ops.dashboard.recommendation_store import FloatRow, HoldRow, RouteRow, RuleRow
from molam.ops.dashboard.recommendation_words import words
from molam.ops.dashboard.recommending import AUTO_CONFIDENCE, Proposed

FLOAT = FloatRow(
    agent_id="agent-123",
    name="Kiosque Médina",
    currency="XOF",
    balance=1_400_000,
    fire_at=Decimal(1_000_000),
    clear_at=Decimal(1_100_000),
    amount_max=5_000_000,
    outflows=[600_000] * 28,
)
HOLD = HoldRow("m-1", "Boutique", "XOF", "chargeback_rate", 400, 20, 100, 9, Decimal("0.01"), 0)
ROUTE = RouteRow(
    "p-1", "CEDEAO", "XOF", "bank", "bank-a", "A", "bank-b", "B", Decimal("0.97"), 0.99, 0.01,
    12, 900_000, datetime(2026, 11, 22, tzinfo=UTC),
)  # fmt: skip
RULE = RuleRow(
    "refund_spike", "refund_spike", "refund_rate", "merchant", None, None, "above", "share",
    Decimal("0.05"), Decimal("0.04"), Decimal("0.10"), 30, 29, 2, [Decimal("0.055")] * 30,
)  # fmt: skip


def proposed(found: Proposed | None) -> Proposed:
    assert found is not None
    return found


def all_four() -> list[Proposed]:
    return [
        proposed(recommending.for_float(FLOAT)),
        proposed(recommending.for_hold(HOLD)),
        proposed(recommending.for_route(ROUTE)),
        proposed(recommending.for_rule(RULE)),
    ]


@given(
    balance=st.integers(0, 5_000_000),
    outflows=st.lists(st.integers(-500_000, 3_000_000), min_size=7, max_size=28),
)
def test_reasons_come_to_the_confidence_and_the_amount_stays_in_bounds(
    balance: int, outflows: list[int]
) -> None:
    found = recommending.for_float(replace(FLOAT, balance=balance, outflows=outflows))
    if found is None:
        return
    assert sum(each.weight for each in found.features) == found.confidence
    assert 0 < found.confidence <= Decimal("0.99")
    assert 0 < found.params["amount"] <= 5_000_000


def test_a_float_that_would_last_is_left_alone() -> None:
    assert recommending.for_float(replace(FLOAT, balance=9_000_000)) is None


def test_the_more_days_it_would_run_low_the_surer() -> None:
    half = replace(FLOAT, outflows=[600_000, 0] * 14 + [600_000])
    assert (
        proposed(recommending.for_float(half)).confidence
        < proposed(recommending.for_float(FLOAT)).confidence
    )


def test_a_merchant_within_its_limit_is_not_held() -> None:
    assert recommending.for_hold(replace(HOLD, bad=4)) is None
    assert recommending.for_hold(replace(HOLD, sales=10, bad=0)) is None


def test_nobody_is_led_to_a_worse_bank() -> None:
    assert recommending.for_route(replace(ROUTE, p_down_to=0.995)) is None


@given(
    fired=st.integers(8, 10_000),
    value=st.decimals("0.05", "0.2", places=3),
)
def test_loosening_an_alarm_is_never_sure_enough_to_be_asked_for(
    fired: int, value: Decimal
) -> None:
    row = replace(RULE, fired=fired, quiet=fired, values=[value] * 10)
    found = recommending.for_rule(row)
    if found is None:
        return
    assert found.confidence < AUTO_CONFIDENCE
    level = Decimal(found.params["threshold"])
    assert RULE.fire_at < level <= RULE.fire_at * Decimal("1.25")


def test_a_level_is_one_that_a_person_would_choose() -> None:
    naira = replace(
        RULE,
        currency="NGN",
        comparison="below",
        unit="amount",
        values=[Decimal(240_000_005)] * 30,
        fire_at=Decimal(250_000_000),
        critical_at=Decimal(125_000_000),
    )
    found = proposed(recommending.for_rule(naira))
    assert found.params["threshold"] == "240000000"
    near = proposed(recommending.for_rule(replace(naira, critical_at=Decimal(239_999_000))))
    assert near.params["threshold"] == "240000000"
    share = proposed(recommending.for_rule(replace(RULE, values=[Decimal("0.05432")] * 30)))
    assert share.params["threshold"] == "0.055"


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_recommendation_says_itself_with_its_numbers(language: str) -> None:
    for each in all_four():
        title, sentence = words(each.recommendation_type, each.facts, language)  # type: ignore[arg-type]
        assert "{" not in title + sentence
        assert any(letter.isdigit() for letter in title + sentence)
