"""Changing how many requests an hour are allowed, once enough people agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Database, Tx
from molam.platform.web import rate_limits

_LIMIT_MAX = 1_000_000


class AdjustRateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests an hour for each caller, of the kind *name*."""

    limit: Annotated[int, Meta(ge=1, le=_LIMIT_MAX)]
    name: str = rate_limits.OPS_READ.name

    def __post_init__(self) -> None:
        if self.name not in rate_limits.LIMITS:
            raise ValueError(f"name is one of {', '.join(rate_limits.LIMITS)}")


async def _plan(tx: Tx, params: AdjustRateLimit) -> Plan:
    old = await rate_limits.in_force(tx, rate_limits.LIMITS[params.name])
    return Plan(
        target_name=params.name,
        changes=(Change("requests_per_hour", old, params.limit),),
        reversible=True,
        expect={"limit": old},
        effects=("limit_counts_from_this_hour",),
    )


async def _apply(tx: Tx, execution: Execution[AdjustRateLimit]) -> Outcome:
    params = execution.params
    limit = rate_limits.LIMITS[params.name]
    now = await rate_limits.lock(tx, limit, by=execution.executed_by)
    old = execution.expect.get("limit")
    # Set to the wanted number already: by this very execution, or to the same end.
    if now != params.limit:
        if now != old:
            raise PreconditionChanged(f"Approved when the limit was {old}; now it is {now}.")
        await rate_limits.adjust(tx, limit, old=now, new=params.limit, by=execution.executed_by)
    return Outcome(
        {"adjusted": True, "limit": params.limit, "name": params.name, "old_limit": old},
        (Change("requests_per_hour", old, params.limit),),
    )


async def _holds(db: Database, params: AdjustRateLimit) -> bool:
    async with db.transaction("rate_limits.verify", readonly=True) as tx:
        return await rate_limits.in_force(tx, rate_limits.LIMITS[params.name]) == params.limit


def _undo(
    params: AdjustRateLimit, result: Mapping[str, object]
) -> tuple[str, dict[str, object]] | None:
    old = result.get("old_limit")
    if old is None:
        return None
    return "ADJUST_RATE_LIMIT", {"limit": old, "name": params.name}


def _title(params: AdjustRateLimit, locale: str) -> str:
    if locale == "fr":
        return f"Fixer la limite {params.name} à {params.limit} demandes par heure"
    return f"Set the limit {params.name} to {params.limit} requests an hour"


ACTIONS = (
    ActionType(
        name="ADJUST_RATE_LIMIT",
        params=AdjustRateLimit,
        risk="medium",
        title=_title,
        target=lambda params: Target("platform", f"rate-limit/{params.name}"),
        plan=_plan,
        apply=_apply,
        verify=_holds,
        compensate=_undo,
    ),
)
