"""How many requests to a bank in trouble are held back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from molam.payments.banks.budgets import Restraint, held_back_share, is_accepted

COUNTS = st.tuples(st.integers(0, 500), st.integers(0, 500)).map(
    lambda pair: (max(pair), min(pair))
)


@settings(max_examples=200, deadline=None)
@given(COUNTS)
def test_share_is_a_probability_and_never_certain(counts: tuple[int, int]):
    requests, accepts = counts

    assert 0 <= held_back_share(requests, accepts) < 1


@settings(max_examples=200, deadline=None)
@given(COUNTS)
def test_bank_that_takes_half_of_its_requests_is_not_held_back(counts: tuple[int, int]):
    requests, accepts = counts

    assert (held_back_share(requests, accepts) > 0) == (requests > 2 * accepts)


@settings(max_examples=200, deadline=None)
@given(COUNTS)
def test_each_answer_lets_more_pass_and_each_failure_fewer(counts: tuple[int, int]):
    requests, accepts = counts
    share = held_back_share(requests, accepts)

    assert held_back_share(requests + 1, accepts + 1) <= share
    assert held_back_share(requests + 1, accepts) >= share


def test_share_is_that_of_the_formula():
    assert held_back_share(100, 0) == 100 / 101
    assert held_back_share(100, 40) == 20 / 101
    assert held_back_share(100, 50) == 0


def test_few_requests_hold_nothing_back():
    eager = Restraint(draw=lambda: 0.0)

    assert not eager.holds_back("bp", 9, 0)
    assert eager.holds_back("bp", 10, 0)


def test_what_a_bank_did_its_work_for_counts_as_accepted():
    assert all(is_accepted(each) for each in ("ok", "customer", "compliance", "liquidity", None))
    assert not any(
        is_accepted(each) for each in ("bank_technical", "bank_timeout_unknown", "network_local")
    )
