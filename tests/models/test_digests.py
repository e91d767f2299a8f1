"""Equal things have one hash; different things never share one; nothing explodes on the way."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.kernel.digests import decimal_text, digest, hashable

decimals = st.decimals(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("3.50", "3.5"),
        ("1E+2", "100"),
        ("0E+9", "0"),
        ("-0.0", "0"),
        ("1E-7", "0.0000001"),
        ("1E+400", "1E400"),
        ("-120E+400", "-12E401"),
        ("1E+999999999999999999", "1E999999999999999999"),
    ],
)
def test_number_has_one_form(written, text):
    assert decimal_text(Decimal(written)) == text


def test_no_digit_is_rounded_away():
    long = "0.1234567890123456789012345678901234567891"

    assert decimal_text(Decimal(long)) == long


@given(one=decimals, other=decimals)
def test_numbers_have_equal_text_if_and_only_if_they_are_equal(one, other):
    assert (decimal_text(one) == decimal_text(other)) == (one == other)


@given(number=decimals, zeros=st.integers(1, 20))
def test_trailing_zeros_change_nothing(number, zeros):
    sign, digits, exponent = number.as_tuple()
    longer = Decimal((sign, (*digits, *(0,) * zeros), exponent - zeros))

    assert decimal_text(longer) == decimal_text(number)


def test_large_integers_hash_although_doubles_cannot_hold_them():
    assert digest("x", hashable(2**53)) != digest("x", hashable(2**53 + 1))
    assert hashable({"a": (1, True, Decimal("0.50"))}) == {"a": [1, True, "0.5"]}
