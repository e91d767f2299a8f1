"""Action types that do what a test says, and a table that shows how often they have done it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import asyncpg
import msgspec

from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    OutcomeUnknown,
    Plan,
    PreconditionChanged,
    Registry,
    Target,
    TransientFailure,
)
from molam.platform.db import Database, Query, Tx
from molam.platform.db.transaction import Nothing

Ends = Literal["ok", "transient", "permanent", "stale", "unknown"]


class Payment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    till: str
    amount: int = 1


class TillJammed(Refusal):
    code = "till-jammed"
    kind = Kind.BROKEN_RULE
    title = "The till does not open"


_PAY = Query(
    "/* tests.pay */ insert into public.payments (till, key) values (:till, :key)", row=Nothing
)

POLICY: Mapping[str, object] = {
    "required_quorum": {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}},
    "required_ratio": "3/5",
    "timeout_seconds": 7200,
    "min_role_age_s": 0,
}


async def make_tills(db: Database) -> None:
    """Nothing here keeps a payment from being made twice; that is the engine's part."""
    async with db.transaction("tests.make_tills") as tx:
        await tx.connection.execute("create table public.payments (till text, key text)")
        await tx.connection.execute("grant select, insert on public.payments to molam_ops")


async def payments_of(connection: asyncpg.Connection[Any], till: str) -> int:
    count = await connection.fetchval("select count(*) from public.payments where till = $1", till)
    return int(count)


@dataclass
class Tills:
    """What the next attempts at each till come to; one that nobody spoke of goes well."""

    says: dict[str, list[Ends]] = field(default_factory=lambda: defaultdict(list))

    @property
    def registry(self) -> Registry:
        return Registry(
            [
                ActionType(name="TILL_PAY", apply=self._apply, **_COMMON),
                ActionType(name="TILL_AUTO", apply=self._apply, **_COMMON),
                ActionType(name="TILL_SEND", call=self._call, idempotency="none", **_COMMON),
            ]
        )

    def _next(self, till: str) -> Ends:
        return self.says[till].pop(0) if self.says[till] else "ok"

    async def _apply(self, tx: Tx, execution: Execution[Payment]) -> Outcome:
        payment = execution.params
        await tx.run(_PAY, till=payment.till, key=execution.key)
        return _ended(payment, self._next(payment.till))

    async def _call(self, db: Database, execution: Execution[Payment]) -> Outcome:
        payment = execution.params
        end = self._next(payment.till)
        if end in {"ok", "unknown"}:
            async with db.transaction("tests.send") as tx:
                await tx.run(_PAY, till=payment.till, key=execution.key)
        return _ended(payment, end)


def _ended(payment: Payment, end: Ends) -> Outcome:
    """Return or raise; what `apply` has written before is undone when it raises."""
    match end:
        case "ok":
            return Outcome({"paid": payment.amount})
        case "transient":
            raise TransientFailure("the till is busy")
        case "permanent":
            raise TillJammed("Call the locksmith.")
        case "stale":
            raise PreconditionChanged("The till was moved.")
        case "unknown":
            raise OutcomeUnknown("no answer")


async def _plan(tx: Tx, payment: Payment) -> Plan:
    return Plan(
        target_name=payment.till, changes=(Change("till", 0, payment.amount),), reversible=False
    )


_COMMON: dict[str, Any] = {
    "params": Payment,
    "title": lambda payment, _: f"{payment.amount} -> {payment.till}",
    "target": lambda payment: Target("till", payment.till),
    "plan": _plan,
}
