"""Questions about what is believed of banks."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from molam.mesh.signals import store
from molam.mesh.signals.model import DECLARED_P_DOWN, HealthRow
from molam.platform.db import Tx
from molam.sira.health_filter import Belief

ROWS_MAX = 1000


async def health_of(
    tx: Tx,
    *,
    currency: str | None = None,
    rail: str | None = None,
    bank_ids: Sequence[str] | None = None,
) -> list[HealthRow]:
    """List what is believed of banks now, announced outages included; None means any."""
    found = await tx.all(
        store.LIST_HEALTH,
        currency=currency,
        rail=rail,
        bank_ids=None if bank_ids is None else list(bank_ids),
        limit=ROWS_MAX,
    )
    return [row_of(each) for each in found]


def row_of(record: store.HealthRecord) -> HealthRow:
    """Read a row as it is meant: the belief decoded, and the announcement believed."""
    belief = msgspec.convert(record.belief, Belief)
    p_down, score, low = record.p_down, record.score, record.score_low
    if record.is_announced_down:
        p_down = max(p_down, DECLARED_P_DOWN)
        score = min(score, Decimal(100 * (1 - DECLARED_P_DOWN)).quantize(Decimal("0.01")))
        low = min(low, score)
    return HealthRow(
        bank_profile_id=record.bank_profile_id,
        rail=record.rail,
        currency=record.currency,
        belief=belief,
        p_down=p_down,
        score=score,
        score_low=low,
        score_high=record.score_high,
        signals=record.signals,
        last_signal_at=record.last_signal_at,
        last_failure_at=record.last_failure_at,
        probes_ok_in_row=record.probes_ok_in_row,
        short_of_funds_until=record.short_of_funds_until,
        mode=record.mode,
        left_at=record.left_at,
        better_since=record.better_since,
        penalty=record.penalty,
        penalty_at=record.penalty_at,
        strikes=record.strikes,
        version=record.version,
        updated_at=record.updated_at,
        outage_until=record.outage_until,
        is_announced_down=record.is_announced_down,
        heard_p_down=record.p_down,
    )
