"""A hostile file costs its own bad lines, each named with its reason, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from molam.kernel.refusals import Refusal
from molam.merchant.import_lines import LINE_BYTES_MAX, FileMalformed, lines, open_sheet
from molam.merchant.import_rows import (
    FIELDS,
    MappingMalformed,
    RowRefused,
    RowSkipped,
    Rules,
    fit,
    read,
    read_mapping,
)

NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
COLUMNS = (
    "id", "type", "status", "amount", "currency", "fee", "occurred_at", "original_id", "channel",
    "provider", "reference_code", "customer_name", "customer_email", "customer_phone", "reason",
)  # fmt: skip
ROW = {
    "id": "h-1",
    "amount": "1250",
    "currency": "XOF",
    "occurred_at": "2025-01-31T18:00:00+01:00",
    "customer_phone": "+221 77 000 01 23",
}


def a_sheet(tmp_path, content, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_sheet(path)


def found(sheet):
    return {line.number: line.refused or line.cells for line, _ in lines(sheet)}


def read_row(rules=None, **cells):
    plan = fit("test", rules or Rules(), COLUMNS, merchant_id="m", default_currency="XOF")
    fact = read(plan, tuple({**ROW, **cells}.get(column, "") for column in COLUMNS), NOW)
    return fact, json.loads(fact.data)


def test_row_becomes_a_fact_as_intake_takes_it():
    fact, data = read_row(fee="12", status="succeeded", provider="wave", customer_name="Awa Diop")

    assert (fact.type, fact.id, fact.amount, fact.currency, fact.counts) == (
        "payment",
        "h-1",
        1250,
        "XOF",
        True,
    )
    assert data == {
        "id": "h-1",
        "transaction_id": "h-1",
        "merchant_id": "m",
        "type": "payment",
        "amount": 1250,
        "currency": "XOF",
        "status": "succeeded",
        "occurred_at": "2025-01-31T17:00:00+00:00",
        "fee_molam": 12,
        "channel": "wallet",
        "provider": "wave",
        "customer": {"name": "Awa Diop", "phone": "+221 77 000 01 23"},
        "metadata": {},
    }


def test_refund_names_its_payment():
    _, data = read_row(type="refund", original_id="h-0", status="completed")

    assert (data["type"], data["transaction_id"]) == ("refund", "h-0")


def test_failed_payment_is_no_sale():
    assert not read_row(status="failed")[0].counts


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"amount": "-5"}, "not negative"),
        ({"amount": "12.50", "currency": "EUR"}, "minor units: 12.50 EUR is 1250"),
        ({"amount": "12.50"}, "minor units"),
        ({"amount": "1e3"}, "minor units"),
        ({"amount": "1 000"}, "minor units"),
        ({"amount": "\u0661\u0662"}, "minor units"),
        ({"amount": ""}, "minor units"),
        ({"amount": "0"}, "zero"),
        ({"amount": "9007199254740992"}, "too large"),
        ({"amount": "9" * 400}, "minor units"),
        ({"currency": "BTC"}, "Use one of"),
        ({"currency": "xof"}, "Use one of"),
        ({"occurred_at": "2025-01-31T18:00:00"}, "no offset"),
        ({"occurred_at": "2025-01-31"}, "no offset"),
        ({"occurred_at": "31/01/2025 18:00"}, "not like"),
        ({"occurred_at": ""}, "not like"),
        ({"occurred_at": "2025-02-30T18:00:00Z"}, "no such day"),
        ({"occurred_at": "2025-01-31T25:00:00Z"}, "no such day"),
        ({"occurred_at": "1999-12-31T23:59:59Z"}, "before the year 2000"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "no such day"),
        ({"occurred_at": "2026-11-17T00:00:00Z"}, "future"),
        ({"id": ""}, "id is empty"),
        ({"id": "x" * 256}, "longer than 255"),
        ({"id": "a\x07b"}, "control character"),
        ({"type": "gift"}, "type is one of"),
        ({"status": "pending"}, "status is one of"),
        ({"channel": "pigeon"}, "channel is one of"),
        ({"fee": "1251"}, "between 0 and the amount"),
        ({"fee": "-1"}, "between 0 and the amount"),
        ({"original_id": "h-0"}, "Only a refund"),
        ({"customer_name": '=HYPERLINK("http://x")'}, "like a formula"),
        ({"customer_name": "@SUM(A1)"}, "like a formula"),
        ({"customer_name": "\t=1"}, "like a formula"),
        ({"customer_name": "\r=1"}, "like a formula"),
        ({"customer_name": "+cmd|' /C calc'!A0"}, "like a formula"),
        ({"customer_name": "-2+3+cmd"}, "like a formula"),
        ({"reason": "x" * 256}, "longer than 255"),
    ],
)  # fmt: skip
def test_bad_cell_refuses_the_row_and_says_why(cells, reason):
    with pytest.raises(Refusal) as refused:
        read_row(**cells)

    assert reason.lower() in refused.value.detail.lower()


@pytest.mark.parametrize(
    "phone", ["+221770000123", "+221 77 000-01-23", "-12", "+1 (555) 010-9999"]
)
def test_number_with_a_sign_is_no_formula(phone):
    assert read_row(customer_phone=phone)[1]["customer"]["phone"] == phone


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=30), max_size=6))
def test_no_cell_does_worse_than_a_refusal(cells):
    try:
        fact, data = read_row(**cells)
    except (Refusal, RowSkipped):
        return
    assert 0 < fact.amount == data["amount"]
    assert datetime.fromisoformat(data["occurred_at"]) <= NOW + timedelta(minutes=5)


def test_retail_mapping_reads_each_kind_of_invoice():
    name, rules = read_mapping("online-retail")
    columns = ("invoice_no", "kind", "occurred_at", "customer_id", "country", "lines", "amount_gbp")
    plan = fit(name, rules, columns, merchant_id="m", default_currency="XOF")

    def row(kind, amount):
        return read(
            plan, ("536365", kind, "2010-12-01T08:26:00+00:00", "17850", "France", "7", amount), NOW
        )

    assert (row("sale", "139.12").amount, row("sale", "139.12").currency) == (13912, "GBP")
    assert (row("cancellation", "-22.2").type, row("cancellation", "-22.2").amount) == (
        "refund",
        2220,
    )
    assert json.loads(row("sale", "1.00").data)["metadata"] == {
        "customer_id": "17850",
        "country": "France",
        "lines": "7",
    }
    for skipped in (("sale", "0.00"), ("adjustment", "5.00")):
        with pytest.raises(RowSkipped):
            row(*skipped)
    for refused in (("sale", "-1.00"), ("barter", "1.00"), ("sale", "1.005"), ("sale", "1,00")):
        with pytest.raises(Refusal):
            row(*refused)


@pytest.mark.parametrize(
    "toml",
    [
        "amounts = 'francs'",
        "surprise = 1",
        "[columns]\nshoe_size = 'x'",
        "[types]\nsale = 'gift'",
        "not toml",
        "\xff",
        "# " + "x" * 70_000,
    ],
)
def test_mapping_that_means_nothing_is_refused(tmp_path, toml):
    path = tmp_path / "mine.toml"
    path.write_bytes(toml.encode("latin-1"))

    with pytest.raises(MappingMalformed):
        read_mapping(str(path))


def test_edited_mapping_is_another_one(tmp_path):
    path = tmp_path / "mine.toml"
    names = set()
    for amounts in ("minor", "major"):
        path.write_text(f"amounts = '{amounts}'", encoding="utf-8")
        names.add(read_mapping(str(path))[0])

    assert len(names) == 2


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (("id", "amount"), "occurred_at"),
        (("id", "amount", "occurred_at", "colour"), "colour"),
    ],
)
def test_columns_that_are_missing_or_unknown_are_named(columns, reason):
    with pytest.raises(MappingMalformed, match=reason):
        fit("test", Rules(), columns, merchant_id="m", default_currency="XOF")


def test_every_column_is_in_the_guide():
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "import.md").read_text(encoding="utf-8")

    assert [column for column in FIELDS if f"| `{column}` |" not in guide] == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_file_is_read_as_spreadsheets_write_it(tmp_path, delimiter, ending, start):
    rows = [["id", "amount"], ["a", "1"], ['"b"', '"2"'], ["é", "3"]]
    text = ending.join(delimiter.join(row) for row in rows)

    sheet = a_sheet(tmp_path, start + text.encode())

    assert sheet.columns == ("id", "amount")
    assert found(sheet) == {2: ("a", "1"), 3: ("b", "2"), 4: ("é", "3")}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'"never closed,1', "never closed"),
        (b'"a"b,1', "not CSV"),
        (b"a", "1 cells"),
        (b"a,1,2", "3 cells"),
        (b"a\x00,1", "NUL"),
        ("Koné,1".encode("latin-1"), "not UTF-8 at byte 4"),
        (b"a," + b"1" * LINE_BYTES_MAX, "longer than 64 KiB"),
        (b"a\rb,1", "not CSV"),
    ],
)
def test_bad_line_does_not_take_the_next_one_with_it(tmp_path, bad, reason):
    sheet = a_sheet(tmp_path, b"id,amount\na,1\n" + bad + b"\nb,2\n")

    lines_found = found(sheet)

    assert lines_found[2] == ("a", "1")
    assert reason in lines_found[3]
    assert lines_found[4] == ("b", "2")


def test_empty_lines_count_but_are_no_rows(tmp_path):
    assert found(a_sheet(tmp_path, "id,amount\n\r\n\na,1\n\n")) == {4: ("a", "1")}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xef\xbb\xbf",
        "id,amount\n".encode("utf-16"),
        "id,amount\n".encode("utf-32"),
        b"id,id\n",
        b"id,\n",
        b'id,"amount\n',
        b"id,\xff\n",
        b"x" * (LINE_BYTES_MAX + 1),
    ],
)
def test_file_without_a_usable_header_is_refused(tmp_path, content):
    with pytest.raises(FileMalformed):
        a_sheet(tmp_path, content)


def test_folder_and_absent_file_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(FileMalformed):
            open_sheet(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_a_refusal(tmp_path, content):
    path = tmp_path / "any.csv"
    path.write_bytes(content)
    try:
        sheet = open_sheet(path)
    except FileMalformed:
        return
    for line, behind in lines(sheet):
        assert behind <= sheet.bytes
        assert line.refused is not None or len(line.cells) == len(sheet.columns)


def test_refusals_have_stable_codes():
    assert (FileMalformed.code, MappingMalformed.code, RowRefused.code) == (
        "import-file-malformed",
        "import-mapping-malformed",
        "import-row-refused",
    )
