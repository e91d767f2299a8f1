"""What is left of routes in force when a proposal replaces them for some amounts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.control import plan
from molam.mesh.control.store import InForceRow

BOUNDS = st.tuples(st.integers(0, 30), st.none() | st.integers(0, 30)).map(
    lambda pair: (pair[0], None if pair[1] is None else pair[0] + pair[1])
)


def _row(number: int, low: int, high: int | None) -> InForceRow:
    return InForceRow(number, low, high, [f"bank_{number}"], "tests")


def _decides(routes: list[tuple[int, int | None, tuple[str, ...]]], amount: int) -> str | None:
    """Name the first bank of the route that holds *amount* and begins highest."""
    holding = [
        each for each in routes if each[0] <= amount and (each[1] is None or amount <= each[1])
    ]
    return max(holding)[2][0] if holding else None


@settings(max_examples=150, deadline=None)
@given(
    st.lists(BOUNDS, min_size=1, max_size=3, unique_by=lambda each: each[0]),
    BOUNDS,
)
def test_each_amount_outside_keeps_its_route_and_no_two_begin_alike(
    before: list[tuple[int, int | None]], replaced: tuple[int, int | None]
):
    kept = [_row(number, *each) for number, each in enumerate(before)]
    ended, begun = plan.new_routes(kept, [(*replaced, ("new",))], None)

    old = [(each.min_amount, each.max_amount, tuple(each.bank_profile_ids)) for each in kept]
    stay = [each for row, each in zip(kept, old, strict=True) if row.id not in ended]
    after = [*stay, *begun]
    assert len({each[0] for each in after}) == len(after)
    for amount in range(70):
        inside = replaced[0] <= amount and (replaced[1] is None or amount <= replaced[1])
        assert _decides(after, amount) == ("new" if inside else _decides(old, amount)), amount


def test_remainders_begin_alike_where_the_higher_route_is_forgotten():
    """What the rule is for: two routes that reach beyond a replaced range leave one remainder."""
    low, high = _row(1, 0, None), _row(2, 10, None)

    together = plan.new_routes([low, high], [(0, 20, ("new",))], None)[1]
    apart = [
        *plan.new_routes([low], [(0, 20, ("new",))], None)[1],
        *plan.new_routes([high], [(0, 20, ("new",))], None)[1][1:],
    ]

    assert [each for each in together if each[0] == 21] == [(21, None, ("bank_2",))]
    assert len([each for each in apart if each[0] == 21]) == 2
