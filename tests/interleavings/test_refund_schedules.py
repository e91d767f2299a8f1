"""Whatever the order of their statements, nobody is given back more than was paid, nor twice."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import refund_scenarios as scenarios
from refund_scenarios import Scenario, Scene
from refund_twins import TWINS, Twin

SEEDS = 12
TWIN_SEEDS_MAX = 100


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    async with scenarios.scene(dsn) as made:
        yield made


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda each: each.__name__)
async def test_no_order_of_statements_gives_back_too_much(scene: Scene, scenario: Scenario):
    for seed in range(SEEDS):
        await scenario(scene, seed)

    assert await scene.observer.fetchval("select count(*) from payments.refunds") >= SEEDS


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name.replace(" ", "-"))
async def test_some_order_of_statements_gives_back_too_much_when(scene: Scene, twin: Twin):
    found = ""
    with twin.in_place():
        for seed in range(TWIN_SEEDS_MAX):
            try:
                await twin.scenario(scene, seed)
            except AssertionError as failure:
                found = str(failure)
                break

    assert re.search(twin.says, found), found or f"nothing fails in {TWIN_SEEDS_MAX} seeds"
