"""The life of an action: what may follow what, and how the specification calls it."""

from __future__ import annotations

from itertools import product

import asyncpg
import pytest

from molam.approvals.lifecycle import (
    EVENTS,
    OPEN,
    TERMINAL,
    State,
    TransitionRefused,
    status_of,
    transition,
)

TABLE = """
pending              approve break_glass            approved
pending              reject                         rejected
pending              block                          blocked
pending              expire                         expired
pending              cancel                         cancelled
pending              supersede                      superseded
pending              go_stale                       stale
blocked              approve break_glass            approved
blocked              reject                         rejected
blocked              unblock                        pending
blocked              expire                         expired
blocked              cancel                         cancelled
blocked              supersede                      superseded
blocked              go_stale                       stale
approved             schedule                       scheduled
approved             begin                          executing
approved             send_back                      pending
approved             expire_execution               expired
approved             cancel                         cancelled
approved             supersede                      superseded
approved             go_stale                       stale
scheduled            reject                         rejected
scheduled            begin                          executing
scheduled            send_back                      pending
scheduled            expire_execution               expired
scheduled            cancel                         cancelled
scheduled            supersede                      superseded
scheduled            go_stale                       stale
executing            succeed                        executed
executing            fail                           failed
executing            lose                           execution_unknown
executing            go_stale                       stale
failed               begin                          executing
failed               send_back                      pending
failed               expire_execution               expired
failed               cancel                         cancelled
failed               go_stale                       stale
execution_unknown    reconcile_executed             executed
execution_unknown    reconcile_failed               failed
executed             verify_ok                      verified
executed             verify_bad                     ineffective
executed             compensate_begin               compensating
verified             compensate_begin               compensating
ineffective          compensate_begin               compensating
compensating         compensate_ok                  compensated
compensating         compensate_failed              compensation_failed
compensation_failed  compensate_begin               compensating
"""

ALLOWED = {
    (State(state), event): State(target)
    for state, *events, target in map(str.split, TABLE.strip().splitlines())
    for event in events
}

PAIRS = list(product(State, EVENTS))


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_what_the_table_allows_happens_and_nothing_else_does(state: State, event: str):
    target = ALLOWED.get((state, event))

    if target is not None:
        assert transition(state, event) is target
    else:
        with pytest.raises(TransitionRefused) as refused:
            transition(state, event)
        assert refused.value.facts == {"state": state.value, "event": event}
        assert refused.value.detail.startswith(f"The action is {state.value}; ")


def test_every_event_can_happen_somewhere():
    assert {event for _, event in ALLOWED} == EVENTS.keys()


def test_nothing_follows_what_is_over():
    assert {State(each) for each in State} - {state for state, _ in ALLOWED} == TERMINAL
    assert {
        State.REJECTED,
        State.EXPIRED,
        State.CANCELLED,
        State.SUPERSEDED,
        State.STALE,
        State.COMPENSATED,
    } == TERMINAL


def test_what_was_decided_against_never_runs():
    reachable = set(TERMINAL - {State.COMPENSATED})

    assert not any(state in reachable for state, _ in ALLOWED)
    assert {state for (state, event), target in ALLOWED.items() if target is State.EXECUTING} == {
        State.APPROVED,
        State.SCHEDULED,
        State.FAILED,
    }


def test_only_open_actions_are_approved():
    approving = {state for (state, _), target in ALLOWED.items() if target is State.APPROVED}

    assert approving == OPEN


async def test_the_status_is_that_of_the_generated_column(shared_dsn: str):
    combinations = list(product(State, (0, 1, 2), (0, 1, 5)))
    connection = await asyncpg.connect(shared_dsn)
    try:
        expression = await connection.fetchval(
            """
            select pg_get_expr(d.adbin, d.adrelid)
              from pg_attrdef as d
              join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
             where d.adrelid = 'approvals.ops_actions'::regclass and a.attname = 'status'
            """
        )
        rows = await connection.fetch(
            f"select ({expression}) as status"
            "  from unnest($1::text[], $2::int[], $3::int[])"
            "       with ordinality as given(state, level, votes_cast, n)"
            " order by n",
            *map(list, zip(*combinations, strict=True)),
        )
        states = await connection.fetchval(
            """
            select pg_get_constraintdef(oid)
              from pg_constraint
             where conrelid = 'approvals.ops_actions'::regclass and conname = 'state_known'
            """
        )
    finally:
        await connection.close()

    assert [row["status"] for row in rows] == [status_of(*each) for each in combinations]
    assert {each for each in State if f"'{each.value}'" in states} == set(State)
    assert states.count("::text") >= len(State)
