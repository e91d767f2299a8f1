"""docs/guide/statuses.md says what the database does with each word."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from builders import a_merchant
from molam.merchant.intake import STATUSES
from molam.payments.refunds.model import STATUS
from molam.platform.db import Database

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "statuses.md").read_text(encoding="utf-8")

TOPICS = {
    "payment": "wallet_txn_created",
    "refund": "refund_created",
    "payout": "payout_created",
    "dispute": "dispute_created",
}
REFUNDED = {"no": 0, "in part": 40, "whole": 100}


def _table(first_column: str, columns: int) -> list[list[str]]:
    """The rows of the table whose head begins with *first_column* and has so many columns."""
    for block in PAGE.split("\n\n"):
        rows = [
            [cell.strip(" `") for cell in line.strip("|").split("|")] for line in block.splitlines()
        ]
        if rows[0][0] == first_column and len(rows[0]) == columns:
            return rows[2:]
    raise AssertionError(f"no table {first_column} of {columns} columns")


WORDS = [(kind, word, state) for kind, word, state in _table("kind", 3)]
STATES = [(kind, state, refunded, status) for kind, state, refunded, status in _table("kind", 4)]


@pytest.fixture
async def connection(shared_dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(shared_dsn)
    yield connection
    await connection.close()


async def _state(connection: asyncpg.Connection[Any], kind: str, word: str) -> str | None:
    data = {"id": "x", "transaction_id": "x", "merchant_id": "m", "amount": 1, "currency": "XOF"}
    events = json.dumps([{"type": TOPICS[kind], "data": data | {"status": word}}])
    return await connection.fetchval("select state from payments.facts_in($1)", events)


async def test_words_become_the_states_the_page_says_and_no_other_is_known(
    connection: asyncpg.Connection[Any],
):
    everything = {word for _, word, _ in WORDS} | {"settled", "chargeback", ""}

    found = {
        (kind, word, state)
        for kind in TOPICS
        for word in everything
        if (state := await _state(connection, kind, word)) is not None
    }

    assert found == set(WORDS)


def test_every_word_http_takes_is_on_the_page():
    known = {(kind, word) for kind, word, _ in WORDS}

    for kind, topic in TOPICS.items():
        assert {(kind, word) for word in STATUSES[topic]} <= known, kind


async def test_states_are_shown_as_the_statuses_the_page_says(db: Database):
    await a_merchant(db)

    async with db.transaction("tests.states") as tx:
        shown = [
            await tx.connection.fetchval(
                "insert into payments.wallet_transactions"
                " (merchant_id, id, type, state, amount, currency, occurred_at, refunded_amount, version)"
                " values ('merchant-123', $1, $2, $3, 100, 'XOF', now(), $4, 1) returning status",
                str(number),
                kind,
                state,
                REFUNDED[refunded],
            )
            for number, (kind, state, refunded, _) in enumerate(STATES)
        ]

    assert shown == [status for *_, status in STATES]


async def _states(connection: asyncpg.Connection[Any], schema: str) -> dict[str, set[str]]:
    rules = await connection.fetch(
        "select conname, pg_get_constraintdef(oid) as rule from pg_constraint"
        " where conname in ('state_known', 'payout_state_known', 'dispute_state_known')"
        " and connamespace::regnamespace::text = $1",
        schema,
    )
    return {row["conname"]: set(re.findall(r"'(\w+)'::text", row["rule"])) for row in rules}


async def test_the_page_leaves_no_state_of_the_tables_out(connection: asyncpg.Connection[Any]):
    stored = await _states(connection, "payments")
    said = {kind: {state for each, _, state in WORDS if each == kind} for kind in TOPICS}

    assert stored == {
        "state_known": said["payment"] | said["refund"],
        "payout_state_known": {state for state, *_ in _table("state of a payout", 4)},
        "dispute_state_known": said["dispute"],
    }
    assert said["payout"] < stored["payout_state_known"]
    assert {state for kind, state, *_ in STATES if kind == "payment"} == said["payment"]
    assert {state for kind, state, *_ in STATES if kind == "refund"} == said["refund"]


async def test_the_page_leaves_no_state_of_actions_out(connection: asyncpg.Connection[Any]):
    stored = await _states(connection, "approvals")

    assert stored["state_known"] == {state for state, *_ in _table("state of an action", 3)}


DISPUTES = [tuple(row[:3]) for row in _table("state of a dispute", 4)]


async def test_disputes_are_shown_as_the_statuses_the_page_says(db: Database):
    await a_merchant(db)

    async with db.transaction("tests.disputes") as tx:
        shown = [
            (
                state,
                *[
                    await tx.connection.fetchval(
                        "insert into payments.disputes (merchant_id, id, reported_state, state, stage,"
                        " amount, currency, occurred_at, opened_at, version)"
                        " values ('merchant-123', $1, 'open', $2, $3, 1, 'XOF', now(), now(), 1)"
                        " returning status",
                        *(f"{state}/{stage}", state, stage),
                    )
                    for stage in (1, 2)
                ],
            )
            for state, *_ in DISPUTES
        ]

    assert shown == DISPUTES


async def test_the_page_leaves_no_state_of_disputes_out(connection: asyncpg.Connection[Any]):
    rule = await connection.fetchval(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'workflow_state_known'"
    )

    assert set(re.findall(r"'(\w+)'::text", rule)) == {state for state, *_ in DISPUTES}


async def test_refunds_are_shown_as_the_statuses_the_page_says(connection: asyncpg.Connection[Any]):
    rule = await connection.fetchval(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'refund_state_known'"
    )
    listed = {state: status for state, status, _ in _table("state of a refund", 3)}

    assert set(re.findall(r"'(\w+)'::text", rule)) == set(listed)
    assert {state.value: status for state, status in STATUS.items()} == listed
