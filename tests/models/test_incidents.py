"""Days of banks that fail, built so that nothing of an incident is lost."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.simulator.incidents import (
    BETWEEN_MIN,
    DAY_MIN,
    Incident,
    Recorded,
    assemble,
    build,
    decline,
)


@st.composite
def _incidents(draw):
    begins = draw(st.floats(-30, DAY_MIN))
    return Incident(
        draw(st.integers(0, 1)), begins, draw(st.floats(0.5, 300)), draw(st.floats(0.1, 0.99))
    )


@pytest.mark.parametrize(
    "recorded", [(), (Recorded("svc", (600.0, 30.0), (40.0, 90.0), (0.3, 0.8)),)]
)
def test_the_same_seed_builds_the_same_days(recorded):
    one, same, other = (build(seed=seed, days=7, recorded=recorded) for seed in (1, 1, 2))

    assert one == same
    assert one.rates != other.rates


def test_an_incident_fails_its_share_of_what_was_fine():
    trace = assemble([Incident(0, 10.0, 5.0, 0.5)], baselines=(0.02, 0.01), days=1)

    assert trace.rates[0][9] == pytest.approx(0.02)
    assert trace.rates[0][10] == trace.rates[0][14] == pytest.approx(0.51)
    assert trace.rates[0][15] == pytest.approx(0.02)
    assert trace.rates[1] == pytest.approx((0.01,) * DAY_MIN)


def test_a_part_of_a_minute_weighs_as_much_of_it():
    trace = assemble([Incident(0, 10.5, 1.0, 0.8)], baselines=(0.0,), days=1)

    assert trace.rates[0][9:13] == pytest.approx((0.0, 0.4, 0.4, 0.0))


@given(st.lists(_incidents(), max_size=6))
@settings(max_examples=25, deadline=None)
def test_no_overlap_is_lost(incidents):
    """Each minute is as bad as all of its incidents together, in whatever order they come."""
    baselines = (0.01, 0.03)
    trace = assemble(incidents, baselines=baselines, days=1)

    for bank, base in enumerate(baselines):
        for minute in range(0, DAY_MIN, 13):
            fine = 1 - base
            for each in incidents:
                if each.bank == bank:
                    covered = min(minute + 1, each.ends) - max(minute, each.begins)
                    fine *= 1 - each.severity * max(0.0, covered)
            assert trace.rates[bank][minute] == pytest.approx(1 - fine, abs=1e-9)
    assert trace.rates == assemble(incidents[::-1], baselines=baselines, days=1).rates


def test_recorded_severities_and_lengths_are_kept_in_their_order():
    recorded = Recorded("svc", (300.0, 20.0, 900.0), (15.0, 40.0, 70.0), (0.2, 0.5, 0.95))

    trace = build(seed=3, days=60, banks=2, recorded=(recorded,))

    lived = [each for each in trace.incidents if each.bank == 0 and each.cause == "own"]
    pairs = [(15.0, 0.2), (40.0, 0.5), (70.0, 0.95)]
    found = [(each.minutes, each.severity) for each in lived]
    first = pairs.index(found[0])
    assert found == [pairs[(first + n) % 3] for n in range(len(found))]
    gaps = [later.begins - before.ends for before, later in itertools.pairwise(lived)]
    assert statistics.fmean(gaps[: len(gaps) // 3 * 3]) == pytest.approx(BETWEEN_MIN)


def test_some_incidents_reach_the_neighbour_and_some_everybody():
    trace = build(seed=5, days=120, banks=4)

    assert {each.cause for each in trace.incidents} == {"own", "domain", "common"}
    common = [each for each in trace.incidents if each.cause == "common"]
    assert len(common) % 4 == 0
    assert {each.begins for each in common[:4]} == {common[0].begins}


def test_declines_are_spread_as_banks_are():
    assert decline(0.5) == pytest.approx(0.0083)
    assert decline(0.95) == pytest.approx(0.078)
    assert decline(0.0) < decline(0.3) < decline(0.999) < decline(1.0) <= 0.2
