"""What runbooks have people type at night works: each SELECT is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

ROOT = Path(__file__).parents[2]
# Databases of tests are copies, and a copy has none of the settings of its original.
SEARCH_PATH = re.findall(
    r"set search_path to ([\w, ]+)'",
    "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("migrations/*.sql"))),
)[-1]
ANY_ID = "00000000-0000-4000-8000-000000000000"


def _statements() -> list[tuple[str, str]]:
    return [
        (path.stem, statement.strip().replace("'...'", f"'{ANY_ID}'"))
        for path in sorted((ROOT / "docs" / "runbooks").glob("*.md"))
        for block in re.findall(
            r"^ *```sql\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        for statement in block.split(";")
        if statement.strip().startswith("select")
    ]


async def _faults(dsn: str, statements: list[tuple[str, str]]) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"set search_path to {SEARCH_PATH}")
        faults = []
        for page, statement in statements:
            try:
                await connection.fetch(statement)
            except asyncpg.PostgresError as error:
                faults.append(f"{page}: {error}: {statement}")
        return faults
    finally:
        await connection.close()


async def test_statements_of_runbooks_can_be_run(shared_dsn: str):
    statements = _statements()

    assert len({page for page, _ in statements}) > 8
    assert await _faults(shared_dsn, statements) == []


@pytest.mark.parametrize("wrong", ["select nothing from alerts", "select * from alertz"])
async def test_a_wrong_statement_would_be_noticed(shared_dsn: str, wrong: str):
    assert await _faults(shared_dsn, [("a-page", wrong)])
