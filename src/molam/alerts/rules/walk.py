"""The states that a watched tenant passes through, one moment after the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from molam.alerts.rules import flapping
from molam.alerts.rules.model import SEVERITIES, Moved, Rule, Severity, Transition
from molam.alerts.rules.state import Cause, SeriesState, Waiting
from molam.kernel.clock import Instant

What = Literal["mature", "resolve", "silence", "steady"]


@dataclass(frozen=True, slots=True, order=True)
class Timer:
    """What will become true by time alone."""

    at: Instant
    what: What


class Walk:
    """Takes a state through samples and time, and remembers what became true."""

    def __init__(self, before: SeriesState, rule: Rule) -> None:
        self._before = before
        self._rule = rule
        self.said: list[Transition] = []
        self.late = before.late_samples
        self._now = before.judged_at
        self._state = before.state
        self._since = before.since
        self._last_at = before.last_at
        self._value = before.last_value
        self._previous = before.previous_value
        self._context = before.context
        self._recent = before.recent
        self._count = before.recent_count
        self._flap_at = before.flap_at
        self._is_flapping = before.is_flapping
        self._episode = before.episode
        self._severity = before.severity
        self._opened_by = before.opened_by

    @property
    def is_new(self) -> bool:
        """Tell whether nothing has been judged yet."""
        return not self._count

    def state(self, *, judged_at: Instant, waiting: tuple[Waiting, ...]) -> SeriesState:
        before = self._before
        return SeriesState(
            fingerprint=before.fingerprint,
            rule_id=self._rule.id,
            rule_version=self._rule.version,
            tenant_id=before.tenant_id,
            currency=before.currency,
            state=self._state,
            since=self._since,
            judged_at=judged_at,
            last_at=self._last_at,
            last_value=self._value,
            flap_at=self._flap_at,
            previous_value=self._previous,
            context=self._context,
            waiting=waiting,
            recent=self._recent,
            recent_count=self._count,
            is_flapping=self._is_flapping,
            episode=self._episode,
            severity=self._severity,
            opened_by=self._opened_by,
            late_samples=self.late,
        )

    def advance(self, to: Instant) -> None:
        """Let time pass; what falls on *to* itself waits for what was measured then."""
        while (timer := min(self.timers(), default=None)) is not None and timer.at < to:
            self._now = timer.at
            self._ring(timer)
        self._now = max(self._now, to)

    def timers(self, heard_at: Instant | None = None) -> list[Timer]:
        """List what time alone will bring; *heard_at* is known of, though not judged yet."""
        rule, timers = self._rule, []
        if self._state == "pending":
            timers.append(self._timer(self._since, rule.for_s, "mature"))
        elif self._state == "clearing":
            timers.append(self._timer(self._since, rule.keep_firing_s, "resolve"))
        is_known = bool(self._count) or heard_at is not None
        if rule.no_data_s is not None and is_known and self._may_fall_silent:
            heard = max(self._last_at, heard_at or self._last_at)
            timers.append(self._timer(heard, rule.no_data_s, "silence"))
        if self._is_flapping:
            at = flapping.steady_at(self._recent, self._count, self._flap_at)
            timers.append(self._timer(at, 0, "steady"))
        return timers

    @property
    def _may_fall_silent(self) -> bool:
        return self._state not in {"no_data", "clearing"}

    def _timer(self, since: Instant, seconds: int, what: What) -> Timer:
        return Timer(max(self._now, since + timedelta(seconds=seconds)), what)

    def _ring(self, timer: Timer) -> None:
        match timer.what:
            case "mature":
                self.open(timer.at, "value", severity=self._rule.severity_of(self._value))
            case "resolve":
                self.end(timer.at)
            case "silence":
                if self._opened_by is None:
                    self._begin("silence", self._rule.severity)
                self._state, self._since = "no_data", timer.at
                self._say("no_data", timer.at)
            case "steady":
                self._recent, self._count, self._flap_at = flapping.lasted(
                    self._recent, self._count, self._flap_at, timer.at + flapping.JUST_AFTER
                )
                self._is_flapping = False
                self._say("steady", timer.at)

    def take(self, at: Instant, sample: Waiting) -> None:
        """Judge what was measured, as of *at*."""
        self._previous = None if self.is_new else self._value
        self._value, self._context = Decimal(sample.value), sample.context or {}
        self._last_at = sample.at if self.is_new else max(self._last_at, sample.at)
        self._judge(at)

    def judge_again(self, at: Instant) -> None:
        """Judge by another rule what holds already."""
        self.advance(at)
        if self._state != "no_data":
            self._judge(at)

    def _judge(self, at: Instant) -> None:
        rule, value = self._rule, self._value
        is_bad, is_good = rule.fires(value), rule.clears(value)
        self._remember(at, is_bad=is_bad or (not is_good and bool(self._recent & 1)))
        if self._state == "no_data":
            self._hear_again(at)
        match self._state:
            case "ok" if is_bad and not rule.for_s:
                self.open(at, "value", severity=rule.severity_of(value))
            case "ok" if is_bad:
                self._state, self._since = "pending", at
            case "pending" if not is_bad:
                self._state, self._since = "ok", at
            case "firing" if is_good and not rule.keep_firing_s:
                self.end(at)
            case "firing" if is_good:
                self._state, self._since = "clearing", at
            case "clearing" if not is_good:
                self._state, self._since = "firing", at
                self._weigh(at)
            case "firing":
                self._weigh(at)

    def _hear_again(self, at: Instant) -> None:
        if self._opened_by == "value":
            self._state, self._since = "firing", at
        else:
            self.end(at)

    def _remember(self, at: Instant, *, is_bad: bool) -> None:
        """Note the state, and whether it changes too often."""
        if self._count and bool(self._recent & 1) == is_bad:
            return
        recent, count = self._recent, self._count
        if count:
            recent, count, _ = flapping.lasted(recent, count, self._flap_at, at)
        self._recent, self._count = flapping.pushed(recent, count, is_bad=is_bad)
        self._flap_at = at
        if not self._is_flapping and flapping.share(self._recent, self._count) > flapping.START:
            self._is_flapping = True
            self._say("flapping", at)

    def _weigh(self, at: Instant) -> None:
        """Let the severity follow the value, down only once it is well off."""
        rule, now = self._rule, self._severity or self._rule.severity
        wanted = rule.severity_of(self._value)
        if SEVERITIES.index(wanted) > SEVERITIES.index(now):
            self._severity = wanted
            self._say("worsened", at)
        elif wanted != now and (rule.critical_at is None or rule.eases(self._value)):
            self._severity = wanted
            self._say("eased", at)

    def open(self, at: Instant, cause: Cause, *, severity: Severity) -> None:
        self._begin(cause, severity)
        self._state, self._since = "firing", at
        self._say("opened", at)

    def _begin(self, cause: Cause, severity: Severity) -> None:
        self._episode += 1
        self._opened_by, self._severity = cause, severity

    def end(self, at: Instant) -> None:
        """Be over, if anything was."""
        if self._opened_by is not None:
            self._say("resolved", at)
        self._opened_by = self._severity = None
        self._state, self._since = "ok", at

    def _say(self, moved: Moved, at: Instant) -> None:
        before = self._before
        self.said.append(
            Transition(
                moved=moved,
                at=at,
                fingerprint=before.fingerprint,
                episode=self._episode,
                rule=self._rule,
                tenant_id=before.tenant_id,
                currency=before.currency,
                severity=self._severity or self._rule.severity,
                value=self._value,
                previous_value=self._previous,
                is_flapping=self._is_flapping,
                cause=self._opened_by or "value",
                context=self._context,
            )
        )
