"""What merchants can have written out, in which forms, and when that is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from molam.kernel.refusals import Kind as Refused
from molam.kernel.refusals import Refusal
from molam.payments.queries import Filters
from molam.platform.web.l10n import Language

Kind = Literal[
    "transactions",
    "refunds",
    "payouts",
    "payout_lines",
    "disputes",
    "ledger",
    "journal",
    "statement",
]
Format = Literal["csv", "xlsx", "pdf", "hledger", "beancount"]

TABLES: tuple[Format, ...] = ("csv", "xlsx", "pdf")
FORMATS: dict[Kind, tuple[Format, ...]] = {
    "transactions": TABLES,
    "refunds": TABLES,
    "payouts": TABLES,
    "payout_lines": TABLES,
    "disputes": TABLES,
    "ledger": TABLES,
    "journal": ("csv", "xlsx", "hledger", "beancount"),
    "statement": ("pdf",),
}
MEDIA: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "hledger": "text/plain; charset=utf-8",
    "beancount": "text/plain; charset=utf-8",
}
_ENDINGS: dict[Format, str] = {
    "csv": "csv",
    "xlsx": "xlsx",
    "pdf": "pdf",
    "hledger": "journal",
    "beancount": "beancount",
}

PDF_ROWS_MAX = 2_000
"""A PDF is read by people; for more rows there are the formats that programs read."""
KEPT = timedelta(days=7)
"""How long a file is kept; a link to it works for an hour at a time."""
REUSED = timedelta(minutes=1)
"""Asking the same again within this gives the same file."""
UNFINISHED_MAX = 10
LINK_TTL_S = 3600

Month = Annotated[str, Meta(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])\Z", max_length=7)]


class ExportAbsent(Refusal):
    code = "export-absent"
    kind = Refused.ABSENT
    title = "No such export"


class ExportsBusy(Refusal):
    code = "exports-busy"
    kind = Refused.TOO_MANY
    title = "Other exports are still being written"


class ExportRefused(Refusal):
    code = "export-refused"
    kind = Refused.MALFORMED
    title = "It cannot be written out like this"


class StatementRefused(Refusal):
    code = "statement-refused"
    kind = Refused.BROKEN_RULE
    title = "There is no statement for this month"


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything an export depends on but the moment it is made; kept as JSON, version 1."""

    kind: Kind
    format: Format
    language: Language
    status: str | None = None
    type: str | None = None
    channel: str | None = None
    currency: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    search: str | None = None
    month: str | None = None

    @property
    def filters(self) -> Filters:
        return Filters(
            status=self.status,
            type="refund" if self.kind == "refunds" else self.type,
            channel=self.channel,
            currency=self.currency,
            amount_min=self.amount_min,
            amount_max=self.amount_max,
            from_at=self.from_at,
            to_at=self.to_at,
            search=self.search,
        )

    def file_name(self, on: str) -> str:
        """Name the file as it will lie among others: what, which days, made when."""
        span = self.month or on
        currency = f"-{self.currency}" if self.currency and self.kind == "statement" else ""
        kind = _FRENCH_NAMES[self.kind] if self.language == "fr" else self.kind.replace("_", "-")
        return f"molam-{kind}{currency}-{span}.{_ENDINGS[self.format]}"


_FRENCH_NAMES: dict[Kind, str] = {
    "transactions": "transactions",
    "refunds": "remboursements",
    "payouts": "versements",
    "payout_lines": "lignes-de-versements",
    "disputes": "litiges",
    "ledger": "grand-livre",
    "journal": "journal",
    "statement": "releve",
}

# What only lists of transactions can be filtered by.
_OF_TRANSACTIONS = ("type", "channel", "amount_min", "amount_max", "search")
_STATUSES: dict[Kind, tuple[str, ...]] = {
    "transactions": ("succeeded", "pending", "failed", "refunded"),
    "refunds": ("succeeded", "pending", "failed"),
    "payouts": (
        *("scheduled", "held", "pending", "in_transit"),
        *("paid", "returned", "failed", "cancelled"),
    ),
    "disputes": (
        *("early_warning", "prevented", "needs_response", "under_review"),
        *("won", "lost", "accepted", "expired"),
    ),
}


def check(asked: Asked) -> None:
    """
    Refuse what would silently filter nothing, or cannot be written in this format.

    Raises:
        ExportRefused: which part does not fit, and what would.
    """
    formats = FORMATS[asked.kind]
    if asked.format not in formats:
        raise ExportRefused(
            f"For {asked.kind}, the format is one of {', '.join(formats)}.", field="format"
        )
    if (asked.kind == "statement") != (asked.month is not None):
        raise ExportRefused("A statement, and nothing else, has a month (YYYY-MM).", field="month")
    if asked.kind == "statement" and (asked.from_at or asked.to_at):
        raise ExportRefused("A statement covers its month; leave the dates out.", field="from")
    if asked.kind not in {"transactions", "refunds"}:
        given = [name for name in _OF_TRANSACTIONS if getattr(asked, name) is not None]
        if given:
            raise ExportRefused(f"{asked.kind} cannot be filtered by it.", field=given[0])
    if asked.status is not None and asked.status not in _STATUSES.get(asked.kind, ()):
        words = ", ".join(_STATUSES.get(asked.kind, ())) or "none"
        raise ExportRefused(f"For {asked.kind}, the statuses are: {words}.", field="status")
