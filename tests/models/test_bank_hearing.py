"""Which answers change an attempt, and which are only late or contradictory."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.payments.banks.model import (
    AMOUNT_DIFFERS,
    LIVE,
    MOVES,
    Outcome,
    Report,
    State,
    hear,
)

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
STATES = ["accepted", "settled", "rejected", "unknown", "needs_details", "returned"]
MIGRATION = Path(__file__).parents[2] / "migrations" / "0015_banks.sql"


def an_outcome(state) -> Outcome:
    return Outcome(state, None, None, None, NOW)


def test_moves_are_the_rows_that_the_database_checks():
    text = MIGRATION.read_text(encoding="utf-8")
    rows = text[text.index("insert into payments.bank_attempt_moves") :].partition(";")[0]

    written = set(re.findall(r"\('(\w+)', '(\w+)'\)", rows))

    assert written == {(old.value, new.value) for old in MOVES for new in MOVES[old]}


@given(st.lists(st.sampled_from(STATES), max_size=20))
def test_what_has_settled_is_only_ever_returned(told: list[str]):
    state, path = State.SENDING, []
    for each in told:
        verdict = hear(state, an_outcome(each))
        assert verdict.changes == (verdict.state is not state)
        state = verdict.state
        path.append(state)

    if State.SETTLED in path:
        after = path[path.index(State.SETTLED) :]
        assert set(after) <= {State.SETTLED, State.RETURNED}


@given(st.lists(st.sampled_from(STATES), max_size=20))
def test_hearing_the_same_again_changes_nothing(told: list[str]):
    state = State.SENDING
    for each in told:
        state = hear(state, an_outcome(each)).state
        again = hear(state, an_outcome(each))
        assert not again.changes


@pytest.mark.parametrize("told", ["settled", "returned"])
def test_money_that_left_after_a_rejection_contradicts(told: str):
    verdict = hear(State.REJECTED, an_outcome(told))

    assert (verdict.changes, verdict.contradicts) == (False, True)


@pytest.mark.parametrize("told", ["accepted", "unknown"])
@pytest.mark.parametrize("before", [State.SETTLED, State.REJECTED, State.RETURNED])
def test_earlier_chapters_told_late_contradict_nothing(before: State, told: str):
    verdict = hear(before, an_outcome(told))

    assert (verdict.changes, verdict.contradicts) == (False, False)


def test_nothing_live_is_final():
    assert {state for state in State if not MOVES[state]} == {State.REJECTED, State.RETURNED}
    assert not LIVE & {State.SETTLED, State.REJECTED, State.RETURNED}


@pytest.mark.parametrize("state", ["accepted", "settled", "returned"])
@pytest.mark.parametrize(("amount", "code"), [(75_001, "XOF"), (75_000, "XAF")])
def test_report_about_other_money_is_not_believed(state, amount, code):
    report = Report(state, amount=amount, currency=code)

    outcome = report.about(75_000, "XOF", at=NOW)

    assert (outcome.state, outcome.code) == ("unknown", AMOUNT_DIFFERS)
