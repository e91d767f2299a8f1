"""Writes down what the engine says to PostgreSQL for one action, as a script that pgbench repeats."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from molam.platform.db import Database, Tx

_TPS = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
# Comments and literals, in which quotes and colons mean something else.
_SPOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_COUNTER_DIGITS = 12
_COUNTER = f"lpad(to_hex(:id::bigint), {_COUNTER_DIGITS}, '0')"
_Parts = Mapping[str, tuple[str, str]]
"""For each text that is replaced: what is kept of it, and the expression that follows."""
_TENANT = "select set_config('molam.merchant_id', $1, true)"


@dataclass(slots=True)
class Recorder:
    """Every statement with its parameters and their types, and where transactions begin and end."""

    said: list[tuple[str, list[object], list[str]]] = field(default_factory=list)

    @property
    def transactions(self) -> int:
        return sum(1 for text, _, _ in self.said if text.startswith("begin"))

    async def hear(
        self, connection: asyncpg.Connection[Any], text: str, arguments: Sequence[object]
    ) -> None:
        prepared = await connection.prepare(text)
        types = [
            f"{each.name[1:]}[]" if each.name.startswith("_") else each.name.removesuffix("[]")
            if each.kind != "array" else each.name
            for each in prepared.get_parameters()
        ]  # fmt: skip
        self.said.append((text, list(arguments), types))


class _RecordedConnection:
    """A connection that writes down what is said on it, by libraries that join a `Tx` as well."""

    def __init__(self, connection: asyncpg.Connection[Any], recorder: Recorder) -> None:
        self._connection = connection
        self._recorder = recorder

    async def fetch(self, text: str, *arguments: object) -> list[Any]:
        await self._recorder.hear(self._connection, text, arguments)
        return await self._connection.fetch(text, *arguments)

    async def execute(self, text: str, *arguments: object) -> str:
        await self._recorder.hear(self._connection, text, arguments)
        return await self._connection.execute(text, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class RecordedDatabase(Database):
    """A `Database` that writes down what it is told."""

    def __init__(self, db: Database, recorder: Recorder) -> None:
        super().__init__(db._pool)
        self._recorder = recorder

    @contextlib.asynccontextmanager
    async def transaction(
        self, name: str, *, merchant_id: str | None = None, **options: Any
    ) -> AsyncIterator[Tx]:
        said = self._recorder.said
        said.append(("begin read only" if options.get("readonly") else "begin", [], []))
        async with super().transaction(name, merchant_id=merchant_id, **options) as tx:
            if merchant_id is not None:
                said.append((_TENANT, [merchant_id], ["text"]))
            yield Tx(_RecordedConnection(tx.connection, self._recorder), name)  # type: ignore[arg-type]
        said.append(("commit", [], []))


def script(
    recorder: Recorder,
    unique: Sequence[str],
    *,
    varied: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
) -> str:
    """
    Write a script in which each text of *unique* differs from run to run.

    The last twelve characters of each, hexadecimal digits, become a counter. *varied*
    has the texts that stand for an SQL expression, which may use what *sets* computes.
    """
    parts = {text: (text[:-_COUNTER_DIGITS], _COUNTER) for text in unique}
    parts |= {text: ("", expression) for text, expression in (varied or {}).items()}
    lines = [r"\set n :n + 1", r"\set id (:base * 64 + :client_id) * 1000000 + :n"]
    lines += [rf"\set {each}" for each in sets]
    for text, values, types in recorder.said:
        literals = [
            _literal(value, type_, parts) for value, type_ in zip(values, types, strict=True)
        ]
        if "/* audit.append */" in text:
            literals[2] = _hashes(values, parts)
        lines.append(_filled(text, literals).strip() + ";")
    return "\n".join(lines) + "\n"


def _hashes(values: Sequence[Any], parts: _Parts) -> str:
    """Hash each entry again, since its text differs from run to run and PostgreSQL compares."""
    hashed = [
        f"sha256('molam.audit/1'::bytea || '\\x00'::bytea || {_literal(prev, 'bytea', parts)}"
        f" || convert_to({_literal(body, 'text', parts)}, 'UTF8'))"
        for body, prev in zip(values[0], values[1], strict=True)
    ]
    return f"array[{', '.join(hashed)}]::bytea[]"


def _filled(text: str, literals: Sequence[str]) -> str:
    without_variables = _SPOKEN.sub(_unmistakable, text)
    return re.sub(r"\$(\d+)", lambda match: literals[int(match[1]) - 1], without_variables)


def _unmistakable(match: re.Match[str]) -> str:
    spoken = match[0]
    if spoken.startswith("'") and ":" in spoken:
        return _plain(spoken[1:-1].replace("''", "'"))
    return "" if spoken.startswith("--") else spoken


def _literal(value: object, type_: str, parts: _Parts) -> str:
    if value is None:
        return f"null::{type_}"
    if isinstance(value, list | tuple) and type_ != "jsonb":
        inside = ", ".join(_literal(each, type_.removesuffix("[]"), parts) for each in value)
        return f"array[{inside}]::{type_}"
    return f"({_quoted(_text(value, type_), parts)})::{type_}"


def _text(value: object, type_: str) -> str:
    if type_ == "jsonb":
        return msgspec.json.encode(value).decode()
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} seconds"
    assert isinstance(value, str | int | float | Decimal | UUID), value
    return str(value)


def _quoted(text: str, parts: _Parts) -> str:
    """Quote *text*, with an expression in place of (the end of) every part."""
    pattern = "|".join(map(re.escape, parts))
    pieces, at = [], 0
    for match in re.finditer(pattern, text):
        kept, expression = parts[match[0]]
        pieces += [_plain(text[at : match.start()] + kept), expression]
        at = match.end()
    pieces.append(_plain(text[at:]))
    return " || ".join(pieces)


def _plain(text: str) -> str:
    # pgbench would take a colon before a letter for a variable, even inside a literal.
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace(":", "\\x3a")
    return f"E'{escaped}'"


def run(
    pgbench: Path, dsn: str, path: Path, *, clients: int, seconds: float, base: int
) -> float:  # fmt: skip
    """Run the script at *path* from so many connections; return how often a second it was done."""
    done = subprocess.run(
        [
            *(pgbench, "-n", "-M", "prepared", "-f", path, "-D", "n=0", "-D", f"base={base}"),
            *("-c", str(clients), "-j", "1", "-T", str(max(1, round(seconds))), dsn),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    failed = _FAILED.search(done.stdout)
    if done.returncode != 0 or (failed and int(failed[1])):
        raise RuntimeError(done.stderr[-2000:] or done.stdout)
    tps = _TPS.search(done.stdout)
    assert tps is not None, done.stdout
    return float(tps[1])
