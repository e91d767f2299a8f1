"""Which refunds are possible, which need approval, and what of a fee comes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.ledger.model import Rate, Rates
from molam.payments.refunds import model
from molam.payments.refunds.model import MOVES, RELEASING, RESERVING, Situation, State, Wish
from molam.payments.refunds.refusals import RefundReasonRefused
from molam.payments.refunds.terms import PlatformThresholds, Terms

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
TERMS = Terms("XOF", "Africa/Dakar", {}, None, None)


def a_situation(**changed: Any) -> Situation:
    fields: dict[str, Any] = {
        "state": "succeeded",
        "amount": 75_000,
        "currency": "XOF",
        "fee": 750,
        "imported": False,
        "occurred_at": NOW - timedelta(hours=1),
        "window": None,
        "ours": 0,
        "reported": 0,
        "lost": 0,
        "open_dispute": None,
        "balance": 500_000,
        "today": 0,
        "this_month": 0,
        "of_payment": 0,
        "of_requester": 0,
        "fee_given_back": 0,
        "now": NOW,
    }
    return Situation(**{**fields, **changed})


def codes(found: Situation, amount: int, terms: Terms = TERMS, **wish: Any) -> list[str]:
    asked = Wish(amount, wish.pop("currency", "XOF"), wish.pop("expected", None))
    return [each.code for each in model.objections(found, asked, terms)]


def test_nothing_stands_against_a_plain_refund():
    assert codes(a_situation(), 75_000) == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"state": "pending"}, "payment-not-refundable"),
        ({"imported": True}, "payment-not-refundable"),
        ({"open_dispute": "dp_1"}, "payment-disputed"),
        ({"ours": 74_999}, "refund-exceeds-payment"),
        ({"reported": 74_999}, "refund-exceeds-payment"),
        ({"lost": 74_999}, "refund-exceeds-payment"),
        ({"balance": 1}, "balance-insufficient"),
        (
            {"window": model.Window(3, True), "occurred_at": NOW - timedelta(days=4)},
            "refund-window-closed",
        ),
    ],
)
def test_each_obstacle_is_named(changed: dict[str, Any], code: str):
    assert codes(a_situation(**changed), 2) == [code]


def test_window_with_a_new_transfer_afterwards_stands_against_nothing():
    late = a_situation(window=model.Window(3, False), occurred_at=NOW - timedelta(days=4))

    assert codes(late, 2) == []
    assert late.is_past_window


def test_operations_may_take_back_more_than_the_balance():
    wish = Wish(2, "XOF")

    assert list(model.objections(a_situation(balance=0), wish, TERMS, needs_balance=False)) == []


@given(
    captured=st.integers(0, 10**9),
    taken=st.lists(st.integers(0, 10**9), min_size=3, max_size=3),
    amount=st.integers(1, 10**9),
)
def test_what_passes_never_gives_back_more_than_was_paid(
    captured: int, taken: list[int], amount: int
):
    ours, reported, lost = taken
    found = a_situation(amount=captured, ours=ours, reported=reported, lost=lost, balance=10**12)

    if not codes(found, amount):
        assert ours + reported + lost + amount <= captured


@given(
    parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=12), threshold=st.integers(0, 10**6)
)
def test_splitting_never_goes_round_the_threshold(parts: list[int], threshold: int):
    """Whoever is let through without approval has stayed below it in all."""
    passed = 0
    for part in parts:
        found = a_situation(of_payment=passed, of_requester=0)
        if not model.weigh(found, part, threshold).needs_approval:
            passed += part

    assert passed < threshold or passed == 0


@given(
    fee=st.integers(0, 10**6),
    captured=st.integers(1, 10**9),
    cuts=st.lists(st.integers(1, 10**9), max_size=8),
)
def test_fee_comes_back_whole_and_never_more_than_it_was(fee: int, captured: int, cuts: list[int]):
    fee = min(fee, captured)
    given_back = before = 0
    for cut in [*cuts, captured]:
        amount = min(cut, captured - before)
        if amount == 0:
            continue
        part = model.fee_returned(
            fee=fee, captured=captured, amount=amount, before=before, given_back=given_back
        )
        assert 0 <= part <= amount
        given_back += part
        before += amount
        assert given_back <= fee

    assert before == captured
    # Many tiny parts may each be too small to carry their share; the last one is bounded.
    assert given_back <= fee


def test_full_refund_returns_the_whole_fee():
    part = model.fee_returned(fee=751, captured=75_000, amount=75_000, before=0, given_back=0)

    assert part == 751


@pytest.mark.parametrize(("amount", "part"), [(50, 0), (150, 2), (250, 2), (51, 1)])
def test_half_a_unit_goes_to_the_even_neighbour(amount: int, part: int):
    returned = model.fee_returned(fee=10, captured=1_000, amount=amount, before=0, given_back=0)

    assert returned == part


def test_completing_refund_returns_the_rest():
    first = model.fee_returned(fee=10, captured=1_000, amount=333, before=0, given_back=0)
    last = model.fee_returned(fee=10, captured=1_000, amount=667, before=333, given_back=first)

    assert first + last == 10


def test_every_state_releases_reserves_or_is_paid():
    assert RESERVING | RELEASING | {State.SUCCEEDED, State.REVERSED} == set(State)
    assert all(not MOVES[state] for state in RELEASING)
    assert all(RELEASING & MOVES[state] for state in RESERVING)


@pytest.mark.parametrize(
    ("config", "code", "expected"),
    [
        ({}, "XOF", 100_000),
        ({"refund_threshold_requiring_approval": 5}, "XOF", 5),
        ({"refund_threshold_requiring_approval": 0}, "XOF", 0),
        ({"refund_threshold_requiring_approval": 5}, "EUR", 15_244),
        ({"refund_thresholds": {"XOF": 7}, "refund_threshold_requiring_approval": 5}, "XOF", 7),
        ({"refund_thresholds": {"EUR": 0}}, "EUR", 0),
        ({"refund_thresholds": {"XOF": True}}, "XOF", 100_000),
        ({"refund_thresholds": {"XOF": "9"}}, "XOF", 100_000),
        ({"refund_thresholds": {"XOF": -1}}, "XOF", 100_000),
        ({}, "GNF", 0),
    ],
)
def test_threshold_is_the_merchants_own_or_the_platforms(
    config: dict[str, Any], code: str, expected: int
):
    fallback = {"XOF": 100_000, "EUR": 15_244}

    assert replace(TERMS, config=config).threshold(code, fallback) == expected


def test_platforms_threshold_is_converted_where_a_rate_is_known():
    parity = Rate(Fraction("655.957"), date(1999, 1, 1), "fixed parity", indicative=False)

    converted = PlatformThresholds(100_000, Rates.of([("EUR", "XOF", parity)]))

    assert (converted["XOF"], converted["EUR"]) == (100_000, 15_245)
    assert "GNF" not in converted


@pytest.mark.parametrize(("said", "minutes"), [(None, 60), (0, 1), (5, 5), (10**9, 10_080)])
def test_time_to_approve_lies_between_a_minute_and_a_week(said: int | None, minutes: int):
    assert replace(TERMS, config={"refund_approval_minutes": said}).approval_minutes == minutes


@pytest.mark.parametrize("text", ["", "  ", "x" * 501, "a\u0000b", "a\u202eb"])
def test_reason_that_cannot_be_shown_is_refused(text: str):
    with pytest.raises(RefundReasonRefused):
        model.read_reason(text)


def test_reason_is_kept_on_one_line():
    assert model.read_reason("  wrong\n size ") == "wrong size"
