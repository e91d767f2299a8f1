"""Regions can make each other doubt a bank, and corridors take no more than they can."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.control.plan import Band, Target, at_home, rooms
from molam.mesh.federation.model import (
    CorridorRefused,
    MessageRefused,
    Room,
    check_path,
    is_sound,
    read_content,
)
from molam.mesh.signals.opinions import (
    DOUBT_MAX,
    Observation,
    log_odds,
    opinion,
    our_age,
    trust,
    weight,
    weighted_median,
)
from molam.sira import health_filter as filter_

OURS = ""


def test_a_foreign_word_loses_half_its_weight_every_ten_minutes() -> None:
    assert weight(0, 1.0) == 1
    assert weight(600, 1.0) == pytest.approx(0.5)
    assert weight(1800, 0.8) == pytest.approx(0.1)


def believed(ours: float, *others: float) -> float:
    said = [Observation(f"r{at}", each, 0) for at, each in enumerate(others)]
    found = opinion(Observation(OURS, ours, 0), said)
    return ours if found is None else found.p_down


def test_two_others_are_heard_and_one_is_not() -> None:
    assert believed(0.01, 0.8) == 0.01
    assert believed(0.01, 0.8, 0.85) == pytest.approx(0.8)
    repeated = [Observation("a", 0.8, each) for each in range(9)]
    assert opinion(Observation(OURS, 0.01, 0), repeated) is None


def test_nobody_makes_us_trust_a_bank_that_we_see_down() -> None:
    assert believed(0.97, 0.01, 0.01, 0.01, 0.01) == 0.97


def test_what_others_say_is_no_proof() -> None:
    assert believed(0.01, 1.0, 1.0, 1.0) == DOUBT_MAX


def test_two_regions_that_were_never_judged_do_not_outweigh_us() -> None:
    said = [Observation(each, 0.9, 60, 0.5) for each in "ab"]
    assert opinion(Observation(OURS, 0.01, 0), said) is None


def test_nor_do_they_in_the_minute_between_two_probes() -> None:
    said = [Observation(each, 0.9, 1, 0.5) for each in "ab"]
    assert opinion(Observation(OURS, 0.01, our_age(75)), said) is None
    assert opinion(Observation(OURS, 0.01, our_age(900)), said) is not None, "we hear nothing"
    assert opinion(Observation(OURS, 0.01, 75), said) is not None, "by the age of our last signal"


def test_it_is_said_who_made_us_doubt() -> None:
    said = [Observation("EU", 0.9, 0), Observation("US", 0.8, 0), Observation("GLOBAL", 0.001, 0)]
    found = opinion(Observation(OURS, 0.01, 0), [*said, Observation("X", 0.7, 0)])
    assert found is not None
    assert found.doubted_by == ("EU", "US", "X")


probabilities = st.floats(0.001, DOUBT_MAX)
heard = st.tuples(probabilities, st.floats(0, 3600), st.floats(0.05, 1))
lies = st.tuples(st.floats(0, 1), st.floats(0, 3600), st.floats(0.05, 1))

Judged = Callable[[Observation, Sequence[Observation]], float]


def _is_within(judge: Judged, honest: list[tuple[float, float, float]], liars: int) -> bool:
    """Whether *liars* that all say the worst, with full weight, stay without effect."""
    ours, *others = honest
    said = [Observation(f"h{at}", *each) for at, each in enumerate(others)]
    said += [Observation(f"l{at}", 1.0, 0, 1.0) for at in range(liars)]
    found = judge(Observation(OURS, ours[0], 0), said)
    told = [each[0] for each in honest]
    return min(told) - 1e-9 <= found <= max(told) + 1e-9


def _as_it_is(ours: Observation, others: Sequence[Observation]) -> float:
    found = opinion(ours, others)
    return ours.p_down if found is None else found.p_down


@settings(max_examples=80)
@given(st.lists(heard, min_size=2, max_size=6), st.lists(lies, max_size=5))
def test_a_minority_of_liars_stays_within_what_honest_regions_say(
    honest: list[tuple[float, float, float]], lies: list[tuple[float, float, float]]
) -> None:
    lies = lies[: len(honest) - 1]
    ours, *others = honest
    said = [Observation(f"h{at}", *each) for at, each in enumerate(others)]
    said += [Observation(f"l{at}", *each) for at, each in enumerate(lies)]
    found = _as_it_is(Observation(OURS, ours[0], 0), said)
    told = [each[0] for each in honest]
    assert min(told) - 1e-9 <= found <= max(told) + 1e-9
    assert _is_within(_as_it_is, honest, len(honest) - 1)


def test_a_mean_and_weights_alone_would_be_moved_by_a_minority() -> None:
    """Without the safety: the same regions and the same liars, judged otherwise."""
    honest = [(0.02, 0.0, 1.0), (0.03, 2400.0, 0.3), (0.02, 2400.0, 0.3)]

    def by_mean(ours: Observation, others: Sequence[Observation]) -> float:
        every = [ours, *others]
        return sum(each.p_down * each.weight for each in every) / sum(e.weight for e in every)

    def by_weight(ours: Observation, others: Sequence[Observation]) -> float:
        pairs = [(log_odds(each.p_down), each.weight) for each in (ours, *others)]
        return 1 / (1 + math.exp(-weighted_median(pairs)))

    assert _is_within(_as_it_is, honest, 2)
    assert not _is_within(by_mean, honest, 2)
    assert not _is_within(by_weight, honest, 2)


def test_a_doubt_is_part_of_the_belief_and_adds_up() -> None:
    belief = filter_.fresh()
    for at in range(50):
        belief = filter_.observe(belief, 0.0, float(at))
    doubted = filter_.doubted(belief, 0.8, "regions")
    assert filter_.p_down(doubted) == pytest.approx(0.8)
    assert sum(doubted.weights) == pytest.approx(1)
    odds, parts = filter_.log_odds(doubted)
    assert sum(parts.values()) == pytest.approx(odds)
    assert parts["regions"] > 0
    assert filter_.doubted(doubted, 0.1, "regions") is doubted


def test_trust_follows_skill_and_is_half_for_who_was_never_judged() -> None:
    assert trust(0, 0, 0) == 0.5
    assert trust(0.1, 10, 2_000) > 0.95
    assert trust(20, 10, 2_000) < 0.1
    assert 0.5 < trust(0.0, 1.0, 5) < 0.7


def test_a_path_neither_loops_nor_goes_on_for_ever() -> None:
    check_path(["a", "b", "c", "d"], "a", "d")
    for path in (["a", "b", "c", "d", "e"], ["a", "b", "a"], ["a"]):
        assert not is_sound(path)
        with pytest.raises(CorridorRefused):
            check_path(path, path[0], path[-1])
    with pytest.raises(CorridorRefused):
        check_path(["a", "b"], "a", "c")


def test_a_corridor_takes_the_smaller_of_cover_and_cap_less_what_is_gone() -> None:
    assert Room(1000, 800, position=100, reserved=200).free == 500


def _carried(
    each_room: Callable[[Band, dict[str, int]], list[int]], bands: list[Band], takes: list[int]
) -> int:
    """What goes through the corridor when each bank takes what it may of each band, and more."""
    spent: dict[str, int] = {}
    for band in bands:
        for target, room in zip(band.targets, each_room(band, spent), strict=True):
            taken = min(room, takes[len(spent) % len(takes)])
            for name in {target.bank_profile_id, target.corridor_id or ""}:
                spent[name] = spent.get(name, 0) + taken
    return spent.get("cor", 0)


def _behind(bank: str, room: int, corridor_room: int) -> Target:
    return Target(bank, f"ta_{bank}", room, 10**9, 60, "cor", corridor_room)


@settings(max_examples=60)
@given(
    st.integers(0, 1000),
    st.lists(st.lists(st.integers(0, 900), min_size=1, max_size=3), min_size=1, max_size=4),
    st.lists(st.integers(0, 900), min_size=1, max_size=6),
)
def test_a_batch_reserves_no_more_than_a_corridor_can_take(
    free: int, bands: list[list[int]], takes: list[int]
) -> None:
    made = [
        Band(low, low, tuple(_behind(f"b{at}", room, free) for at, room in enumerate(band)))
        for low, band in enumerate(bands)
    ]
    assert _carried(rooms, made, takes) <= free


def test_banks_looked_at_one_by_one_would_reserve_too_much() -> None:
    def one_by_one(band: Band, spent: dict[str, int]) -> list[int]:
        return [min(each.room, each.corridor_room) for each in band.targets]

    two = Band(0, None, (_behind("b0", 900, 500), _behind("b1", 900, 500)))
    assert _carried(one_by_one, [two], [900]) > 500
    assert _carried(one_by_one, [two, two], [300]) > 500
    assert _carried(rooms, [two, two], [900]) <= 500


def test_a_route_in_force_names_no_bank_of_another_region() -> None:
    ranges = [(0, 9, ("far", "near")), (10, None, ("far",))]
    assert at_home(ranges, {"far": {}}) == [(0, 9, ("near",))]


def test_a_message_of_another_shape_or_region_is_refused() -> None:
    content = {
        "mesh_region_id": "region_eu",
        "bank_profile_id": "bp_1",
        "rail": "bank",
        "currency": "EUR",
        "p_down": 0.1,
        "predicted_score": 99.0,
        "window_minutes": 15,
    }
    read_content("prediction", content, "region_eu")
    for changed in ({"p_down": 2}, {"more": 1}, {"mesh_region_id": "region_us"}, {"rail": "';--"}):
        with pytest.raises(MessageRefused):
            read_content("prediction", content | changed, "region_eu")
    quote = {
        "mesh_region_id": "region_eu",
        "to_region_id": "region_us",
        "currency": "EUR",
        "available": 5,
        "cost_bps": 3.0,
        "path": ["region_eu", "region_us", "region_eu"],
    }
    with pytest.raises(CorridorRefused):
        read_content("quote", quote, "region_eu")
