"""Tells what a file is by its content, never by its name, and reads it."""

from __future__ import annotations

import codecs

from molam.payments.statements.formats import camt, mt940, tables
from molam.payments.statements.formats.columns import Columns, lines_of
from molam.payments.statements.model import (
    FILE_BYTES_MAX,
    Parsed,
    StatementMalformed,
    StatementTooLarge,
    StatementTypeRefused,
    check_together,
)

NAME_LENGTH_MAX = 120
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0"
# What people send by mistake, and what to tell them.
_OTHERS = {
    b"%PDF": "It is a PDF, which has no fields; ask the bank for camt.053, MT940, CSV or XLSX.",
    b"\x89PNG": "It is a picture.",
    b"\xff\xd8\xff": "It is a picture.",
    b"\x1f\x8b": "It is compressed (gzip); send what is inside.",
    b"7z\xbc\xaf": "It is an archive (7z); send what is inside.",
    b"Rar!": "It is an archive (RAR); send what is inside.",
    b"MZ": "It is a program.",
    b"\x7fELF": "It is a program.",
    _OLE: "It is an old or protected Excel file; save it as .xlsx without a password.",
}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read(
    content: bytes, *, mapping: Columns | None = None, default_currency: str = "XOF"
) -> tuple[Parsed, ...]:
    """
    Read every statement of a file and check that each adds up.

    Raises:
        StatementTypeRefused: none of the formats, whatever its name says.
        StatementTooLarge, FileIsABomb: more than is taken.
        StatementMalformed, MappingRefused, UnknownCurrency: says where, and what is wrong.
        StatementUnbalanced: says by how much.
    """
    if not content.strip():
        raise StatementMalformed("The file is empty.")
    if len(content) > FILE_BYTES_MAX:
        raise StatementTooLarge(f"A file has at most {FILE_BYTES_MAX // 1024**2} MB.")
    for start, said in _OTHERS.items():
        if content.startswith(start):
            raise StatementTypeRefused(said)
    if content.startswith(_ZIP):
        sheet = "" if mapping is None else mapping.sheet
        table = tables.read_xlsx(content, sheet)
        return check_together([lines_of(table, mapping, default_currency=default_currency)])
    if _is_xml(content):
        return check_together(camt.read(content))
    text = _decoded(content)
    if _is_mt940(text):
        return check_together(mt940.read(text))
    table = tables.read_csv(text)
    return check_together([lines_of(table, mapping, default_currency=default_currency)])


def clean_name(name: str) -> str:
    """Keep of a file's name its last part, printable: it is shown and never opened."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(char if char.isprintable() else " " for char in last)
    return " ".join(plain.split())[:NAME_LENGTH_MAX].strip(". ") or "statement"


def _is_xml(content: bytes) -> bool:
    start = content.removeprefix(codecs.BOM_UTF8).lstrip()[:5]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        start = content[:200].decode("utf-16", errors="replace").lstrip("\ufeff \r\n")[:5].encode()
    return start.startswith(b"<")


def _is_mt940(text: str) -> bool:
    start = text[:4_000].lstrip("\ufeff \r\n\t")
    return start.startswith((":20:", "{1:", "{4:")) or "\n:20:" in start[:500]


def _decoded(content: bytes) -> str:
    """Decode text: by its mark, as UTF-8, or as the code page of French Windows."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            try:
                return _without_nul(content.decode(encoding))
            except UnicodeDecodeError:
                raise StatementMalformed("The file is not the Unicode it says it is.") from None
    if b"\0" in content:
        raise StatementTypeRefused("It holds NUL characters: it is no text and no workbook.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # Five bytes are nothing in cp1252; a file that has one is not text of a bank.
        try:
            return content.decode("cp1252")
        except UnicodeDecodeError:
            raise StatementTypeRefused("It is text of no encoding that is known here.") from None


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise StatementTypeRefused("It holds NUL characters.")
    return text
