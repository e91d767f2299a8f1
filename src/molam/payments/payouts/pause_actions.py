"""Pausing a merchant's payouts, letting them go on, and releasing money that is held."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.approvals.policy.durations import DurationMalformed, read_duration
from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.kernel.refusals import Kind, Refusal
from molam.payments.payouts import commands, model, settings_store
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
from molam.platform.db import Database, Tx
from molam.tenancy import standing
from molam.tenancy.freeze_actions import check_id, check_text

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]


class PayoutsPaused(Refusal):
    code = "payouts-paused"
    kind = Kind.CONFLICT
    title = "The merchant's payouts are paused already"


class PausePayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*duration* is ``30m``, ``1h`` or ``7d``; *amount* only says what is at stake."""

    merchant_id: Id
    duration: str
    amount: Amount | None = None
    reason: Reason | None = None

    def __post_init__(self) -> None:
        check_id("merchant_id", self.merchant_id)
        if self.reason is not None:
            check_text("reason", self.reason)
        lasting(self.duration)


class ResumePayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    merchant_id: Id
    reason: Reason | None = None

    def __post_init__(self) -> None:
        check_id("merchant_id", self.merchant_id)


class ReleaseHold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*transaction_id* is a payment, or a payout; *merchant_id* says whose, where it must."""

    transaction_id: Id
    merchant_id: Id | None = None
    reason: Reason | None = None

    def __post_init__(self) -> None:
        check_id("transaction_id", self.transaction_id)


def lasting(text: str) -> timedelta:
    """Read how long a pause is; office hours are no length of one."""
    try:
        found = read_duration(text)
    except DurationMalformed as error:
        raise ValueError(f"duration: {error.detail}") from error
    if not found.seconds:
        raise ValueError("duration is written like 30m, 1h or 7d, and is not nothing")
    return timedelta(seconds=found.seconds)


async def _complete(tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Give a bare amount the merchant's currency."""
    amount = raw.get("amount")
    if type(amount) is not int:
        return raw
    found = await standing.standing_of(tx, str(raw.get("merchant_id")))
    currency = raw.get("currency", found.merchant.default_currency)
    rest = {key: value for key, value in raw.items() if key != "currency"}
    return {**rest, "amount": {"currency": currency, "minor": amount}}


async def _plan_pause(tx: Tx, params: PausePayout) -> Plan:
    found = await standing.standing_of(tx, params.merchant_id)
    pause = await tx.one(settings_store.FIND_PAUSE, merchant_id=params.merchant_id)
    if pause is not None:
        raise PayoutsPaused(f"Until {_rfc3339(pause.until)}.")
    return Plan(
        target_name=found.merchant.name,
        changes=(
            Change("payouts", "active", "paused"),
            Change("paused_for", None, params.duration),
        ),
        reversible=True,
        expect={"paused": False},
        effects=("payouts_held", "merchant_sees_reason"),
        amount=params.amount,
        country=found.merchant.country,
    )


async def _pause(tx: Tx, execution: Execution[PausePayout]) -> Outcome:
    params = execution.params
    await standing.lock_standing(tx, params.merchant_id, now=execution.at)
    pause = await tx.one(settings_store.FIND_PAUSE, merchant_id=params.merchant_id)
    if pause is not None:
        raise PreconditionChanged("Somebody has paused them since.")
    until = execution.at + lasting(params.duration)
    # One that has run out may still lie there.
    await tx.run(settings_store.END_PAUSE, merchant_id=params.merchant_id, by=execution.executed_by)
    await tx.run(
        settings_store.PUT_PAUSE,
        id=uuid8(f"PAUSE_PAYOUT/{execution.key}"),
        merchant_id=params.merchant_id,
        reason=params.reason,
        until=until,
        by=execution.executed_by,
        at=execution.at,
        action_id=execution.action_id,
    )
    return Outcome(
        {
            "paused": True,
            "merchant_id": params.merchant_id,
            "duration": params.duration,
            "until": _rfc3339(until),
        },
        (Change("payouts", "active", "paused"), Change("paused_until", None, _rfc3339(until))),
    )


async def _is_paused(db: Database, params: PausePayout) -> bool:
    found = await db.read(settings_store.FIND_PAUSE, merchant_id=params.merchant_id)
    return bool(found)


async def _plan_resume(tx: Tx, params: ResumePayout) -> Plan:
    found = await standing.standing_of(tx, params.merchant_id)
    pause = await tx.one(settings_store.FIND_PAUSE, merchant_id=params.merchant_id)
    if pause is None:
        raise model.PayoutsNotPaused("Nothing keeps its payouts, or something else does.")
    return Plan(
        target_name=found.merchant.name,
        changes=(
            Change("payouts", "paused", "active"),
            Change("pause_reason", pause.reason, None),
        ),
        reversible=True,
        # The very pause that was looked at: one begun since had another reason.
        expect={"pause_id": str(pause.id)},
        effects=("held_payouts_sent",),
        country=found.merchant.country,
    )


async def _resume(tx: Tx, execution: Execution[ResumePayout]) -> Outcome:
    params = execution.params
    await standing.lock_standing(tx, params.merchant_id, now=execution.at)
    pause = await tx.one(settings_store.FIND_PAUSE, merchant_id=params.merchant_id)
    if pause is None or str(pause.id) != execution.expect.get("pause_id"):
        raise PreconditionChanged("The pause that was looked at is over.")
    await tx.run(settings_store.END_PAUSE, merchant_id=params.merchant_id, by=execution.executed_by)
    return Outcome(
        {"resumed": True, "merchant_id": params.merchant_id},
        (Change("payouts", "paused", "active"),),
    )


def _undo_pause(
    params: PausePayout, _result: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    return "RESUME_PAYOUT", {"merchant_id": params.merchant_id, "reason": params.reason}


async def _plan_release(tx: Tx, params: ReleaseHold) -> Plan:
    row = await commands.find_hold(tx, params.transaction_id, merchant_id=params.merchant_id)
    found = await standing.standing_of(tx, row.merchant_id)
    return Plan(
        target_name=f"{found.merchant.name}: {row.transaction_id}",
        changes=(Change("hold", "active", "released"), Change("hold_reason", row.reason, None)),
        reversible=True,
        expect={"hold_id": str(row.id)},
        effects=("held_money_paid_out",),
        amount=Amount(row.currency, row.amount),
        country=found.merchant.country,
    )


async def _release(tx: Tx, execution: Execution[ReleaseHold]) -> Outcome:
    params = execution.params
    try:
        row = await commands.find_hold(
            tx, params.transaction_id, merchant_id=params.merchant_id, lock=True
        )
    except model.HoldAbsent as refusal:
        raise PreconditionChanged("It is held no more.") from refusal
    if str(row.id) != execution.expect.get("hold_id"):
        raise PreconditionChanged("It is held for another reason now.")
    await commands.release_hold(tx, row, by=execution.executed_by)
    return Outcome(
        {"released": True, "transaction_id": row.transaction_id, "merchant_id": row.merchant_id},
        (Change("hold", "active", "released"),),
    )


def _rfc3339(at: Instant) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _pause_title(params: PausePayout, locale: str) -> str:
    if locale == "fr":
        return f"Suspendre les versements du marchand {params.merchant_id} ({params.duration})"
    return f"Pause the payouts of merchant {params.merchant_id} ({params.duration})"


def _resume_title(params: ResumePayout, locale: str) -> str:
    if locale == "fr":
        return f"Reprendre les versements du marchand {params.merchant_id}"
    return f"Resume the payouts of merchant {params.merchant_id}"


def _release_title(params: ReleaseHold, locale: str) -> str:
    if locale == "fr":
        return f"Libérer les fonds retenus de {params.transaction_id}"
    return f"Release what is held of {params.transaction_id}"


_PAUSE = ActionType(
    name="PAUSE_PAYOUT",
    params=PausePayout,
    risk="high",
    title=_pause_title,
    target=lambda params: Target("merchant", params.merchant_id),
    complete=_complete,
    plan=_plan_pause,
    apply=_pause,
    verify=_is_paused,
    verify_after=timedelta(minutes=1),
    compensate=_undo_pause,
)

ACTIONS = (
    _PAUSE,
    ActionType(
        name="RESUME_PAYOUT",
        params=ResumePayout,
        risk="high",
        title=_resume_title,
        target=lambda params: Target("merchant", params.merchant_id),
        plan=_plan_resume,
        apply=_resume,
    ),
    ActionType(
        name="RELEASE_HOLD",
        params=ReleaseHold,
        risk="high",
        moves_money=True,
        title=_release_title,
        target=lambda params: Target("transaction", params.transaction_id),
        plan=_plan_release,
        apply=_release,
    ),
)
