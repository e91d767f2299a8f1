"""Drills as the control room runs them: the same as ``molam drill outage``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from molam.kernel.clock import Clock
from molam.platform.db import Database
from molam.simulator import drill, drill_store
from molam.simulator.drill_store import DrillRow, TimelineRow
from molam.simulator.profiles import DRILLED

_BANKS_MAX = 100


class DrillDesk:
    """What the control room asks of the simulator."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def banks(self) -> Sequence[tuple[str, str]]:
        """List the simulated banks that a drill can break, by id and name."""
        rows = await self._db.read(
            drill_store.LIST_BREAKABLE, currency=DRILLED.currency, limit=_BANKS_MAX
        )
        return [(row.id, row.name) for row in rows]

    async def start(
        self, bank: str, *, severity: Decimal, minutes: int, payouts: int, by: str
    ) -> str:
        """
        Raises:
            DrillRefused: it cannot be broken now.
        """
        wish = drill.Wish(bank, severity, minutes, payouts, started_by=by)
        if bank not in {id_ for id_, _ in await self.banks()}:
            raise drill.DrillRefused("Only simulated banks are broken on purpose.", bank=bank)
        return await drill.start(self._db, self._clock, wish)

    async def stop(self, drill_id: str) -> None:
        await drill.stop(self._db, drill_id)

    async def find(self, drill_id: str) -> DrillRow | None:
        return await drill.find(self._db, drill_id)

    async def newest(self, limit: int) -> Sequence[DrillRow]:
        return await drill.list_newest(self._db, limit=limit)

    async def progress(self, drill_id: str) -> TimelineRow | None:
        return await drill.timeline(self._db, drill_id)
