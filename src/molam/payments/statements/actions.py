"""Forcing a reconciliation: what people must agree to before a difference is accepted."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.payments.statements import matching, store
from molam.payments.statements.matching import ByHand
from molam.payments.statements.model import REASON_LENGTH_MAX, StatementAbsent, StatementInUse
from molam.payments.statements.store import LineRow, StatementRow
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx

LINES_MAX = 1_000
"""Of one action; a statement with more open lines is not yet ready to be forced."""
_OPEN = ["posted", "mismatched"]


class ForceReconcile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Accept a statement's open lines, or one of them, as they stand.

    *batch_id* is the statement's. With a line and an object, the two are matched whatever
    they differ by; with a line alone, or with neither, what is open is written off.
    """

    batch_id: Annotated[str, Meta(min_length=1, max_length=64)]
    reason: Annotated[str, Meta(min_length=3, max_length=REASON_LENGTH_MAX)] = "forced"
    line_no: Annotated[int, Meta(ge=1)] | None = None
    object_kind: Literal["payout", "refund", "collection"] | None = None
    object_id: Annotated[str, Meta(min_length=1, max_length=511)] | None = None

    def __post_init__(self) -> None:
        if (self.object_kind is None) != (self.object_id is None):
            raise ValueError("object_kind and object_id go together")
        if self.object_id is not None and self.line_no is None:
            raise ValueError("say which line: line_no")
        _uuid(self.batch_id)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text.removeprefix("st_"))
    except ValueError:
        raise ValueError("batch_id is the number of a statement") from None


async def _plan(tx: Tx, params: ForceReconcile) -> Plan:
    row, lines = await _found(tx, params)
    total = sum(abs(each.amount) for each in lines)
    return Plan(
        target_name=f"{row.bank_name} {row.first_day.isoformat()}",
        changes=(
            Change("open_statement_lines", row.open, row.open - len(lines)),
            Change("amount", None, {"currency": row.currency, "minor": total}),
        ),
        reversible=True,
        expect={"lines": [each.line_no for each in lines]},
        effects=("bank_difference_booked",),
        amount=Amount(row.currency, total),
    )


async def _apply(tx: Tx, execution: Execution[ForceReconcile]) -> Outcome:
    params = execution.params
    row, lines = await _found(tx, params)
    expected = execution.expect.get("lines")
    if [each.line_no for each in lines] != expected:
        raise PreconditionChanged("Other lines are open now than when it was approved.")
    forced = [
        ByHand(
            statement_id=row.id,
            line_no=each.line_no,
            kind=params.object_kind,
            object_id=params.object_id,
            reason=params.reason,
            by=execution.executed_by,
            action_id=execution.action_id,
            forces=True,
        )
        for each in lines
    ]
    await matching.match_in(tx, *forced)
    return Outcome(
        {"reconciled": True, "batch_id": params.batch_id, "lines": len(lines)},
        (Change("open_statement_lines", row.open, row.open - len(lines)),),
    )


async def _found(tx: Tx, params: ForceReconcile) -> tuple[StatementRow, list[LineRow]]:
    row = await tx.one(store.FIND_STATEMENT, id=_uuid(params.batch_id))
    if row is None:
        raise StatementAbsent("Check batch_id.")
    if row.discarded_at is not None:
        raise StatementInUse("The statement was discarded.")
    if params.line_no is None:
        lines = await tx.all(
            store.LIST_LINES, statement_id=row.id, states=_OPEN, after=0, limit=LINES_MAX + 1
        )
        if len(lines) > LINES_MAX:
            raise ParamsRefused(f"More than {LINES_MAX} lines are open; match the others first.")
    else:
        line = await tx.one(store.FIND_LINE, statement_id=row.id, line_no=params.line_no)
        lines = [] if line is None or line.state not in _OPEN else [line]
    if not lines:
        raise ParamsRefused("Nothing is open there.")
    return row, lines


def _title(params: ForceReconcile, locale: str) -> str:
    number = params.batch_id[:13]
    if params.line_no is None:
        if locale == "fr":
            return f"Accepter les lignes ouvertes du relevé {number}"
        return f"Accept the open lines of statement {number}"
    if locale == "fr":
        return f"Forcer le rapprochement de la ligne {params.line_no} du relevé {number}"
    return f"Force the match of line {params.line_no} of statement {number}"


ACTIONS = (
    ActionType(
        name="FORCE_RECONCILE",
        params=ForceReconcile,
        risk="high",
        moves_money=True,
        title=_title,
        target=lambda params: Target("statement", params.batch_id),
        twin=lambda params: f"{params.batch_id}/{params.line_no}",
        plan=_plan,
        apply=_apply,
    ),
)
