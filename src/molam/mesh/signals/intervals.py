"""Whether intervals of predictions have held, and how wide the next ones are made for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import timedelta
from decimal import Decimal

from molam.mesh.signals import interval_store, metrics
from molam.mesh.signals.interval_store import EndedRow, StateRow
from molam.mesh.signals.model import Key
from molam.platform.db import Database, Tx
from molam.sira.health import Forecast, widened
from molam.sira.health_calibration import COVERAGE, Adaptive, learn, widening

LATE_MINUTES = 5
"""Signals may come this late and still be looked at."""
SEEN_MIN = 20
"""Of fewer tries, nothing is said about an hour."""
KEPT = 0.998
"""Counts fade so that they tell of about the last five hundred."""

_APART = timedelta(minutes=1)
_ROUNDED = 0.005
_AT_ONCE = 2000


async def judge_ended(db: Database) -> None:
    """Learn from predictions whose window has passed, each once."""
    async with db.transaction("mesh.judge_intervals") as tx:
        ended = await tx.all(interval_store.LIST_ENDED, late_min=LATE_MINUTES, limit=_AT_ONCE)
        banks = sorted({each.bank_profile_id for each in ended})
        known = await tx.all(interval_store.LIST_STATES, bank_ids=banks)
        states = {_key(each): each for each in known}
        changed = learnt(states, ended)
        if changed:
            rows = [asdict(changed[key]) for key in sorted(changed)]
            await tx.run(interval_store.PUT_STATES, rows=rows)
        found = await tx.one(interval_store.FIND_COVERAGE)
    if found is not None and found.share is not None:
        metrics.COVERAGE.set(found.share)


def learnt(states: dict[Key, StateRow], ended: Iterable[EndedRow]) -> dict[Key, StateRow]:
    """Return the states that *ended* changes. Predictions of one minute count as one."""
    changed: dict[Key, StateRow] = {}
    for each in ended:
        key = _key(each)
        state = changed.get(key) or states.get(key)
        if state is None:
            state = StateRow(*key, 1 - COVERAGE, 0.0, 0.0, each.created_at - _APART)
        if each.created_at - state.judged_upto < _APART:
            continue
        state = replace(state, judged_upto=each.created_at)
        changed[key] = state if each.seen < SEEN_MIN else _judged(state, held=_has_held(each))
    return changed


def _has_held(row: EndedRow) -> bool:
    came = float(100 * (1 - row.failed / Decimal(row.seen)))
    return row.low - _ROUNDED <= came <= row.high + _ROUNDED


def _judged(state: StateRow, *, held: bool) -> StateRow:
    return replace(
        state,
        alpha=learn(Adaptive(state.alpha), missed=not held).alpha,
        judged=state.judged * KEPT + 1,
        held=state.held * KEPT + held,
    )


async def drawn_out(tx: Tx, forecast: Forecast, key: Key) -> Forecast:
    """Make the interval of *forecast* as wide as it has to be to hold four times in five."""
    bank, rail, currency = key
    state = await tx.one(interval_store.FIND_STATE, bank_id=bank, rail=rail, currency=currency)
    return forecast if state is None else widened(forecast, widening(Adaptive(state.alpha)))


def _key(row: EndedRow | StateRow) -> Key:
    return row.bank_profile_id, row.rail, row.currency
