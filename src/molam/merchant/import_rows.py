"""Turns a row of somebody else's spreadsheet into a fact of ours, or says why not."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.currency import Currency, currency
from molam.kernel.ids import ID_LENGTH_MAX
from molam.kernel.money import MINOR_MAX, parse_major
from molam.kernel.refusals import Kind, Refusal

MAPPING_BYTES_MAX = 64 * 1024
TEXT_LENGTH_MAX = 255
SHIPPED = Path(__file__).parent / "mappings"

FIELDS = (
    "id", "type", "status", "amount", "currency", "fee", "occurred_at", "original_id",
    "channel", "provider", "reference_code", "customer_name", "customer_email",
    "customer_phone", "reason",
)  # fmt: skip
REQUIRED = ("id", "amount", "occurred_at")

_TYPES = ("payment", "refund")
_CHANNELS = ("wallet", "card", "bank_transfer")
# History is decided: nothing that could still change is imported.
_STATUSES = {
    "payment": ("succeeded", "failed", "cancelled"),
    "refund": ("succeeded", "completed", "failed", "cancelled"),
}
_AWARE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_NAIVE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", re.ASCII)
_SIGNED_NUMBER = re.compile(r"[+-][0-9][0-9 ().,-]*", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,16}", re.ASCII)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


class MappingMalformed(Refusal):
    code = "import-mapping-malformed"
    kind = Kind.MALFORMED
    title = "This mapping cannot be used"


class RowRefused(Refusal):
    code = "import-row-refused"
    kind = Kind.MALFORMED
    title = "This row cannot be imported"


class RowSkipped(Exception):
    """The mapping leaves such rows out; the message names the reason."""


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping file: which columns mean what, and what their words mean."""

    columns: dict[str, str] = {}
    types: dict[str, Literal["payment", "refund", "skip"]] = {}
    statuses: dict[str, str] = {}
    defaults: dict[str, str] = {}
    metadata: dict[str, str] = {}
    zero: dict[str, Literal["skip", "refuse"]] = {}
    negative: dict[str, Literal["absolute", "refuse", "skip"]] = {}
    currency: str = ""
    amounts: Literal["minor", "major"] = "minor"
    timezone: str = ""
    """Whose local time an hour without an offset is; empty: such an hour is refused."""
    times: list[str] = []
    """Patterns of strptime beside ISO 8601."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A mapping fitted to the columns of one file."""

    name: str
    rules: Rules
    places: Mapping[str, int]
    metadata: Mapping[str, int]
    merchant_id: str
    currency: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One payment or refund as intake takes it. *data* is JSON text."""

    type: str
    id: str
    amount: int
    currency: str
    counts: bool
    """Whether money moved, so that it is part of the sums."""
    data: str = field(repr=False)


def read_mapping(name: str | None) -> tuple[str, Rules]:
    """
    Read a mapping by the name of a shipped one or by the path of a TOML file.

    The name comes back with the fingerprint of its content, so that an edited
    mapping is another one. None: the file has our own columns.

    Raises:
        MappingMalformed: no such mapping, not TOML, or words it does not know.
    """
    if name is None:
        return "molam", Rules()
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    try:
        with path.open("rb") as file:
            body = file.read(MAPPING_BYTES_MAX + 1)
        if len(body) > MAPPING_BYTES_MAX:
            raise MappingMalformed("A mapping is at most 64 KiB.")
        rules = msgspec.convert(tomllib.loads(body.decode("utf-8")), Rules)
    except OSError:
        shipped = ", ".join(sorted(known.stem for known in SHIPPED.glob("*.toml")))
        raise MappingMalformed(f"Name a TOML file that exists, or one of: {shipped}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise MappingMalformed(f"{path.name}: {error}") from None
    try:
        ZoneInfo(rules.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MappingMalformed(f"{path.name}: there is no time zone of that name.") from None
    unknown = sorted({*rules.columns, *rules.defaults} - set(FIELDS))
    if unknown:
        raise MappingMalformed(f"{path.name}: there is no field {unknown[0]!r}.")
    return f"{path.stem}@{sha256(body).hexdigest()[:12]}", rules


def fit(
    name: str, rules: Rules, columns: tuple[str, ...], *, merchant_id: str, default_currency: str
) -> Plan:
    """
    Fit a mapping to the columns a file has.

    Raises:
        MappingMalformed: the file lacks a column, or has one nobody knows.
        UnknownCurrency: the mapping names one we do not keep.
    """
    named = rules.columns or {column: column for column in columns}
    unknown = sorted(set(named) - set(FIELDS))
    if unknown:
        raise MappingMalformed(
            f"The column {unknown[0][:64]!r} is not one of ours; see the import guide, "
            "or write a mapping.",
            column=unknown[0][:64],
        )
    for column in (*named.values(), *rules.metadata.values()):
        if column not in columns:
            raise MappingMalformed(f"The file has no column {column[:64]!r}.", column=column[:64])
    missing = [f for f in REQUIRED if f not in named and f not in rules.defaults]
    if missing:
        raise MappingMalformed(f"Nothing says what {missing[0]!r} is.", field=missing[0])
    places = {column: place for place, column in enumerate(columns)}
    return Plan(
        name=name,
        rules=rules,
        places={ours: places[theirs] for ours, theirs in named.items()},
        metadata={key: places[theirs] for key, theirs in rules.metadata.items()},
        merchant_id=merchant_id,
        currency=currency(rules.currency or default_currency).code,
    )


def read(plan: Plan, cells: tuple[str, ...], now: Instant) -> Fact:
    """
    Read one row.

    Raises:
        RowRefused: says which cell is wrong and why.
        UnknownCurrency: likewise.
        AmountMalformed: likewise.
        RowSkipped: the mapping leaves it out.
    """
    _refuse_formulas(cells)
    cell = {ours: cells[place].strip() for ours, place in plan.places.items()}
    for ours, value in plan.rules.defaults.items():
        cell[ours] = cell.get(ours) or value

    type_ = _type(plan, cell.get("type", ""))
    kept = currency(cell["currency"]) if cell.get("currency") else currency(plan.currency)
    amount = _amount(plan, type_, cell["amount"], kept)
    fee = _minor(plan, "fee", cell["fee"], kept) if cell.get("fee") else 0
    if not 0 <= fee <= amount:
        raise RowRefused("The fee lies between 0 and the amount.")
    status = _status(plan, type_, cell.get("status", ""))
    id_ = _text("id", cell["id"], ID_LENGTH_MAX)
    if not id_:
        raise RowRefused("The id is empty.")
    data: dict[str, object] = {
        "id": id_,
        "merchant_id": plan.merchant_id,
        "type": type_,
        "amount": amount,
        "currency": kept.code,
        "status": status,
        "occurred_at": _instant(_placed(plan, cell["occurred_at"]), now).isoformat(),
        "fee_molam": fee,
        "channel": _one_of("channel", cell.get("channel") or "wallet", _CHANNELS),
        "customer": _present(
            (key, _text(f"customer_{key}", cell.get(f"customer_{key}", "")))
            for key in ("name", "email", "phone")
        ),
        "metadata": _present(
            (key, _text(key, cells[place].strip())) for key, place in plan.metadata.items()
        ),
        **_present(
            (key, _text(key, cell.get(key, ""))) for key in ("provider", "reference_code", "reason")
        ),
    }
    if type_ == "payment":
        if cell.get("original_id"):
            raise RowRefused("Only a refund has an original_id.")
        data["transaction_id"] = id_
    elif cell.get("original_id"):
        data["transaction_id"] = _text("original_id", cell["original_id"], ID_LENGTH_MAX)
    counts = status in ("succeeded", "completed")
    return Fact(type_, id_, amount, kept.code, counts, msgspec.json.encode(data).decode())


def _refuse_formulas(cells: tuple[str, ...]) -> None:
    """
    Refuse what a spreadsheet would run when the figures are exported again.

    The characters are OWASP's. A plus or minus may begin a number or a telephone.
    """
    for place, text in enumerate(cells, start=1):
        if not text:
            continue
        if text[0] in "=@\t\r" or (text[0] in "+-" and not _SIGNED_NUMBER.fullmatch(text)):
            raise RowRefused(f"Cell {place} begins like a formula.")


def _type(plan: Plan, text: str) -> str:
    if not text:
        return "payment"
    if plan.rules.types:
        meant = plan.rules.types.get(text)
        if meant is None:
            raise RowRefused(f"The mapping does not say what the type {text[:32]!r} is.")
        if meant == "skip":
            raise RowSkipped(f"type {text}")
        return meant
    return _one_of("type", text, _TYPES)


def _status(plan: Plan, type_: str, text: str) -> str:
    return _one_of("status", plan.rules.statuses.get(text, text) or "succeeded", _STATUSES[type_])


def _amount(plan: Plan, type_: str, text: str, kept: Currency) -> int:
    amount = _minor(plan, "amount", text, kept)
    if amount < 0:
        if plan.rules.negative.get(type_) == "skip":
            raise RowSkipped(f"{type_} below zero")
        if plan.rules.negative.get(type_) != "absolute":
            raise RowRefused(f"The amount of a {type_} is not negative.")
        amount = -amount
    if amount == 0:
        if plan.rules.zero.get(type_) == "skip":
            raise RowSkipped(f"{type_} of zero")
        raise RowRefused("The amount is zero.")
    return amount


def _minor(plan: Plan, name: str, text: str, kept: Currency) -> int:
    if plan.rules.amounts == "major":
        return parse_major(text, kept).minor
    if not _WHOLE.fullmatch(text):
        raise RowRefused(
            f"The {name} is a whole number of minor units: 12.50 {kept.code} is "
            f"{'1250' if kept.exponent else 'not possible'}."
        )
    if abs(int(text)) > MINOR_MAX:
        raise RowRefused(f"The {name} is too large.")
    return int(text)


def _placed(plan: Plan, text: str) -> str:
    """Give an hour without an offset that of the place the mapping names."""
    if not plan.rules.timezone or _AWARE.fullmatch(text):
        return text
    for pattern in plan.rules.times:
        try:
            local = datetime.strptime(text, pattern).replace(tzinfo=ZoneInfo(plan.rules.timezone))
        except ValueError:
            continue
        return local.isoformat()
    if _NAIVE.fullmatch(text):
        local = datetime.fromisoformat(text)
        return local.replace(tzinfo=ZoneInfo(plan.rules.timezone)).isoformat()
    return text


def _instant(text: str, now: Instant) -> Instant:
    if not _AWARE.fullmatch(text):
        if _NAIVE.fullmatch(text):
            raise RowRefused("The time has no offset; write 2026-01-31T18:00:00Z or +01:00.")
        raise RowRefused("The time is not like 2026-01-31T18:00:00Z.")
    try:
        instant = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RowRefused("There is no such day or hour.") from None
    if not _EARLIEST <= instant <= now + timedelta(minutes=5):
        raise RowRefused("The time lies before the year 2000 or in the future.")
    return instant


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise RowRefused(f"The {name} is one of {', '.join(known)}.")
    return text


def _text(name: str, text: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    if len(text) > length_max:
        raise RowRefused(f"The {name} is longer than {length_max} characters.")
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise RowRefused(f"The {name} holds a control character.")
    return text


def _present(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    return {key: value for key, value in pairs if value}
