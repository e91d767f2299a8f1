"""The control room as wiring mounts it: every page."""

from __future__ import annotations

from molam.mesh.room import (
    action_pages,
    bank_pages,
    corridor_pages,
    deciding_pages,
    drill_pages,
    federation_pages,
    liquidity_pages,
    live,
    member_pages,
    overview_pages,
    payout_pages,
    policy_pages,
    proposal_pages,
    proposing_pages,
    recall_pages,
    reconciliation_pages,
    switch_pages,
    treasury_pages,
)
from molam.platform.web import Routes

PAGES: tuple[Routes, ...] = (
    overview_pages.routes,
    bank_pages.routes,
    # Before the page of one proposal, whose id could be anything.
    proposing_pages.routes,
    proposal_pages.routes,
    deciding_pages.routes,
    action_pages.routes,
    payout_pages.routes,
    recall_pages.routes,
    reconciliation_pages.routes,
    drill_pages.routes,
    treasury_pages.routes,
    liquidity_pages.routes,
    federation_pages.routes,
    corridor_pages.routes,
    member_pages.routes,
    policy_pages.routes,
    switch_pages.routes,
    live.routes,
)
