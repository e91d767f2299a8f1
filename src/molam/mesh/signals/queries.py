"""Questions about what is believed of banks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import msgspec

from molam.mesh.signals import opinions, store
from molam.mesh.signals.model import DECLARED_P_DOWN, HealthRow
from molam.mesh.signals.opinions import Observation, Opinion
from molam.platform.db import Tx
from molam.sira.health_filter import Belief, advance, doubted, expected_failure, p_down

ROWS_MAX = 1000
REGIONS = "regions"
"""Under this name what other regions say is among what a belief stands on."""

_HORIZON_S = 3600.0
_OURS = ""


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
    """Read a row as it is meant: decoded, and with what was announced and said elsewhere."""
    belief = msgspec.convert(record.belief, Belief)
    down, score, low = record.p_down, record.score, record.score_low
    if record.is_announced_down:
        down = max(down, DECLARED_P_DOWN)
        score = min(score, Decimal(100 * (1 - DECLARED_P_DOWN)).quantize(Decimal("0.01")))
        low = min(low, score)
    row = HealthRow(
        bank_profile_id=record.bank_profile_id,
        rail=record.rail,
        currency=record.currency,
        belief=belief,
        p_down=down,
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
        seen=belief,
        silent_since=record.silent_since,
    )
    return _doubted(row, record)


def _doubted(row: HealthRow, record: store.HealthRecord) -> HealthRow:
    """Doubt a bank as far as other regions make us; see Note [Doubt, and never trust]."""
    found = _opinion(row, record)
    if found is None:
        return row
    now = advance(row.belief, record.read_at.timestamp())
    belief = doubted(now, found.p_down, REGIONS)
    score = Decimal(100 * (1 - expected_failure(belief, _HORIZON_S))).quantize(Decimal("0.01"))
    return replace(
        row,
        belief=belief,
        p_down=found.p_down,
        score=min(row.score, score),
        score_low=min(row.score_low, score),
        doubted_by=found.doubted_by,
    )


def _opinion(row: HealthRow, record: store.HealthRecord) -> Opinion | None:
    if not record.said_elsewhere or row.last_signal_at is None:
        return None
    ours = p_down(advance(row.belief, record.read_at.timestamp()))
    age_s = opinions.our_age((record.read_at - row.last_signal_at).total_seconds())
    others = [
        Observation(
            each["observer"],
            float(each["p_down"]),
            float(each["age_s"]),
            opinions.trust(
                float(each["squared_error"]),
                float(each["squared_error_climatology"]),
                int(each["judged"]),
            ),
        )
        for each in record.said_elsewhere
    ]
    announced = DECLARED_P_DOWN if row.is_announced_down else 0.0
    return opinions.opinion(Observation(_OURS, max(ours, announced), age_s), others)
