"""Statement files that were damaged or made to do harm: refused, or taken in, and never a fault."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from ops_console import Console

from molam.payments.statements.formats import files, tables
from molam.payments.statements.model import StatementMalformed
from molam.platform.db import Database
from reconciling import BANK, a_bank
from statement_files import COLUMNS, a_line, camt053, delimited, mt940, workbook

FINANCE = "ousmane.sow"
PAST = datetime.now(UTC).date() - timedelta(days=3)
LINES = [
    a_line(
        line_no=no,
        amount=amount,
        booked_on=PAST,
        value_on=PAST,
        end_to_end_id=f"payout-po_{no}",
        text=f"Règlement {no}",
    )
    for no, amount in enumerate((-500, 75_000, -1_200), start=1)
]
# What stands in files where it should not: separators, ends, signs, and odd numbers.
INSERTED = (
    b"\0", b"\x1a", b"\xff\xfe", b"\xed\xa0\x80", b"\r\n", b'"', b";", b"<", b"]]>", b"&#0;", b"-",
    b"9" * 400, b"1e999", b"NaN", b"\xe2\x80\xae", b"\xef\xbf\xbf", b"=cmd|'/C calc'!A0", b":61:",
    b"9999-12-31", b"0000-00-00", b"\xd9\xa3",
)  # fmt: skip


def _sheet() -> bytes:
    return workbook([[getattr(line, name) for name in COLUMNS] for line in LINES])


def _damaged(content: bytes, dice: random.Random) -> bytes:
    """Change *content* in one to four places."""
    found = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(found))
        match dice.randrange(5):
            case 0:
                found[at] = dice.randrange(256)
            case 1:
                found[at:at] = dice.choice(INSERTED)
            case 2:
                found[at : at + dice.randint(1, 40)] = dice.choice(INSERTED)
            case 3:
                found[at:at] = found[at : at + dice.randint(1, 200)]
            case _:
                del found[at : at + dice.randint(1, 200)]
    return bytes(found)


def _damaged_inside(content: bytes, dice: random.Random) -> bytes:
    """Change one of the files in a workbook, and pack it again with a checksum that is right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = dice.choice([name for name in old.namelist() if name.startswith("xl/")])
        for name in old.namelist():
            held = old.read(name)
            new.writestr(name, _damaged(held, dice) if name == chosen else held)
    return out.getvalue()


def a_bomb(names: int = 1, *, megabytes: int = 240) -> bytes:
    """A workbook by its names, which unpacks into very much."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name in range(names):
            with archive.open(f"xl/worksheets/sheet{name}.xml", "w", force_zip64=True) as sheet:
                for _ in range(megabytes):
                    sheet.write(bytes(1 << 20))
    return out.getvalue()


def far_apart() -> bytes:
    """A small workbook of two cells, with a million rows and sixteen thousand columns between."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_sheet())) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            held = old.read(name)
            last = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
            new.writestr(name, held.replace(b"</sheetData>", last))
    return out.getvalue()


def a_lying_bomb() -> bytes:
    """The same, whose directory says that the sheet has ten bytes."""
    content = bytearray(a_bomb())
    size = (240 << 20).to_bytes(4, "little")
    at = content.rindex(b"PK\1\2") + 24
    assert content[at : at + 4] == size
    content[at : at + 4] = (10).to_bytes(4, "little")
    return bytes(content)


async def _sent(console: Console, content: bytes, name: str = "relevé.xlsx") -> int:
    """Send it to be taken in, and to be looked at; return the worse answer."""
    file = (name, content, "application/octet-stream")
    taken = await console.send_file("/api/ops/statements", FINANCE, file=file, bank_profile_id=BANK)
    shown = await console.send_file("/ops/statements/preview", FINANCE, file=file, bank=BANK)
    return max(taken.status_code, shown.status_code)


MAKERS: dict[str, tuple[bytes, Callable[[bytes, random.Random], bytes]]] = {
    "camt053": (camt053(LINES, opening=1_000_000), _damaged),
    "mt940": (mt940(LINES, opening=1_000_000), _damaged),
    "csv": (delimited(LINES), _damaged),
    "xlsx": (_sheet(), _damaged),
    "inside-xlsx": (_sheet(), _damaged_inside),
}


@pytest.mark.parametrize("kind", MAKERS)
async def test_an_unharmed_file_is_taken_in(console: Console, db: Database, kind: str):
    await a_bank(db)

    assert await _sent(console, MAKERS[kind][0]) == 200


@pytest.mark.parametrize("kind", MAKERS)
async def test_no_damaged_statement_makes_a_server_error(console: Console, db: Database, kind: str):
    await a_bank(db)
    good, damage = MAKERS[kind]
    dice = random.Random(kind)
    for number in range(10):
        bad = damage(good, dice)

        assert await _sent(console, bad) in {200, 400, 413, 415, 422}, (number, bad[:2_000])


@pytest.mark.parametrize(
    "content",
    [
        a_bomb(),
        a_lying_bomb(),
        far_apart(),
        a_bomb(2_000, megabytes=0),
        a_bomb(1, megabytes=0),
        b"PK\3\4" + bytes(500),
        b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Document>&b;</Document>',
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Document>&a;</Document>',
        b"<" * 300_000,
        b"<a>" * 100_000,
    ],
    ids=("bomb", "liar", "far", "many", "hollow", "zeros", "laughs", "passwd", "angles", "deep"),
)
async def test_a_statement_made_to_do_harm_is_refused(
    console: Console, db: Database, content: bytes
):
    await a_bank(db)

    assert await _sent(console, content) in {400, 413, 415, 422}
    assert "No statement yet" in await console.page("/ops/statements", FINANCE)


def test_without_the_count_a_bomb_would_be_unpacked(monkeypatch: pytest.MonkeyPatch):
    unpacked: list[int] = []
    monkeypatch.setattr(tables, "check_zip", lambda content: unpacked.append(len(content)))
    monkeypatch.setattr(tables, "UNPACKED_BYTES_MAX", 0)

    files.read(_sheet())

    assert unpacked


def test_a_statement_that_cannot_be_read_is_not_written_into_the_log(
    caplog: pytest.LogCaptureFixture,
):
    bad = mt940(LINES, opening=1_000_000).replace(b":61:", b":61:Aminata Ndiaye ")

    with pytest.raises(StatementMalformed):
        files.read(bad)

    assert "Aminata" not in caplog.text
