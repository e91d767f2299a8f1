"""Tail probabilities agree with sums done the long way, and never run out."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.sira.tails import (
    beta_above,
    beta_below,
    count_lower,
    count_upper,
    normal_score,
    share_lower,
    share_upper,
)


def poisson_upper(observed, mean):
    with localcontext() as context:
        context.prec = 60
        below = sum(Decimal(mean) ** k / math.factorial(k) for k in range(observed))
        return -float((1 - below * (-Decimal(mean)).exp()).log10())


@pytest.mark.parametrize(("observed", "mean"), [(1, 0.3), (10, 2), (60, 30), (30, 29), (5, 0.3)])
def test_upper_tail_of_a_poisson_count_is_the_sum(observed, mean):
    assert count_upper(observed, mean, mean) == pytest.approx(
        poisson_upper(observed, mean), abs=1e-9
    )


@pytest.mark.parametrize(("observed", "mean"), [(0, 12), (3, 20), (25, 60)])
def test_lower_tail_of_a_poisson_count_is_the_sum(observed, mean):
    expected = -math.log10(
        sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(observed + 1))
    )

    assert count_lower(observed, mean, mean) == pytest.approx(expected, abs=1e-9)


def test_negative_binomial_of_size_one_is_geometric():
    # Mean 4 and variance 4 + 16: each further count has probability 4/5.
    assert count_upper(10, 4, 20) == pytest.approx(-10 * math.log10(0.8), abs=1e-9)


@given(st.integers(0, 2000), st.floats(0.3, 500), st.floats(1, 5))
def test_score_is_a_finite_number_that_grows_with_the_distance(observed, mean, spread):
    upper = count_upper(observed, mean, mean * spread)

    assert 0 <= upper < math.inf
    assert count_upper(observed + 1, mean, mean * spread) >= upper - 1e-9
    assert 0 <= count_lower(observed, mean, mean * spread) < math.inf


def test_score_still_grows_where_a_double_would_be_zero():
    scores = [count_upper(observed, 10, 10) for observed in (500, 1000, 2000)]

    assert 400 < scores[0] < scores[1] < scores[2]


@pytest.mark.parametrize(("hits", "misses"), [(3, 5), (1, 1), (20, 180), (200, 3)])
@pytest.mark.parametrize("tenths", [1, 3, 5, 9])
def test_beta_of_whole_numbers_is_a_binomial_sum(hits, misses, tenths):
    x = Fraction(tenths, 10)
    trials = hits + misses - 1
    below = sum(
        math.comb(trials, k) * x**k * (1 - x) ** (trials - k) for k in range(hits, trials + 1)
    )

    assert beta_above(float(x), hits, misses) == pytest.approx(max(0.0, -_log10(below)), abs=1e-8)


def _log10(value):
    return math.log10(value.numerator) - math.log10(value.denominator)


@given(st.floats(0.01, 0.99), st.floats(0.5, 1e5), st.floats(0.5, 1e5))
def test_rate_is_either_above_or_below(x, hits, misses):
    above = 1 - 10 ** -beta_above(x, hits, misses)
    below = 1 - 10 ** -beta_below(x, hits, misses)

    assert above + below == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("hits", "trials"), [(0, 30), (3, 40), (20, 60), (55, 60)])
def test_tail_of_a_share_is_the_sum_of_its_terms(hits, trials):
    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    a, b = 180.0, 20.0
    below = sum(
        math.comb(trials, count)
        * math.exp(log_beta(count + a, trials - count + b) - log_beta(a, b))
        for count in range(hits + 1)
    )
    expected = -math.log10(below) if hits / trials < a / (a + b) else 0.0
    assert share_lower(hits, trials, a, b) == pytest.approx(expected, abs=1e-9)
    assert share_upper(trials - hits, trials, b, a) == pytest.approx(expected, abs=1e-9)


def test_normal_tails_go_on_where_a_double_ends():
    assert normal_score(3.0) == pytest.approx(2.5687, abs=1e-4)
    assert normal_score(29.999) == pytest.approx(normal_score(30.001), abs=0.1)
