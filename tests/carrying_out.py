"""Runs an action's own functions as the engine would, on a database of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from builders import NOW
from molam.platform.actions import ActionType, Execution, Outcome, Plan
from molam.platform.db import Database


@dataclass(frozen=True)
class Rehearsed:
    """What was asked, completed and validated, and what the rehearsal said."""

    type: ActionType[Any]
    params: Any
    plan: Plan


async def rehearse(db: Database, type_: ActionType[Any], raw: Mapping[str, Any]) -> Rehearsed:
    async with db.transaction("tests.rehearse", readonly=True) as tx:
        given = dict(raw)
        if type_.complete is not None:
            given = await type_.complete(tx, given)
        params = msgspec.convert(given, type_.params)
        return Rehearsed(type_, params, await type_.plan(tx, params))


async def carry_out(
    db: Database,
    rehearsed: Rehearsed,
    *,
    key: str = "key-1",
    by: str = "ibrahima.ba",
    at: datetime = NOW,
) -> Outcome:
    execution = Execution(
        action_id=f"action-{key}",
        key=key,
        params=rehearsed.params,
        expect=msgspec.json.decode(msgspec.json.encode(rehearsed.plan.expect)),
        executed_by=by,
        at=at,
    )
    assert rehearsed.type.apply is not None
    async with db.transaction("tests.carry_out") as tx:
        return await rehearsed.type.apply(tx, execution)


async def do(db: Database, type_: ActionType[Any], raw: Mapping[str, Any], **how: Any) -> Outcome:
    return await carry_out(db, await rehearse(db, type_, raw), **how)


def with_expect(rehearsed: Rehearsed, **expect: object) -> Rehearsed:
    return replace(rehearsed, plan=replace(rehearsed.plan, expect=expect))


async def rows(db: Database, sql: str, *args: object) -> list[tuple[Any, ...]]:
    async with db.transaction("tests.rows") as tx:
        return [tuple(row) for row in await tx.connection.fetch(sql, *args)]
