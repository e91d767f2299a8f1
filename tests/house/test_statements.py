"""Every SQL statement is prepared against the migrated schema and compared with its row class."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import types
import typing
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

import molam
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing

# What asyncpg makes of each type; a json column stays text.
_PYTHON = {
    "int2": int, "int4": int, "int8": int, "oid": int, "xid8": int, "float8": float,
    "text": str, "varchar": str, "bpchar": str, "name": str, "json": str, "char": str,
    "bool": bool, "date": date, "timestamptz": datetime, "interval": timedelta,
    "numeric": Decimal, "uuid": UUID, "bytea": bytes, "void": type(None),
}  # fmt: skip


def _modules() -> Iterator[types.ModuleType]:
    for found in pkgutil.walk_packages(molam.__path__, "molam."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def _statements() -> dict[str, Query[Any]]:
    found: dict[str, Query[Any]] = {}
    for module in _modules():
        for name, value in vars(module).items():
            if isinstance(value, Query) and value not in found.values():
                found[f"{module.__name__}.{name}"] = value
    return found


STATEMENTS = _statements()


@pytest.fixture(scope="module")
async def connection(shared_dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(shared_dsn)
    yield connection
    await connection.close()


@pytest.mark.parametrize("name", STATEMENTS)
async def test_statement_is_accepted_and_returns_what_its_row_class_says(
    connection: asyncpg.Connection[Any], name: str
):
    query = STATEMENTS[name]

    prepared = await connection.prepare(query.text)

    assert _mismatches(query.row, prepared.get_attributes()) == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_says_which_function_it_belongs_to(name: str):
    assert re.match(r"\s*/\* [a-z_]+(\.[a-z_0-9]+)+ \*/", STATEMENTS[name].sql)


def test_comparison_notices_a_wrong_name_a_wrong_type_and_a_missing_column():
    @dataclasses.dataclass
    class Row:
        id: str
        posted: int

    def column(name: str, type_: str) -> asyncpg.Attribute:
        return asyncpg.Attribute(name, asyncpg.Type(0, type_, "scalar", "pg_catalog"))

    right = (column("id", "text"), column("posted", "int8"))
    assert _mismatches(Row, right) == []
    assert _mismatches(Row, (column("id", "text"), column("posted", "text")))
    assert _mismatches(Row, (column("id", "text"), column("balance", "int8")))
    assert _mismatches(Row, right[:1])
    assert _mismatches(Nothing, right)


def _mismatches(row: type, columns: tuple[asyncpg.Attribute, ...]) -> list[str]:
    if row is Nothing:
        returned = [column for column in columns if column.type.name != "void"]
        return [f"returns {column.name}, row=Nothing" for column in returned]
    fields = [field.name for field in _fields(row)]
    if not fields:
        if len(columns) != 1:
            return [f"{row.__name__} takes one column, not {len(columns)}"]
        return [] if _fits(row, columns[0].type) else [f"{columns[0].type.name} is no {row}"]

    names = [column.name for column in columns]
    if names != fields:
        return [f"columns {names}, fields {fields}"]
    hints = _hints(row)
    return [
        f"{column.name}: PostgreSQL says {column.type.name}, {row.__name__} says {hints[column.name]}"
        for column in columns
        if not _fits(hints[column.name], column.type)
    ]


def _fields(row: type) -> Iterable[Any]:
    if issubclass(row, msgspec.Struct):
        return msgspec.structs.fields(row)
    return dataclasses.fields(row) if dataclasses.is_dataclass(row) else ()


def _hints(row: type) -> dict[str, Any]:
    # Local classes of this module's own test have no module to look names up in.
    return typing.get_type_hints(row, localns={"UUID": UUID, "datetime": datetime})


def _fits(hint: Any, type_: asyncpg.Type) -> bool:
    """Whether a value of *type_*, as asyncpg decodes it, is what *hint* promises."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        return any(_fits(part, type_) for part in arguments if part is not type(None))
    if origin is typing.Literal:
        return _fits(type(arguments[0]), type_)
    if type_.name == "jsonb":
        return hint in {object, dict, list, Any} or origin is not None
    if type_.name.endswith("[]"):
        element = asyncpg.Type(0, type_.name.removesuffix("[]"), "scalar", "pg_catalog")
        return origin in {list, tuple} and _fits(arguments[0], element)
    # Enums, and whatever else we do not list, travel as text.
    return hint is _PYTHON.get(type_.name, str)
