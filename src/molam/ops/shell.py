"""The console's frame: navigation with what waits, the reader's zone, what was just done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.policy.names import policy_in
from molam.notices import queries as notices
from molam.ops import permissions, store
from molam.platform.db import Database
from molam.platform.web import Caller
from molam.platform.web.framing import (
    FILTERS,
    Said,
    may,
    zone_of,
)
from molam.platform.web.templating import Templates

__all__ = [
    "SIGN_OUT_PATH",
    "TEMPLATES",
    "Nav",
    "Said",
    "framed",
    "may",
    "said",
    "turn_count",
    "zone_of",
]

SIGN_OUT_PATH = "/auth/sign-out"

_GOOD = frozenset(
    {
        "voted-approve",
        "voted-reject",
        "voted-abstain",
        "withdrawn",
        "commented",
        "widget-removed",
        "created",
        "executed",
        "executing",
        "cancelled",
        "reported",
        "read",
        "saved",
        "policy-saved",
        "policy-proposed",
        "quiet-proposed",
        "policy-deleted",
        "delegated",
        "delegation-ended",
        "frozen",
        "passkey-added",
        "passkey-removed",
        "emergency-executed",
        "reviewed",
        "evidence-added",
        "statement-imported",
        "statement-discarded",
        "line-matched",
        "line-unmatched",
        "day-closed",
        "item-explained",
        "acknowledged",
        "noted",
        "alert-resolved",
        "alert-silenced",
        "silenced",
        "silence-ended",
        "rule-saved",
    }
)
_BAD = frozenset(
    {
        "replayed",
        "policy-waits",
        "failed",
        "stale-view",
        "reason-short",
        "reason-missing",
        "confirmation-wrong",
        "read-first",
        "confirm-again",
        "outcome-unknown",
        "statement-known",
        "no-remedy",
        "alert-over",
        "alert-taken",
        "silence-over",
    }
)


@dataclass(frozen=True, slots=True)
class Nav:
    turn: int
    unread: int
    policies: bool
    statistics: bool
    reconciliation: bool


TEMPLATES = Templates("molam.ops", filters={**FILTERS, "policy_in": policy_in})


def said(code: str | None) -> Said | None:
    """Read the word that a redirect left in the address; words we do not know say nothing."""
    if code in _GOOD:
        return Said(code, "green")
    return Said(code, "orange") if code in _BAD else None


async def turn_count(db: Database, caller: Caller) -> int:
    """Count what waits for a vote of *caller*, up to 100."""
    rows = await db.read(store.COUNT_TURN, person=caller.subject, roles=sorted(caller.roles))
    return rows[0].count


async def framed(
    request: Request,
    caller: Caller,
    name: str,
    *,
    place: str,
    live: bool | None = None,
    **context: object,
) -> Response:
    """Put a page into the console's frame. *live* is None where nothing could move."""
    db = request.app.state.db
    turn, unread = await asyncio.gather(
        turn_count(db, caller), notices.unread_count(db, caller.subject)
    )
    nav = Nav(
        turn=turn,
        unread=unread,
        policies=may(caller, permissions.VIEW_POLICIES),
        statistics=may(caller, permissions.STATISTICS),
        reconciliation=may(caller, permissions.RECONCILIATION),
    )
    return TEMPLATES.page(
        request,
        caller,
        name,
        place=place,
        live=live,
        nav=nav,
        zone=zone_of(request),
        sign_out_path=SIGN_OUT_PATH,
        **({"said": None} | context),
    )
