"""The dashboard's drawings: nothing leaves its canvas, nothing unknown is drawn as zero."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from molam.ops.dashboard import pages_draw as draw

VALUES = st.lists(st.none() | st.floats(-1e12, 1e12, allow_nan=False), max_size=60)


@dataclass(frozen=True)
class Agent:
    float_available: int
    floor: int | None
    latitude: float | None
    longitude: float | None


def places(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (each.split(",") for each in line.split())]


@given(VALUES)
def test_lines_stay_on_their_canvas(values: list[float | None]) -> None:
    for line in draw.segments(values):
        for x, y in places(line):
            assert -0.01 <= x <= 150.01
            assert -0.01 <= y <= draw.HEIGHT + 0.01


@given(VALUES)
def test_bars_stay_on_their_canvas(values: list[float | None]) -> None:
    drawn = draw.bars(values)

    assert len(drawn) == sum(value is not None for value in values)
    for bar in drawn:
        assert float(bar.height) >= 0
        assert -0.01 <= float(bar.y) <= draw.HEIGHT + 0.01
        assert float(bar.y) + float(bar.height) <= draw.HEIGHT + 0.02


def test_what_is_not_known_breaks_the_line() -> None:
    assert len(draw.segments([1, 2, None, 3, 4])) == 2
    assert draw.segments([None, None]) == []


def test_one_value_alone_is_still_seen() -> None:
    assert len(places(draw.segments([None, 5, None])[0])) == 2


def test_a_gauge_warns_below_its_thresholds_and_not_at_them() -> None:
    limits = [(5.0, "yellow"), (1.0, "red")]

    colours = [draw.colour_of(value, limits) for value in (0.5, 1.0, 4.9, 5.0, None)]

    assert colours == ["red", "yellow", "yellow", "green", "grey"]
    assert [zone.colour for zone in draw.gauge(3, low=0, high=10, thresholds=limits).zones] == [
        "red",
        "yellow",
        "green",
    ]


@given(
    st.lists(
        st.builds(
            Agent,
            st.integers(0, 10**9),
            st.none() | st.integers(1, 10**9),
            st.none() | st.floats(-85, 85),
            st.none() | st.floats(-180, 180),
        ),
        max_size=40,
    )
)
def test_every_agent_with_a_place_is_on_the_map(agents: list[Agent]) -> None:
    dots = draw.scatter(agents)

    known = [each for each in agents if each.latitude is not None and each.longitude is not None]
    assert len(dots) == len(known)
    for dot in dots:
        assert 0 <= float(dot.x) <= draw.MAP_WIDTH
        assert 0 <= float(dot.y) <= draw.MAP_HEIGHT


def test_the_worst_agent_lies_on_top_and_is_named() -> None:
    well, low = Agent(900, 100, 14.7, -17.4), Agent(50, 100, 14.8, -17.3)

    dots = draw.scatter([low, well])

    assert dots[-1].agent == low
    assert (dots[-1].level, dots[0].level) == ("low", "well")
    assert dots[-1].labelled
    assert float(dots[-1].radius) > float(dots[0].radius)


def test_names_on_the_map_do_not_lie_on_each_other() -> None:
    kumasi, lagos = Agent(90, 100, 6.7, -1.6), Agent(80, 100, 6.5, 3.4)
    dakar = Agent(900, 100, 14.7, -17.4)

    dots = [dot for dot in draw.scatter([kumasi, lagos, dakar]) if dot.labelled]

    # A name at the edge is written towards the middle: room is measured where it stands.
    named = [(float(dot.x) + (-80 if dot.is_right else 80), float(dot.y)) for dot in dots]
    assert len(named) == 2
    for at, (x, y) in enumerate(named):
        assert all(abs(x - a) >= 125 or abs(y - b) >= 26 for a, b in named[:at])


def test_hours_without_anything_are_blank_and_the_busiest_is_darkest() -> None:
    week = draw.heat({(1, 9): 1, (5, 17): 40})

    assert (len(week), len(week[0])) == (7, 24)
    assert (week[0][9].level, week[4][17].level, week[6][0].level) == (1, 4, 0)
