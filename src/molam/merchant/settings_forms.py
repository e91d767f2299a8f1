"""What people type on the settings page, and how it becomes a change."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from molam.kernel.currency import CURRENCIES, Currency, currency
from molam.kernel.money import AmountMalformed
from molam.merchant.settings_model import APPROVAL_MINUTES_MAX, Change, Settings
from molam.platform.web.l10n import parse_amount

Section = Literal["general", "refunds", "disputes"]
Typed = Annotated[str, Meta(max_length=64)]


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One section as it was filled in; what was left empty is absent."""

    section: Section
    version: Annotated[str, Meta(max_length=32)] = ""
    locale: Literal["fr", "en"] | None = None
    timezone: Typed = ""
    default_currency: Typed = ""
    default_period: Literal["today", "yesterday", "last_7d", "mtd", "ytd"] | None = None
    show_usd_equivalent: Literal["yes"] | None = None
    notifications_enabled: Literal["yes"] | None = None
    threshold: Typed = ""
    approval_minutes: Typed = ""
    fee: Literal["kept", "returned"] | None = None
    daily_limit: Typed = ""
    monthly_limit: Typed = ""
    auto_submit: Literal["yes"] | None = None

    def pairs(self) -> dict[str, str]:
        """Return what was typed as pairs for an address or hidden fields."""
        found = msgspec.to_builtins(self)
        assert isinstance(found, dict)
        return {name: str(value) for name, value in found.items()}


class Confirmed(Form, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The same, after its effect was shown."""

    idempotency_key: Annotated[str, Meta(max_length=64)] = ""


def change_of(form: Form, now: Settings) -> tuple[Change, dict[str, str]]:
    """Read a section into the change it asks for, and name the fields that cannot be read."""
    if form.section == "general":
        return _general(form)
    if form.section == "disputes":
        return Change(dispute_auto_submit=form.auto_submit == "yes"), {}
    return _refunds(form, now)


def _general(form: Form) -> tuple[Change, dict[str, str]]:
    errors = {}
    if form.default_currency and form.default_currency not in CURRENCIES:
        errors["default_currency"] = "unknown"
    change = Change(
        locale=form.locale or UNSET,
        timezone=form.timezone.strip() or UNSET,
        default_currency=form.default_currency or UNSET,
        default_period=form.default_period or UNSET,
        show_usd_equivalent=form.show_usd_equivalent == "yes",
        notifications_enabled=form.notifications_enabled == "yes",
    )
    return (Change() if errors else change), errors


def _refunds(form: Form, now: Settings) -> tuple[Change, dict[str, str]]:
    unit = currency(now.default_currency)
    errors: dict[str, str] = {}
    threshold = _amount(form.threshold, unit, "threshold", errors)
    daily = _amount(form.daily_limit, unit, "daily_limit", errors)
    monthly = _amount(form.monthly_limit, unit, "monthly_limit", errors)
    for name, limit in (("daily_limit", daily), ("monthly_limit", monthly)):
        if limit == 0:
            errors[name] = "zero"
    minutes = _minutes(form.approval_minutes, errors)
    if errors:
        return Change(), errors
    change = Change(
        refund_thresholds={unit.code: threshold},
        refund_approval_minutes=minutes,
        refund_fee=form.fee or UNSET,
        daily_refund_limit=daily,
        monthly_refund_limit=monthly,
    )
    return change, {}


def _amount(text: str, unit: Currency, name: str, errors: dict[str, str]) -> int | None:
    """Read an amount as people type it; nothing is None."""
    if not text.strip():
        return None
    try:
        return parse_amount(text.strip(), unit).minor
    except AmountMalformed:
        errors[name] = "amount"
        return None


def _minutes(text: str, errors: dict[str, str]) -> int:
    digits = text.strip()
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(APPROVAL_MINUTES_MAX)):
        minutes = int(digits)
        if 1 <= minutes <= APPROVAL_MINUTES_MAX:
            return minutes
    errors["approval_minutes"] = "minutes"
    return 0
