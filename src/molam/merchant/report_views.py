"""The wire shapes of files and accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.merchant import views
from molam.merchant.accounting.chart import LABEL_LENGTH_MAX, SLOTS, Chart
from molam.merchant.report_model import MEDIA, Format, Kind, Month
from molam.merchant.report_store import ExportRow
from molam.platform.web.wire import Minor, ShortText


class ExportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to write, in which form, and the filters of GET /api/merchant/transactions."""

    format: Format = "csv"
    type: Kind = "transactions"
    lang: Literal["fr", "en"] | None = None
    """Of titles and documents; the merchant's own unless said."""
    period: views.PeriodText | None = None
    from_: ShortText | None = msgspec.field(name="from", default=None)
    to: ShortText | None = None
    month: Month | None = None
    """Of a statement."""
    currency: views.Currency | None = None
    status: Annotated[str, Meta(max_length=32)] | None = None
    txn_type: Literal["payment", "refund"] | None = None
    """What ``type`` is in the list of transactions."""
    channel: Literal["wallet", "card", "bank_transfer"] | None = None
    amount_min: Minor | None = None
    amount_max: Minor | None = None
    q: Annotated[str, Meta(min_length=2, max_length=100)] | None = None


class ExportView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: str
    format: str
    state: str
    rows_done: int
    rows_total: int | None
    """Null until it is known."""
    file_name: str
    bytes: int | None
    sha256: str | None
    """Of the file, so that it can be shown to be the one that was issued."""
    reason: str | None
    filters: dict[str, Any]
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
    kept_until: datetime | None


class ExportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool
    export: ExportView
    export_url: str | None
    """Null while there is no file."""
    expires_in: int | None
    """For how many seconds the link works; asking again gives another."""
    media_type: str


class ExportsView(msgspec.Struct, frozen=True):
    ok: bool
    rows: list[ExportView]


def export_view(row: ExportRow) -> ExportView:
    asked = {
        name: value
        for name, value in row.asked.items()
        if name not in {"kind", "format"} and value is not None
    }
    return ExportView(
        id=row.id.hex,
        type=row.kind,
        format=row.format,
        state=row.state,
        rows_done=row.rows_done,
        rows_total=row.rows_total,
        file_name=row.file_name,
        bytes=row.bytes,
        sha256=row.sha256,
        reason=row.reason,
        filters=asked,
        requested_by=row.requested_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        kept_until=row.expires_at,
    )


def media_of(row: ExportRow) -> str:
    """Name the kind of file an export is."""
    format_: Format = msgspec.convert(row.format, Format)
    return MEDIA[format_]


def export_answer(row: ExportRow, url: str | None, expires_in: int | None) -> ExportAnswer:
    return ExportAnswer(
        ok=True,
        export=export_view(row),
        export_url=url,
        expires_in=expires_in,
        media_type=media_of(row),
    )


class AccountBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account: Annotated[str, Meta(min_length=2, max_length=12)]
    label: Annotated[str, Meta(min_length=1, max_length=LABEL_LENGTH_MAX)]


class AccountsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The accounts by what they are for; what is left out goes back to its default."""

    accounts: Annotated[dict[str, AccountBody], Meta(max_length=len(SLOTS))]


class AccountView(msgspec.Struct, frozen=True):
    account: str
    label: str
    default: str
    purpose: str


class AccountsView(msgspec.Struct, frozen=True):
    ok: bool
    accounts: dict[str, AccountView]


def accounts_view(chart: Chart) -> AccountsView:
    return AccountsView(
        True,
        {
            slot: AccountView(chart[slot].code, chart[slot].label, each.code, each.en)
            for slot, each in SLOTS.items()
        },
    )
