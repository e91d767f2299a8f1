"""Reading and changing what a merchant has set up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from molam.kernel.clock import Instant
from molam.merchant import settings_model as model
from molam.merchant import settings_store as store
from molam.merchant import trail
from molam.merchant.account_notices import Changed, tell_admins
from molam.merchant.jobs import CHANGE_TIMEZONE, ChangeTimezone
from molam.merchant.settings_model import Change, Settings
from molam.merchant.team_commands import team_of
from molam.platform.db import Tx
from molam.platform.jobs import enqueue
from molam.platform.web import Caller
from molam.tenancy import standing
from molam.tenancy.queries import MerchantAbsent

TIMEZONE_WANTED = "timezone_wanted"
_PERIODS = ("today", "yesterday", "last_7d", "mtd", "ytd")

Proof = Callable[[], None]
"""Demands a fresh second factor of the caller, or raises."""


@dataclass(frozen=True, slots=True)
class Held:
    """A merchant's settings and the version they are at."""

    settings: Settings
    version: str
    payout_schedule: str
    timezone_wanted: str | None
    """The time zone its figures are being moved to."""
    updated_at: Instant


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do."""

    before: dict[str, Any]
    after: dict[str, Any]
    loosened: tuple[str, ...]


async def held_by(tx: Tx, merchant_id: str) -> Held:
    """
    Read a merchant's settings.

    Raises:
        MerchantAbsent: it has none.
    """
    row = await tx.one(store.FIND, merchant_id=merchant_id)
    return _held(row)


def preview(held: Held, change: Change) -> Preview:
    """
    Tell what *change* would do, doing nothing.

    Raises:
        SettingsRefused, TimezoneUnknown, UnknownCurrency: it cannot be done.
    """
    after = model.changed(held.settings, change)
    old, new = model.differences(held.settings, after)
    return Preview(old, new, model.loosened(held.settings, after))


async def change(
    tx: Tx,
    caller: Caller,
    asked: Change,
    *,
    now: Instant,
    proof: Proof,
    version: str | None = None,
) -> Held:
    """
    Change a merchant's settings; what stays the same is no change.

    *proof* is called when the change loosens what protects the merchant's money. *version*
    is the one the caller saw, where they say so.

    Raises:
        MerchantFrozen: nothing can be changed now.
        SettingsStale: somebody changed them since *version*.
        SettingsRefused, TimezoneUnknown, UnknownCurrency: it cannot be done.
        StepUpRequired: *proof* is missing.
    """
    merchant_id = caller.merchant
    await standing.ensure_may_change(tx, merchant_id, now=now)
    row = await tx.one(store.LOCK, merchant_id=merchant_id)
    held = _held(row)
    if version is not None and version != held.version:
        raise model.SettingsStale("Read them again, then decide.", version=held.version)
    after = model.changed(held.settings, asked)
    old, new = model.differences(held.settings, after)
    if not new:
        return held
    loosened = model.loosened(held.settings, after)
    if loosened:
        proof()
    await _write(tx, merchant_id, held.settings, after)
    await trail.record(
        tx,
        caller,
        action_type="settings_changed",
        resource_type="settings",
        resource_id=merchant_id,
        before=old,
        after=new,
        requires_2fa=bool(loosened),
    )
    if loosened:
        await _warn(tx, caller, loosened, now=now)
    return await held_by(tx, merchant_id)


async def _write(tx: Tx, merchant_id: str, before: Settings, after: Settings) -> None:
    config: dict[str, object] = {
        "default_period": after.default_period,
        "show_usd_equivalent": after.show_usd_equivalent,
        "notifications_enabled": after.notifications_enabled,
        "refund_thresholds": dict(after.refund_thresholds),
        # The specification's name for the one in the default currency.
        "refund_threshold_requiring_approval": after.threshold_of(after.default_currency),
        "refund_approval_minutes": after.refund_approval_minutes,
        "refund_fee": after.refund_fee,
        "dispute_auto_submit": after.dispute_auto_submit,
    }
    if after.timezone != before.timezone:
        # Every fact moves to another local day, which takes a job a while.
        config[TIMEZONE_WANTED] = after.timezone
        payload = ChangeTimezone(merchant_id=merchant_id, timezone=after.timezone)
        await enqueue(tx, CHANGE_TIMEZONE, payload)
    await tx.run(
        store.SET,
        merchant_id=merchant_id,
        locale=after.locale,
        default_currency=after.default_currency,
        daily_refund_limit=after.daily_refund_limit,
        monthly_refund_limit=after.monthly_refund_limit,
        config=config,
    )


async def _warn(tx: Tx, caller: Caller, loosened: tuple[str, ...], *, now: Instant) -> None:
    """Tell every administrator that fewer eyes will be on refunds."""
    changed = Changed(
        alert_type="settings_loosened",
        alert_title="Rules that protect your money were loosened",
        description=f"{caller.name} changed {', '.join(loosened)}.",
        facts={"rule": "settings", "by": caller.name, "settings": list(loosened)},
        title={
            "fr": "des règles qui protègent l'argent ont été assouplies",
            "en": "rules that protect the money were loosened",
        },
        link="/settings/audit",
    )
    await tell_admins(tx, caller, await team_of(tx, caller.merchant), changed, now=now)


def _held(row: store.SettingsRow | None) -> Held:
    if row is None:
        raise MerchantAbsent("Check the merchant id of your token.")
    config = row.dashboard_config
    wanted = config.get(TIMEZONE_WANTED)
    period = config.get("default_period")
    return Held(
        settings=Settings(
            locale=row.locale,
            timezone=row.timezone,
            default_currency=row.default_currency,
            default_period=period if period in _PERIODS else "mtd",
            show_usd_equivalent=config.get("show_usd_equivalent") is not False,
            notifications_enabled=config.get("notifications_enabled") is not False,
            refund_thresholds=_thresholds(config, row.default_currency),
            refund_approval_minutes=_minutes(config),
            refund_fee="returned" if config.get("refund_fee") == "returned" else "kept",
            daily_refund_limit=row.daily_refund_limit,
            monthly_refund_limit=row.monthly_refund_limit,
            dispute_auto_submit=config.get("dispute_auto_submit") is True,
        ),
        version=f"{int(row.updated_at.timestamp() * 1_000_000):x}",
        payout_schedule=row.payout_schedule,
        timezone_wanted=wanted if isinstance(wanted, str) and wanted != row.timezone else None,
        updated_at=row.updated_at,
    )


def _thresholds(config: dict[str, Any], default_currency: str) -> dict[str, int]:
    """Read thresholds by currency; the specification's single one is in the default currency."""
    found = config.get("refund_thresholds")
    thresholds = {
        code: limit
        for code, limit in (found.items() if isinstance(found, dict) else ())
        if isinstance(limit, int) and not isinstance(limit, bool)
    }
    single = config.get("refund_threshold_requiring_approval")
    if default_currency not in thresholds and isinstance(single, int):
        thresholds[default_currency] = single
    return thresholds


def _minutes(config: dict[str, Any]) -> int:
    given = config.get("refund_approval_minutes")
    if isinstance(given, int) and 1 <= given <= model.APPROVAL_MINUTES_MAX:
        return given
    return model.APPROVAL_MINUTES
