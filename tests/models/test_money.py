"""Money is exact: nothing is lost by splitting, and an amount has one way to be read."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.kernel.currency import CURRENCIES, Currency, UnknownCurrency, currency
from molam.kernel.money import MINOR_MAX, AmountMalformed, CurrencyMismatch, Money, parse_major

XOF, EUR = CURRENCIES["XOF"], CURRENCIES["EUR"]

minors = st.integers(-MINOR_MAX, MINOR_MAX)
currencies = st.sampled_from(sorted(CURRENCIES.values(), key=lambda each: each.code))
weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any)


@given(minors, currencies, weights)
def test_the_parts_of_a_split_add_up_to_the_whole(minor: int, code: Currency, parts: list[int]):
    split = Money(minor, code).split(parts)

    assert sum(part.minor for part in split) == minor
    assert len(split) == len(parts)


@given(minors, weights)
def test_each_part_of_a_split_is_within_one_unit_of_its_share(minor: int, parts: list[int]):
    split = Money(minor, XOF).split(parts)

    for part, weight in zip(split, parts, strict=True):
        assert abs(part.minor * sum(parts) - minor * weight) < sum(parts)
        assert part.minor * minor >= 0, "no part goes the other way"


@given(minors, weights)
def test_a_weight_of_nothing_gets_nothing(minor: int, parts: list[int]):
    split = Money(minor, XOF).split(parts)

    assert [part.minor for part, weight in zip(split, parts, strict=True) if not weight] == [
        0
    ] * parts.count(0)


def test_units_left_over_go_to_the_earliest_parts():
    assert [part.minor for part in Money(-11, XOF).split([0, 1, 1, 1])] == [0, -4, -4, -3]


@pytest.mark.parametrize("parts", [[], [0, 0], [2, -1]])
def test_a_split_without_a_positive_weight_is_a_bug(parts: list[int]):
    with pytest.raises(AssertionError):
        Money(100, XOF).split(parts)


@given(minors, minors)
def test_adding_and_taking_away_again_changes_nothing(first: int, second: int):
    assert Money(first, EUR) + Money(second, EUR) - Money(second, EUR) == Money(first, EUR)


@pytest.mark.parametrize(
    "meet",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a < b,
        lambda a, b: a <= b,
    ],
)
def test_two_currencies_never_meet(meet):
    with pytest.raises(CurrencyMismatch):
        meet(Money(1, XOF), Money(1, EUR))


@pytest.mark.parametrize("minor", [1.0, Decimal(1), True, "1"])
def test_an_amount_is_an_integer_and_nothing_like_one(minor):
    with pytest.raises(AssertionError):
        Money(minor, XOF)


@given(minors, currencies)
def test_what_is_shown_can_be_read_again(minor: int, code: Currency):
    shown = f"{Money(minor, code).decimal():f}"

    assert parse_major(shown, code) == Money(minor, code)


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("139.12", 13912),
        ("139.1", 13910),
        ("139", 13900),
        ("139.120", 13912),
        ("-0.05", -5),
        (" 7.00 ", 700),
        ("90071992547409.91", MINOR_MAX),
        ("-90071992547409.91", -MINOR_MAX),
    ],
)
def test_amounts_in_major_units_are_read_exactly(text: str, minor: int):
    assert parse_major(text, EUR) == Money(minor, EUR)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-",
        "--1",
        "1.2.3",
        "1,000",
        "1 000",
        "1e3",
        "NaN",
        "Infinity",
        "0x10",
        "١٢",
        "+1",
        "1.005",
        "90071992547409.92",
        "9" * 24,
        "0" * 25,
    ],
)
def test_anything_but_a_plain_decimal_in_range_is_refused(text: str):
    with pytest.raises(AmountMalformed):
        parse_major(text, EUR)


@given(st.text(max_size=30))
def test_whatever_is_written_is_an_amount_in_range_or_is_refused(text: str):
    try:
        amount = parse_major(text, EUR)
    except AmountMalformed:
        return
    assert abs(amount.minor) <= MINOR_MAX
    assert Decimal(text.strip()) == amount.decimal()


def test_francs_have_no_decimals():
    with pytest.raises(AmountMalformed, match="XOF has 0 decimals"):
        parse_major("10.5", XOF)


@pytest.mark.parametrize("code", ["xof", "XXX", "", "XOFX"])
def test_a_currency_is_known_by_its_exact_code(code: str):
    with pytest.raises(UnknownCurrency):
        currency(code)
