"""One action type for each way of being repeatable, all paying through the same till outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from molam.platform.actions import ActionType, Change, Execution, Outcome, Plan, Registry, Target
from molam.platform.db import Database, Query, Tx
from molam.platform.db.transaction import Nothing

Pause = Callable[[str], Awaitable[None]]

POINTS = ("claimed", "before effect", "in effect", "after effect", "in finish", "finished")
TYPES = ("PAY_HERE", "PAY_NATIVE", "PAY_PROBED", "PAY_BLIND")


class Payment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    till: str


class Told(msgspec.Struct, frozen=True):
    count: int


_PAY = Query("/* tests.pay */ insert into public.payments (key) values (:key)", row=Nothing)
# A provider that knows idempotency keys.
_PAY_ONCE = Query(
    """
    /* tests.pay_once */
    insert into public.payments (key)
    select :key
     where not exists (select from public.payments where key = :key)
    """,
    row=Nothing,
)
_COUNT = Query(
    "/* tests.count */ select count(*) as count from public.payments where key = :key", row=Told
)


async def make_tills(db: Database) -> None:
    async with db.transaction("tests.make_tills") as tx:
        await tx.connection.execute("create table public.payments (key text)")
        await tx.connection.execute("grant select, insert on public.payments to molam_ops")


def registry(pause: Pause) -> Registry:
    """Types that call *pause* with the point they are at."""

    async def apply(tx: Tx, execution: Execution[Payment]) -> Outcome:
        await pause("before effect")
        await tx.run(_PAY, key=execution.key)
        await pause("in effect")
        return Outcome({"paid": True})

    async def call(db: Database, execution: Execution[Payment], how: Query[Any]) -> Outcome:
        await pause("before effect")
        async with db.transaction("tests.provider") as tx:
            await tx.run(how, key=execution.key)
        await pause("in effect")
        return Outcome({"paid": True})

    async def probe(db: Database, execution: Execution[Payment]) -> Outcome | None:
        [told] = await db.read(_COUNT, key=execution.key)
        return Outcome({"paid": True, "found": True}) if told.count else None

    return Registry(
        [
            ActionType(name="PAY_HERE", apply=apply, **_COMMON),
            ActionType(
                name="PAY_NATIVE",
                call=lambda db, execution: call(db, execution, _PAY_ONCE),
                idempotency="native",
                **_COMMON,
            ),
            ActionType(
                name="PAY_PROBED",
                call=lambda db, execution: call(db, execution, _PAY),
                idempotency="probe",
                probe=probe,
                **_COMMON,
            ),
            ActionType(
                name="PAY_BLIND",
                call=lambda db, execution: call(db, execution, _PAY),
                idempotency="none",
                **_COMMON,
            ),
        ]
    )


async def _plan(_tx: Tx, payment: Payment) -> Plan:
    return Plan(target_name=payment.till, changes=(Change("till", 0, 1),), reversible=False)


async def straight_on(_point: str) -> None:
    await asyncio.sleep(0)


_COMMON: dict[str, Any] = {
    "params": Payment,
    "title": lambda payment, _: f"Pay {payment.till}",
    "target": lambda payment: Target("till", payment.till),
    "plan": _plan,
}
