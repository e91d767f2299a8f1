"""Once an hour: does the model that serves still know the world it predicts?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from molam.platform.db import Database
from molam.platform.jobs import Cron
from molam.sira import drift, registry
from molam.sira.drift import DriftState, Outcome
from molam.sira.health_model import HealthModel
from molam.sira.registry import ModelRefused
from molam.sira.training import history
from molam.sira.training.dataset import EVERY_MIN, Rows, rows_of

DAYS = 8
"""A week that vectors look back on, and the day that is looked at."""
WINDOW_MINUTES = 60

_log = structlog.get_logger()


def crons(home: Path) -> Sequence[Cron]:
    """Return what is done by the clock, for the models under *home*."""

    async def watch(db: Database) -> None:
        await look(db, home)

    return (Cron("sira.watch_drift", "17 * * * *", watch),)


async def look(db: Database, home: Path) -> drift.Verdict | None:
    """Learn from the hours since the last look; None where no model serves."""
    try:
        version = registry.current_version(home)
        model = registry.open_folder(registry.models_folder(home) / version) if version else None
    except ModelRefused:
        return None
    if version is None or model is None or not model.serves:
        return None
    state = registry.kept_drift(home, version) or DriftState(version)
    stretches = await history.recorded(db, days=DAYS)
    # Seconds of figures; other jobs of this process go on meanwhile.
    await asyncio.to_thread(lambda: review(model, rows_of(stretches), state))
    registry.keep_drift(home, version, state)
    verdict = drift.verdict(state, model)
    if verdict.is_alert:
        _log.warning(
            "health model drifts",
            version=version,
            reason=verdict.reason,
            psi=round(verdict.psi_max, 3),
            frozen=verdict.is_frozen,
        )
    return verdict


def review(model: HealthModel, rows: Rows, state: DriftState) -> None:
    """Let *state* learn from all rows that are later than what it has seen."""
    head = model.head("failure", WINDOW_MINUTES)
    if head is None:
        return
    window = rows.windows[head.window_minutes]
    for place, at in enumerate(rows.at):
        tries = window.tries[place]
        if at <= state.until or not tries:
            continue
        vector = rows.vectors[place]
        outcome = Outcome(
            at=at,
            witness=EVERY_MIN / 60,
            share=window.bad[place] / tries,
            by_model=head.probability(vector),
            by_filter=window.by_filter[place],
        )
        drift.observe(state, model, vector, outcome)
    state.until = max([state.until, *rows.at])
