"""Asking banks to give payouts back, once treasury and operations agree."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import msgspec
from msgspec import Meta

from molam.kernel.digests import digest
from molam.payments.payouts import recalls
from molam.payments.payouts.recall_model import Ids, NothingToRecall, ReasonCode, Wish
from molam.payments.payouts.recall_store import JudgedRow
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.tenancy.freeze_actions import check_id, check_text

RECALL_PAYOUTS = "RECALL_PAYOUTS"
_NAMED_MAX = 3
_TWIN = "molam.recall/1"


class RecallPayouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*reason_code* is one of ISO 20022's for cancelling a payment; banks are told both reasons."""

    payout_ids: Ids
    reason_code: ReasonCode
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    proposal_id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None

    def __post_init__(self) -> None:
        for each in self.payout_ids:
            check_id("payout_ids", each)
        check_text("reason", self.reason)
        if len(set(self.payout_ids)) != len(self.payout_ids):
            raise ValueError("payout_ids names each payout once")


async def _plan(tx: Tx, params: RecallPayouts) -> Plan:
    rows = await recalls.judge(tx, params.payout_ids)
    able = [each for each in rows if each.why is None]
    if not able:
        raise NothingToRecall("They wait, have ended, are in doubt, or are being recalled.")
    left_out = Counter(each.why for each in rows if each.why is not None)
    return Plan(
        target_name=_named(able),
        changes=(
            Change("recalls_asked", None, len(able)),
            *_values(able),
            *(Change(f"recalls_not_{why}", None, left_out[why]) for why in sorted(left_out)),
        ),
        reversible=False,
        effects=("bank_asked_to_return", "nothing_booked_until_money_comes"),
        amount=_worth(able),
    )


def _named(rows: list[JudgedRow]) -> str:
    names = sorted({each.bank_name or "" for each in rows})
    more = f" (+{len(names) - _NAMED_MAX})" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more


def _values(rows: list[JudgedRow]) -> list[Change]:
    sums: Counter[str] = Counter()
    for each in rows:
        sums[each.currency or ""] += each.amount or 0
    return [
        Change("recalls_value", None, {"currency": code, "minor": sums[code]})
        for code in sorted(sums)
    ]


def _worth(rows: list[JudgedRow]) -> Amount | None:
    """Sum up where there is one currency; of several, nothing is the amount."""
    codes = {each.currency for each in rows}
    if len(codes) != 1:
        return None
    return Amount(codes.pop() or "", sum(each.amount or 0 for each in rows))


async def _apply(tx: Tx, execution: Execution[RecallPayouts]) -> Outcome:
    params = execution.params
    wish = Wish(
        payout_ids=params.payout_ids,
        reason_code=params.reason_code,
        reason=params.reason,
        action_id=execution.action_id,
        proposal_id=params.proposal_id,
        by=execution.executed_by,
    )
    try:
        done = await recalls.ask(tx, wish)
    except NothingToRecall as nothing:
        raise PreconditionChanged(nothing.detail) from nothing
    return Outcome(
        {
            "recalls": [str(each.id) for each in done.asked],
            "asked": len(done.asked),
            "not_asked": [msgspec.to_builtins(each) for each in done.unasked],
        },
        (Change("recalls_asked", None, len(done.asked)),),
    )


def _title(params: RecallPayouts, locale: str) -> str:
    count = len(params.payout_ids)
    if locale == "fr":
        return f"Rappeler {count} versement{'s' if count > 1 else ''}"
    return f"Recall {count} payout{'s' if count > 1 else ''}"


ACTIONS = (
    ActionType(
        name=RECALL_PAYOUTS,
        params=RecallPayouts,
        risk="high",
        moves_money=True,
        is_asked_by_code=True,
        title=_title,
        target=lambda params: Target("payouts", params.proposal_id or params.payout_ids[0]),
        twin=lambda params: digest(_TWIN, sorted(params.payout_ids)).hex(),
        plan=_plan,
        apply=_apply,
    ),
)
