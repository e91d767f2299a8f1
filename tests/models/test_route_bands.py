"""Bands of amounts: exact, the fewest there are, and decided as each amount alone would be."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.routing.bands import Band, Contest, band_at, bands_of, order_at
from molam.mesh.routing.scoring import Candidate, Tariff, Terms, cost_of, value_of
from molam.mesh.routing.sequence import Sequencer

FAR = 10**12


def a_bank(id_: str, flat: int = 0, percent: str = "0", **others: object) -> Candidate:
    given_: dict[str, object] = {
        "bank_profile_id": id_,
        "bank_name": id_,
        "failure": Fraction(1, 100),
        "tariff": Tariff(flat, Fraction(percent)),
    }
    return Candidate(**{**given_, **others})  # type: ignore[arg-type]


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    flat = draw(st.integers(0, 2000))
    least = draw(st.integers(0, 3000))
    return Tariff(
        flat=flat,
        percent=Fraction(draw(st.integers(0, 300)), 100),
        least=least,
        most=draw(st.none() | st.integers(least, 20_000)),
    )


@st.composite
def lefts(draw: st.DrawFn) -> Candidate:
    failure = Fraction(draw(st.integers(0, 10_000)), 10_000)
    return a_bank("left", tariff=draw(tariffs()), failure=failure)


@st.composite
def contests(draw: st.DrawFn) -> Contest:
    count = draw(st.integers(1, 5))
    banks = [
        Candidate(
            bank_profile_id=f"b{at}",
            bank_name=f"b{at}",
            role=draw(st.sampled_from(["primary", "secondary", "member"])),
            prefer_order=draw(st.integers(1, 3)),
            failure=Fraction(draw(st.integers(0, 2000)), 10_000),
            tariff=draw(tariffs()),
            fx_bp=Fraction(draw(st.integers(0, 3))),
            delay_s=draw(st.integers(0, 7200)),
            shadow_price=Fraction(draw(st.integers(0, 20)), 10_000),
            risk=Fraction(draw(st.integers(0, 10)), 10),
            amount_max=draw(st.none() | st.integers(1, 2_000_000)),
            domains=frozenset(draw(st.sets(st.sampled_from(["core:a", "telecom:b"])))),
        )
        for at in range(count)
    ]
    low = draw(st.integers(0, 5000))
    return Contest(
        candidates=banks,
        low=low,
        high=draw(st.none() | st.integers(low, 3_000_000)),
        left=draw(st.none() | lefts()),
        order=Sequencer(depth=draw(st.integers(1, 3))),
    )


def alone(contest: Contest, amount: int) -> tuple[str, ...]:
    """Decide one amount from the definition, with exact fractions and no lines."""
    allowed = 1 + contest.cost_increase_max_pct / 100
    able = [
        each
        for each in contest.candidates
        if (each.amount_max is None or amount <= each.amount_max)
        and (
            contest.left is None
            or cost_of(each, contest.terms, amount)
            <= allowed * cost_of(contest.left, contest.terms, amount)
        )
    ]
    if not able:
        return ()
    worth = {each.bank_profile_id: value_of(each, contest.terms, amount) for each in able}
    enough = max(worth.values()) - contest.terms.indifference_bp * amount / 10_000
    near = [each for each in able if worth[each.bank_profile_id] >= enough]
    return (
        min(
            near,
            key=lambda each: (
                each.preference,
                -worth[each.bank_profile_id],
                each.bank_profile_id,
            ),
        ).bank_profile_id,
    )


@given(contests())
@settings(max_examples=60, deadline=None)
def test_every_amount_around_each_boundary_is_decided_as_alone(contest: Contest):
    bands = bands_of(contest)

    edges = {contest.low, contest.low + 1} | {band.low for band in bands}
    for edge in edges:
        for amount in (edge - 2, edge - 1, edge, edge + 1, edge + 2):
            if amount >= contest.low and (contest.high is None or amount <= contest.high):
                found = band_at(bands, amount).order
                assert found[:1] == alone(contest, amount)
                assert found == order_at(contest, amount)


@given(contests(), st.lists(st.integers(0, 3_000_000), max_size=10))
@settings(max_examples=30, deadline=None)
def test_any_amount_is_decided_as_alone(contest: Contest, amounts: list[int]):
    bands = bands_of(contest)

    for amount in amounts:
        if amount >= contest.low and (contest.high is None or amount <= contest.high):
            assert band_at(bands, amount).order[:1] == alone(contest, amount)


@given(contests())
@settings(max_examples=30, deadline=None)
def test_bands_cover_all_amounts_once_and_are_the_fewest(contest: Contest):
    bands = bands_of(contest)

    assert bands[0].low == contest.low
    assert bands[-1].high == contest.high
    for one, following in pairwise(bands):
        assert one.high == following.low - 1
        assert one.order != following.order


def test_the_cheaper_flat_fee_wins_until_the_percentage_costs_more():
    # 250 + 0.1 % meets 300 at 50,000; one basis point of the amount is no reason to change.
    banks = [a_bank("flat", 300, prefer_order=2), a_bank("share", 250, "0.1", prefer_order=1)]

    bands = bands_of(Contest(candidates=banks))

    # 300 + x/10000 = 250 + x/1000 where x = 55,555.5...
    assert bands == (Band(0, 55_555, ("share",)), Band(55_556, None, ("flat",)))


def test_lines_that_cross_on_a_whole_amount_are_equal_there():
    banks = [a_bank("flat", 300, prefer_order=2), a_bank("share", 250, "0.1", prefer_order=1)]

    bands = bands_of(Contest(candidates=banks, terms=Terms(indifference_bp=Fraction(0))))

    assert bands == (Band(0, 50_000, ("share",)), Band(50_001, None, ("flat",)))


def test_a_fee_that_is_capped_wins_above_its_cap():
    capped = a_bank("capped", tariff=Tariff(0, Fraction(1), 0, 500), prefer_order=2)
    plain = a_bank("plain", 0, "0.9", prefer_order=1)

    bands = bands_of(Contest(candidates=[capped, plain]))

    # 500 + x/10,000 = 0.9 % of x where x = 56,179.8
    assert [band.order for band in bands] == [("plain",), ("capped",)]
    assert bands[1].low == 56_180


def test_a_limit_ends_a_band_on_the_unit():
    banks = [a_bank("small", amount_max=100_000), a_bank("large", 900)]

    bands = bands_of(Contest(candidates=banks))

    assert bands == (Band(0, 100_000, ("small",)), Band(100_001, None, ("large",)))


def test_no_bank_within_the_cost_rule_means_no_route():
    never = Fraction(0)
    dear = a_bank("dear", 250, "0.1", failure=never)

    bands = bands_of(Contest(candidates=[dear], left=a_bank("left", 300, failure=never)))

    # Ten percent above 300 is 330, which is reached at 80,000.
    assert bands == (Band(0, 80_000, ("dear",)), Band(80_001, None, ()))


def test_what_failing_costs_counts_in_the_cost_rule():
    dear = a_bank("dear", 250, "0.1")

    bands = bands_of(Contest(candidates=[dear], left=a_bank("left", 300, failure=Fraction(1, 2))))

    assert bands == (Band(0, None, ("dear",)),)


def test_without_candidates_there_is_one_band_without_a_route():
    assert bands_of(Contest(candidates=[], low=5, high=9)) == (Band(5, 9, ()),)


@pytest.mark.parametrize(
    ("amount", "fee"), [(0, 2), (150, 2), (151, 2), (149, 1), (50, 1), (49, 0)]
)
def test_fees_are_charged_in_whole_units_a_half_up(amount: int, fee: int):
    assert Tariff(0, Fraction(1)).charged(amount) == (fee if amount else 0)


def test_values_far_beyond_any_amount_stay_exact():
    bank = a_bank("b", 0, "0.0001")

    assert value_of(bank, Terms(), FAR + 1) - value_of(bank, Terms(), FAR) == (
        Fraction(99, 100) * 60 / 10_000 - Fraction(1, 1_000_000)
    )
