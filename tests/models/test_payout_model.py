"""What each word of a bank makes of a payout in each state."""

from __future__ import annotations

import itertools
import re
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.payments.banks.model import BankAccount, OutcomeState, Wallet
from molam.payments.payouts import model
from molam.payments.payouts.model import MOVES, State, hear, part_of
from molam.payments.payouts.settings import check_destination, is_iban, masked

WORDS = get_args(OutcomeState)


@given(st.sampled_from(State), st.lists(st.sampled_from(WORDS), max_size=8), st.booleans())
def test_no_order_of_words_leaves_the_table_of_moves_or_moves_money_twice(
    state: State, words: list[OutcomeState], owns: bool
):
    moved = []
    for word in words:
        step = hear(state, word, owns_entries=owns, was_sent=True)
        assert step.state is state or step.state in MOVES[state]
        if step.money != "stays":
            moved.append(step.money)
        if step.money in {"releases", "returns"}:
            owns = False
        state = step.state

    assert moved.count("pays") + moved.count("pays_late") <= 1
    assert moved.count("returns") + moved.count("returns_late") <= 1
    assert moved.count("releases") <= 1


@pytest.mark.parametrize(("state", "word"), list(itertools.product(State, WORDS)), ids=str)
def test_what_was_never_sent_listens_to_no_bank(state: State, word: OutcomeState):
    step = hear(state, word, owns_entries=True, was_sent=False)

    assert (step.state, step.money) == (state, "stays")


def test_a_lost_answer_decides_nothing():
    step = hear(State.IN_TRANSIT, "unknown", owns_entries=True, was_sent=True)

    assert (step.state, step.money) == (State.IN_TRANSIT, "stays")


@pytest.mark.parametrize(
    ("cause", "part"),
    [
        ("payment", "gross"),
        ("payment_fee", "fees"),
        ("refund_fee", "fees"),
        ("refund", "refunds"),
        ("refund_reserved", "refunds"),
        ("refund_released", "refunds"),
        ("dispute", "disputes"),
        ("dispute_fee", "disputes"),
        ("payout", "adjustments"),
        ("payout_paid_late", "adjustments"),
        ("MANUAL", "adjustments"),
    ],
)
def test_every_entry_has_its_line_in_the_composition(cause: str, part: str):
    assert part_of(cause) == part


def test_an_ibans_own_digits_find_a_slip():
    assert is_iban("FR7630006000011234567890189")
    assert not is_iban("FR7630006000011234567890188")


@pytest.mark.parametrize(
    "account",
    [
        BankAccount("A", "SN"),
        BankAccount("A", "SN", account_number="123456"),
        BankAccount("A", "FR", iban="FR7630006000011234567890188"),
        BankAccount("A", "FR", iban="FR7630006000011234567890189", account_number="123456"),
    ],
)
def test_an_account_that_cannot_be_paid_is_refused(account: BankAccount):
    with pytest.raises(model.DestinationRefused):
        check_destination(account)


@pytest.mark.parametrize(
    "account",
    [
        BankAccount("A", "SN", account_number="123456", bic="SGSNSNDA"),
        BankAccount("A", "FR", iban="FR7630006000011234567890189"),
        Wallet("wave", "+221770000001", "A"),
    ],
)
def test_an_account_that_can_be_paid_shows_its_last_digits_only(account: BankAccount | Wallet):
    check_destination(account)

    assert re.fullmatch("••••[0-9]{4}", masked(msgspec.to_builtins(account)))
