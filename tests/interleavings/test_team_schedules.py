"""Two administrators who remove each other at once: whatever the order, one stays."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import scenarios
from interleave import StepDatabase, interleave
from scenarios import Scene

from builders import NOW, a_merchant, a_person
from molam.merchant import settings_store, team_commands
from molam.merchant.team_model import LastAdmin
from molam.platform.db import Database, ProcessRole, Query, open_database
from molam.platform.web import Caller
from molam.platform.web.caller import Forbidden

SEEDS = 40
TWIN_SEEDS_MAX = 200

_ADMINS = (
    "select count(*) from tenancy.role_grants where merchant_id = $1 and revoked_at is null"
    " and role = 'merchant_admin'"
)


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    async with scenarios.scene(dsn) as made:
        yield made


@pytest.fixture
async def money(dsn: str) -> AsyncIterator[StepDatabase]:
    pool: Database = await open_database(
        dsn, ProcessRole.MONEY, application="schedules", connections_max=4
    )
    yield StepDatabase(pool._pool)
    await pool.close()


def caller(person_id: str, merchant_id: str) -> Caller:
    return Caller(
        subject=person_id,
        name=person_id,
        merchant_id=merchant_id,
        roles=frozenset({"merchant_admin"}),
        locale="fr",
        acr="",
        auth_time=None,
        csrf=None,
        via="bearer",
        request_id="",
        ip="",
        user_agent="",
    )


async def removals(scene: Scene, money: StepDatabase, seed: int) -> None:
    """Three administrators of one merchant, each of whom removes another, or steps down."""
    rng = random.Random(seed)
    merchant_id = f"merchant-{seed}"
    await a_merchant(scene.owner, id_=merchant_id)
    people = [f"admin-{seed}-{n}" for n in range(rng.choice((2, 3)))]
    for each in people:
        await a_person(scene.owner, id_=each, name=each, merchant_id=merchant_id)

    async def remove(by: str, whom: str) -> None:
        async with money.transaction("schedule.remove", merchant_id=merchant_id) as tx:
            with contextlib.suppress(LastAdmin, Forbidden):
                roles = frozenset[str](rng.choice(((), ("merchant_support",))))
                await team_commands.set_roles(tx, caller(by, merchant_id), whom, roles, now=NOW)

    pairs = list(zip(people, [*people[1:], people[0]], strict=True))
    await interleave(seed, scene.observer, [lambda pair=pair: remove(*pair) for pair in pairs])

    left = await scene.observer.fetchval(_ADMINS, merchant_id)
    assert left == 1, f"seed {seed}: {left} administrators are left"


async def test_no_order_of_statements_leaves_a_merchant_without_an_administrator(
    scene: Scene, money: StepDatabase
):
    for seed in range(SEEDS):
        await removals(scene, money, seed)

    assert await scene.observer.fetchval("select count(*) from tenancy.merchants") >= SEEDS


async def test_without_the_lock_some_order_does(
    scene: Scene, money: StepDatabase, monkeypatch: pytest.MonkeyPatch
):
    unlocked: Query[Any] = Query(
        "select merchant_id, timezone, locale, default_currency, payout_schedule,"
        " dashboard_config, daily_refund_limit, monthly_refund_limit, updated_at"
        " from merchant.merchant_dashboards where merchant_id = :merchant_id",
        row=settings_store.SettingsRow,
    )
    monkeypatch.setattr(settings_store, "LOCK", unlocked)

    async def every_schedule() -> None:
        for seed in range(TWIN_SEEDS_MAX):
            await removals(scene, money, seed)

    with pytest.raises(AssertionError, match="0 administrators are left"):
        await every_schedule()
