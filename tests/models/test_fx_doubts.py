"""Which quoted rates are believed, and when they are due."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.ledger import rates_schedule as schedule
from molam.ledger.rates_model import (
    COMPARED_DAYS,
    JUMP_MAX,
    Quoted,
    RatesMalformed,
    sift,
    useful,
)
from molam.ledger.rates_schedule import Refreshes

TODAY = date(2026, 11, 16)
PAIR = ("EUR", "USD")


def quoted(rate: str, *, on: date = TODAY, base: str = "EUR", quote: str = "USD") -> Quoted:
    return Quoted(base, quote, on, Decimal(rate), "ECB")


def before(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.mark.parametrize(
    ("base", "quote"),
    [("EUR", "XOF"), ("XAF", "EUR"), ("USD", "XOF"), ("EUR", "JPY"), ("EUR",) * 2],
)
def test_what_is_fixed_or_unknown_here_is_left_out(base: str, quote: str):
    assert useful([quoted("600", base=base, quote=quote)], today=TODAY) == []


@pytest.mark.parametrize("rate", ["0", "-1.1", "NaN", "Infinity", "0.0000001", "1000001"])
def test_a_rate_that_cannot_be_refuses_all(rate: str):
    with pytest.raises(RatesMalformed):
        useful([quoted("1.1"), quoted(rate)], today=TODAY)


@pytest.mark.parametrize("day", [before(-2), date(1998, 12, 31), date(9999, 12, 31)])
def test_a_day_that_cannot_be_refuses_all(day: date):
    with pytest.raises(RatesMalformed):
        useful([quoted("1.1", on=day)], today=TODAY)


@pytest.mark.parametrize(("rate", "is_taken"), [("1.2", True), ("0.8", True), ("1.21", False)])
def test_a_fifth_is_as_far_as_a_rate_moves_unseen(rate: str, is_taken: bool):
    sifted = sift([quoted(rate)], {PAIR: {before(1): Decimal(1)}}, today=TODAY)

    assert (len(sifted.taken), len(sifted.doubted)) == ((1, 0) if is_taken else (0, 1))


def test_a_doubted_rate_is_nothing_to_compare_the_next_with():
    history = [quoted("1", on=before(2)), quoted("2", on=before(1)), quoted("2.1")]

    sifted = sift(history, {}, today=TODAY)

    assert [each.rate for each in sifted.taken] == [1]
    assert [(each.quoted.as_of, each.previous_on) for each in sifted.doubted] == [
        (before(1), before(2)),
        (TODAY, before(2)),
    ]


def test_a_month_without_rates_leaves_nothing_to_compare_with():
    stored = {PAIR: {before(COMPARED_DAYS + 1): Decimal(1)}}

    assert len(sift([quoted("2")], stored, today=TODAY).taken) == 1


def test_a_day_gone_by_keeps_the_rate_it_had():
    stored = {PAIR: {before(2): Decimal("1.1"), TODAY: Decimal("1.1")}}

    sifted = sift([quoted("1.12", on=before(2)), quoted("1.12")], stored, today=TODAY)

    assert (sifted.kept, [each.as_of for each in sifted.taken]) == (1, [TODAY])


def test_the_same_file_again_is_known():
    sifted = sift([quoted("1.10")], {PAIR: {TODAY: Decimal("1.1")}}, today=TODAY)

    assert (sifted.known, sifted.taken, sifted.doubted) == (1, (), ())


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.decimals("0.5", "2", places=3)),
        max_size=30,
        unique_by=lambda each: each[0],
    ),
    st.randoms(),
)
def test_no_two_neighbours_ever_differ_by_more_than_a_fifth(
    given_days: list[tuple[int, Decimal]], rng: object
):
    history = [quoted(str(rate), on=before(days)) for days, rate in given_days]
    shuffled = sorted(history, key=lambda _: rng.random())  # type: ignore[attr-defined]

    sifted = sift(shuffled, {}, today=TODAY)

    assert sifted == sift(history, {}, today=TODAY)
    assert len(sifted.taken) + len(sifted.doubted) == len(history)
    for earlier, later in zip(sifted.taken, sifted.taken[1:], strict=False):
        if (later.as_of - earlier.as_of).days <= COMPARED_DAYS:
            assert abs(later.rate / earlier.rate - 1) <= JUMP_MAX


# 2026-11-16 is a Monday; the ECB publishes at 16:00 in Frankfurt, which is 15:00 UTC then.
BEFORE_FOUR = datetime(2026, 11, 16, 14, 59, tzinfo=UTC)
AFTER_FOUR = datetime(2026, 11, 16, 15, 1, tzinfo=UTC)
FRIDAY = date(2026, 11, 13)


def test_fridays_rates_are_the_newest_until_monday_at_four():
    assert schedule.newest_published(BEFORE_FOUR) == FRIDAY
    assert schedule.newest_published(AFTER_FOUR) == TODAY


def test_the_ecb_rests_over_easter_and_in_summer_publishes_an_hour_earlier_by_utc():
    assert schedule.newest_published(datetime(2026, 4, 6, 20, tzinfo=UTC)) == date(2026, 4, 2)
    assert schedule.newest_published(datetime(2026, 7, 1, 14, 30, tzinfo=UTC)) == date(2026, 7, 1)


def past(at: datetime, newest: date | None = FRIDAY) -> Refreshes:
    return Refreshes(at, at, newest)


def test_the_ecb_is_asked_once_it_has_published_and_not_again():
    friday = past(datetime(2026, 11, 13, 15, 10, tzinfo=UTC))

    assert schedule.is_due("ecb", None, BEFORE_FOUR)
    assert not schedule.is_due("ecb", friday, BEFORE_FOUR)
    assert schedule.is_due("ecb", friday, AFTER_FOUR)
    assert not schedule.is_due("ecb", friday, AFTER_FOUR, jitter=timedelta(minutes=5))
    assert not schedule.is_due("ecb", past(AFTER_FOUR, TODAY), AFTER_FOUR + timedelta(hours=3))


def test_when_the_ecb_is_late_it_is_asked_again_after_a_while():
    asked = past(AFTER_FOUR)

    assert not schedule.is_due("ecb", asked, AFTER_FOUR + timedelta(minutes=14))
    assert schedule.is_due("ecb", asked, AFTER_FOUR + timedelta(minutes=15))


@pytest.mark.parametrize(("minutes", "is_due"), [(59, False), (60, False), (64, False), (65, True)])
def test_others_are_asked_each_hour_and_a_little(minutes: int, is_due: bool):
    now = AFTER_FOUR + timedelta(minutes=minutes)

    found = schedule.is_due("fixer", past(AFTER_FOUR), now, jitter=timedelta(minutes=5))

    assert found is is_due


def test_rates_are_late_from_the_moment_they_should_have_come():
    friday = past(datetime(2026, 11, 13, 15, 10, tzinfo=UTC))

    assert schedule.stale_since("ecb", friday, AFTER_FOUR + timedelta(hours=2)) is None
    late = schedule.stale_since("ecb", friday, AFTER_FOUR + timedelta(hours=3))
    assert late == datetime(2026, 11, 16, 15, 0, tzinfo=UTC)
    assert schedule.stale_since("fixer", past(AFTER_FOUR), AFTER_FOUR + timedelta(hours=4)) is None
    assert (
        schedule.stale_since("fixer", past(AFTER_FOUR), AFTER_FOUR + timedelta(hours=5))
        == AFTER_FOUR
    )


def test_a_weekend_is_no_gap_and_a_missed_day_is():
    assert not schedule.has_gap(FRIDAY, TODAY)
    assert schedule.has_gap(date(2026, 11, 12), TODAY)
