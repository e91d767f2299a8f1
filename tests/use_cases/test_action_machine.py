from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from unittest.mock import patch

import pytest

from action_walk import Walk
from molam.approvals import claims, voting
from molam.approvals.claims import NoLongerApproved
from molam.platform.db import Database

STEPS = 150


@pytest.mark.parametrize("seed", range(4))
async def test_the_engine_does_what_the_model_does_and_what_the_page_foretells(
    db: Database, ops_db: Database, seed: int
):
    walk = Walk(db, ops_db, seed)
    await walk.begin()

    await walk.run(STEPS)

    assert walk.seen["execute: ok"] > 0


def _no_second_count() -> AbstractContextManager[object]:
    was = claims.refusal_to_execute

    def refusal_to_execute(*given, **named):
        refusal = was(*given, **named)
        return None if isinstance(refusal, NoLongerApproved) else refusal

    return patch.object(claims, "refusal_to_execute", refusal_to_execute)


CONTROLS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "votes do not look at the time": lambda: patch.object(voting, "settle", lambda *_: False),
    "a claim does not count again": _no_second_count,
    "a vote decides nothing": lambda: patch.object(voting, "conclude", lambda *_: None),
}


@pytest.mark.parametrize("control", CONTROLS)
async def test_the_model_notices_when(db: Database, ops_db: Database, control: str):
    walk = Walk(db, ops_db, 3)
    await walk.begin()

    with CONTROLS[control](), pytest.raises(AssertionError, match="seed 3, step"):
        await walk.run(1000)
