"""From what an address says to what an export is, with days as the merchant's."""

from __future__ import annotations

from molam.kernel.clock import Instant
from molam.merchant import model, views
from molam.merchant.dashboards import MerchantSettings
from molam.merchant.endpoints import filters_of
from molam.merchant.report_model import Asked, ExportRefused, check
from molam.merchant.report_views import ExportQuery
from molam.platform.db import Database
from molam.platform.web.l10n import Language


async def read(db: Database, shop: MerchantSettings, query: ExportQuery, *, now: Instant) -> Asked:
    """
    Read a request for a file.

    Raises:
        ExportRefused: the parts do not fit together.
        UnknownCurrency, AmountRangeMalformed, DateRangeMalformed, PeriodMalformed: one
            part is none.
    """
    if query.period is not None and (query.from_ is not None or query.to is not None):
        raise ExportRefused("Say a period, or its days, and not both.", field="period")
    filters = await filters_of(
        db,
        shop.merchant_id,
        views.TransactionsQuery(
            type=query.txn_type,
            channel=query.channel,
            currency=query.currency,
            amount_min=query.amount_min,
            amount_max=query.amount_max,
            from_=query.from_,
            to=query.to,
            q=query.q,
        ),
    )
    from_at, to_at = filters.from_at, filters.to_at
    if query.period is not None:
        today = model.local_day(now, shop.timezone)
        days = model.range_of(model.parse_period(query.period), today)
        from_at = model.day_ends_at(days.first - model.ONE_DAY, shop.timezone)
        to_at = model.day_ends_at(days.last, shop.timezone)
    language: Language = query.lang or ("fr" if shop.locale == "fr" else "en")
    code = query.currency
    if code is None and query.type == "statement":
        code = shop.default_currency
    asked = Asked(
        kind=query.type,
        format=query.format,
        language=language,
        status=query.status,
        type=query.txn_type,
        channel=query.channel,
        currency=code,
        amount_min=query.amount_min,
        amount_max=query.amount_max,
        from_at=from_at,
        to_at=to_at,
        search=filters.search,
        month=query.month,
    )
    check(asked)
    return asked
