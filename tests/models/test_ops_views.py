"""Rows as the console shows them, and what changed between two looks at one action."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from molam.ops.detail import is_hasty
from molam.ops.views import amount_of, approvals_needed, differences, sentence_of
from molam.platform.actions import Amount, Change

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def role(least: int) -> dict[str, Any]:
    return {"type": "role", "value": {"role": "ops_admin", "min_votes": least}}


@pytest.mark.parametrize(
    ("quorum", "people"),
    [
        (role(2), 2),
        ({"type": "specific_users", "value": {"users": ["a", "b", "c"]}}, 3),
        ({"type": "specific_users", "value": {"users": ["a", "b"], "min_votes": 1}}, 1),
        ({"type": "percentage", "value": {"percentage": "2/3", "base": 4}}, 3),
        ({"type": "percentage", "value": {"percentage": "0.5", "pool": ["a", "b", "c"]}}, 2),
        ({"type": "all_of", "value": [role(2), role(1)]}, 3),
        ({"type": "stages", "value": [role(1), role(1)]}, 2),
        ({"type": "any_of", "value": [role(3), role(1)]}, 1),
        ({}, 1),
    ],
)
def test_progress_counts_the_fewest_people_who_could_do(
    quorum: dict[str, Any], people: int
) -> None:
    assert approvals_needed(quorum) == people


def test_a_headline_is_the_plans_own_sentence_in_the_readers_language() -> None:
    plan = {"title": {"fr": "Geler", "en": "Freeze"}, "amount": {"currency": "XOF", "minor": 5}}

    assert sentence_of(plan, "fr") == "Geler"
    assert sentence_of({}, "fr") == ""
    assert amount_of(plan) == Amount("XOF", 5)
    assert amount_of({"amount": None}) is None


def test_a_page_out_of_date_names_what_changed_and_nothing_else() -> None:
    money = {"currency": "XOF", "minor": 1_000_000}
    more = {"currency": "XOF", "minor": 1_200_000}
    before = {
        "changes": [
            {"what": "float_balance", "before": 0, "after": money},
            {"what": "status", "before": "active", "after": "active"},
        ],
        "amount": money,
        "policy": "High Value 1",
        "deadline": "d",
        "level": 0,
    }
    after = before | {
        "changes": [
            {"what": "float_balance", "before": 0, "after": more},
            {"what": "status", "before": "active", "after": "active"},
        ],
        "amount": more,
    }

    assert differences(before, after) == [
        Change("float_balance", money, more),
        Change("amount", money, more),
    ]
    assert differences(before, before) == []


def test_approvals_within_seconds_of_each_other_are_haste() -> None:
    quick = [NOW - timedelta(seconds=at) for at in (1, 4, 7)]

    assert is_hasty(quick, NOW)
    assert not is_hasty(quick[:2], NOW)
    assert not is_hasty(quick, NOW + timedelta(minutes=2))
    assert not is_hasty([NOW, NOW - timedelta(seconds=2), NOW - timedelta(seconds=30)], NOW)
