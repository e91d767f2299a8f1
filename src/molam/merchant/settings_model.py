"""What a merchant decides about itself, and which changes loosen what protects it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, Meta, UnsetType

from molam.kernel.currency import currency
from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal

APPROVAL_MINUTES = 60
APPROVAL_MINUTES_MAX = 7 * 24 * 60

Fee = Literal["kept", "returned"]
Period = Literal["today", "yesterday", "last_7d", "mtd", "ytd"]
Limit = Annotated[int, Meta(ge=1, le=MINOR_MAX, description="Minor units of the currency")]
Threshold = Annotated[int, Meta(ge=0, le=MINOR_MAX, description="Minor units; 0: every refund")]


class SettingsRefused(Refusal):
    code = "settings-refused"
    kind = Kind.BROKEN_RULE
    title = "These settings do not go together"


class SettingsStale(Refusal):
    code = "settings-stale"
    kind = Kind.CONFLICT
    title = "Somebody changed the settings before you"


class TimezoneUnknown(Refusal):
    code = "timezone-unknown"
    kind = Kind.MALFORMED
    title = "No such time zone"


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be different. What is left out stays as it is; null takes a limit away."""

    locale: Literal["fr", "en"] | UnsetType = UNSET
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET
    default_currency: Annotated[str, Meta(min_length=3, max_length=3)] | UnsetType = UNSET
    default_period: Period | UnsetType = UNSET
    show_usd_equivalent: bool | UnsetType = UNSET
    notifications_enabled: bool | UnsetType = UNSET
    refund_thresholds: dict[str, Threshold | None] | UnsetType = UNSET
    """By currency; only those named change, and null goes back to the platform's."""
    refund_approval_minutes: Annotated[int, Meta(ge=1, le=APPROVAL_MINUTES_MAX)] | UnsetType = UNSET
    refund_fee: Fee | UnsetType = UNSET
    daily_refund_limit: Limit | UnsetType | None = UNSET
    monthly_refund_limit: Limit | UnsetType | None = UNSET
    dispute_auto_submit: bool | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Settings:
    """A merchant's settings as they are in force; limits are in the default currency."""

    locale: str
    timezone: str
    default_currency: str
    default_period: str
    show_usd_equivalent: bool
    notifications_enabled: bool
    refund_thresholds: Mapping[str, int]
    refund_approval_minutes: int
    refund_fee: Fee
    daily_refund_limit: int | None
    monthly_refund_limit: int | None
    dispute_auto_submit: bool

    def threshold_of(self, code: str) -> int | None:
        """Tell from which amount on a refund needs approval; None: the platform says."""
        return self.refund_thresholds.get(code)


def changed(before: Settings, change: Change) -> Settings:
    """
    Apply *change*.

    Raises:
        SettingsRefused: the result would not make sense.
        TimezoneUnknown, UnknownCurrency: there is no such thing.
    """
    asked = {
        name: value
        for name in change.__struct_fields__
        if (value := getattr(change, name)) is not UNSET and name != "refund_thresholds"
    }
    after = replace(before, **asked)
    if change.refund_thresholds is not UNSET:
        after = replace(after, refund_thresholds=_thresholds(before, change.refund_thresholds))
    currency(after.default_currency)
    check_timezone(after.timezone)
    limits = (after.daily_refund_limit, after.monthly_refund_limit)
    if after.default_currency != before.default_currency:
        said_again = {"daily_refund_limit", "monthly_refund_limit"} <= asked.keys()
        if any(limit is not None for limit in limits) and not said_again:
            raise SettingsRefused("The refund limits are in the old currency: give both anew.")
    if None not in limits and limits[0] > limits[1]:  # type: ignore[operator]
        raise SettingsRefused("The daily refund limit is above the monthly one.")
    return after


def _thresholds(before: Settings, asked: Mapping[str, int | None]) -> dict[str, int]:
    for code in asked:
        currency(code)
    merged = {**before.refund_thresholds, **asked}
    return {code: limit for code, limit in merged.items() if limit is not None}


def check_timezone(name: str) -> None:
    """
    Raises:
        TimezoneUnknown: not a name of the IANA database.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimezoneUnknown("Use a name such as Africa/Dakar.", timezone=name[:64]) from None


def loosened(before: Settings, after: Settings) -> tuple[str, ...]:
    """
    Name what would let more money go back with fewer eyes on it.

    Where nobody can say which is stricter, as when a currency's threshold stops being
    the platform's, it counts as looser.
    """
    codes = before.refund_thresholds.keys() | after.refund_thresholds.keys()
    found = [
        f"refund_thresholds.{code}"
        for code in sorted(codes)
        if _is_looser(before.threshold_of(code), after.threshold_of(code))
    ]
    moved = after.default_currency != before.default_currency
    for name in ("daily_refund_limit", "monthly_refund_limit"):
        old, new = getattr(before, name), getattr(after, name)
        # A limit of another currency cannot be compared with this one.
        if old is not None and (new is None or new > old or moved):
            found.append(name)
    if after.dispute_auto_submit and not before.dispute_auto_submit:
        found.append("dispute_auto_submit")
    return tuple(found)


def _is_looser(before: int | None, after: int | None) -> bool:
    if after in {before, 0}:
        return False
    return before is None or after is None or after > before


def differences(before: Settings, after: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Show what is different, as it was and as it will be."""
    names = [each.name for each in fields(Settings)]
    differ = [name for name in names if getattr(before, name) != getattr(after, name)]
    return (
        {name: _plain(getattr(before, name)) for name in differ},
        {name: _plain(getattr(after, name)) for name in differ},
    )


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value
