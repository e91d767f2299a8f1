"""Fees with a floor and a cap: the best bank at every amount, by brute force and by bands."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.routing.bands import Contest, band_at, bands_of
from molam.mesh.routing.scoring import Candidate, Tariff, Terms

HIGH = 700
TERMS = Terms()


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    """Any bounds, even a cap below the floor."""
    return Tariff(
        flat=draw(st.integers(0, 60)),
        percent=Fraction(draw(st.integers(0, 4000)), 100),
        least=draw(st.integers(0, 150)),
        most=draw(st.none() | st.integers(0, 250)),
    )


@st.composite
def contests(draw: st.DrawFn) -> Contest:
    banks = [
        Candidate(
            bank_profile_id=f"b{at}",
            bank_name=f"b{at}",
            prefer_order=at,
            failure=Fraction(draw(st.integers(0, 100)), 10_000),
            tariff=draw(tariffs()),
            fx_bp=Fraction(draw(st.integers(0, 30))),
            shut=draw(st.sampled_from([(), ((0, 90),), ((300, None),), ((1, 1), (200, 400))])),
        )
        for at in range(draw(st.integers(1, 4)))
    ]
    return Contest(candidates=banks, terms=TERMS, low=0, high=HIGH)


def _worth(bank: Candidate, amount: int) -> Fraction:
    """What paying through *bank* is worth, written out, with the fee as it is bounded."""
    fee = max(bank.tariff.flat + bank.tariff.percent * amount / 100, Fraction(bank.tariff.least))
    if bank.tariff.most is not None:
        fee = min(fee, Fraction(bank.tariff.most))
    value = (1 - bank.failure) * (TERMS.value_bp * amount / 10_000 + TERMS.value_fixed)
    return value - fee - bank.fx_bp * amount / 10_000


def _best(contest: Contest, amount: int) -> tuple[str, ...]:
    able = [
        each
        for each in contest.candidates
        if not any(low <= amount and (high is None or amount <= high) for low, high in each.shut)
    ]
    if not able:
        return ()
    worth = {each.bank_profile_id: _worth(each, amount) for each in able}
    enough = max(worth.values()) - TERMS.indifference_bp * amount / 10_000
    near = [each for each in able if worth[each.bank_profile_id] >= enough]
    return (min(near, key=lambda each: each.preference).bank_profile_id,)


@given(contests())
@settings(max_examples=20, deadline=None)
def test_who_carries_an_amount_is_who_is_best_at_it(contest: Contest):
    bands = bands_of(contest)

    wrong = [
        amount
        for amount in range(HIGH + 1)
        if band_at(bands, amount).order[:1] != _best(contest, amount)
    ]
    assert wrong == []


def test_without_the_kinks_of_fees_somebody_else_would_carry_it(monkeypatch: pytest.MonkeyPatch):
    capped = Candidate(
        bank_profile_id="capped",
        bank_name="capped",
        prefer_order=2,
        failure=Fraction(0),
        tariff=Tariff(0, Fraction(20), least=0, most=50),
    )
    flat = Candidate(
        bank_profile_id="flat",
        bank_name="flat",
        prefer_order=1,
        failure=Fraction(0),
        tariff=Tariff(80),
    )
    contest = Contest(candidates=[capped, flat], terms=TERMS, low=0, high=HIGH)
    assert _best(contest, HIGH) == ("capped",)
    assert band_at(bands_of(contest), HIGH).order[:1] == ("capped",)

    monkeypatch.setattr(Tariff, "kinks", lambda _self: [])

    assert band_at(bands_of(contest), HIGH).order[:1] == ("flat",)


@given(tariffs(), st.integers(0, HIGH))
def test_the_line_of_a_fee_says_what_the_fee_is(tariff: Tariff, amount: int):
    a, b = tariff.line(amount)

    assert a + b * amount == tariff.exact(amount)
