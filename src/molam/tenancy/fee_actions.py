"""Setting what a merchant pays, once enough people agree."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from molam.kernel.ids import uuid8
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    Target,
)
from molam.platform.db import Database, Tx
from molam.platform.web.l10n import Formats
from molam.tenancy import standing, standing_store
from molam.tenancy.freeze_actions import Id, MerchantNotActive, check_id, expect

_PERCENT_MAX = 100
_YEAR_MIN, _YEAR_MAX = 2000, 2099


class AdjustMerchantFee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*fee_percentage* is in hundredths of the amount: 3.5 takes 35 of 1,000."""

    merchant_id: Id
    fee_percentage: Decimal
    effective_date: date

    def __post_init__(self) -> None:
        check_id("merchant_id", self.merchant_id)
        fee = self.fee_percentage
        if not fee.is_finite() or not 0 <= fee <= _PERCENT_MAX:
            raise ValueError("fee_percentage lies between 0 and 100")
        if fee * 100 != (fee * 100).to_integral_value():
            raise ValueError("fee_percentage has at most two decimals")
        if not _YEAR_MIN <= self.effective_date.year <= _YEAR_MAX:
            raise ValueError(f"effective_date lies between {_YEAR_MIN} and {_YEAR_MAX}")


async def _complete_fee(_tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Refuse a binary fraction, which may not be the number that was written."""
    if isinstance(raw.get("fee_percentage"), float):
        raise ParamsRefused("Write fee_percentage as a string or a decimal, never as a float.")
    return raw


async def _plan_fee(tx: Tx, params: AdjustMerchantFee) -> Plan:
    found = await standing.standing_of(tx, params.merchant_id)
    if found.status == "closed":
        raise MerchantNotActive("It is closed.", status=found.status)
    since = max(params.effective_date, found.merchant.asked_at.date())
    old = _agreed(await standing.fee_on(tx, params.merchant_id, since))
    new = _percent(params.fee_percentage)
    return Plan(
        target_name=found.merchant.name,
        changes=(
            Change("fee_percentage", old, new),
            Change("fee_effective_date", None, since.isoformat()),
        ),
        reversible=old is not None,
        expect={"fee": old},
        effects=("fee_on_new_payments_only",),
    )


async def _adjust_fee(tx: Tx, execution: Execution[AdjustMerchantFee]) -> Outcome:
    params = execution.params
    await standing.lock_standing(tx, params.merchant_id, now=execution.at)
    id_ = uuid8(f"ADJUST_MERCHANT_FEE/{execution.key}")
    # No payment of the past changes: a day that has gone by means from today.
    since = max(params.effective_date, execution.at.date())
    new = _percent(params.fee_percentage)
    before = await standing.fee_on(tx, params.merchant_id, since)
    old = execution.expect.get("fee")
    if before is None or before.id != id_:
        expect(execution.expect, fee=_agreed(before))
        await tx.run(
            standing_store.APPEND_FEE,
            id=id_,
            merchant_id=params.merchant_id,
            basis_points=params.fee_percentage * 100,
            effective_date=since,
            set_by=execution.executed_by,
            set_at=execution.at,
            action_id=execution.action_id,
        )
    result = {
        "updated": True,
        "merchant_id": params.merchant_id,
        "old_fee": old,
        "new_fee": new,
        "effective_date": since.isoformat(),
    }
    return Outcome(result, (Change("fee_percentage", old, new),))


async def _fee_holds(db: Database, params: AdjustMerchantFee) -> bool:
    async with db.transaction("tenancy.verify_fee", readonly=True) as tx:
        found = await standing.standing_of(tx, params.merchant_id)
        since = max(params.effective_date, found.merchant.asked_at.date())
        agreed = _agreed(await standing.fee_on(tx, params.merchant_id, since))
    return agreed == _percent(params.fee_percentage)


def _undo_fee(
    params: AdjustMerchantFee, result: Mapping[str, object]
) -> tuple[str, dict[str, object]] | None:
    old = result.get("old_fee")
    if old is None:
        return None
    return "ADJUST_MERCHANT_FEE", {
        "merchant_id": params.merchant_id,
        "fee_percentage": old,
        "effective_date": params.effective_date.isoformat(),
    }


def _agreed(fee: standing_store.FeeRow | None) -> str | None:
    return None if fee is None else _percent(fee.basis_points / 100)


def _percent(fee: Decimal) -> str:
    return "0" if fee == 0 else f"{fee.normalize():f}"


def _fee_title(params: AdjustMerchantFee, locale: str) -> str:
    formats = Formats("fr" if locale == "fr" else "en")
    decimals = max(0, -int(params.fee_percentage.normalize().as_tuple().exponent))
    fee = formats.percent(params.fee_percentage, decimals)
    # From when is the rehearsal's to say: a day that is past means at once.
    if locale == "fr":
        return f"Fixer les frais du marchand {params.merchant_id} à {fee}"
    return f"Set the fee of merchant {params.merchant_id} to {fee}"


ACTIONS = (
    ActionType(
        name="ADJUST_MERCHANT_FEE",
        params=AdjustMerchantFee,
        risk="medium",
        title=_fee_title,
        target=lambda params: Target("merchant", params.merchant_id),
        complete=_complete_fee,
        plan=_plan_fee,
        apply=_adjust_fee,
        verify=_fee_holds,
        compensate=_undo_fee,
    ),
)
