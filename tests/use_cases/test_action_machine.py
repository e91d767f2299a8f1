from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from action_walk import Walk
from molam.approvals import claims, voting
from molam.approvals.claims import refusal_to_execute
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


def _refuses_no_lack_of_votes(*given, **named):
    refusal = refusal_to_execute(*given, **named)
    return None if isinstance(refusal, claims.NoLongerApproved) else refusal


CONTROLS: dict[str, tuple[ModuleType, str, Callable[..., object]]] = {
    "votes do not look at the time": (voting, "settle", lambda *_: False),
    "a claim does not count again": (claims, "refusal_to_execute", _refuses_no_lack_of_votes),
    "a vote decides nothing": (voting, "conclude", lambda *_: None),
}


@pytest.mark.parametrize("control", CONTROLS)
async def test_the_model_notices_when(
    db: Database, ops_db: Database, monkeypatch: pytest.MonkeyPatch, control: str
):
    walk = Walk(db, ops_db, 3)
    await walk.begin()
    monkeypatch.setattr(*CONTROLS[control])

    with pytest.raises(AssertionError, match="seed 3, step"):
        await walk.run(1000)
