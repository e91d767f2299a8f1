"""The statements about a merchant's settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class SettingsRow:
    merchant_id: str
    timezone: str
    locale: str
    default_currency: str
    payout_schedule: str
    dashboard_config: dict[str, Any]
    daily_refund_limit: int | None
    monthly_refund_limit: int | None
    updated_at: datetime


FIND = Query(
    """
    /* merchant.find_own_settings */
    select merchant_id, timezone, locale, default_currency, payout_schedule, dashboard_config,
           daily_refund_limit, monthly_refund_limit, updated_at
      from merchant.merchant_dashboards
     where merchant_id = :merchant_id
    """,
    row=SettingsRow,
)

# Whoever changes a merchant's settings or team does so one after the other.
LOCK = Query(
    """
    /* merchant.lock_own_settings */
    select merchant_id, timezone, locale, default_currency, payout_schedule, dashboard_config,
           daily_refund_limit, monthly_refund_limit, updated_at
      from merchant.merchant_dashboards
     where merchant_id = :merchant_id
       for no key update
    """,
    row=SettingsRow,
    locks=Rank.MERCHANT,
)

# The clock may stand still between two changes, and a version must not.
SET = Query(
    """
    /* merchant.set_own_settings */
    update merchant.merchant_dashboards
       set locale = :locale,
           default_currency = :default_currency,
           daily_refund_limit = :daily_refund_limit::bigint,
           monthly_refund_limit = :monthly_refund_limit::bigint,
           dashboard_config = dashboard_config || :config::jsonb,
           updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
     where merchant_id = :merchant_id
    """,
    row=Nothing,
)
