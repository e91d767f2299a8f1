"""Banks with money of ours, a pool they share, and the people who decide about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from builders import a_person
from molam.approvals.model import Actor
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.kernel.clock import SystemClock
from molam.ledger import commands as ledger
from molam.ledger.commands import OwnTransfer
from molam.mesh.liquidity import pool_actions, pool_making, pools
from molam.mesh.runtime import Mesh
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.platform.settings import Secret

REGION = "region_cedeao"
POOL = "pool_xof"
NORTH, SOUTH, EAST = "bp_north", "bp_south", "bp_east"
THRESHOLD = 10_000_000
"""What CEDEAO is delivered with, in francs."""
TREASURERS = ("treasury-1", "treasury-2", "treasury-3")


@dataclass(frozen=True, slots=True)
class Treasury:
    """The mesh as an ops process has it, and a second pair of eyes on its tables."""

    mesh: Mesh
    db: Database
    admin: Database

    async def draw(self, amount: int, *, bank: str = NORTH, key: str | None = None) -> pools.Done:
        async with self.db.transaction("tests.draw") as tx:
            return await pools.draw(
                tx, self.mesh, asked(amount, bank=bank, key=key), actor(TREASURERS[0])
            )

    async def contribute(self, amount: int, *, bank: str = NORTH) -> pools.Done:
        async with self.db.transaction("tests.contribute") as tx:
            return await pools.contribute(tx, self.mesh, asked(amount, bank=bank), by=TREASURERS[0])

    async def give_back(self, draw_id: str, amount: int) -> pools.Done:
        async with self.db.transaction("tests.give_back") as tx:
            return await pools.give_back(
                tx, self.mesh, asked(amount, draw_id=draw_id), by=TREASURERS[0]
            )

    async def sql(self, statement: str, *args: object) -> list[tuple[object, ...]]:
        async with self.admin.transaction("tests.sql") as tx:
            return [tuple(row) for row in await tx.connection.fetch(statement, *args)]

    async def pool(self) -> tuple[int, int]:
        """What the pool holds, and how much of it is reserved."""
        [(total, reserved)] = await self.sql(
            "select total_available, reserved from mesh.mesh_liquidity_pools where id = $1", POOL
        )
        assert isinstance(total, int)
        assert isinstance(reserved, int)
        return total, reserved


def asked(
    amount: int, *, bank: str = NORTH, key: str | None = None, draw_id: str | None = None
) -> pools.Asked:
    return pools.Asked(
        pool_id=POOL,
        bank_profile_id=bank,
        amount=amount,
        reason="Market day",
        key=key,
        draw_id=draw_id,
    )


def actor(id_: str) -> Actor:
    return Actor(id_, frozenset({"treasury_ops"}))


def a_mesh(db: Database) -> Mesh:
    known = Registry(pool_actions.ACTIONS)
    return Mesh(
        signing_key=Secret("k" * 32),
        clock=SystemClock(),
        approvals=Runtime(db, known, PolicyBook(known), "tests"),
        region=REGION,
    )


async def a_treasury(ops: Database, admin: Database, **limits: int) -> Treasury:
    """Two banks in a pool of 6,000,000 francs, a third outside it, each with 20,000,000."""
    for person in TREASURERS:
        await a_person(
            admin, id_=person, name=person.title(), roles=("treasury_ops",), merchant_id=None
        )
    for bank in (NORTH, SOUTH, EAST):
        await a_bank_with_money(admin, bank)
    treasury = Treasury(a_mesh(ops), ops, admin)
    async with ops.transaction("tests.a_pool") as tx:
        await pool_making.create(
            tx,
            pool_making.NewPool(
                id=POOL,
                mesh_region_id=REGION,
                name="Dakar",
                currency="XOF",
                participants=[NORTH, SOUTH],
                max_single_draw=limits.get("max_single_draw"),
                daily_draw_limit=limits.get("daily_draw_limit"),
            ),
            now=treasury.mesh.clock.now(),
        )
    await treasury.contribute(4_000_000)
    await treasury.contribute(2_000_000, bank=SOUTH)
    return treasury


async def a_bank_with_money(
    admin: Database,
    id_: str,
    *,
    amount: int = 20_000_000,
    currencies: tuple[str, ...] = ("XOF",),
    country: str = "SN",
) -> None:
    async with admin.transaction("tests.a_bank_with_money") as tx:
        await tx.connection.execute(
            "insert into payments.bank_profiles (id, name, country, currency_codes, rails,"
            " provider_type, status, enabled, connector)"
            " values ($1, initcap($4), $2, $3, '{bank}', 'bank', 'active', true, 'http_bank')",
            *(id_, country, list(currencies), id_.removeprefix("bp_")),
        )
        for code in currencies:
            await tx.connection.execute(
                "insert into payments.treasury_accounts"
                " (id, bank_profile_id, account_reference, currency) values ($1, $2, $1, $3)",
                *(f"ta_{id_}_{code}", id_, code),
            )
            if amount:
                await ledger.post(tx, [opening(id_, code, amount)])


def opening(bank: str, code: str, amount: int) -> OwnTransfer:
    return OwnTransfer(
        id=uuid4(),
        source=ledger.at_bank(bank),
        target="suspense:opening",
        amount=amount,
        currency=code,
        cause="bank_opening",
        cause_id=bank,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
