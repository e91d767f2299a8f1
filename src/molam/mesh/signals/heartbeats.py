"""Heartbeats of banks that send some: heard, and missed where they stop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import structlog

from molam.mesh.signals import heartbeat_store
from molam.mesh.signals.folding import instant
from molam.mesh.signals.heartbeat_store import HeartbeatRow
from molam.platform.db import Tx
from molam.sira.health_heartbeat import Heartbeats, beat, is_known, is_silent

log = structlog.get_logger()

BANKS_MAX = 1000

# Note [When beats stop]
#
# Nobody has to send heartbeats. Whoever does, and then stops, is doubted: each minute of
# silence counts as half a failure, until the bank is as likely down as up. That leads no
# payout away, but none is led there, and a bank that was left does not return. Payments
# and probes go on speaking for themselves. If all who send any fall silent at once, it is
# more likely that we do not hear, and nobody is doubted.


async def hear(tx: Tx, beats: Iterable[tuple[str, float]]) -> None:
    """Take in beats: (bank, Unix seconds)."""
    heard: dict[str, list[float]] = defaultdict(list)
    for bank, at in beats:
        heard[bank].append(at)
    if not heard:
        return
    rows = await tx.all(heartbeat_store.LOCK, bank_ids=sorted(heard), limit=BANKS_MAX)
    known = {row.bank_profile_id: _state(row) for row in rows}
    for bank in sorted(heard):
        state = known.get(bank, Heartbeats())
        for at in sorted(heard[bank]):
            state = beat(state, at)
        assert state.last is not None
        await tx.run(
            heartbeat_store.PUT, bank_id=bank, last_at=instant(state.last), gaps=list(state.gaps)
        )


async def silent(tx: Tx, *, now: float) -> list[str]:
    """Name the banks whose heartbeats have stopped, and remember since when."""
    rows = await tx.all(heartbeat_store.LOCK, bank_ids=None, limit=BANKS_MAX)
    beating = [row for row in rows if is_known(_state(row))]
    found = [row.bank_profile_id for row in beating if is_silent(_state(row), now)]
    if len(beating) > 1 and len(found) == len(beating):
        log.warning("mesh.heartbeats.all_silent", banks=len(found))
        return []
    if found:
        await tx.run(heartbeat_store.SET_SILENT, bank_ids=found)
    return found


def _state(row: HeartbeatRow) -> Heartbeats:
    return Heartbeats(row.last_at.timestamp(), tuple(row.gaps))
