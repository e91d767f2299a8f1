"""Reads what has been recorded of banks into stretches to train on."""

from __future__ import annotations

from collections.abc import Sequence

from molam.platform.db import Database
from molam.sira.features import MINUTE_S, Minute
from molam.sira.training import store
from molam.sira.training.dataset import Stretch
from molam.sira.training.store import MaintenanceRow, MinuteRow, PairRow


async def recorded(db: Database, *, days: int) -> list[Stretch]:
    """Return the last *days* of every bank, rail and currency that has a health log."""
    async with db.transaction("training.history", readonly=True) as tx:
        pairs = await tx.all(store.LIST_PAIRS, days=days)
        planned = await tx.all(store.LIST_MAINTENANCE, days=days)
    found = []
    for pair in pairs:
        async with db.transaction("training.minutes", readonly=True) as tx:
            rows = await tx.all(
                store.LIST_MINUTES,
                bank_profile_id=pair.bank_profile_id,
                rail=pair.rail,
                currency=pair.currency,
                days=days,
            )
        found.append(_stretch(pair, rows, pairs, planned))
    return found


def _stretch(
    pair: PairRow,
    rows: Sequence[MinuteRow],
    pairs: Sequence[PairRow],
    planned: Sequence[MaintenanceRow],
) -> Stretch:
    return Stretch(
        bank=_name(pair),
        minutes=[_minute(row) for row in rows],
        country=pair.country,
        neighbours=frozenset(
            _name(other)
            for other in pairs
            if other.bank_profile_id != pair.bank_profile_id
            and set(other.domains) & set(pair.domains)
        ),
        maintenance=[
            (each.begins_at.timestamp(), each.ends_at.timestamp())
            for each in planned
            if each.bank_profile_id == pair.bank_profile_id
            and each.rail in {None, pair.rail}
            and each.currency in {None, pair.currency}
        ],
    )


def _name(pair: PairRow) -> str:
    return f"{pair.bank_profile_id}/{pair.rail}/{pair.currency}"


def _minute(row: MinuteRow) -> Minute:
    return Minute(
        at=row.checked_at.timestamp() // MINUTE_S * MINUTE_S,
        attempts=row.attempts,
        failures=row.failures,
        sla_misses=row.sla_misses,
        timeouts=row.timeouts,
        probes=row.probes,
        probe_failures=row.probe_failures,
        latency_sum_ms=row.latency_sum_ms,
        latency_max_ms=row.latency_max_ms,
        latencies=row.latencies,
        p_down=row.p_down,
    )
