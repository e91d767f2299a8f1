"""Figures follow from sums of facts, and from nothing else."""

from __future__ import annotations

from dataclasses import fields
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.merchant.model import KPI_KEYS, KPIS, Sums, change, kpi_value, value

BIGINT_MAX = 2**63 - 1

counts = st.integers(0, BIGINT_MAX)
sums = st.builds(Sums, **{field.name: counts for field in fields(Sums)})

A_DAY = Sums(
    created_count=20,
    payment_count=16,
    failed_count=3,
    abandoned_count=1,
    sales=200_000,
    fees=2_000,
    refund_count=2,
    refunds=30_000,
    dispute_count=1,
    disputes=12_500,
    payout_count=1,
    payouts=150_000,
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sales", 200_000),
        ("refunds", 30_000),
        ("fees", 2_000),
        ("net_revenue", 168_000),
        ("avg_ticket", 12_500),
        ("chargeback_rate", Decimal("6.25")),
        ("conversion_rate", Decimal("80.00")),
        ("transactions", 20),
        ("payments", 16),
        ("failed", 3),
        ("abandoned", 1),
        ("disputes", 12_500),
    ],
)
def test_each_figure_follows_from_its_sums(key, expected):
    assert expected == kpi_value(KPIS[key], A_DAY)


def test_keys_are_in_the_order_of_the_overview():
    assert KPI_KEYS == (
        "sales", "refunds", "fees", "net_revenue", "avg_ticket", "chargeback_rate",
        "conversion_rate", "transactions", "payments", "failed", "abandoned", "disputes",
    )  # fmt: skip


@pytest.mark.parametrize("key", ["avg_ticket", "chargeback_rate", "conversion_rate"])
def test_ratio_over_nothing_is_unknown(key):
    assert kpi_value(KPIS[key], Sums()) is None


@pytest.mark.parametrize(
    "key", sorted(set(KPI_KEYS) - {"avg_ticket", "chargeback_rate", "conversion_rate"})
)
def test_sum_over_nothing_is_zero(key):
    assert kpi_value(KPIS[key], Sums()) == 0


@pytest.mark.parametrize(("sold", "expected"), [(5, 2), (7, 4), (-5, -2), (6, 3)])
def test_half_a_franc_goes_to_the_even_neighbour(sold, expected):
    assert expected == value(sold, 2, "minor")


@given(st.lists(sums, max_size=8))
def test_figure_over_several_days_is_the_figure_of_their_sums(days):
    total = sum(days, Sums())

    for kpi in KPIS.values():
        numerator = sum(kpi.numerator(day) for day in days)
        denominator = None if kpi.denominator is None else sum(kpi.denominator(day) for day in days)
        assert value(numerator, denominator, kpi.unit) == kpi_value(kpi, total)


@given(st.lists(sums, max_size=6), st.integers(0, 6))
def test_days_may_be_added_in_any_grouping(days, cut):
    assert sum(days, Sums()) == sum(days[:cut], Sums()) + sum(days[cut:], Sums())


@given(st.integers(-BIGINT_MAX, BIGINT_MAX), st.integers(1, BIGINT_MAX))
def test_rate_equals_the_decimal_division(numerator, denominator):
    with localcontext() as context:
        context.prec = 80
        expected = (Decimal(numerator) * 100 / denominator).quantize(
            Decimal("0.01"), ROUND_HALF_EVEN
        )

    assert expected == value(numerator, denominator, "percent")


@pytest.mark.parametrize(
    ("current", "previous", "expected"),
    [
        (150, 100, "0.5"),
        (50, 100, "-0.5"),
        (0, 100, "-1"),
        (100, 100, "0"),
        (100, -100, "2"),
        (Decimal("2.50"), Decimal("2.00"), "0.25"),
    ],
)
def test_change_is_a_fraction_of_the_previous_figure(current, previous, expected):
    assert Decimal(expected) == change(current, previous)


@pytest.mark.parametrize(("current", "previous"), [(1, 0), (1, None), (None, 1), (None, None)])
def test_change_from_nothing_is_unknown(current, previous):
    assert change(current, previous) is None
