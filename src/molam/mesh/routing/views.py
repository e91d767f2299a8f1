"""What the API says of proposals and simulations."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.mesh.routing.model import Simulation, Status
from molam.mesh.routing.store import ProposalRow
from molam.platform.web.wire import CurrencyCode, Identifier, Minor

Rail = Annotated[
    str,
    Meta(
        pattern=r"^(bank|wallet:[a-z0-9_]{2,32})\Z",
        max_length=39,
        description="bank, or a wallet such as wallet:wave",
    ),
]
REQUIRED = ("mesh_region_id", "currency")


class GenerateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A route to propose. The region is an id or a name; bounds are minor units, both included."""

    mesh_region_id: Identifier | None = None
    currency: CurrencyCode | None = None
    min_amount: Minor = 0
    max_amount: Minor | None = None
    rail: Rail = "bank"
    reason: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class ProposalsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None
    status: Status | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 100
    cursor: str | None = None


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal: *proposal* is what was decided, and with the rest of it what was signed."""

    id: str
    mesh_region_id: str
    currency: str
    rail: str
    kind: str
    min_amount: int
    max_amount: int | None
    proposal: dict[str, Any]
    status: str
    from_bank_profile_id: str | None
    to_bank_profile_id: str | None
    confidence: Decimal
    p_down: float
    simulation_results: dict[str, Any] | None
    simulated_at: datetime | None
    created_by: str
    reviewed_by: str | None
    reviewed_at: datetime | None
    applied_at: datetime | None
    rolled_back_at: datetime | None
    rollback_reason: str | None
    rejected_reason: str | None
    sira_signature: str
    ops_action_id: str | None
    rollback_action_id: str | None
    policy_id: str | None
    policy_version: int | None
    shift_share: int
    last_failure: str | None
    created_at: datetime
    expires_at: datetime


class ProposalAnswer(msgspec.Struct, frozen=True):
    ok: bool
    proposal: ProposalView


class ProposalsAnswer(msgspec.Struct, frozen=True):
    ok: bool
    proposals: list[ProposalView]
    has_more: bool
    next_cursor: str | None


class SimulationAnswer(msgspec.Struct, frozen=True):
    ok: bool
    proposal_id: str
    status: str
    simulation: Simulation


def proposal_view(row: ProposalRow) -> ProposalView:
    return ProposalView(
        id=row.id,
        mesh_region_id=row.mesh_region_id,
        currency=row.currency,
        rail=row.rail,
        kind=row.kind,
        min_amount=row.min_amount,
        max_amount=row.max_amount,
        proposal=row.proposal,
        status=row.status,
        from_bank_profile_id=row.from_bank_id,
        to_bank_profile_id=row.to_bank_id,
        confidence=row.confidence,
        p_down=row.p_down,
        simulation_results=row.simulation_results,
        simulated_at=row.simulated_at,
        created_by=row.created_by,
        reviewed_by=row.reviewed_by,
        reviewed_at=row.reviewed_at,
        applied_at=row.applied_at,
        rolled_back_at=row.rolled_back_at,
        rollback_reason=row.rollback_reason,
        rejected_reason=row.rejected_reason,
        sira_signature=row.sira_signature,
        ops_action_id=row.ops_action_id,
        rollback_action_id=row.rollback_action_id,
        policy_id=row.policy_id,
        policy_version=row.policy_version,
        shift_share=row.shift_share,
        last_failure=row.last_failure,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
