"""Tail probabilities of counts and rates, as powers of ten that never run out."""

from __future__ import annotations

import math

_LN10 = math.log(10)
_FAR_Z = 30.0
_TERMS_MAX = 100_000
_NEGLIGIBLE = 1e-17
_TINY = 1e-300


def count_upper(observed: int, mean: float, variance: float) -> float:
    """
    Return -log10 P(X >= observed) for a count of this *mean* and *variance*.

    The count is Poisson, or negative binomial where it varies more than that. The
    probability is added up relative to its largest term, so that it keeps telling
    apart what a double would round to zero.
    """
    if observed <= mean:
        return 0.0
    size = _size(mean, variance)
    total = term = 1.0
    for step in range(_TERMS_MAX):
        term *= _next_ratio(observed + step, mean, size)
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return max(0.0, -(_log_mass(observed, mean, size) + math.log(total)) / _LN10)


def count_lower(observed: int, mean: float, variance: float) -> float:
    """Return -log10 P(X <= observed), likewise."""
    if observed >= mean:
        return 0.0
    size = _size(mean, variance)
    total = term = 1.0
    for count in range(observed - 1, -1, -1):
        term /= _next_ratio(count, mean, size)
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return max(0.0, -(_log_mass(observed, mean, size) + math.log(total)) / _LN10)


def share_lower(hits: int, trials: int, a: float, b: float) -> float:
    """Return -log10 P(X <= *hits*) of *trials*, each of a rate that is Beta(*a*, *b*)."""
    if hits * (a + b) >= trials * a:
        return 0.0
    total = term = 1.0
    for count in range(hits, 0, -1):
        term *= count / (trials - count + 1) * (trials - count + b) / (count - 1 + a)
        total += term
        if term < total * _NEGLIGIBLE:
            break
    mass = (
        math.lgamma(trials + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(trials - hits + 1)
        + _log_beta(hits + a, trials - hits + b)
        - _log_beta(a, b)
    )
    return max(0.0, -(mass + math.log(total)) / _LN10)


def share_upper(hits: int, trials: int, a: float, b: float) -> float:
    """Return -log10 P(X >= *hits*), likewise."""
    return share_lower(trials - hits, trials, b, a)


def beta_above(threshold: float, hits: float, misses: float) -> float:
    """Return -log10 P(rate <= *threshold*) where the rate is Beta(*hits*, *misses*)."""
    if threshold <= 0:
        return math.inf
    if threshold >= 1:
        return 0.0
    return max(0.0, -_log_beta_below(threshold, hits, misses) / _LN10)


def beta_below(threshold: float, hits: float, misses: float) -> float:
    """Return -log10 P(rate >= *threshold*), likewise."""
    return beta_above(1 - threshold, misses, hits)


def normal_score(z: float) -> float:
    """Return -log10 of both normal tails beyond *z*."""
    tails = math.erfc(z / math.sqrt(2)) if z < _FAR_Z else 0.0
    if tails > 0:
        return max(0.0, -math.log10(tails))
    # By its leading term, where a double has no digits left.
    return (z * z / 2 + math.log(z) + math.log(math.sqrt(math.pi / 2))) / _LN10


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _size(mean: float, variance: float) -> float | None:
    """Return the negative binomial's size; None for a plain Poisson count."""
    excess = variance - mean
    return None if excess <= mean * 1e-9 else mean * mean / excess


def _log_mass(count: int, mean: float, size: float | None) -> float:
    if size is None:
        return count * math.log(mean) - mean - math.lgamma(count + 1)
    return (
        math.lgamma(count + size)
        - math.lgamma(size)
        - math.lgamma(count + 1)
        + size * math.log(size / (size + mean))
        + count * math.log(mean / (size + mean))
    )


def _next_ratio(count: int, mean: float, size: float | None) -> float:
    """Return P(X = count + 1) / P(X = count)."""
    if size is None:
        return mean / (count + 1)
    return (count + size) / (count + 1) * mean / (size + mean)


def _log_beta_below(x: float, a: float, b: float) -> float:
    """Return ln I_x(a, b), the regularised incomplete beta function."""
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    # The fraction converges fast only on the near side of the mean (DLMF 8.17.22).
    if x < (a + 1) / (a + b + 2):
        return log_front - math.log(a) + math.log(_beta_fraction(x, a, b))
    other = math.exp(log_front - math.log(b) + math.log(_beta_fraction(1 - x, b, a)))
    return math.log1p(-min(other, 1.0)) if other < 1 else math.log(_TINY)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction of I_x(a, b) by Lentz's method."""
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0) or _TINY)
    value = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for part in (even, odd):
            d = 1.0 / (1.0 + part * d or _TINY)
            c = 1.0 + part / c or _TINY
            change = c * d
            value *= change
        if abs(change - 1.0) < 1e-14:  # noqa: PLR2004 - about a double's last digits.
            break
    return value
