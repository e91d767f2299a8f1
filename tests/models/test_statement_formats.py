from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.kernel.refusals import Refusal
from molam.payments.statements import model
from molam.payments.statements.formats import files, tables
from molam.payments.statements.formats.columns import Columns
from molam.simulator.banks import statements as simulated
from molam.simulator.banks.statements import Entry, Told
from statement_files import (
    COLUMNS,
    a_line,
    camt053,
    delimited,
    mt940,
    orange,
    wave,
    workbook,
)

AT = datetime(2026, 11, 16, 12, tzinfo=UTC)
_WORDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ", min_size=0, max_size=60).map(model.tidy)
_REFS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=16)
_DAYS = st.dates(date(2026, 1, 1), date(2026, 12, 31))


@st.composite
def _books(draw: st.DrawFn) -> tuple[str, int, list[model.StatementLine]]:
    code = draw(st.sampled_from(["XOF", "EUR", "GHS", "XAF"]))
    opening = draw(st.integers(-(10**9), 10**9))
    count = draw(st.integers(1, 12))
    lines = []
    for no in range(1, count + 1):
        booked = draw(_DAYS)
        lines.append(
            a_line(
                line_no=no,
                booked_on=booked,
                value_on=booked,
                amount=draw(st.integers(1, 10**9)) * draw(st.sampled_from([1, -1])),
                currency=code,
                bank_ref=draw(_REFS),
                end_to_end_id=draw(_REFS.map(lambda ref: f"payout-{ref}") | st.just("")),
                counterparty=draw(_WORDS),
                text=draw(_WORDS),
            )
        )
    return code, opening, lines


@settings(max_examples=60, deadline=None)
@given(_books())
def test_the_same_lines_come_out_of_every_format(
    books: tuple[str, int, list[model.StatementLine]],
):
    code, opening, lines = books
    expected = [
        (each.booked_on, each.amount, each.bank_ref, each.end_to_end_id, each.counterparty)
        for each in lines
    ]
    sent = [
        camt053(lines, code=code, opening=opening),
        camt053(lines, code=code, opening=opening, version="02"),
        mt940(lines, code=code, opening=opening, first=lines[0].booked_on),
        delimited(lines, delimiter=";"),
        workbook([[getattr(each, name) for name in COLUMNS] for each in lines]),
    ]

    for content in sent:
        [parsed] = files.read(content)
        found = [
            (each.booked_on, each.amount, each.bank_ref, each.end_to_end_id, each.counterparty)
            for each in parsed.lines
        ]
        assert found == expected, parsed.format
        assert parsed.currency == code


def test_a_camt_batch_is_taken_apart_where_its_parts_say_their_amounts():
    content = camt053([a_line(amount=-300)])
    parts = "".join(
        f'<TxDtls><Refs><EndToEndId>payout-{n}</EndToEndId></Refs><Amt Ccy="XOF">{amount}</Amt>'
        "<CdtDbtInd>DBIT</CdtDbtInd></TxDtls>"
        for n, amount in ((1, 100), (2, 200))
    )
    start, end = content.index(b"<TxDtls>"), content.index(b"</TxDtls>") + len(b"</TxDtls>")

    [parsed] = files.read(content[:start] + parts.encode() + content[end:])

    assert [(each.end_to_end_id, each.amount) for each in parsed.lines] == [
        ("payout-1", -100),
        ("payout-2", -200),
    ]


def test_a_camt_batch_that_does_not_add_up_stays_one_line():
    content = camt053([a_line(amount=-300)])
    parts = "<TxDtls><Refs/></TxDtls><TxDtls><Refs/></TxDtls>"
    start, end = content.index(b"<TxDtls>"), content.index(b"</TxDtls>") + len(b"</TxDtls>")

    [parsed] = files.read(content[:start] + parts.encode() + content[end:])

    assert [each.amount for each in parsed.lines] == [-300]


def test_a_camt_entry_that_is_pending_is_no_booking():
    content = camt053([a_line(amount=-300)], closing=0).replace(b"<Cd>BOOK</Cd>", b"<Cd>PDNG</Cd>")
    content = content.replace(b"<NbOfNtries>1</NbOfNtries>", b"<NbOfNtries>0</NbOfNtries>")

    [parsed] = files.read(content)

    assert parsed.lines == ()


def test_pages_of_one_mt940_statement_become_one():
    first = (
        ":20:S1\n:25:A\n:28C:1/1\n:60F:C261116XOF100,\n:61:2611161116C50,NTRFNONREF//B1\n"
        ":62M:C261116XOF150,\n-\n"
    )
    second = (
        ":20:S1\n:25:A\n:28C:1/2\n:60M:C261116XOF150,\n:61:2611161116D20,NTRFNONREF//B2\n"
        ":62F:C261116XOF130,\n-\n"
    )

    [parsed] = files.read((first + second).encode())

    assert [(each.line_no, each.amount) for each in parsed.lines] == [(1, 50), (2, -20)]
    assert (parsed.declared.opening, parsed.declared.closing) == (100, 130)


def test_a_reversed_debit_of_mt940_is_money_that_came_back():
    [parsed] = files.read(mt940([a_line(amount=75_000, is_return=True)]))

    assert [(each.amount, each.is_return) for each in parsed.lines] == [(75_000, True)]


def test_a_wave_export_is_known_by_its_columns():
    [parsed] = files.read(wave([("T1", 75_000, 750, "2026-11-16T10:15:00Z", "+221771234567")]))

    line = parsed.lines[0]
    assert (line.bank_ref, line.amount, line.fee, line.net) == ("T1", 75_000, 750, 74_250)
    assert (line.booked_on, line.counterparty) == (date(2026, 11, 16), "+221771234567")


def test_an_orange_money_export_is_known_by_its_columns():
    [parsed] = files.read(orange([("OM1", 12_500, 125, "16/11/2026 10:15:00", "771234567")]))

    line = parsed.lines[0]
    assert (line.bank_ref, line.amount, line.fee) == ("OM1", 12_500, 125)
    assert line.booked_on == date(2026, 11, 16)


def test_a_mapping_reads_debit_and_credit_columns():
    content = (
        "Date;Libellé;Débit;Crédit\n16/11/2026;VIR FATOU;1 250,50;\n16/11/2026;REMISE;;75,00\n"
    )
    mapping = Columns(
        columns={"booked_on": "date", "text": "libelle", "debit": "debit", "credit": "credit"},
        currency="EUR",
        decimal=",",
    )

    [parsed] = files.read(content.encode("cp1252"), mapping=mapping)

    assert [(each.amount, each.text) for each in parsed.lines] == [
        (-125_050, "VIR FATOU"),
        (7_500, "REMISE"),
    ]


def test_a_balance_that_is_wrong_is_refused_with_the_difference():
    with pytest.raises(model.StatementUnbalanced, match="difference of 1 XOF") as refused:
        files.read(camt053([a_line()], opening=100_000, closing=24_999))

    assert refused.value.facts["difference"] == 1


def test_a_line_that_was_left_out_is_noticed():
    content = camt053([a_line(), a_line(line_no=2)], opening=200_000)
    start, end = content.rindex(b"<Ntry>"), content.rindex(b"</Ntry>") + len(b"</Ntry>")

    with pytest.raises(Refusal):
        files.read(content[:start] + content[end:])


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", model.StatementMalformed),
        (b"   \n", model.StatementMalformed),
        (b"%PDF-1.7 ...", model.StatementTypeRefused),
        (b"\x89PNG\r\n\x1a\n....", model.StatementTypeRefused),
        (b"\xd0\xcf\x11\xe0....", model.StatementTypeRefused),
        (b"a\0b,c\n1,2\n", model.StatementTypeRefused),
        (b"x" * (model.FILE_BYTES_MAX + 1), model.StatementTooLarge),
        (b"hello,world\n1,2\n", model.MappingRefused),
        (b"<html><body>Sign in</body></html>", model.StatementMalformed),
        (b"booked_on,amount\n2026-11-16,12.5\n", model.StatementMalformed),
        (b"booked_on,amount\n2026-13-16,12\n", model.StatementMalformed),
        (b"booked_on,amount\n0001-01-01,12\n", model.StatementMalformed),
        (b"booked_on,amount\n2026-11-16,1e3\n", model.StatementMalformed),
        (b":20:x\n:60F:C261115XOF1,5,5\n", model.StatementMalformed),
        (b":20:x\n:61:9999\n", model.StatementMalformed),
        (b"PK\x03\x04 not a zip", model.StatementMalformed),
    ],
)
def test_what_is_no_statement_is_refused(content: bytes, refusal: type[Refusal]):
    with pytest.raises(refusal):
        files.read(content)


def test_xml_with_entities_is_refused_and_not_expanded():
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">'
        b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Document>&b;</Document>'
    )

    with pytest.raises(model.StatementMalformed, match="declares a document type"):
        files.read(bomb)


def test_xml_that_points_to_a_file_is_refused():
    content = (
        b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
        b"<Document>&x;</Document>"
    )

    with pytest.raises(model.StatementMalformed):
        files.read(content)


def _zip(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


_BOOK = {"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}


def test_a_workbook_that_unpacks_into_too_much_is_refused():
    content = _zip(_BOOK | {"xl/worksheets/sheet1.xml": b"\0" * (30 * 1024**2)})

    with pytest.raises(model.FileIsABomb):
        files.read(content)


def test_a_workbook_of_many_files_is_refused():
    content = _zip(_BOOK | {f"xl/{n}.xml": b"x" for n in range(tables.ENTRIES_MAX)})

    with pytest.raises(model.FileIsABomb):
        files.read(content)


def test_a_size_that_lies_in_the_zip_header_is_noticed():
    content = bytearray(_zip(_BOOK | {"xl/worksheets/sheet1.xml": b"a" * 100_000}))
    at = bytes(content).rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")

    with pytest.raises(model.StatementMalformed):
        files.read(bytes(content))


def test_a_workbook_with_macros_is_refused():
    with pytest.raises(model.StatementTypeRefused, match="macros"):
        files.read(_zip(_BOOK | {"xl/vbaProject.bin": b"x"}))


def test_a_zip_file_that_is_no_workbook_is_refused():
    with pytest.raises(model.StatementTypeRefused, match="no workbook"):
        files.read(_zip({"a.txt": b"x"}))


def test_a_file_of_too_many_lines_is_refused():
    content = b"booked_on,amount\n" + b"2026-11-16,1\n" * (model.LINES_MAX + 1)

    with pytest.raises(model.StatementTooLarge):
        files.read(content)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=300).map(str.encode))
def test_whatever_is_sent_is_read_or_refused(content: bytes):
    for start in (b"", b":20:x\n:60F:C261115XOF1,\n", b"<Document><Stmt>", b"booked_on,amount\n"):
        try:
            found = files.read(start + content)
        except Refusal:
            continue
        assert all(line.booked_on >= model.EARLIEST for each in found for line in each.lines)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\awa\\relevé.csv", "relevé.csv"),
        ("a\0b\nc.csv", "a b c.csv"),
        ("", "statement"),
        ("...", "statement"),
        ("x" * 300, "x" * files.NAME_LENGTH_MAX),
    ],
)
def test_a_file_name_is_only_ever_its_last_part(sent: str, kept: str):
    assert files.clean_name(sent) == kept


def _told() -> Told:
    entries = [
        Entry(
            -75_000, AT, "BK1", "payout-po_1", "PAYOUT-1", "Fatou Sarr", "SN08SN01", is_return=False
        ),
        Entry(
            75_000, AT, "BK2", "payout-po_1", "RETOUR 1", "Fatou Sarr", "SN08SN01", is_return=True
        ),
    ]
    return Told("bp_123", "XOF", AT.date(), 5_000_000_000, entries)


@pytest.mark.parametrize("write", [simulated.camt053, simulated.mt940, simulated.plain_csv])
def test_the_simulated_banks_statements_are_read(write: Callable[[Told], bytes]):
    [parsed] = files.read(write(_told()))

    assert [(each.amount, each.end_to_end_id, each.bank_ref) for each in parsed.lines] == [
        (-75_000, "payout-po_1", "BK1"),
        (75_000, "payout-po_1", "BK2"),
    ]


@pytest.mark.parametrize("write", [simulated.wave_csv, simulated.orange_xlsx])
def test_the_simulated_wallets_exports_are_read(write: Callable[[Told], bytes]):
    [parsed] = files.read(write(_told()))

    assert [(each.amount, each.bank_ref) for each in parsed.lines] == [
        (-75_000, "BK1"),
        (75_000, "BK2"),
    ]


@pytest.mark.parametrize("write", [simulated.camt053, simulated.mt940])
def test_a_day_on_which_nothing_happened_is_a_statement_too(write: Callable[[Told], bytes]):
    [parsed] = files.read(write(replace(_told(), entries=[])))

    assert parsed.lines == ()
    assert parsed.days == (AT.date(), AT.date())


def test_a_statement_covers_the_days_of_its_lines():
    parsed = model.Parsed(
        format="csv",
        account="",
        currency="XOF",
        reference="",
        lines=(
            a_line(booked_on=date(2026, 11, 18)),
            replace(a_line(), booked_on=date(2026, 11, 16) - timedelta(days=1)),
        ),
    )

    assert parsed.days == (date(2026, 11, 15), date(2026, 11, 18))
