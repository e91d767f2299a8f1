"""Whatever the order of their statements, sessions that meet end in the same books and figures."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import scenarios
from scenarios import Scenario, Scene
from twins import TWINS, Twin

SEEDS = 40
TWIN_SEEDS_MAX = 200


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    async with scenarios.scene(dsn) as made:
        yield made


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda each: each.__name__)
async def test_no_order_of_statements_breaks(scene: Scene, scenario: Scenario):
    for seed in range(SEEDS):
        await scenario(scene, seed)

    assert await scene.observer.fetchval("select count(*) from tenancy.merchants") >= SEEDS


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name.replace(" ", "-"))
async def test_some_order_of_statements_breaks_when(scene: Scene, twin: Twin):
    found = ""
    with twin.in_place():
        for seed in range(TWIN_SEEDS_MAX):
            try:
                await twin.scenario(scene, seed)
            except AssertionError as failure:
                found = str(failure)
                break

    assert re.search(twin.says, found), found or f"nothing fails in {TWIN_SEEDS_MAX} seeds"
