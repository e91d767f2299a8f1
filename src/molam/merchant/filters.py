"""The filters of the transactions page: from the address to a question, and back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from molam.kernel.currency import Currency, currency
from molam.kernel.money import AmountMalformed
from molam.merchant.endpoints import DateRangeMalformed, dates
from molam.payments.queries import Filters
from molam.platform.web.l10n import parse_amount

SEARCH_LENGTH_MIN = 2

Typed = Annotated[str, Meta(max_length=24)]
FilterError = Literal["q", "amount", "dates"]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page's parameters, as typed. Amounts are in major units, as people write them."""

    q: Annotated[str, Meta(max_length=100)] | None = None
    status: Literal["succeeded", "pending", "failed", "refunded"] | None = None
    type: Literal["payment", "refund"] | None = None
    channel: Literal["wallet", "card", "bank_transfer"] | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None
    amount_min: Typed | None = None
    amount_max: Typed | None = None
    from_: date | None = msgspec.field(name="from", default=None)
    to: date | None = None
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    live: Literal["0"] | None = None

    def pairs(self, **changed: str | None) -> dict[str, str]:
        """Return the parameters that say something, by their names in the address."""
        said = msgspec.to_builtins(self) | changed
        return {name: value for name, value in said.items() if value is not None}

    def address(self, **changed: str | None) -> str:
        """Return the address of this list with some parameters *changed*."""
        pairs = self.pairs(**changed)
        return f"/transactions?{urlencode(pairs)}" if pairs else "/transactions"


def read_filters(
    asked: Asked, default_currency: str, timezone: str
) -> tuple[Filters, list[FilterError]]:
    """
    Turn what was typed into filters, with what could not be understood beside them.

    Raises:
        UnknownCurrency: the product keeps no money in the asked currency.
    """
    unit = currency(asked.currency or default_currency)
    errors: list[FilterError] = []
    search = (asked.q or "").strip() or None
    if search is not None and len(search) < SEARCH_LENGTH_MIN:
        errors.append("q")
    lowest = highest = None
    try:
        lowest, highest = _minor(asked.amount_min, unit), _minor(asked.amount_max, unit)
    except AmountMalformed:
        errors.append("amount")
    if lowest is not None and highest is not None and lowest > highest:
        errors.append("amount")
    from_at: datetime | None = None
    to_at: datetime | None = None
    try:
        from_at, to_at = dates(_iso(asked.from_), _iso(asked.to), timezone)
    except DateRangeMalformed:
        errors.append("dates")
    filters = Filters(
        status=asked.status,
        type=asked.type,
        channel=asked.channel,
        currency=asked.currency,
        amount_min=lowest,
        amount_max=highest,
        from_at=from_at,
        to_at=to_at,
        search=search,
    )
    return filters, errors


def _minor(typed: str | None, unit: Currency) -> int | None:
    return None if typed is None else parse_amount(typed, unit).minor


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
