"""The engine with action types that do little, and whoever operates the platform."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import builders
from approving import Ops
from audit_records import assert_audited
from fake_actions import TABLE, Psp, registry_of
from molam.approvals.engine import Engine
from molam.platform.db import Database


@pytest.fixture
async def ops(db: Database, ops_db: Database) -> AsyncIterator[Ops]:
    """Whatever a test does to actions, their entries come to what their rows say."""
    psp = Psp()
    async with db.transaction("tests.counters") as tx:
        await tx.connection.execute(TABLE)
    await builders.operations(db)
    ops = Ops(Engine.of(ops_db, registry_of(psp)), db, psp)
    yield ops
    await assert_audited(db)
