"""Foreign opinions are weighed and medianed, and corridors take no more than they can."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.federation.model import (
    CorridorRefused,
    MessageRefused,
    Observation,
    Room,
    check_path,
    extended,
    opinion,
    read_content,
    reserve,
    trust,
    weight,
)


def test_a_foreign_word_loses_half_its_weight_every_ten_minutes() -> None:
    assert weight(0, 1.0) == 1
    assert weight(600, 1.0) == pytest.approx(0.5)
    assert weight(1800, 0.8) == pytest.approx(0.1)


def test_fewer_than_three_observers_say_nothing() -> None:
    assert opinion([Observation("a", 0.9, 0), Observation("b", 0.9, 0)]) is None
    assert opinion([Observation("a", 0.9, each) for each in range(9)]) is None


probabilities = st.floats(0.01, 0.99)


@settings(max_examples=60)
@given(
    st.lists(probabilities, min_size=2, max_size=6),
    st.lists(st.floats(0, 1), min_size=0, max_size=5),
)
def test_a_minority_of_liars_cannot_move_the_median_past_what_honest_ones_say(
    honest: list[float], liars: list[float]
) -> None:
    liars = liars[: len(honest) - 1]
    said = [Observation(f"h{at}", each, 0) for at, each in enumerate(honest)]
    said += [Observation(f"l{at}", each, 0) for at, each in enumerate(liars)]
    found = opinion(said)
    if found is None:
        assert len(said) < 3
        return
    assert min(honest) - 1e-9 <= found <= max(honest) + 1e-9


def test_a_mean_would_be_moved_by_one_liar() -> None:
    honest = [0.02, 0.03, 0.02, 0.03]
    said = [Observation(str(at), each, 0) for at, each in enumerate([*honest, 1.0])]
    found = opinion(said)
    assert found is not None
    assert found <= 0.03 + 1e-9
    assert sum(each.p_down for each in said) / len(said) > 0.2


def test_trust_follows_skill_and_is_half_for_who_was_never_judged() -> None:
    assert trust(0, 0, 0) == 0.5
    assert trust(0.1, 10, 2_000) > 0.95
    assert trust(20, 10, 2_000) < 0.1
    assert 0.5 < trust(0.0, 1.0, 5) < 0.7


def test_a_path_neither_loops_nor_goes_on_for_ever() -> None:
    assert extended(["a", "b", "c"], "d") == ["a", "b", "c", "d"]
    with pytest.raises(CorridorRefused):
        extended(["a", "b", "c", "d"], "e")
    with pytest.raises(CorridorRefused):
        extended(["a", "b"], "a")
    with pytest.raises(CorridorRefused):
        check_path(["a", "b"], "a", "c")


@given(
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.lists(st.integers(-5, 400), max_size=12),
)
def test_a_batch_reserves_no_more_than_there_is(cover: int, cap: int, amounts: list[int]) -> None:
    room, taken = reserve(Room(cover, cap), amounts)
    reserved = sum(amount for amount, fits in zip(amounts, taken, strict=True) if fits)
    assert room.reserved == reserved <= min(cover, cap)
    assert all(amount > 0 for amount, fits in zip(amounts, taken, strict=True) if fits)


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
