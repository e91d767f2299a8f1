"""A bank that passes another says by what, and claims no saving that is none."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.routing.scoring import Candidate, Tariff, Terms, advantages, value_of

_TERMS = Terms()


def _bank(**terms: object) -> Candidate:
    return Candidate(
        **{  # type: ignore[arg-type]
            "bank_profile_id": "a",
            "bank_name": "A",
            "failure": Fraction(1, 100),
            "tariff": Tariff(flat=300),
            **terms,
        }
    )


@pytest.mark.parametrize(
    ("cause", "better", "worse"),
    [
        ("fee", {"tariff": Tariff(flat=250)}, {}),
        ("fx", {}, {"fx_bp": Fraction(50)}),
        ("delay", {}, {"delay_s": 7200}),
        ("liquidity", {}, {"shadow_price": Fraction(1, 1000)}),
        ("risk", {}, {"risk": Fraction(1, 2)}),
        ("punctuality", {}, {"failure": Fraction(1, 2)}),
    ],
)
def test_the_term_that_differs_is_the_cause(
    cause: str, better: dict[str, object], worse: dict[str, object]
):
    found = advantages(_bank(**better), _bank(**worse), _TERMS, 100_000)

    assert max(found, key=lambda name: found[name]) == cause
    assert [name for name, value in found.items() if value] == [cause]


_shares = st.fractions(min_value=0, max_value=1, max_denominator=100)
_banks = st.builds(
    lambda failure, flat, delay, risk, fx: _bank(
        failure=failure, tariff=Tariff(flat=flat), delay_s=delay, risk=risk, fx_bp=Fraction(fx)
    ),
    _shares,
    st.integers(0, 1000),
    st.integers(0, 100_000),
    _shares,
    st.integers(0, 100),
)


@settings(max_examples=60, deadline=None)
@given(one=_banks, other=_banks, amount=st.integers(1, 10**8))
def test_the_terms_add_up_to_what_a_bank_is_worth_more(
    one: Candidate, other: Candidate, amount: int
):
    whole = value_of(one, _TERMS, amount) - value_of(other, _TERMS, amount)

    assert sum(advantages(one, other, _TERMS, amount).values()) == whole
