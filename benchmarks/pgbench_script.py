"""Writes down what the engine says to PostgreSQL for one action, as a script that pgbench repeats."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from molam.platform.db import Database, Query, Tx

_TPS = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_COUNTER_DIGITS = 12


@dataclass(slots=True)
class Recorder:
    """Every statement with its parameters and their types, and where transactions begin and end."""

    said: list[tuple[str, list[object], list[str]]] = field(default_factory=list)

    @property
    def transactions(self) -> int:
        return sum(1 for text, _, _ in self.said if text.startswith("begin"))

    async def hear(self, tx: Tx, query: Query[Any], params: Mapping[str, object]) -> None:
        prepared = await tx.connection.prepare(query.text)
        types = [
            f"{each.name[1:]}[]" if each.name.startswith("_") else each.name.removesuffix("[]")
            if each.kind != "array" else each.name
            for each in prepared.get_parameters()
        ]  # fmt: skip
        self.said.append((query.text, query.arguments(dict(params)), types))


class _RecordedTx(Tx):
    recorder: Recorder

    async def all(self, query: Query[Any], **params: object) -> list[Any]:
        await self.recorder.hear(self, query, params)
        return await super().all(query, **params)

    async def run(self, query: Query[Any], **params: object) -> int:
        await self.recorder.hear(self, query, params)
        return await super().run(query, **params)


class RecordedDatabase(Database):
    """A `Database` that writes down what it is told."""

    def __init__(self, db: Database, recorder: Recorder) -> None:
        super().__init__(db._pool)
        self._recorder = recorder

    @contextlib.asynccontextmanager
    async def transaction(self, name: str, **options: Any) -> AsyncIterator[Tx]:
        self._recorder.said.append(
            ("begin read only" if options.get("readonly") else "begin", [], [])
        )
        async with super().transaction(name, **options) as tx:
            recorded = _RecordedTx(tx.connection, name)
            recorded.recorder = self._recorder
            yield recorded
        self._recorder.said.append(("commit", [], []))


def script(recorder: Recorder, unique: Sequence[str]) -> str:
    """
    Write a script in which each text of *unique* differs from run to run.

    The last twelve characters of each, hexadecimal digits, become a counter.
    """
    lines = [r"\set n :n + 1", r"\set id (:base * 64 + :client_id) * 1000000 + :n"]
    for text, values, types in recorder.said:
        literals = [
            _literal(value, type_, unique) for value, type_ in zip(values, types, strict=True)
        ]
        if "/* audit.append */" in text:
            literals[2] = _hashes(values, unique)
        lines.append(_filled(text, literals).strip() + ";")
    return "\n".join(lines) + "\n"


def _hashes(values: Sequence[Any], unique: Sequence[str]) -> str:
    """Hash each entry again, since its text differs from run to run and PostgreSQL compares."""
    hashed = [
        f"sha256('molam.audit/1'::bytea || '\\x00'::bytea || {_literal(prev, 'bytea', unique)}"
        f" || convert_to({_literal(body, 'text', unique)}, 'UTF8'))"
        for body, prev in zip(values[0], values[1], strict=True)
    ]
    return f"array[{', '.join(hashed)}]::bytea[]"


def _filled(text: str, literals: Sequence[str]) -> str:
    return re.sub(r"\$(\d+)", lambda match: literals[int(match[1]) - 1], text)


def _literal(value: object, type_: str, unique: Sequence[str]) -> str:
    if value is None:
        return f"null::{type_}"
    if isinstance(value, list | tuple) and type_ != "jsonb":
        inside = ", ".join(_literal(each, type_.removesuffix("[]"), unique) for each in value)
        return f"array[{inside}]::{type_}"
    return f"({_quoted(_text(value, type_), unique)})::{type_}"


def _text(value: object, type_: str) -> str:
    if type_ in {"jsonb", "json"}:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    assert isinstance(value, str | int | float | Decimal | UUID), value
    return str(value)


def _quoted(text: str, unique: Sequence[str]) -> str:
    """Quote *text*, with the counter in place of the end of every unique part."""
    pattern = "|".join(map(re.escape, unique))
    pieces, at = [], 0
    for match in re.finditer(pattern, text):
        counter = f"lpad(to_hex(:id::bigint), {_COUNTER_DIGITS}, '0')"
        pieces += [_plain(text[at : match.end() - _COUNTER_DIGITS]), counter]
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
