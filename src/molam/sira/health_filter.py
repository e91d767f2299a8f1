"""What is believed of a bank: a Bayesian filter in two time scales, moved by each signal."""

from __future__ import annotations

import math
import statistics

import msgspec

# Note [The filter]
#
# Two things are unknown of a bank. Its *baseline* b is the share of payouts that fail
# while all is well; it moves in weeks, and is a Beta whose counts fade with each event.
# Its *state* moves in minutes: UP, or DOWN with one of four severities s, where a share
# f = 1 - (1 - b)(1 - s) fails. Outages begin once in 48 hours and last 150 minutes (public
# incidents of clouds and payment services: half of them over within 133 to 193 minutes).
#
# Between events the state is drawn anew, now and then, from how banks are in the long
# run: w' = e w + (1 - e) w0 with e = exp(-(lambda + mu) dt). Such a process looks the same
# backwards, so that an event that comes late is weighed by the same e: what was seen an
# hour ago says of now what now would have said of it. No event is thrown away, and none
# moves the clock back.
#
# The baseline stands still while the bank is believed DOWN: an outage must not become
# what is usual. Its prior never fades, and it is never believed below what the best
# banks reach, so that one failure after a clean month is not an outage.

SEVERITIES = (0.15, 0.35, 0.65, 0.97)
DOWN_RATE = 1 / (48 * 3600)
UP_RATE = 1 / (150 * 60)
BASELINE_STRENGTH = 50.0
BASELINE_KEEP = 0.99993
BASELINE_MIN, BASELINE_MAX = 4e-4, 0.5
FROZEN_ABOVE = 0.5

_RATE = DOWN_RATE + UP_RATE
_DOWN_SHARE = DOWN_RATE / _RATE
_EACH_SHARE = _DOWN_SHARE / len(SEVERITIES)
_USUAL = (1 - _DOWN_SHARE, _EACH_SHARE, _EACH_SHARE, _EACH_SHARE, _EACH_SHARE)
_USUAL_ODDS = math.log(_DOWN_SHARE / (1 - _DOWN_SHARE))
# Far below any probability that decides something; above it, no logarithm is infinite.
_WEIGHT_MIN = 1e-15
_COUNTED_MAX = 50
_NORMAL = statistics.NormalDist()

Weights = tuple[float, float, float, float, float]


class Belief(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is believed at *at* (Unix seconds).

    *weights* are the probabilities of UP and the four severities. *oks* and *failures*
    are what the baseline has counted, fading; *prior* and *strength* where it began.
    *seen* counts events, fading likewise. *evidence* says by how much each family of
    signals has moved the log-odds of DOWN from where they usually are; it fades as the
    belief returns there, and always adds up to it.
    """

    weights: Weights
    at: float = 0.0
    oks: float = 0.0
    failures: float = 0.0
    prior: float = 0.01
    strength: float = BASELINE_STRENGTH
    seen: float = 0.0
    evidence: dict[str, float] = {}


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Belief)


def decode(stored: bytes | str) -> Belief:
    """
    Read a belief as `encode` wrote it, to the last digit.

    Raises:
        msgspec.ValidationError: it is none.
    """
    return _decoder.decode(stored)


def fresh(mean: float = 0.01, *, strength: float = BASELINE_STRENGTH) -> Belief:
    """Believe nothing yet but that a share *mean* fails, as in its region."""
    return Belief(weights=_USUAL, prior=mean, strength=strength)


def advance(belief: Belief, at: float) -> Belief:
    """Let time pass until *at*; an earlier time changes nothing."""
    if at <= belief.at:
        return belief
    keep = math.exp(-_RATE * (at - belief.at))
    weights = _relaxed(belief.weights, keep)
    left = _left(_log_odds(belief.weights), _log_odds(weights), keep)
    evidence = {family: each * left for family, each in belief.evidence.items()}
    return msgspec.structs.replace(belief, weights=weights, at=at, evidence=evidence)


def observe(belief: Belief, failure: float, at: float, family: str = "payout") -> Belief:
    """Learn from one event: *failure* is its weight, from 0 (good) to 1."""
    return observe_many(belief, failures=failure, oks=1.0 - failure, at=at, family=family)


def observe_many(
    belief: Belief, *, failures: float, oks: float, at: float, family: str = "payout"
) -> Belief:
    """
    Learn from events of about the same time, in one step.

    Half a failure is evidence of half the weight: its likelihood is the root of both.
    """
    assert failures >= 0 <= oks, "events are counted from 0 on"
    assert math.isfinite(at), "an event has a time"
    # Not by `advance`: this is done for every signal, and a belief in between costs a third.
    weights, left, now = belief.weights, 1.0, belief.at
    likelihoods = _likelihoods(baseline(belief), failures, oks)
    odds = _log_odds(weights)
    if at > now:
        keep = math.exp(-_RATE * (at - now))
        weights, now = _relaxed(weights, keep), at
        relaxed = _log_odds(weights)
        left, odds = _left(odds, relaxed, keep), relaxed
    elif at < now:
        likelihoods = _long_ago(likelihoods, math.exp(-_RATE * (now - at)))
    weights = _normal(weights, likelihoods)
    evidence = {name: each * left for name, each in belief.evidence.items()}
    evidence[family] = evidence.get(family, 0.0) + _log_odds(weights) - odds
    count = failures + oks
    faded = BASELINE_KEEP if count == 1 else BASELINE_KEEP**count
    frozen = 1 - weights[0] > FROZEN_ABOVE
    return Belief(
        weights,
        now,
        belief.oks if frozen else belief.oks * faded + oks,
        belief.failures if frozen else belief.failures * faded + failures,
        belief.prior,
        belief.strength,
        belief.seen * faded + count,
        evidence,
    )


def doubted(belief: Belief, probability: float, family: str) -> Belief:
    """Believe DOWN with at least *probability*, because of what *family* says; see `evidence`."""
    now = p_down(belief)
    if probability <= now:
        return belief
    share = probability / now
    a, b, c, d, e = belief.weights
    weights = (a * (1 - probability) / (1 - now), b * share, c * share, d * share, e * share)
    gained = _log_odds(weights) - _log_odds(belief.weights)
    evidence = {**belief.evidence, family: belief.evidence.get(family, 0.0) + gained}
    return msgspec.structs.replace(belief, weights=weights, evidence=evidence)


def p_down(belief: Belief) -> float:
    """Return the probability that the bank is not UP."""
    return min(1.0, max(0.0, sum(belief.weights[1:])))


def baseline(belief: Belief) -> float:
    """Return the share that fails while all is well."""
    mean = (belief.prior * belief.strength + belief.failures) / (
        belief.strength + belief.oks + belief.failures
    )
    return min(BASELINE_MAX, max(BASELINE_MIN, mean))


def failing(base: float) -> Weights:
    """Return the share that fails in each state."""
    kept = 1 - base
    a, b, c, d = SEVERITIES
    return base, 1 - kept * (1 - a), 1 - kept * (1 - b), 1 - kept * (1 - c), 1 - kept * (1 - d)


def expected_failure(belief: Belief, horizon_s: float) -> float:
    """Return the share that is expected to fail over the next *horizon_s* seconds; 0 is now."""
    mean = _mean_kept(horizon_s)
    weights = _relaxed(belief.weights, mean)
    shares = failing(baseline(belief))
    return sum(weight * share for weight, share in zip(weights, shares, strict=True)) / sum(weights)


def interval(
    belief: Belief, horizon_s: float, *, coverage: float = 0.8, trials: float | None = None
) -> tuple[float, float, float]:
    """
    Return the score's lower end, median and upper end over *horizon_s*, from 0 to 100.

    What varies is how the outage goes, if there is one: it may end or begin in between.
    And the baseline, which is known the better the more was seen. With *trials*, how many
    of so many payouts fail is left to chance as well, as it will be.
    """
    tail = (1 - coverage) / 2
    base = baseline(belief)
    known = belief.strength + belief.oks + belief.failures + 1
    count = 1 / (1 / known + 1 / trials) if trials else known
    ends = []
    for probability in (1 - tail, tail):
        start = drawn(base, count, probability)
        share = _share_exceeded(belief, horizon_s, start, 1 - probability)
        if trials and share > start:
            share = drawn(share, trials, probability)
        ends.append(100 * (1 - share))
    middle = 100 * (1 - _share_exceeded(belief, horizon_s, base, 0.5))
    return min(ends[0], middle), middle, max(ends[1], middle)


def drawn(share: float, trials: float, probability: float) -> float:
    """Return the share of *trials* that fail, not exceeded with *probability*, if *share* do."""
    mean = share * trials
    if mean > _COUNTED_MAX:
        spread = math.sqrt(share * (1 - share) / trials)
        return min(1.0, max(0.0, share + _NORMAL.inv_cdf(probability) * spread))
    count, chance = 0, math.exp(-mean)
    below = chance
    while below < probability:
        count += 1
        chance *= mean / count
        below += chance
    return min(1.0, count / trials)


def log_odds(belief: Belief) -> tuple[float, dict[str, float]]:
    """Return the log-odds of DOWN, and what they are made of: the usual, and each family."""
    return _log_odds(belief.weights), {"usual": _USUAL_ODDS, **belief.evidence}


def _relaxed(weights: Weights, keep: float) -> Weights:
    new = 1 - keep
    up, each = new * _USUAL[0], new * _EACH_SHARE
    a, b, c, d, e = weights
    return keep * a + up, keep * b + each, keep * c + each, keep * d + each, keep * e + each


def _likelihoods(base: float, failures: float, oks: float) -> Weights:
    shares = failing(base)
    if failures == 0 and oks == 1:
        a, b, c, d, e = shares
        return 1 - a, 1 - b, 1 - c, 1 - d, 1 - e
    if failures == 1 and oks == 0:
        return shares
    logs = [failures * math.log(share) + oks * math.log1p(-share) for share in shares]
    most = max(logs)
    a, b, c, d, e = (math.exp(each - most) for each in logs)
    return a, b, c, d, e


def _long_ago(likelihoods: Weights, keep: float) -> Weights:
    """Soften what was seen of an earlier state: it may have changed since."""
    usual = sum(share * each for share, each in zip(_USUAL, likelihoods, strict=True))
    a, b, c, d, e = (keep * each + (1 - keep) * usual for each in likelihoods)
    return a, b, c, d, e


def _normal(weights: Weights, likelihoods: Weights) -> Weights:
    a, b, c, d, e = weights
    v, w, x, y, z = likelihoods
    a, b, c, d, e = a * v, b * w, c * x, d * y, e * z
    total = a + b + c + d + e
    a, b, c, d, e = a / total, b / total, c / total, d / total, e / total
    if min(a, b, c, d, e) < _WEIGHT_MIN:
        a, b, c, d, e = (max(each, _WEIGHT_MIN) for each in (a, b, c, d, e))
    return a, b, c, d, e


def _log_odds(weights: Weights) -> float:
    return math.log((weights[1] + weights[2] + weights[3] + weights[4]) / weights[0])


def _left(before: float, after: float, keep: float) -> float:
    """Return how much is left of the evidence, as its log-odds return to the usual."""
    away = before - _USUAL_ODDS
    # Where what speaks for and against is even, each fades as small evidence does.
    return (after - _USUAL_ODDS) / away if abs(away) > _EVEN else keep


_EVEN = 1e-9


def _mean_kept(horizon_s: float) -> float:
    spent = _RATE * horizon_s
    return 1.0 if spent <= 0 else -math.expm1(-spent) / spent


def _share_exceeded(belief: Belief, horizon_s: float, base: float, probability: float) -> float:
    """Find the share of failures over the horizon that is exceeded with *probability*."""
    low, high = base, 1.0
    if _exceeds(belief, horizon_s, base, low) <= probability:
        return base
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _exceeds(belief, horizon_s, base, middle) > probability:
            low = middle
        else:
            high = middle
    return high


_HALVINGS = 30


def _exceeds(belief: Belief, horizon_s: float, base: float, share: float) -> float:
    """Return the probability that more than *share* fails over the horizon."""
    shares = failing(base)
    begins = lasts = 0.0
    for weight, down in zip(belief.weights[1:], shares[1:], strict=True):
        part = (share - base) / (down - base)
        if part >= 1:
            continue
        # DOWN now: it must last for that part. UP now: it must begin early enough.
        lasts += weight * math.exp(-UP_RATE * part * horizon_s)
        begins -= math.expm1(-DOWN_RATE * (1 - part) * horizon_s) / len(SEVERITIES)
    return lasts + belief.weights[0] * begins
