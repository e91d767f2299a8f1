"""Transactions you can see in a signature."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, LiteralString, TypeVar, cast

import asyncpg

from molam.kernel.refusals import Outage
from molam.platform.db.locks import LockOrderViolated, Rank

RowT = TypeVar("RowT")

Isolation = Literal["read_committed", "repeatable_read", "serializable"]

_open: ContextVar[str | None] = ContextVar("open_transaction", default=None)

# A placeholder stands where an expression begins, which a cast (`::text`) and a
# colon inside a literal do not.
_PLACEHOLDER = re.compile(r"(?<=[\s(,=\[<>+*/~|-]):([a-z_][a-z0-9_]*)")

# A connection that cannot be had is an outage to whoever asked, not a bug.
_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    # Whoever wrote the log-in or the URL has to see to it; the caller can only wait.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)


@dataclass(frozen=True, slots=True)
class Query(Generic[RowT]):
    """
    One SQL statement and the dataclass each of its rows becomes.

    Placeholders are written ``:name`` and become ``$n`` once, at import. The
    columns of the result are, in order, the fields of *row*; a house test
    prepares every statement against the migrated schema and compares.
    """

    sql: LiteralString
    row: type[RowT]
    locks: Rank | None = None
    text: str = field(init=False)
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names: list[str] = []

        def number(match: re.Match[str]) -> str:
            if match[1] not in names:
                names.append(match[1])
            return f"${names.index(match[1]) + 1}"

        object.__setattr__(self, "text", _PLACEHOLDER.sub(number, self.sql))
        object.__setattr__(self, "names", tuple(names))

    def arguments(self, params: dict[str, object]) -> list[object]:
        assert params.keys() == set(self.names), f"{params.keys()} for {self.names}"
        return [params[name] for name in self.names]


@dataclass(frozen=True, slots=True)
class Nothing:
    """The row class of a statement that returns none."""


class Tx:
    """
    Proof that a transaction is open.

    A function that takes a `Tx` is part of somebody else's transaction. It may
    not commit, and it may not talk to anything but PostgreSQL.
    """

    def __init__(self, connection: asyncpg.Connection[Any], name: str) -> None:
        self._connection = connection
        self._highest = min(Rank)
        self.name = name

    async def all(self, query: Query[RowT], **params: object) -> list[RowT]:
        self._check_rank(query)
        records = await self._connection.fetch(query.text, *query.arguments(params))
        return [query.row(*record) for record in records]

    async def one(self, query: Query[RowT], **params: object) -> RowT | None:
        rows = await self.all(query, **params)
        assert len(rows) <= 1, f"{self.name}: expected at most one row"
        return rows[0] if rows else None

    async def run(self, query: Query[Nothing], **params: object) -> int:
        """Execute a statement and return how many rows it wrote."""
        self._check_rank(query)
        status: str = await self._connection.execute(query.text, *query.arguments(params))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo only what happens inside when it raises; keep it beside the code that recovers."""
        async with self._connection.transaction():
            yield

    @property
    def connection(self) -> asyncpg.Connection[Any]:
        """The driver's connection, for libraries that join our transaction (pgqueuer)."""
        return self._connection

    def _check_rank(self, query: Query[Any]) -> None:
        if query.locks is None:
            return
        if query.locks < self._highest:
            raise LockOrderViolated(f"{self.name}: {query.locks.name} after {self._highest.name}")
        self._highest = query.locks


class Database:
    """
    The right to open a transaction.

    A function that takes a `Database` owns its transaction from first statement
    to commit, so whatever it returns is durable. Calling it with a transaction
    already open is a bug and raises.
    """

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool

    @contextlib.asynccontextmanager
    async def transaction(
        self,
        name: str,
        *,
        merchant_id: str | None = None,
        isolation: Isolation = "read_committed",
        readonly: bool = False,
    ) -> AsyncIterator[Tx]:
        """
        Open a transaction; row-level security shows it *merchant_id*'s rows only.

        Raises:
            Outage: PostgreSQL cannot be reached.
        """
        outer = _open.get()
        assert outer is None, f"{name} opened inside {outer}"
        token = _open.set(name)
        try:
            async with (
                self._connection() as connection,
                connection.transaction(isolation=isolation, readonly=readonly),
            ):
                if merchant_id is not None:
                    await connection.execute(
                        "select set_config('molam.merchant_id', $1, true)", merchant_id
                    )
                yield Tx(connection, name)
        finally:
            _open.reset(token)

    async def read(self, query: Query[RowT], **params: object) -> list[RowT]:
        """
        Run one SELECT as its own transaction, in one round trip.

        Row-level security still holds: see Note [One statement, one tenant].

        Raises:
            Outage: PostgreSQL cannot be reached.
        """
        outer = _open.get()
        assert outer is None, f"read inside {outer}"
        assert query.locks is None
        async with self._connection() as connection:
            records = await connection.fetch(query.text, *query.arguments(params))
        return [query.row(*record) for record in records]

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        lost = False
        try:
            # Waiting for a free connection is bounded by whoever asks: a request by
            # its time limit, a worker by nothing, since it has nothing else to do.
            async with self._pool.acquire() as connection:
                try:
                    # The proxy has every method of a connection, but not its type.
                    yield cast("asyncpg.Connection[Any]", connection)
                except asyncpg.InterfaceError:
                    # Also what misuse raises; only a lost connection is an outage.
                    lost = _is_lost(connection)
                    raise
        except _UNREACHABLE as error:
            raise Outage("database") from error
        except asyncpg.InterfaceError as error:
            if lost:
                raise Outage("database") from error
            raise

    async def close(self) -> None:
        await self._pool.close()


# Note [One statement, one tenant]
#
# Row-level security compares merchant_id with the setting molam.merchant_id. A
# transaction sets it with a statement of its own, which costs three more round
# trips than the hot reads can afford. Those begin instead with
#
#     from set_config('molam.merchant_id', :merchant_id, true) as tenant(id)
#     cross join lateral (select ... where t.merchant_id = tenant.id ...)
#
# The lateral part needs tenant.id, so it cannot be scanned before the setting is
# made, and `true` ends the setting with the statement's own transaction.


def _is_lost(connection: object) -> bool:
    """Tell whether the server ended it; then the pool may have taken the connection back."""
    try:
        return cast("asyncpg.Connection[Any]", connection).is_closed()
    except asyncpg.InterfaceError:
        return True


def assert_no_transaction(action: str) -> None:
    """Refuse to *action* while a transaction is open; call before any egress."""
    name = _open.get()
    assert name is None, f"{action} attempted inside transaction {name}"
