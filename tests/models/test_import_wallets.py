"""Exports of wallets, read as a merchant's history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders import NOW
from molam.merchant.import_lines import lines, open_sheet
from molam.merchant.import_rows import Fact, MappingMalformed, RowSkipped, fit, read, read_mapping
from molam.payments.statements.model import StatementTypeRefused
from statement_files import orange, wave


def _facts(path: Path, mapping: str) -> list[dict[str, object]]:
    name, rules = read_mapping(mapping)
    sheet = open_sheet(path)
    plan = fit(name, rules, sheet.columns, merchant_id="merchant-123", default_currency="XOF")
    facts: list[Fact] = []
    for line, _ in lines(sheet):
        try:
            facts.append(read(plan, line.cells, NOW))
        except RowSkipped:
            continue
    return [json.loads(fact.data) for fact in facts]


def test_a_wave_export_is_a_history_of_payments(tmp_path: Path):
    path = tmp_path / "wave.csv"
    path.write_bytes(
        wave(
            [
                ("T1", 75_000, 750, "2026-11-15T10:15:00Z", "+221771234567"),
                ("T2", -20_000, 0, "2026-11-15 18:00:00", "+221771234567"),
                ("T3", 1_000, 10, "15/11/2026 18:30:00", "+221771234568"),
            ]
        )
    )

    facts = _facts(path, "wave")

    assert [(each["id"], each["amount"], each["fee_molam"]) for each in facts] == [
        ("T1", 75_000, 750),
        ("T3", 1_000, 10),
    ]
    assert facts[1]["occurred_at"] == "2026-11-15T18:30:00+00:00"
    assert {each["provider"] for each in facts} == {"wave"}


def test_an_orange_money_workbook_is_a_history_of_payments(tmp_path: Path):
    path = tmp_path / "orange.xlsx"
    path.write_bytes(orange([("OM1", 12_500, 125, "15/11/2026 10:15:00", "771234567")]))

    [fact] = _facts(path, "orange-money")

    assert (fact["id"], fact["amount"], fact["fee_molam"]) == ("OM1", 12_500, 125)
    assert fact["occurred_at"] == "2026-11-15T10:15:00+00:00"


def test_a_zip_file_that_is_no_workbook_is_refused(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"PK\x05\x06" + bytes(18))
    path.write_bytes(b"PK\x03\x04" + path.read_bytes())

    with pytest.raises(StatementTypeRefused):
        open_sheet(path)


def test_a_mapping_names_a_time_zone_that_exists(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('timezone = "Africa/Nowhere"\n')

    with pytest.raises(MappingMalformed, match="time zone"):
        read_mapping(str(path))
