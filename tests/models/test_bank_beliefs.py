"""What a batch of evidence makes of a belief, of its minutes and of its levels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.signals.folding import Report, Sla, fold
from molam.mesh.signals.model import LEVELS, crosses, level
from molam.sira.health_filter import fresh
from molam.sira.health_signal import KINDS, OUTCOMES, Signal

SLA = Sla(answer_ms=30_000, end_ms=60_000)
AT = 1_790_000_000.0

_signals = st.builds(
    Signal,
    bank_profile_id=st.just("bp"),
    rail=st.just("bank"),
    currency=st.just("XOF"),
    kind=st.sampled_from(KINDS),
    outcome=st.sampled_from(OUTCOMES),
    at=st.integers(0, 600).map(lambda second: AT + second),
    latency_ms=st.none() | st.integers(0, 90_000),
    amount=st.none() | st.integers(0, 10**9),
    observed_by=st.sampled_from(["molam", "bank"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_signals, max_size=40))
def test_minutes_add_up_to_the_signals(batch):
    folded = fold(fresh(), 0, batch, SLA)

    minutes = folded.minutes.values()
    counted = sum(each.attempts + each.probes + each.not_its_fault for each in minutes)
    assert counted == folded.signals == len(batch)
    assert all(each.failures <= each.attempts for each in minutes)
    assert all(each.probe_failures <= each.probes for each in minutes)
    assert all(at % 60 == 0 for at in folded.minutes)
    low, score, high = (folded.scores()[place] for place in (1, 0, 2))
    assert 0 <= low <= score <= high <= 100


@settings(max_examples=40, deadline=None)
@given(st.lists(_signals, max_size=25, unique_by=lambda one: one.at), st.randoms())
def test_batch_is_taken_in_as_it_happened_and_not_as_it_came(batch, luck):
    mixed = list(batch)
    luck.shuffle(mixed)

    assert fold(fresh(), 0, mixed, SLA).belief == fold(fresh(), 0, batch, SLA).belief


def test_report_counts_as_one_thing_seen_and_not_as_payments():
    folded = fold(fresh(), 3, [Report(0.5, AT)], SLA)

    assert (folded.belief.seen, folded.signals, folded.minutes) == (1, 1, {})
    assert folded.probes_ok_in_row == 3


@pytest.mark.parametrize(
    ("p_down", "reached"),
    [(0.0, 0), (0.19, 0), (0.2, 1), (0.5, 2), (0.79, 2), (0.8, 3), (0.98, 3), (0.99, 4), (1.0, 4)],
)
def test_levels_are_reached_one_after_the_other(p_down, reached):
    assert level(p_down) == reached


def test_only_a_level_that_is_passed_is_news():
    assert not crosses(0.3, 0.4)
    assert crosses(0.3, 0.6)
    assert crosses(0.995, 0.985)
    assert len(LEVELS) == 4
