"""Files and answers that carry exchange rates, read strictly."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from molam.ledger.rates_model import SOURCE_LENGTH_MAX, Quoted, RatesMalformed, RatesRefused

ECB, FIXER, OXR = "ECB", "Fixer.io", "Open Exchange Rates"

FILE_BYTES_MAX = 32 * 1024 * 1024
ROWS_MAX = 200_000

_CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"
_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,15})?")
_CODE = re.compile(r"[A-Z]{3}")
_CSV_COLUMNS = ("date", "base", "quote", "rate", "source")


_Answer = TypeVar("_Answer")


class _FixerError(msgspec.Struct):
    code: int
    type: str = ""
    info: str = ""


class _FixerAnswer(msgspec.Struct):
    success: bool
    base: str = ""
    date: str = ""
    rates: dict[str, Decimal] = {}
    error: _FixerError | None = None


class _OxrAnswer(msgspec.Struct):
    base: str = ""
    timestamp: int = 0
    rates: dict[str, Decimal] = {}
    error: bool = False
    status: int = 0
    message: str = ""


def read_file(body: bytes) -> list[Quoted]:
    """
    Read a file of rates: the ECB's XML, its zipped or plain history, or our own CSV.

    Raises:
        RatesMalformed: none of them, or one with a mistake in it.
    """
    start = body[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"PK\x03\x04"):
        return read_ecb_history(_unzipped(body))
    if start.startswith(b"<"):
        return read_ecb_xml(body)
    first, _, _ = start.partition(b"\n")
    if first.lower().startswith(b"date,base,"):
        return read_csv(_text(body))
    if first.startswith(b"Date,"):
        return read_ecb_history(_text(body))
    raise RatesMalformed("Give the ECB's XML or history, or a CSV: date,base,quote,rate,source.")


def read_ecb_xml(body: bytes) -> list[Quoted]:
    """
    Read eurofxref-daily.xml, or one with more days.

    Raises:
        RatesMalformed: it is not that.
    """
    try:
        root = ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise RatesMalformed(f"It is no XML that we read: {type(error).__name__}.") from None
    found = [each for day in root.iter(_CUBE) if "time" in day.attrib for each in _ecb_day(day)]
    if not found:
        raise RatesMalformed("The XML holds no rates of the ECB.")
    return found


def _ecb_day(cube: Element) -> Iterator[Quoted]:
    day = _day(cube.attrib["time"])
    for each in cube.iter(_CUBE):
        if "currency" in each.attrib:
            rate = _plain(each.attrib.get("rate", ""))
            yield Quoted("EUR", _code(each.attrib["currency"]), day, rate, ECB)


def read_ecb_history(text: str) -> list[Quoted]:
    """
    Read eurofxref-hist.csv: a day a line, a currency a column, ``N/A`` where there was none.

    Raises:
        RatesMalformed: it is not that.
    """
    lines = csv.reader(io.StringIO(text))
    head = [each.strip() for each in next(lines, [])]
    # The ECB ends every line with a comma.
    codes = [_code(each) for each in head[1:] if each]
    if head[:1] != ["Date"] or not codes:
        raise RatesMalformed("The first line names a date and currencies.")
    found: list[Quoted] = []
    for line in _bounded(lines):
        day = _day(line[0].strip())
        if len(line) - 1 < len(codes):
            raise RatesMalformed(f"The line of {day.isoformat()} is too short.")
        for code, cell in zip(codes, line[1:], strict=False):
            if cell.strip() not in {"N/A", ""}:
                found.append(Quoted("EUR", code, day, _plain(cell.strip()), ECB))
    if not found:
        raise RatesMalformed("The history holds no rate.")
    return found


def read_csv(text: str) -> list[Quoted]:
    """
    Read a CSV of ``date,base,quote,rate,source``: who quotes, in whatever words, is kept.

    Raises:
        RatesMalformed: it is not that.
    """
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    head = tuple(each.strip().lower() for each in next(lines, []))
    if head != _CSV_COLUMNS:
        raise RatesMalformed(f"The first line is {','.join(_CSV_COLUMNS)}.")
    found = []
    for line in _bounded(lines):
        if len(line) != len(_CSV_COLUMNS):
            raise RatesMalformed(f"A line has {len(line)} fields: {','.join(line)[:60]!r}.")
        day, base, quote, rate, source = (each.strip() for each in line)
        if not source.isprintable() or not 1 <= len(source) <= SOURCE_LENGTH_MAX:
            raise RatesMalformed(f"A source is 1 to {SOURCE_LENGTH_MAX} printable characters.")
        found.append(Quoted(_code(base), _code(quote), _day(day), _plain(rate), source))
    if not found:
        raise RatesMalformed("The file holds no rate.")
    return found


def read_fixer(body: bytes) -> list[Quoted]:
    """
    Read what Fixer.io answers to ``latest`` or a day.

    Raises:
        RatesMalformed: it is not that.
        RatesRefused: it says why it does not answer.
    """
    answer = _decoded(body, _FixerAnswer)
    if not answer.success:
        error = answer.error or _FixerError(0)
        raise RatesRefused(f"Fixer.io answers {error.code} {_word(error.type)}.")
    day, base = _day(answer.date), _code(answer.base)
    return _all_of(base, day, answer.rates, FIXER)


def read_openexchangerates(body: bytes) -> list[Quoted]:
    """
    Read what Open Exchange Rates answers to ``latest.json`` or a day of ``historical``.

    Raises:
        RatesMalformed: it is not that.
        RatesRefused: it says why it does not answer.
    """
    answer = _decoded(body, _OxrAnswer)
    if answer.error:
        raise RatesRefused(f"Open Exchange Rates answers {answer.status} {_word(answer.message)}.")
    if answer.timestamp <= 0:
        raise RatesMalformed("The answer has no timestamp.")
    try:
        day = datetime.fromtimestamp(answer.timestamp, UTC).date()
    except (OverflowError, OSError, ValueError):
        raise RatesMalformed("The answer's timestamp is out of range.") from None
    return _all_of(_code(answer.base), day, answer.rates, OXR)


def _all_of(base: str, day: date, rates: dict[str, Decimal], source: str) -> list[Quoted]:
    if not rates:
        raise RatesMalformed("The answer holds no rate.")
    return [
        Quoted(base, quote, day, rate, source)
        for quote, rate in rates.items()
        # Both list metals and currencies of their own invention, such as BTC and CLF.
        if _CODE.fullmatch(quote) and quote != base
    ]


def _decoded(body: bytes, shape: type[_Answer]) -> _Answer:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RatesMalformed(f"The answer has another shape: {str(error)[:120]}.") from None


def _unzipped(body: bytes) -> str:
    """Unpack the one CSV of an archive, which cannot grow beyond a bound."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = [each for each in archive.namelist() if each.lower().endswith(".csv")]
            if len(names) != 1:
                raise RatesMalformed("The archive holds one CSV.")
            with archive.open(names[0]) as member:
                # What an archive says of its own size is no bound.
                unpacked = member.read(FILE_BYTES_MAX + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        raise RatesMalformed("The archive cannot be read.") from None
    return _text(unpacked)


def _text(body: bytes) -> str:
    if len(body) > FILE_BYTES_MAX:
        raise RatesMalformed(f"A file of rates has at most {FILE_BYTES_MAX // 2**20} MiB.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RatesMalformed("The file is not UTF-8.") from None


def _bounded(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        for number, line in enumerate(lines):
            if number >= ROWS_MAX:
                raise RatesMalformed(f"A file of rates has at most {ROWS_MAX} lines.")
            if any(cell.strip() for cell in line):
                yield line
    except csv.Error as error:
        raise RatesMalformed(f"The file is no CSV: {error}.") from None


def _day(text: str) -> date:
    try:
        if len(text) != len("2026-01-31"):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise RatesMalformed(f"{text[:24]!r} is no day such as 2026-01-31.") from None


def _code(text: str) -> str:
    if not _CODE.fullmatch(text):
        raise RatesMalformed(f"{text[:12]!r} is no currency code.")
    return text


def _plain(text: str) -> Decimal:
    if not _PLAIN.fullmatch(text):
        raise RatesMalformed(f"{text[:32]!r} is no rate: write digits with a point.")
    return Decimal(text)


def _word(text: str) -> str:
    """Repeat a provider's error code, but nothing it could be made to say."""
    return "".join(char for char in text if char.isalnum() or char in "_-")[:60]
