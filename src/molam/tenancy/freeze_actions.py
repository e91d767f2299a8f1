"""Freezing and thawing a merchant, once enough people agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Database, Tx
from molam.tenancy import freezing, standing, standing_store

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]

_DURATION = re.compile(r"([1-9][0-9]{0,3})([mhd])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DURATION_MAX = timedelta(days=366)
_WORDS = {
    "fr": {"m": ("minute", "minutes"), "h": ("heure", "heures"), "d": ("jour", "jours")},
    "en": {"m": ("minute", "minutes"), "h": ("hour", "hours"), "d": ("day", "days")},
}


class MerchantNotActive(Refusal):
    code = "merchant-not-active"
    kind = Kind.CONFLICT
    title = "The merchant is not active"


class MerchantNotFrozen(Refusal):
    code = "merchant-not-frozen"
    kind = Kind.CONFLICT
    title = "The merchant is not frozen"


class FreezeMerchant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*duration* is ``30m``, ``12h`` or ``7d``; without one it lasts until somebody ends it."""

    merchant_id: Id
    reason: Reason
    duration: str | None = None

    def __post_init__(self) -> None:
        check_id("merchant_id", self.merchant_id)
        check_text("reason", self.reason)
        if self.duration is not None:
            lasts(self.duration)


class UnfreezeMerchant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    merchant_id: Id
    reason: Reason | None = None

    def __post_init__(self) -> None:
        check_id("merchant_id", self.merchant_id)
        if self.reason is not None:
            check_text("reason", self.reason)


def check_id(name: str, value: str) -> None:
    """Make sure that *value* can be an id that people read: no invisible characters."""
    if not value.isprintable() or value != value.strip():
        raise ValueError(f"{name} is printable text without spaces around it")


def check_text(name: str, value: str) -> None:
    """Make sure that *value* says something, in characters that people can see."""
    if not value.strip() or not value.replace("\n", " ").isprintable():
        raise ValueError(f"{name} is printable text that says something")


def lasts(text: str) -> timedelta:
    """Read ``30m``, ``12h`` or ``7d``, up to 366 days."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("duration is written like 30m, 12h or 7d")
    lasting = int(match[1]) * _UNITS[match[2]]
    if lasting > _DURATION_MAX:
        raise ValueError("duration is at most 366 days")
    return lasting


def _merchant(params: FreezeMerchant | UnfreezeMerchant) -> Target:
    return Target("merchant", params.merchant_id)


async def _plan_freeze(tx: Tx, params: FreezeMerchant) -> Plan:
    found = await standing.standing_of(tx, params.merchant_id)
    if found.status != "active":
        raise MerchantNotActive(f"It is {found.status} already.", status=found.status)
    changes = [Change("merchant_status", "active", "frozen")]
    if params.duration is not None:
        changes.append(Change("frozen_for", None, params.duration))
    return Plan(
        target_name=found.merchant.name,
        changes=tuple(changes),
        reversible=True,
        expect={"status": "active"},
        effects=(
            "merchant_changes_refused",
            "merchant_sees_reason",
            "freeze_ends_by_itself" if params.duration else "freeze_lasts_until_ended",
        ),
    )


async def _freeze(tx: Tx, execution: Execution[FreezeMerchant]) -> Outcome:
    params = execution.params
    found = await standing.lock_standing(tx, params.merchant_id, now=execution.at)
    result = {"frozen": True, "merchant_id": params.merchant_id, "reason": params.reason}
    id_ = uuid8(f"FREEZE_MERCHANT/{execution.key}")
    done = await tx.one(standing_store.FIND_FREEZE, id=id_)
    if done is None:
        expect(execution.expect, status=found.status)
        lasting = None if params.duration is None else lasts(params.duration)
        done = standing_store.FreezeRow(
            id=id_,
            merchant_id=params.merchant_id,
            reason=params.reason,
            frozen_by=execution.executed_by,
            frozen_at=execution.at,
            until=None if lasting is None else execution.at + lasting,
            action_id=execution.action_id,
        )
        await freezing.freeze(tx, found, done)
    until = None if done.until is None else _rfc3339(done.until)
    return Outcome(
        {**result, "until": until},
        (Change("merchant_status", "active", "frozen"), Change("frozen_until", None, until)),
    )


async def _is_frozen(db: Database, params: FreezeMerchant) -> bool:
    async with db.transaction("tenancy.verify_freeze", readonly=True) as tx:
        found = await standing.standing_of(tx, params.merchant_id)
    return found.status == "frozen"


def _undo_freeze(
    params: FreezeMerchant, _result: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    return "UNFREEZE_MERCHANT", {"merchant_id": params.merchant_id, "reason": params.reason}


async def _plan_unfreeze(tx: Tx, params: UnfreezeMerchant) -> Plan:
    found = await standing.standing_of(tx, params.merchant_id)
    if found.status != "frozen":
        raise MerchantNotFrozen(f"It is {found.status}.", status=found.status)
    reason = None if found.freeze is None else found.freeze.reason
    return Plan(
        target_name=found.merchant.name,
        changes=(
            Change("merchant_status", "frozen", "active"),
            Change("freeze_reason", reason, None),
        ),
        reversible=True,
        # The very freeze that was looked at: one laid since then had another reason.
        expect={"status": "frozen", "freeze_id": _freeze_id(found)},
        effects=("merchant_changes_allowed",),
    )


async def _unfreeze(tx: Tx, execution: Execution[UnfreezeMerchant]) -> Outcome:
    params = execution.params
    found = await standing.lock_standing(tx, params.merchant_id, now=execution.at)
    meant = await _meant(tx, execution.expect)
    if meant is None or meant.ended_action_id != execution.action_id:
        expect(execution.expect, status=found.status, freeze_id=_freeze_id(found))
        await freezing.unfreeze(
            tx,
            found,
            by=execution.executed_by,
            at=execution.at,
            action_id=execution.action_id,
        )
    reason = None if meant is None else meant.reason
    return Outcome(
        {"unfrozen": True, "merchant_id": params.merchant_id, "reason": reason},
        (Change("merchant_status", "frozen", "active"),),
    )


async def _meant(tx: Tx, expect: Mapping[str, object]) -> standing_store.FreezeRow | None:
    """Find the freeze that was looked at; a merchant frozen by hand has none."""
    id_ = expect.get("freeze_id")
    if not isinstance(id_, str):
        return None
    return await tx.one(standing_store.FIND_FREEZE, id=UUID(id_))


def _undo_unfreeze(
    params: UnfreezeMerchant, result: Mapping[str, object]
) -> tuple[str, dict[str, object]] | None:
    reason = result.get("reason")
    if not isinstance(reason, str):
        return None
    return "FREEZE_MERCHANT", {"merchant_id": params.merchant_id, "reason": reason}


def expect(expected: Mapping[str, object], **found: object) -> None:
    """
    Make sure that what approvers were shown still holds.

    Raises:
        PreconditionChanged: names the first fact that differs.
    """
    for name, value in found.items():
        if expected.get(name) != value:
            raise PreconditionChanged(
                f"Approved when {name} was {expected.get(name)}; now it is {value}."
            )


def _freeze_id(found: standing.Standing) -> str | None:
    id_ = found.merchant.freeze_id
    return None if id_ is None else str(id_)


def _rfc3339(at: Instant) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _freeze_title(params: FreezeMerchant, locale: str) -> str:
    french = locale == "fr"
    title = f"{'Geler le marchand' if french else 'Freeze merchant'} {params.merchant_id}"
    if params.duration is None:
        return title
    count, unit = params.duration[:-1], params.duration[-1]
    word = _WORDS["fr" if french else "en"][unit][int(count) > 1]
    return f"{title} {'pendant' if french else 'for'} {count} {word}"


def _unfreeze_title(params: UnfreezeMerchant, locale: str) -> str:
    verb = "Dégeler le marchand" if locale == "fr" else "Unfreeze merchant"
    return f"{verb} {params.merchant_id}"


ACTIONS = (
    ActionType(
        name="FREEZE_MERCHANT",
        params=FreezeMerchant,
        risk="high",
        title=_freeze_title,
        target=_merchant,
        plan=_plan_freeze,
        apply=_freeze,
        verify=_is_frozen,
        verify_after=timedelta(minutes=1),
        compensate=_undo_freeze,
    ),
    ActionType(
        name="UNFREEZE_MERCHANT",
        params=UnfreezeMerchant,
        risk="high",
        title=_unfreeze_title,
        target=_merchant,
        plan=_plan_unfreeze,
        apply=_unfreeze,
        compensate=_undo_unfreeze,
    ),
)
