"""The order of banks: the next one should not fail for the same reason."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from molam.mesh.routing.bands import Contest, bands_of
from molam.mesh.routing.scoring import Candidate, Tariff
from molam.mesh.routing.sequence import CoFailures, Sequencer, kinship, unrelated

HOST, SWITCH = "core:host-a", "switch:gim"


def a_bank(id_: str, *domains: str, fee: int = 0, failure: str = "0.01") -> Candidate:
    return Candidate(
        bank_profile_id=id_,
        bank_name=id_,
        prefer_order=fee,
        failure=Fraction(failure),
        tariff=Tariff(fee),
        domains=frozenset(domains),
    )


def order_of(*banks: Candidate, **how: object) -> tuple[str, ...]:
    (band,) = bands_of(Contest(candidates=banks, low=50_000, high=50_000, order=Sequencer(**how)))  # type: ignore[arg-type]
    return band.order


def test_the_second_bank_is_not_on_the_host_of_the_first():
    best = a_bank("best", HOST, fee=100)
    twin = a_bank("twin", HOST, fee=110)
    other = a_bank("other", fee=200)

    assert order_of(best, twin, other) == ("best", "other", "twin")


def test_without_shared_domains_the_better_bank_comes_second():
    assert order_of(a_bank("best", fee=100), a_bank("good", fee=110), a_bank("fair", fee=120)) == (
        "best",
        "good",
        "fair",
    )


def test_a_shared_switch_weighs_less_than_a_shared_host():
    best = a_bank("best", HOST, SWITCH, fee=100)
    same_host = a_bank("host", HOST, fee=101)
    same_switch = a_bank("switch", SWITCH, fee=300)

    assert order_of(best, same_host, same_switch) == ("best", "switch", "host")


def test_the_order_is_no_longer_than_the_policy_allows():
    banks = [a_bank(f"b{at}", fee=100 + at) for at in range(5)]

    assert order_of(*banks, depth=2) == ("b0", "b1")


def test_banks_that_were_asked_for_come_first_in_their_order():
    banks = [a_bank(f"b{at}", fee=100 + at) for at in range(4)]

    assert order_of(*banks, first=("b3", "b1", "absent", "b3")) == ("b3", "b1", "b0")


def test_what_shares_a_host_fails_together_four_times_in_five():
    assert kinship([HOST], [HOST, SWITCH]) == Fraction(8, 10)
    assert kinship([SWITCH], [SWITCH]) == Fraction(3, 10)
    assert kinship([HOST], [SWITCH]) == 0


def test_failing_together_is_learnt():
    strangers = kinship([], [], CoFailures(20, 20))
    kin = kinship([HOST], [HOST], CoFailures(80, 0))

    assert strangers == Fraction(1, 2)
    assert kin == Fraction(16, 100)


@given(st.integers(0, 500), st.integers(0, 500))
def test_kinship_stays_a_probability(alone: int, together: int):
    seen = CoFailures(alone + together, together)

    assert 0 <= kinship([], [], seen) <= kinship([HOST], [HOST], seen) <= 1


def test_banks_that_are_linked_through_others_are_one_group():
    chain = [frozenset({"a", "b"}), frozenset({"c", "d"}), frozenset({"b", "c"})]

    assert unrelated(chain) == 1
    assert unrelated([*chain, frozenset({"e"})]) == 2
    assert unrelated([]) == 0
