"""What a merchant has set up: name, place, language, currency, time zone."""

from __future__ import annotations

from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.merchant import store
from molam.platform.db import Database
from molam.tenancy.queries import MerchantAbsent


@dataclass(frozen=True, slots=True)
class MerchantSettings:
    merchant_id: str
    name: str
    city: str | None
    country: str
    timezone: str
    locale: str
    default_currency: str
    default_period: str
    is_frozen: bool
    frozen_reason: str | None
    frozen_until: Instant | None


async def settings_of(db: Database, *, merchant_id: str) -> MerchantSettings:
    """
    Raises:
        MerchantAbsent: nobody registered this merchant.
    """
    rows = await db.read(store.FIND_SETTINGS, merchant_id=merchant_id)
    if not rows:
        raise MerchantAbsent("Check the merchant id of your token.")
    row = rows[0]
    return MerchantSettings(
        merchant_id=row.merchant_id,
        name=row.name,
        city=row.city,
        country=row.country,
        timezone=row.timezone,
        locale=row.locale,
        default_currency=row.default_currency,
        default_period=str(row.dashboard_config.get("default_period", "mtd")),
        is_frozen=row.is_frozen,
        frozen_reason=row.frozen_reason,
        frozen_until=row.frozen_until,
    )
