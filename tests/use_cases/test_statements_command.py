from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from builders import NOW
from molam.entrypoints import statements as command
from molam.payments.statements import queries
from molam.platform.db import Database
from molam.simulator.banks_demo import seed_banks
from molam.simulator.statements_demo import seed_statements
from reconciling import BANK, books
from statement_files import a_line, camt053


@pytest.fixture
async def folder(db: Database, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    await books(db)
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("MOLAM_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def _molam(*arguments: str) -> str:
    import asyncio

    done = await asyncio.to_thread(
        CliRunner().invoke, command.command, list(arguments), catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.output


async def test_a_file_is_tried_then_imported_then_known(folder: Path) -> None:
    (folder / "s.xml").write_bytes(camt053([a_line(amount=-2_500, text="FRAIS")], opening=9_000))

    tried = await _molam("import", "s.xml", "--bank", BANK, "--dry-run")
    taken = await _molam("import", "s.xml", "--bank", BANK)
    again = await _molam("import", "s.xml", "--bank", BANK)

    assert "1 lines  -2500 XOF" in tried
    assert "1 lines, 1 matched" in taken
    assert "imported before" in again


async def test_days_are_closed_up_to_the_one_named(folder: Path) -> None:
    (folder / "s.xml").write_bytes(camt053([a_line(amount=-2_500, text="FRAIS")], opening=9_000))
    await _molam("import", "s.xml", "--bank", BANK)

    closed = await _molam("close", "--bank", BANK, "--day", "2026-11-17")

    assert [each for each in closed.splitlines() if " closed: " in each] == [
        "2026-11-16 closed: 6500 XOF, 0 open items",
        "2026-11-17 closed: 6500 XOF, 0 open items",
    ]
    assert "0 lines matched" in await _molam("match")
    assert "1 lines, 0 open" in await _molam("list")


async def test_the_demo_has_something_to_reconcile_and_only_once(db: Database) -> None:
    await seed_banks(db, NOW)

    first = await seed_statements(db, NOW)
    again = await seed_statements(db, NOW + timedelta(days=1))

    assert (first, again) == (2, 0)
    assert len(await queries.open_lines(db)) == 4
