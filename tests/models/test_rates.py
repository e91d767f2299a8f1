"""Exchange rates: exact fractions, readable in both directions, unknown when they are unknown."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.kernel.currency import CURRENCIES
from molam.kernel.money import MINOR_MAX, Money
from molam.ledger.model import Rate, Rates

EUR, GHS, USD, XAF, XOF = (CURRENCIES[code] for code in ("EUR", "GHS", "USD", "XAF", "XOF"))
PARITY = Fraction("655.957")
EURO_BEGAN, LATER = date(1999, 1, 1), date(2025, 1, 1)


def a_rate(
    value: str | Fraction, *, as_of: date = LATER, source: str = "bank", indicative: bool = False
) -> Rate:
    return Rate(Fraction(value), as_of, source, indicative)


RATES = Rates.of(
    [
        ("EUR", "XOF", a_rate(PARITY, as_of=EURO_BEGAN, source="fixed parity")),
        ("EUR", "XAF", a_rate(PARITY, as_of=EURO_BEGAN, source="fixed parity")),
        ("XOF", "USD", a_rate("0.0017", source="specification", indicative=True)),
    ]
)


def test_a_thousand_euros_are_the_parity_in_francs_exactly():
    assert RATES.convert(Money(1_000_00, EUR), XOF) == Money(655_957, XOF)


def test_the_parity_is_exact_the_other_way_as_well():
    found = RATES.find("XOF", "EUR")

    assert found is not None
    assert found.value * PARITY == 1
    assert RATES.convert(Money(655_957, XOF), EUR) == Money(1_000_00, EUR)


def test_two_francs_of_one_parity_are_worth_the_same():
    assert RATES.convert(Money(12_345, XOF), XAF) == Money(12_345, XAF)


def test_a_rate_through_another_currency_is_as_old_and_as_rough_as_its_worst_half():
    found = RATES.find("EUR", "USD")

    assert found == Rate(
        PARITY * Fraction("0.0017"), LATER, "fixed parity, specification", indicative=True
    )


def test_a_pair_that_is_given_wins_over_its_inverse():
    rates = Rates.of([("EUR", "USD", a_rate("1.1")), ("USD", "EUR", a_rate("0.9"))])

    assert rates.convert(Money(100, USD), EUR) == Money(90, EUR)


@pytest.mark.parametrize(("base", "quote"), [("GHS", "XOF"), ("XOF", "GHS"), ("GHS", "EUR")])
def test_an_unknown_rate_is_none_and_never_one(base: str, quote: str):
    assert RATES.find(base, quote) is None
    assert RATES.convert(Money(100, CURRENCIES[base]), CURRENCIES[quote]) is None


def test_two_currencies_in_between_are_one_too_many():
    rates = Rates.of([*((b, q, r) for (b, q), r in RATES.pairs.items()), ("GHS", "XAF", a_rate(9))])

    assert rates.find("GHS", "EUR") is not None
    assert rates.find("GHS", "USD") is None


def test_a_currency_is_worth_itself_without_any_rate():
    assert Rates.of([]).convert(Money(7, GHS), GHS) == Money(7, GHS)


@pytest.mark.parametrize(
    ("francs", "cents"), [(0, 0), (1, 0), (3, 0), (4, 1), (656, 100), (-656, -100), (-1, 0)]
)
def test_small_amounts_round_to_the_nearest_cent(francs: int, cents: int):
    assert RATES.convert(Money(francs, XOF), EUR) == Money(cents, EUR)


def test_exactly_half_a_unit_goes_to_the_even_neighbour():
    rates = Rates.of([("XOF", "XAF", a_rate("0.5"))])

    halves = [rates.convert(Money(minor, XOF), XAF) for minor in (1, 3, 5, -1, -3)]

    assert [half.minor for half in halves if half is not None] == [0, 2, 2, 0, -2]


@given(st.integers(-MINOR_MAX, MINOR_MAX))
def test_a_conversion_is_never_off_by_more_than_half_a_unit(minor: int):
    converted = RATES.convert(Money(minor, XOF), EUR)

    assert converted is not None
    assert abs(converted.minor - Fraction(minor) * 100 / PARITY) <= Fraction(1, 2)


@given(st.integers(-MINOR_MAX, MINOR_MAX))
def test_euros_survive_a_journey_through_francs(minor: int):
    # A franc is less than a cent, so nothing is lost on the way there and back.
    there = RATES.convert(Money(minor, EUR), XOF)

    assert there is not None
    assert RATES.convert(there, EUR) == Money(minor, EUR)
