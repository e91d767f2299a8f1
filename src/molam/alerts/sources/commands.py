"""Telling what was measured: what has changed, and now and then what has not."""

from __future__ import annotations

from collections.abc import Sequence

from molam.alerts.rules import commands as rules
from molam.alerts.rules.model import Sample
from molam.alerts.sources import metrics, store
from molam.alerts.sources.model import Measured
from molam.platform.db import Tx

HEARTBEAT_S = 300
"""A value that stays is told again after so long, so that silence means a broken source."""

_AT_ONCE_MAX = 1000


async def tell(
    tx: Tx, measured: Sequence[Measured], *, heartbeat_s: float | None = HEARTBEAT_S
) -> int:
    """
    Publish those of *measured* that are news, and return how many that were.

    With no *heartbeat_s* a value that stays is never told again.
    """
    told = 0
    for first in range(0, len(measured), _AT_ONCE_MAX):
        told += await _tell(tx, measured[first : first + _AT_ONCE_MAX], heartbeat_s)
    metrics.TOLD.inc(told)
    return told


async def _tell(tx: Tx, measured: Sequence[Measured], heartbeat_s: float | None) -> int:
    by_key = {
        (each.metric, each.tenant_type, each.tenant_id or "", each.currency or ""): each
        for each in measured
    }
    keys = sorted(by_key)
    news = await tx.all(
        store.TAKE_NEWS,
        metrics=[key[0] for key in keys],
        tenant_types=[key[1] for key in keys],
        tenant_ids=[key[2] for key in keys],
        currencies=[key[3] for key in keys],
        values=[by_key[key].value for key in keys],
        ats=[by_key[key].at for key in keys],
        heartbeat_s=heartbeat_s,
    )
    found = [by_key[row.metric, row.tenant_type, row.tenant_id, row.currency] for row in news]
    if found:
        samples = [_sample(each) for each in found]
        await rules.publish(tx, samples, now=max(each.at for each in found))
    return len(found)


def _sample(each: Measured) -> Sample:
    return Sample(
        metric=each.metric,
        value=each.value,
        tenant_type=each.tenant_type,
        tenant_id=each.tenant_id,
        currency=each.currency,
        at=each.at,
        context=each.context,
    )
