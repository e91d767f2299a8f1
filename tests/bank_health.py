"""What tests of banks' health begin with: a mesh, banks that are members, and things heard of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from bank_desk import a_bank
from molam.approvals.runtime import Runtime
from molam.kernel.clock import Clock, SystemClock
from molam.mesh.runtime import Mesh
from molam.mesh.signals import intake, queries
from molam.mesh.signals.model import HealthRow
from molam.payments.banks import signals
from molam.platform.db import Database
from molam.platform.events import Consumer, Event, publish
from molam.platform.events.consumer import Patience
from molam.platform.events.postgres_source import PostgresSource
from molam.platform.settings import Secret
from molam.sira.health_signal import OutcomeClass, Signal, SignalKind

KEY = Secret("a key of SIRA's for the tests alone")
BANK = "bp_123"


def a_mesh(*, clock: Clock | None = None, **changed: Any) -> Mesh:
    nobody = cast("Runtime", None)
    return Mesh(KEY, clock or SystemClock(), nobody, "CEDEAO", **changed)


async def a_member(
    admin: Database, bank: str = BANK, *, url: str = "", connector: str = "http_bank"
) -> None:
    """A bank that serves accounts and Wave in francs and euros, as a member of CEDEAO."""
    await a_bank(admin, bank, connector=connector, url=url)
    async with admin.transaction("tests.a_member") as tx:
        await tx.connection.execute(
            "insert into mesh.mesh_members (id, mesh_region_id, bank_profile_id, status, capabilities,"
            " kyc_verified, contract_signed, compliance_status)"
            " values ('member_' || $1, 'region_cedeao', $1, 'active', $2, true, true, 'approved')",
            bank,
            {"supported_currencies": ["XOF", "EUR"]},
        )


def heard(
    outcome: OutcomeClass = "ok",
    *,
    at: float,
    bank: str = BANK,
    kind: SignalKind = "payout",
    **more: Any,
) -> Signal:
    told: dict[str, Any] = {"rail": "bank", "currency": "XOF", "latency_ms": 200, "amount": 1000}
    return Signal(bank_profile_id=bank, kind=kind, outcome=outcome, at=at, **{**told, **more})


async def tell(db: Database, *told: Signal, mesh: Mesh | None = None) -> None:
    """Write signals into the log, as sending does."""
    async with db.transaction("tests.tell") as tx:
        await signals.note(tx, told, now=(mesh or a_mesh()).clock.now())


async def tell_text(db: Database, *texts: str | Mapping[str, object], key: str = BANK) -> None:
    """Write events of the topic mesh.health, however they look."""
    async with db.transaction("tests.tell_text") as tx:
        await publish(
            tx,
            [
                Event(
                    "mesh.health",
                    key,
                    text if isinstance(text, str) else msgspec.json.encode(text).decode(),
                )
                for text in texts
            ],
        )


async def drain(db: Database, consumer: Consumer | None = None, *, mesh: Mesh | None = None) -> int:
    """Take in what the log holds, and return how many events that were."""
    source = PostgresSource(db, consumer or intake.consumer(mesh or a_mesh()), asyncio.Event())
    await source.open()
    count, patience = 0, Patience()
    while moved := await source.step(patience):
        count += moved
    return count


async def believed(db: Database, bank: str = BANK, rail: str = "bank") -> HealthRow:
    async with db.transaction("tests.believed") as tx:
        (row,) = await queries.health_of(tx, bank_ids=[bank], rail=rail, currency="XOF")
    return row


async def noted(db: Database) -> list[Signal]:
    """Read the signals in the log, in order."""
    async with db.transaction("tests.noted") as tx:
        rows = await tx.connection.fetch(
            "select payload::text from platform.events where topic = 'bank_signals' order by id"
        )
    return [msgspec.convert(msgspec.json.decode(row[0])["data"], Signal) for row in rows]


async def jobs_named(db: Database, name: str) -> Sequence[dict[str, Any]]:
    async with db.transaction("tests.jobs") as tx:
        rows = await tx.connection.fetch(
            "select payload from jobs.pgqueuer where entrypoint = $1 order by id", name
        )
    return [msgspec.json.decode(row[0]) for row in rows]
