"""A desk that sends to simulated banks over real HTTP, for an owner kept in one plain table."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import builders
from molam.kernel.clock import SystemClock
from molam.kernel.refusals import Outage, Refusal
from molam.payments.banks import attempt_store, callbacks, commands, inquiries
from molam.payments.banks.budgets import Budget, Restraint
from molam.payments.banks.connectors.assembly import connectors_of
from molam.payments.banks.connectors.interface import Bank, Connector
from molam.payments.banks.http import BankHttp
from molam.payments.banks.model import (
    Destination,
    Instruction,
    Order,
    Outcome,
    Report,
    SurprisingAnswer,
    Wallet,
)
from molam.payments.banks.secrets import BankSecrets
from molam.payments.banks.teller import Patience, Teller
from molam.platform.db import Database, Tx
from molam.platform.settings import Secret
from molam.simulator.banks.app import SimulatedBanks
from molam.simulator.banks.books_store import Books
from molam.simulator.banks.temper import Temper

ROOT_SECRET = Secret("a secret of the tests alone, long enough")
HASTE = Patience(lease_s=3, resend_after_s=0, asks_s=(0, 0, 0))
AMPLE = Budget(per_s=1000.0, floor_max=1000.0, most=1000.0)
UNRESTRAINED = Restraint(inquiry=AMPLE, retry=AMPLE, requests_min=10**6)
MERCHANT = "merchant-1"
# A bank that answers late has this long to finish; one that hangs is cut off.
GRACE_S = 0.3
WALLET = Wallet("wave", "+221771234567", "Awa Diop")


@dataclass
class PlainOwner:
    """Payouts in a table of the tests. What they were told is kept, in order."""

    kind: str = "payout"

    async def claim(self, tx: Tx, object_id: str) -> Instruction | None:
        row = await tx.connection.fetchrow(
            "select * from public.owned where id = $1 for update", object_id
        )
        if row is None or row["state"] != "queued":
            return None
        await tx.connection.execute(
            "update public.owned set state = 'in_transit' where id = $1", object_id
        )
        return Instruction(
            key=f"payout-{object_id}",
            purpose="payout",
            merchant_id=MERCHANT,
            object_id=object_id,
            amount=row["amount"],
            currency="XOF",
            destination=_destination(row["destination"]),
            reference=f"Payout {object_id}"[:35],
            bank_profile_id=row["bank"],
        )

    async def settle(self, tx: Tx, object_id: str, outcome: Outcome) -> None:
        new = {"settled": "paid", "rejected": "failed", "needs_details": "failed"}.get(
            outcome.state, outcome.state if outcome.state == "returned" else "in_transit"
        )
        await tx.connection.execute(
            "update public.owned set state = $2, told = told || $3::text where id = $1",
            object_id,
            new,
            outcome.state,
        )


def _destination(value: dict[str, Any]) -> Destination:
    return msgspec.convert(value, type=Destination)


@dataclass
class _Closing:
    books: Books

    async def aclose(self) -> None:
        self.books.close()


@dataclass
class BankDesk:
    """Everything of one test: the banks, what they wrote down, and the desk that uses them."""

    db: Database
    banks: SimulatedBanks
    books: Books
    teller: Teller
    url: str
    callbacks_received: list[str] = field(default_factory=list)

    async def owned(
        self, id_: str, amount: int, *, bank: str = "bp_http", destination: Destination = WALLET
    ) -> None:
        async with self.db.transaction("tests.owned") as tx:
            await tx.connection.execute(
                "insert into public.owned (id, amount, bank, destination) values ($1, $2, $3, $4)",
                id_,
                amount,
                bank,
                msgspec.to_builtins(destination),
            )

    async def queue_again(self, id_: str) -> None:
        async with self.db.transaction("tests.again") as tx:
            await tx.connection.execute(
                "update public.owned set state = 'queued' where id = $1", id_
            )

    async def send(self, id_: str) -> None:
        await commands.send(self.teller, self.db, kind="payout", object_id=id_)

    async def attempts(self, id_: str) -> list[attempt_store.AttemptRow]:
        return await self.db.read(
            attempt_store.LIST_ATTEMPTS, kind="payout", object_id=id_, merchant_id=None, limit=50
        )

    async def inquire(self, id_: str) -> None:
        for attempt in await self.attempts(id_):
            await inquiries.inquire(self.teller, self.db, attempt.id)

    async def take_callbacks(self) -> None:
        """Do what the worker's job does, for everything that was received."""
        for row in await self.rows("select id from payments.bank_callbacks where state = 'new'"):
            await callbacks.take(self.teller, self.db, row["id"])

    async def state(self, id_: str) -> str:
        rows = await self.rows("select state from public.owned where id = $1", id_)
        return str(rows[0]["state"])

    async def told(self, id_: str) -> list[str]:
        rows = await self.rows("select told from public.owned where id = $1", id_)
        return list(rows[0]["told"])

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        async with self.db.transaction("tests.rows") as tx:
            return await tx.connection.fetch(sql, *values)

    async def until_paid(self, id_: str, *, seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while await self.state(id_) != "paid":
                await self.take_callbacks()
                await self.inquire(id_)
                await asyncio.sleep(0.05)

    def booked(self, id_: str, bank: str = "bp_http") -> int:
        return self.books.count_booked(bank, f"payout-{id_}")

    def temper(self, bank: str = "bp_http", **how: Any) -> None:
        self.banks.set_temper(bank, Temper(**{"settle_after_s": 0.0, **how}))


@contextlib.asynccontextmanager
async def a_bank_desk(
    db: Database,
    admin: Database,
    folder: Path,
    *,
    patience: Patience = HASTE,
    restraint: Restraint = UNRESTRAINED,
    timeout_s: float = 2,
) -> AsyncIterator[BankDesk]:
    """Open a desk with one bank of each connector; callbacks come back over HTTP."""
    secrets = BankSecrets(root=ROOT_SECRET)
    received: list[str] = []
    async with BankHttp(timeout_s=timeout_s) as http:
        connectors = connectors_of(http)
        ear = callbacks.Ear(connectors, secrets)

        async def hear(request: Request) -> JSONResponse:
            bank = request.path_params["bank"]
            body = await request.body()
            received.append(bank)
            try:
                now = datetime.now(UTC)
                await callbacks.receive(
                    ear, admin, bank, headers=request.headers, body=body, now=now
                )
            except Refusal as refusal:
                return JSONResponse({"code": refusal.code}, 401)
            return JSONResponse({"ok": True})

        product = Starlette(routes=[Route("/banks/{bank}/callbacks", hear, methods=["POST"])])
        books = Books(folder / "banks.sqlite")
        async with contextlib.aclosing(_Closing(books)), served(product) as product_url:
            callbacks_url = f"{product_url}/banks"
            banks = SimulatedBanks(books, secrets, callbacks_url=callbacks_url)
            async with banks.running(), served(banks.app) as url:
                teller = Teller(
                    connectors,
                    {"payout": PlainOwner()},
                    secrets,
                    callbacks_url,
                    SystemClock(),
                    patience,
                    restraint,
                )
                await _prepare(admin, url)
                desk = BankDesk(db, banks, books, teller, url, received)
                for bank in ("bp_http", "bp_wave", "bp_orange"):
                    desk.temper(bank)
                yield desk


async def _prepare(admin: Database, url: str) -> None:
    await builders.a_merchant(admin, id_=MERCHANT)
    await make_owned(admin)
    for bank, connector in (
        ("bp_http", "http_bank"),
        ("bp_wave", "wave"),
        ("bp_orange", "orange_money"),
        ("bp_file", "pain001"),
    ):
        await a_bank(admin, bank, connector=connector, url=f"{url}/{bank}")


async def make_owned(admin: Database) -> None:
    async with admin.transaction("tests.make_owned") as tx:
        await tx.connection.execute(
            "create table public.owned (id text primary key, amount bigint, bank text,"
            " destination jsonb, state text default 'queued', told text[] default '{}')"
        )
        await tx.connection.execute("grant all on public.owned to molam_worker")


async def a_bank(
    admin: Database, id_: str, *, connector: str, url: str, at_once_max: int = 16, **more: Any
) -> None:
    rails = ["bank", "wallet:wave", "wallet:orange_money"]
    async with admin.transaction("tests.a_bank") as tx:
        await tx.connection.execute(
            "insert into payments.bank_profiles (id, name, country, bic, currency_codes, rails,"
            " provider_type, compliance_level, status, enabled, connector, endpoint_url,"
            " at_once_max, avg_delay_sec, cut_off)"
            " values ($1, $1, 'SN', 'CBAOSNDA', '{XOF,EUR}', $2, 'bank', 'verified', 'active', true,"
            " $3, $4, $5, 10, $6)",
            id_,
            rails,
            connector,
            url,
            at_once_max,
            more.get("cut_off"),
        )


class _Quiet(uvicorn.Server):
    """A server that ends when it is told to; uvicorn's looks ten times a second whether it was."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told_to_end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave Ctrl-C to pytest."""
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.told_to_end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        del sockets
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            await asyncio.wait_for(self._all_left(), GRACE_S)
        except TimeoutError:
            for task in list(self.server_state.tasks):
                task.cancel()
            await asyncio.wait_for(self._all_left(), 1)

    async def _all_left(self) -> None:
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_config=None,
        lifespan="off",
    )
    server = _Quiet(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.002)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.told_to_end.set()
        await task


class Hasty:
    """The safety removed: silence counts as failure, and the next try has a new key."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.kind, self.can_ask, self.calls_back = connector.kind, False, False
        self.watches_s = 0.0
        self.read_callback = connector.read_callback
        self.check_callback = connector.check_callback
        self.inquire = connector.inquire

    def wire_key(self, outward_key: str, attempt_no: int) -> str:
        return f"{outward_key}~{attempt_no}"

    async def send(self, bank: Bank, order: Order) -> Report:
        try:
            return await self._connector.send(bank, order)
        except (Outage, SurprisingAnswer):
            return Report("rejected", code="timeout")
