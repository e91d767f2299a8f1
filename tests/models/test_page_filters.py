"""The transactions page's filters: from the address to a question, and back."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from molam.kernel.currency import UnknownCurrency
from molam.merchant.filters import Asked, read_filters


def test_days_are_the_merchants_own_and_the_last_is_included() -> None:
    asked = Asked(from_=date(2026, 11, 1), to=date(2026, 11, 2))

    filters, errors = read_filters(asked, "NGN", "Africa/Lagos")

    assert errors == []
    assert filters.from_at == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert filters.to_at == datetime(2026, 11, 2, 23, tzinfo=UTC)


def test_amounts_are_typed_in_major_units() -> None:
    filters, errors = read_filters(Asked(amount_min="1 234,50"), "GHS", "Africa/Accra")

    assert (filters.amount_min, errors) == (123_450, [])


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (Asked(q="a"), "q"),
        (Asked(amount_min="x"), "amount"),
        (Asked(amount_min="20", amount_max="10"), "amount"),
        (Asked(from_=date(2026, 2, 2), to=date(2026, 2, 1)), "dates"),
    ],
)
def test_what_cannot_be_meant_is_named(asked: Asked, error: str) -> None:
    _, errors = read_filters(asked, "XOF", "Africa/Dakar")

    assert errors == [error]


def test_a_currency_we_do_not_keep_is_refused() -> None:
    with pytest.raises(UnknownCurrency):
        read_filters(Asked(currency="JPY"), "XOF", "Africa/Dakar")


def test_an_address_keeps_every_filter_but_the_changed_one() -> None:
    asked = Asked(q="wave & co", status="failed", from_=date(2026, 11, 1), cursor="abc")

    assert asked.address(cursor=None, status=None) == (
        "/transactions?q=wave+%26+co&from=2026-11-01"
    )
    assert Asked(cursor="abc").address(cursor=None) == "/transactions"
