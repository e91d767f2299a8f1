"""Series of measurements: when they become alerts, by their own time and nothing else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measuring import T0, a_rule, a_sample, at, begun, judged, said
from molam.alerts.rules import flapping, series
from molam.alerts.rules.model import Rule, Sample, Transition, exact, fingerprint
from molam.alerts.rules.state import SeriesState

GOOD, BAD, WORSE, BETWEEN = 2_000_000, 900_000, 400_000, 1_050_000

SHARE = a_rule(
    id="refund_spike",
    alert_type="refund_spike",
    metric="refund_rate",
    comparison="above",
    tenant_type="merchant",
    currency=None,
    unit="share",
    fire_at=Decimal("0.05"),
    clear_at=Decimal("0.04"),
    critical_at=Decimal("0.10"),
    for_s=300,
    keep_firing_s=600,
)


@pytest.mark.parametrize(
    ("told", "until", "expected"),
    [
        ([(0, GOOD), (60, BAD)], 100, [("opened", 60)]),
        ([(0, BAD), (10, BAD), (20, BAD)], 100, [("opened", 0)]),
        ([(0, 1_000_000)], 100, []),
        ([(0, BAD), (60, BETWEEN), (120, BETWEEN)], 1000, [("opened", 0)]),
        ([(0, BAD), (60, GOOD)], 120, [("opened", 0)]),
        ([(0, BAD), (60, GOOD)], 121, [("opened", 0), ("resolved", 120)]),
        ([(0, BAD), (60, 1_100_000)], 121, [("opened", 0), ("resolved", 120)]),
        ([(0, BAD), (60, GOOD), (90, BAD), (200, GOOD)], 250, [("opened", 0)]),
        ([(0, BAD), (60, GOOD), (90, BETWEEN)], 999, [("opened", 0)]),
        ([(0, BAD), (60, GOOD), (120, BAD)], 121, [("opened", 0)]),
        (
            [(0, BAD), (60, GOOD), (121, BAD)],
            122,
            [("opened", 0), ("resolved", 120), ("opened", 121)],
        ),
        ([(0, BAD), (60, WORSE)], 61, [("opened", 0), ("worsened", 60)]),
        ([(0, WORSE), (60, BAD)], 61, [("opened", 0), ("eased", 60)]),
        ([(0, WORSE), (60, 600_000)], 61, [("opened", 0)]),
        ([(0, 500_000)], 1, [("opened", 0)]),
    ],
)
def test_a_float_is_low_when_its_rule_says_so(told, until, expected):
    assert said(judged(a_rule(), told, until=until)[1]) == expected


@pytest.mark.parametrize(("value", "severity"), [(500_000, "critical"), (500_001, "warning")])
def test_half_a_million_is_critical(value, severity):
    _, (opened,) = judged(a_rule(), [(0, value)], until=1)

    assert opened.severity == severity


@pytest.mark.parametrize(
    ("told", "until", "expected"),
    [
        ([(0, 0.06)], 300, []),
        ([(0, 0.06)], 301, [("opened", 300)]),
        ([(0, 0.06), (300, 0.05)], 999, []),
        ([(0, 0.06), (299, 0.045), (300, 0.06)], 599, []),
        ([(0, 0.05)], 9999, []),
        ([(0, 0.06), (100, 0.2)], 301, [("opened", 300)]),
        ([(0, 0.06), (400, 0.04)], 1001, [("opened", 300), ("resolved", 1000)]),
    ],
)
def test_a_rate_must_stay_too_high_for_as_long_as_its_rule_says(told, until, expected):
    assert said(judged(SHARE, told, until=until)[1]) == expected


def test_what_holds_when_the_time_has_come_decides_how_bad_it_is():
    _, (opened,) = judged(SHARE, [(0, 0.06), (100, 0.2)], until=301)

    assert (opened.severity, opened.value) == ("critical", Decimal("0.2"))


def test_ten_thousand_equal_measurements_are_one_alert():
    _, transitions = judged(a_rule(), [(n / 100, BAD) for n in range(10_000)], until=200)

    assert said(transitions) == [("opened", 0)]


def test_what_is_measured_at_one_moment_is_as_bad_as_the_worst_of_it():
    for told in ([(0, GOOD), (0, BAD)], [(0, BAD), (0, GOOD)]):
        state, _ = judged(a_rule(), told, until=1)
        assert state.state == "firing"


def test_a_threshold_that_an_event_brings_is_kept_and_never_judges():
    sample = a_sample(BAD, 0, context={"threshold": 5})
    _, (opened,) = series.fold(begun(a_rule(), sample), [sample], a_rule(), until=at(1))

    assert opened.context == {"threshold": 5}
    assert opened.rule.fire_at == 1_000_000


class TestSilence:
    RULE = a_rule(no_data_s=300)

    def test_silence_is_an_alert_of_its_own_and_ends_with_the_next_value(self):
        _, transitions = judged(self.RULE, [(0, GOOD), (400, GOOD)], until=500)

        assert said(transitions) == [("no_data", 300), ("resolved", 400)]
        assert {each.episode for each in transitions} == {1}
        assert transitions[0].cause == "silence"

    def test_silence_ends_with_a_bad_value_as_another_episode(self):
        _, transitions = judged(self.RULE, [(0, GOOD), (400, BAD)], until=500)

        assert said(transitions) == [("no_data", 300), ("resolved", 400), ("opened", 400)]
        assert [each.episode for each in transitions] == [1, 1, 2]

    def test_an_alert_that_falls_silent_stays_the_same_alert(self):
        _, transitions = judged(self.RULE, [(0, BAD), (400, BAD), (500, GOOD)], until=600)

        assert said(transitions) == [("opened", 0), ("no_data", 300), ("resolved", 560)]
        assert {each.episode for each in transitions} == {1}

    def test_a_value_as_the_time_comes_is_not_silence(self):
        assert judged(self.RULE, [(0, GOOD), (300, GOOD), (600, GOOD)], until=600)[1] == []

    def test_nothing_is_silent_where_the_rule_says_nothing_of_it(self):
        assert judged(a_rule(), [(0, GOOD)], until=10**6)[1] == []


class TestFlapping:
    def cashpilot(self, rounds: int, rule: Rule) -> list[Transition]:
        """Eight minutes up and two minutes down, measured every minute."""
        told = [(60 * n, BAD if n % 10 >= 8 else GOOD) for n in range(10 * rounds)]
        return judged(rule, told, until=600 * rounds)[1]

    def test_eight_minutes_up_and_two_down_is_flapping(self):
        moved = [each.moved for each in self.cashpilot(6, a_rule())]

        assert moved.count("flapping") == 1
        assert moved.index("flapping") <= 6
        assert moved.count("opened") == 6

    def test_alerts_that_open_while_flapping_say_so(self):
        opened = [each for each in self.cashpilot(6, a_rule()) if each.moved == "opened"]

        assert [each.is_flapping for each in opened[:2]] == [False, False]
        assert all(each.is_flapping for each in opened[3:])

    def test_it_is_steady_again_when_nothing_changes_for_long_enough(self):
        told = [(60 * n, BAD if n % 10 >= 8 else GOOD) for n in range(60)]
        _, transitions = judged(a_rule(), [*told, (3600, GOOD)], until=3600 + 7200)

        assert [each.moved for each in transitions if "f" in each.moved or "s" in each.moved][
            -2:
        ] == ["resolved", "steady"]
        assert 3600 < said(transitions)[-1][1] < 3600 + 21 * 120

    def test_one_outage_of_an_hour_is_not_flapping(self):
        told = [(60 * n, BAD if 60 <= n < 120 else GOOD) for n in range(240)]

        assert [each.moved for each in judged(a_rule(), told, until=240 * 60)[1]] == [
            "opened",
            "resolved",
        ]

    @given(st.integers(0, 2**21 - 1))
    def test_share_is_the_weighted_sum_of_changes(self, recent: int):
        bits = [recent >> place & 1 for place in range(21)]
        expected = sum(
            0.8 + 0.4 * (19 - place) / 19 for place in range(20) if bits[place] != bits[place + 1]
        )

        assert flapping.share(recent, 21) == pytest.approx(expected / 20)


# Measurements with every kind of value, and every kind of distance in time.
VALUES = st.sampled_from([GOOD, BAD, WORSE, BETWEEN])
STEPS = st.sampled_from([0, 1, 2, 4, 30, 61, 130, 400])
COURSES = st.lists(st.tuples(STEPS, VALUES), min_size=1, max_size=40)
RULES = st.builds(
    a_rule,
    for_s=st.sampled_from([0, 3, 60]),
    keep_firing_s=st.sampled_from([0, 60, 300]),
    no_data_s=st.sampled_from([None, 120]),
)


def course(told: list[tuple[int, int]]) -> list[Sample]:
    seconds, samples = 0, []
    for step, value in told:
        seconds += step
        samples.append(a_sample(value, seconds))
    return samples


def heard(
    rule: Rule, samples: list[Sample], *, delays: list[float], ticks: bool = False
) -> tuple[SeriesState, list[Transition]]:
    """Let samples come one by one, each after its delay, and the clock of the log with them."""
    arrivals = sorted(
        zip(samples, delays, strict=True), key=lambda each: each[0].at + timedelta(seconds=each[1])
    )
    first = arrivals[0][0].at + timedelta(seconds=arrivals[0][1])
    earliest = min(samples, key=lambda each: each.at)
    state = msgspec.structs.replace(
        begun(rule, earliest), judged_at=min(earliest.at, first - series.LATENESS)
    )
    transitions: list[Transition] = []
    for sample, delay in arrivals:
        clock = sample.at + timedelta(seconds=delay)
        while ticks and state.due_at is not None and state.due_at < clock:
            due_at = state.due_at
            state, more = series.fold(state, [], rule, until=due_at - series.LATENESS)
            transitions += more
            assert state.due_at is None or state.due_at > due_at, "a tick must get somewhere"
        state, more = series.fold(state, [sample], rule, until=clock - series.LATENESS)
        transitions += more
    end = samples[-1].at + timedelta(hours=2)
    state, more = series.fold(state, [], rule, until=end)
    return state, transitions + more


def settled(state: SeriesState) -> SeriesState:
    return msgspec.structs.replace(state, due_at=None)


@settings(max_examples=60)
@given(COURSES, RULES, st.randoms(use_true_random=False), st.booleans())
def test_order_of_coming_changes_nothing_within_the_lateness(told, rule, luck, ticks):
    samples = course(told)
    late = [luck.random() * 5 for _ in samples]

    shuffled = heard(rule, samples, delays=late, ticks=ticks)
    in_order = heard(rule, samples, delays=[0.0] * len(samples))

    assert shuffled[0].late_samples == 0
    assert said(shuffled[1]) == said(in_order[1])
    assert settled(shuffled[0]) == settled(in_order[0])


def test_without_the_wait_order_of_coming_would_decide(monkeypatch):
    """The control: judged as they come, the same measurements are another story."""
    samples = [a_sample(GOOD, 0), a_sample(BAD, 10), a_sample(GOOD, 12)]
    monkeypatch.setattr(series, "LATENESS", timedelta(microseconds=-1))

    in_order = heard(a_rule(), samples, delays=[0, 0, 0])
    shuffled = heard(a_rule(), samples, delays=[0, 4, 0])

    assert said(in_order[1]) != said(shuffled[1])


@settings(max_examples=60)
@given(COURSES, RULES, st.randoms(use_true_random=False))
def test_how_it_is_cut_into_batches_changes_nothing(told, rule, luck):
    samples = course(told)
    first = begun(rule, samples[0])
    end = samples[-1].at + timedelta(hours=2)
    state, transitions = first, []
    rest = list(samples)
    while rest:
        size = luck.randint(1, len(rest))
        batch, rest = rest[:size], rest[size:]
        state, more = series.fold(state, batch, rule, until=batch[-1].at - series.LATENESS)
        transitions += more
    state, more = series.fold(state, [], rule, until=end)

    whole, at_once = series.fold(first, samples, rule, until=end)

    assert said(transitions + more) == said(at_once)
    assert settled(state) == settled(whole)


@settings(max_examples=60)
@given(COURSES, RULES)
def test_a_look_when_it_is_due_misses_nothing(told, rule):
    """
    Who looks only when told to sees all transitions, each within the lateness.

    Flapping alone may be told later: it tells nobody anything.
    """
    samples = course(told)
    state, _ = series.fold(begun(rule, samples[0]), samples, rule, until=samples[-1].at)
    end = samples[-1].at + timedelta(hours=2)
    _, expected = series.fold(state, [], rule, until=end)

    seen: list[Transition] = []
    while state.due_at is not None and state.due_at - series.LATENESS < end:
        due_at = state.due_at
        state, more = series.fold(state, [], rule, until=due_at - series.LATENESS)
        told_late = [each.moved for each in more if due_at - each.at > timedelta(seconds=5.1)]
        assert set(told_late) <= {"flapping"}
        seen += more

    assert said(seen) == said(expected)


@settings(max_examples=60)
@given(COURSES, RULES)
def test_episodes_open_and_end_one_after_the_other(told, rule):
    samples = course(told)
    _, transitions = series.fold(
        begun(rule, samples[0]), samples, rule, until=samples[-1].at + timedelta(hours=9)
    )

    episode, is_open = 0, False
    for each in transitions:
        if each.moved == "opened" or (each.moved == "no_data" and not is_open):
            assert not is_open
            episode, is_open = episode + 1, True
        elif each.moved == "resolved":
            assert is_open
            is_open = False
        elif each.moved in {"worsened", "eased"}:
            assert is_open
        assert each.episode == episode
    assert [each.at for each in transitions] == sorted(each.at for each in transitions)


def test_what_comes_too_late_does_not_reopen_the_past():
    rule = a_rule()
    state, _ = judged(rule, [(0, GOOD), (60, GOOD)], until=60.5)

    after, transitions = series.fold(state, [a_sample(BAD, 30)], rule, until=at(70))

    assert transitions == []
    assert (after.state, after.late_samples) == ("ok", 1)


def test_a_source_that_is_always_slow_is_heard_late_but_heard():
    rule = a_rule()
    state, _ = judged(rule, [(0, GOOD)], until=55)

    after, transitions = series.fold(state, [a_sample(BAD, 30)], rule, until=at(85))

    assert said(transitions) == [("opened", 55)]
    assert after.late_samples == 1


def test_a_changed_rule_judges_what_holds():
    state, _ = judged(a_rule(), [(0, 1_500_000)], until=10)
    tighter = a_rule(
        version=2, fire_at=Decimal(1_600_000), clear_at=Decimal(1_700_000), updated_at=at(20)
    )

    _, transitions = series.fold(state, [], tighter, until=at(30))

    assert said(transitions) == [("opened", 20)]


def test_without_a_rule_what_was_raised_is_over():
    state, _ = judged(a_rule(), [(0, BAD)], until=10)

    after, transitions = series.release(state, a_rule(), at=at(20))

    assert said(transitions) == [("resolved", 20)]
    assert after.state == "ok"


def test_an_answer_at_once_waits_for_nothing():
    sample = a_sample(BAD)

    state, transitions = series.judge_now(begun(a_rule(), sample), [sample], a_rule(), now=T0)

    assert said(transitions) == [("opened", 0)]
    assert state.waiting == ()


def test_an_episode_that_somebody_opened_ends_as_values_clear():
    first = a_sample(BAD)
    state, opened = series.begin_episode(
        begun(a_rule(), first), a_rule(), severity="critical", at=T0
    )
    again = series.begin_episode(state, a_rule(), severity="critical", at=T0)

    assert opened is not None
    assert (opened.episode, opened.severity) == (1, "critical")
    assert again[1] is None
    _, transitions = series.fold(state, [a_sample(GOOD, 10)], a_rule(), until=at(100))
    assert said(transitions) == [("resolved", 70)]


def test_a_bad_value_after_somebody_ended_the_episode_opens_the_next():
    state, _ = judged(a_rule(), [(0, BAD)], until=10)

    ended = series.end_episode(state, at=at(12))
    _, (opened,) = series.fold(ended, [a_sample(BAD, 20)], a_rule(), until=at(30))

    assert (opened.moved, opened.episode) == ("opened", 2)


def test_a_flood_is_judged_before_its_time_rather_than_kept():
    samples = [a_sample(GOOD + n, n / 1000) for n in range(series.WAITING_MAX * 2)]

    state, _ = series.fold(begun(a_rule(), samples[0]), samples, a_rule(), until=at(-5))

    assert len(state.waiting) == series.WAITING_MAX


def test_labels_and_family_make_the_fingerprint_and_the_rule_does_not():
    name = fingerprint("float_low", "float_available", "agent", "a", currency="XOF")

    assert name == fingerprint("float_low", "float_available", "agent", "a", currency="XOF")
    assert len(
        {
            name,
            fingerprint("float_low", "float_available", "agent", "b", currency="XOF"),
            fingerprint("float_low", "float_available", "agent", "a", currency="EUR"),
            fingerprint("float_low", "float_available", "agent", "a", currency=None),
            fingerprint("float_low", "float_available", "agent", None, currency="XOF"),
            fingerprint("refund_spike", "float_available", "agent", "a", currency="XOF"),
        }
    ) == 6  # fmt: skip


@pytest.mark.parametrize(
    ("given_", "kept"),
    [(5, "5"), (0.95, "0.95"), (Decimal("1E+3"), "1000"), (Decimal("0.1234567"), "0.123457")],
)
def test_values_are_kept_to_a_millionth(given_, kept):
    assert str(exact(given_)) == kept
