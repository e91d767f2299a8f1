from __future__ import annotations

import re
from collections.abc import AsyncIterator

import action_scenarios as scenarios
import pytest
from action_scenarios import Scenario, Scene
from action_twins import TWINS, Twin

SEEDS = 40
TWIN_SEEDS_MAX = 200


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    async with scenarios.scene(dsn) as made:
        yield made


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda each: each.__name__)
async def test_no_order_of_statements_gives_an_action_two_ends(scene: Scene, scenario: Scenario):
    for seed in range(SEEDS):
        await scenario(scene, seed)

    actions = await scene.observer.fetchval("select count(*) from approvals.ops_actions")
    assert actions >= SEEDS


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name.replace(" ", "-"))
async def test_some_order_of_statements_goes_wrong_when(scene: Scene, twin: Twin):
    found = ""
    with twin.in_place():
        for seed in range(TWIN_SEEDS_MAX):
            try:
                await twin.scenario(scene, seed)
            except AssertionError as failure:
                found = str(failure)
                break

    assert re.search(twin.says, found), found or f"nothing fails in {TWIN_SEEDS_MAX} seeds"
