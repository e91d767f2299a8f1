"""The days that a file covers, as the journal of changes tells them."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from molam.merchant.trail_pages import dated
from molam.merchant.trail_queries import Difference


@pytest.mark.parametrize(
    ("name", "written", "expected"),
    [
        ("from_at", "2026-11-01T00:00:00Z", date(2026, 11, 1)),
        ("to_at", "2026-12-01T00:00:00Z", date(2026, 11, 30)),
        ("to_at", None, None),
        ("to_at", "soon", "soon"),
        ("amount", 500, 500),
    ],
)
def test_the_last_day_is_one_that_the_file_covers(name: str, written: object, expected: object):
    found = dated(Difference(name, None, written), ZoneInfo("Africa/Dakar"))

    assert found.after == expected


def test_days_begin_where_the_merchant_is():
    found = dated(Difference("to_at", None, "2026-11-30T23:00:00Z"), ZoneInfo("Africa/Lagos"))

    assert found.after == date(2026, 11, 30)
