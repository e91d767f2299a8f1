"""Each safety that refunds rely on, taken away: then some schedule must fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from uuid import uuid4

import refund_scenarios as scenarios
from refund_scenarios import Scenario

from molam.ledger import store as ledger_store
from molam.payments.refunds import moves
from molam.payments.refunds import store as refunds_store
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class Change:
    module: ModuleType
    statement: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Twin:
    """Statements without one of their safeties, and the failure that this must lead to."""

    name: str
    scenario: Scenario
    changes: tuple[Change, ...]
    says: str
    forgets_ids: bool = False
    """Whether a step's transfer has another id each time."""

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for change in self.changes:
                stack.enter_context(_changed(change))
            if self.forgets_ids:
                stack.enter_context(_forgetful())
            yield


@contextlib.contextmanager
def _changed(change: Change) -> Iterator[None]:
    original: Query[Any] = getattr(change.module, change.statement)
    sql: Any = original.sql
    assert change.old in sql, f"{change.statement}: {change.old}"
    replaced = Query(sql.replace(change.old, change.new), row=original.row, locks=original.locks)
    setattr(change.module, change.statement, replaced)
    try:
        yield
    finally:
        setattr(change.module, change.statement, original)


@contextlib.contextmanager
def _forgetful() -> Iterator[None]:
    original = moves.transfer_id
    moves.transfer_id = lambda _refund_id, _step: uuid4()
    try:
        yield
    finally:
        moves.transfer_id = original


_UNLOCKED_PAYMENT = Change(refunds_store, "LOCK_PAYMENT", "for update", "")
_UNLOCKED_REFUND = Change(refunds_store, "LOCK_REFUND", "for update", "")

TWINS = (
    # The balance's lock alone would keep refunds of one currency in a row.
    Twin(
        "neither the payment nor the balance is locked",
        scenarios.meet,
        (_UNLOCKED_PAYMENT, Change(ledger_store, "LOCK_BALANCE", "for update", "")),
        says="are given back",
    ),
    # A step's own transfer id alone would keep the money from moving twice.
    Twin(
        "a refund is not locked and its transfers have no name",
        scenarios.end_twice,
        (
            _UNLOCKED_PAYMENT,
            _UNLOCKED_REFUND,
            Change(refunds_store, "SET_STATE", "and state = :old", "and state <> :old || '-'"),
        ),
        says="promise what is not there|set aside",
        forgets_ids=True,
    ),
)
