"""Writing down what happens to alerts."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from molam.alerts.episodes import store
from molam.platform.db import Tx


class Moves:
    """Collects what happens to alerts in one transaction, and writes it at once."""

    def __init__(self) -> None:
        self._rows: list[tuple[UUID, str, str, Mapping[str, object]]] = []

    def add(
        self, alert_id: UUID, moved: str, by: str, details: Mapping[str, object] | None = None
    ) -> None:
        self._rows.append((alert_id, moved, by, details or {}))

    @property
    def alert_ids(self) -> set[UUID]:
        return {alert_id for alert_id, _, _, _ in self._rows}

    async def write(self, tx: Tx) -> None:
        """Write them, and let open pages know."""
        if not self._rows:
            return
        await tx.run(
            store.ADD_MOVES,
            alert_ids=[each[0] for each in self._rows],
            moves=[each[1] for each in self._rows],
            by_whom=[each[2] for each in self._rows],
            details=[dict(each[3]) for each in self._rows],
        )
        await tx.one(store.NOTIFY)
        self._rows = []
