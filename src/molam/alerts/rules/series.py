"""One watched tenant: what its measurements, in the order of their own time, make true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from molam.alerts.rules.model import Rule, Sample, Severity, Transition
from molam.alerts.rules.state import SeriesState, Waiting
from molam.alerts.rules.walk import Walk
from molam.kernel.clock import Instant

LATENESS_S = 5
"""For so long a measurement waits for earlier ones that are still under way."""
LATENESS = timedelta(seconds=LATENESS_S)

WAITING_MAX = 500
"""Of one tenant; beyond, the oldest are judged before their time."""

_TICK = timedelta(microseconds=1)

# Note [By the time of what was measured]
#
# What a series becomes depends on what was measured and when, not on when we heard of it
# or how it was cut into batches. Samples are judged in the order of their own time, and a
# sample is judged only once the log has moved 5 s beyond it: whatever is earlier, and not
# later than that in coming, then has its place before it. Time itself comes through the log,
# too: what must happen when nothing is heard happens when a tick passes, never because a
# reader is behind.
#
# What comes later than that changes nothing of the past. If it is still the newest that is
# known, it counts from now on: a source that is always slow is heard, if late.


def fresh(rule: Rule, fingerprint: bytes, first: Sample, *, until: Instant) -> SeriesState:
    """Begin to watch a tenant of whom nothing was known before *first*."""
    begin = min(first.at, until)
    return SeriesState(
        fingerprint=fingerprint,
        rule_id=rule.id,
        rule_version=rule.version,
        tenant_id=first.tenant_id,
        currency=first.currency,
        state="ok",
        since=begin,
        judged_at=begin,
        last_at=first.at,
        last_value=first.value,
        flap_at=begin,
    )


def fold(
    state: SeriesState, samples: Sequence[Sample], rule: Rule, *, until: Instant
) -> tuple[SeriesState, list[Transition]]:
    """Judge what happened before *until*, keep the rest waiting, and say what became true."""
    walk = Walk(state, rule)
    until = max(until, state.judged_at)
    on_time = _sort_out(walk, state, samples)
    waiting = _merged(state.waiting, on_time, rule)
    if len(waiting) > WAITING_MAX:
        until = max(until, waiting[-WAITING_MAX].at)
    ripe = next((n for n, each in enumerate(waiting) if each.at >= until), len(waiting))
    if (
        not ripe
        and not walk.is_new
        and (state.rule_id, state.rule_version)
        != (
            rule.id,
            rule.version,
        )
    ):
        walk.judge_again(max(state.judged_at, min(rule.updated_at, until)))
    for sample in waiting[:ripe]:
        walk.advance(sample.at)
        walk.take(sample.at, sample)
    walk.advance(until)
    after = walk.state(judged_at=until, waiting=tuple(waiting[ripe:]))
    is_quiet = (
        state.due_at is None
        and state.state == after.state == "ok"
        and (state.rule_id, state.rule_version) == (rule.id, rule.version)
    )
    # Nothing bad waited before, so only what is new can be.
    noted = on_time if is_quiet else after.waiting
    return msgspec.structs.replace(after, due_at=_due(walk, after, rule, noted)), walk.said


def judge_now(
    state: SeriesState, samples: Sequence[Sample], rule: Rule, *, now: Instant
) -> tuple[SeriesState, list[Transition]]:
    """Judge *samples* at once, as whoever asks for an answer needs it."""
    last = max([now, *(sample.at for sample in samples), *(one.at for one in state.waiting)])
    return fold(state, samples, rule, until=last + _TICK)


def release(state: SeriesState, rule: Rule, *, at: Instant) -> tuple[SeriesState, list[Transition]]:
    """Stop judging: no rule is in force any more, and what it had raised is over."""
    walk = Walk(state, rule)
    walk.end(max(at, state.judged_at))
    after = walk.state(judged_at=max(at, state.judged_at), waiting=())
    return msgspec.structs.replace(after, due_at=None), walk.said


def holding(state: SeriesState, sample: Sample, *, at: Instant) -> SeriesState:
    """Hold the value of *sample* without judging it, because somebody else does."""
    return msgspec.structs.replace(
        state,
        last_at=max(state.last_at, min(sample.at, at)),
        last_value=sample.value,
        context=sample.context,
    )


def begin_episode(
    state: SeriesState, rule: Rule, *, severity: Severity, at: Instant
) -> tuple[SeriesState, Transition | None]:
    """Open an episode because somebody says so; None: one is open."""
    if state.opened_by is not None:
        return state, None
    walk = Walk(state, rule)
    walk.open(max(at, state.judged_at), "value", severity=severity)
    after = walk.state(judged_at=max(at, state.judged_at), waiting=state.waiting)
    after = msgspec.structs.replace(after, due_at=_due(walk, after, rule, after.waiting))
    return after, next(one for one in walk.said if one.moved == "opened")


def end_episode(state: SeriesState, *, at: Instant) -> SeriesState:
    """End the open episode because somebody says so; a value that is still bad opens another."""
    after = msgspec.structs.replace(state, severity=None, opened_by=None)
    if state.state == "no_data":
        return after
    return msgspec.structs.replace(after, state="ok", since=max(at, state.judged_at))


def _sort_out(walk: Walk, state: SeriesState, samples: Sequence[Sample]) -> list[Waiting]:
    """Put aside what is late; the newest of it counts from where judging has come."""
    on_time: list[Waiting] = []
    newest: Sample | None = None
    for sample in samples:
        if sample.at >= state.judged_at:
            on_time.append(_waiting(sample))
            continue
        walk.late += 1
        if sample.at > state.last_at and (newest is None or sample.at >= newest.at):
            newest = sample
    if newest is not None:
        walk.take(state.judged_at, _waiting(newest))
    return on_time


def _waiting(sample: Sample) -> Waiting:
    value = sample.value
    whole = int(value)
    return Waiting(sample.at, whole if whole == value else value, sample.context or None)


def _merged(waiting: Sequence[Waiting], news: list[Waiting], rule: Rule) -> list[Waiting]:
    """Order by time; of one moment the worst comes last, and equals count once."""
    if not news:
        return list(waiting)
    sign = -1 if rule.comparison == "below" else 1
    news.sort(key=lambda each: (each.at, sign * each.value))
    if not waiting or waiting[-1].at < news[0].at:
        return [*waiting, *_distinct(news)]
    everything = [*waiting, *news]
    everything.sort(key=lambda each: (each.at, sign * each.value))
    return _distinct(everything)


def _distinct(ordered: Sequence[Waiting]) -> list[Waiting]:
    distinct = [ordered[0]]
    for each in ordered:
        last = distinct[-1]
        if each.at != last.at or each.value != last.value:
            distinct.append(each)
    return distinct


def _due(walk: Walk, state: SeriesState, rule: Rule, noted: Sequence[Waiting]) -> Instant | None:
    """
    Say when to look again if nothing more is heard: not after anything would come of it.

    It may be too early, which costs a look; then nothing has happened, and it is said anew.
    """
    moments = [timer.at for timer in walk.timers(state.waiting[-1].at if state.waiting else None)]
    if (first := _first_of_note(state, rule, noted)) is not None:
        moments.append(first)
    return min(moments) + LATENESS + _TICK if moments else None


def _first_of_note(state: SeriesState, rule: Rule, waiting: Sequence[Waiting]) -> Instant | None:
    """Find the first waiting sample from which something may come, and when."""
    match state.state:
        case "ok":
            bad = next((one for one in waiting if rule.fires(one.value)), None)
            return None if bad is None else bad.at + timedelta(seconds=rule.for_s)
        case "pending":
            return None
        case "firing":
            moments = (
                one.at + timedelta(seconds=rule.keep_firing_s if rule.clears(one.value) else 0)
                for one in waiting
                if rule.clears(one.value) or rule.severity_of(one.value) != state.severity
            )
            return min(moments, default=None)
        case "clearing":
            return next((one.at for one in waiting if not rule.clears(one.value)), None)
        case "no_data":
            return waiting[0].at if waiting else None
