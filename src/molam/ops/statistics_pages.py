"""How well deciding works: how fast, how often in vain, and how many people it hangs on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import store as approvals
from molam.ops import permissions
from molam.ops import statistics_store as store
from molam.ops.shell import framed
from molam.ops.views import approvals_needed
from molam.platform.web import Caller, Routes

routes = Routes()


class StatisticsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    days: Literal["7", "30", "90"] = "30"


@dataclass(frozen=True, slots=True)
class Total:
    """The figures at the top. *self_refused* counts attempts that were refused."""

    actions: int
    open: int
    expired: int
    expired_share: float | None
    failed: int
    failed_share: float | None
    p50_s: float | None
    p90_s: float | None
    self_refused: int
    emergencies: int
    reviews_due: int
    critical_votes: int
    fast_critical: int


@dataclass(frozen=True, slots=True)
class Spare:
    """How many of those who can decide may be away before a policy cannot be met."""

    name: str
    people: int
    spare: int


@routes.get("/ops/statistics", needs=permissions.STATISTICS, page=True, query=StatisticsQuery)
async def statistics(request: Request, caller: Caller, query: StatisticsQuery) -> Response:
    """Show how fast actions are decided, and what could go wrong with that."""
    db, days = request.app.state.db, int(query.days)
    total, types, haste, refused, glass, pairs, policies, holders = await asyncio.gather(
        db.read(store.TOTAL, days=days),
        db.read(store.BY_TYPE, days=days),
        db.read(store.HASTE, days=days),
        db.read(store.SELF_REFUSED, days=days),
        db.read(store.EMERGENCIES, days=days),
        db.read(store.PAIRS, days=days),
        db.read(approvals.LIST_ENABLED_POLICIES),
        db.read(store.HOLDERS),
    )
    return await framed(
        request,
        caller,
        "statistics.html",
        place="statistics",
        days=days,
        total=_total(total[0], haste[0], refused[0], glass[0]),
        types=types,
        pairs=pairs,
        spare=sorted(
            (spare_of(policy, holders) for policy in policies), key=lambda each: each.spare
        ),
    )


def _total(
    row: store.TotalRow,
    haste: store.HasteRow,
    refused: store.CountRow,
    glass: store.EmergencyRow,
) -> Total:
    return Total(
        actions=row.actions,
        open=row.open,
        expired=row.expired,
        expired_share=row.expired_share,
        failed=row.failed,
        failed_share=row.failed_share,
        p50_s=row.p50_s,
        p90_s=row.p90_s,
        self_refused=refused.count,
        emergencies=glass.emergencies,
        reviews_due=glass.reviews_due,
        critical_votes=haste.critical_votes,
        fast_critical=haste.fast_critical,
    )


def spare_of(policy: approvals.PolicyRow, holders: Sequence[store.HolderRow]) -> Spare:
    """
    Count who could be missing from a policy's electorate.

    Whoever asks may not vote, so one of them is always away already.
    """
    quorum = policy.policy.get("required_quorum", {})
    people = people_for(quorum, holders)
    return Spare(policy.name, len(people), len(people) - 1 - approvals_needed(quorum))


def people_for(quorum: object, holders: Sequence[store.HolderRow]) -> list[str]:
    """Name everybody who could fill a place of *quorum*, in the specification's shape."""
    roles, people = _named(quorum)
    return [
        each.name for each in holders if roles.intersection(each.roles) or each.person_id in people
    ]


def _named(quorum: object) -> tuple[set[str], set[str]]:
    if not isinstance(quorum, dict):
        return set(), set()
    value = quorum.get("value", quorum)
    if isinstance(value, list):
        parts = [_named(part) for part in value]
        return (
            set().union(*(roles for roles, _ in parts)),
            set().union(*(people for _, people in parts)),
        )
    if not isinstance(value, dict):
        return set(), set()
    roles = {value["role"]} if "role" in value else set()
    return (
        roles | set(value.get("roles", ())),
        {*value.get("users", ()), *value.get("pool", ())},
    )
