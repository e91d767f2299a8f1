"""What the API says of proposals and simulations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.mesh.routing.model import Simulation, Status
from molam.mesh.routing.outcome_store import OutcomeRow
from molam.mesh.routing.outcomes import Count, Stratum, Table, TrackRecord
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


class OutcomesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class MoveOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A move and what was seen of both banks in the hour after it, probes included."""

    proposal_id: str
    mesh_region_id: str
    currency: str
    rail: str
    from_bank_profile_id: str
    to_bank_profile_id: str
    applied_at: datetime
    is_automatic: bool
    is_drill: bool
    raw_confidence: Decimal | None
    confidence: Decimal
    from_seen: int
    from_failed: Decimal
    to_seen: int
    to_failed: Decimal
    outcome: str
    judged_at: datetime


class Moves(msgspec.Struct, frozen=True):
    """How moves came out; *precision* is the share of right ones among those that are known."""

    right: int
    wrong: int
    unknown: int
    precision: float | None


class Reliability(msgspec.Struct, frozen=True):
    """Moves made with a confidence from *low* to *high*: what was said, and what came."""

    low: float
    high: float
    moves: int
    mean_confidence: float
    share_right: float


class ConfidenceTable(msgspec.Struct, frozen=True):
    """What turns SIRA's confidence into how often it was right: points joined by lines."""

    digest: str
    stratum: Stratum
    fitted_at: datetime
    moves: int
    right: int
    confidence: tuple[float, ...]
    share_right: tuple[float, ...]


class OutcomesAnswer(msgspec.Struct, frozen=True):
    ok: bool
    automatic: Moves
    by_people: Moves
    reliability: list[Reliability]
    calibration: ConfidenceTable | None
    """Of ordinary moves."""
    emergency_calibration: ConfidenceTable | None
    """Of moves from a bank that was surely down; never mixed with the others."""
    outcomes: list[MoveOutcome]


def outcomes_view(rows: Sequence[OutcomeRow], record: TrackRecord) -> OutcomesAnswer:
    return OutcomesAnswer(
        ok=True,
        automatic=_moves(record.automatic),
        by_people=_moves(record.by_people),
        reliability=[
            Reliability(
                low=each.low,
                high=each.high,
                moves=each.moves,
                mean_confidence=round(each.mean_confidence, 4),
                share_right=round(each.right / each.moves, 4),
            )
            for each in record.bins
        ],
        calibration=_table(record.tables.get("ordinary")),
        emergency_calibration=_table(record.tables.get("emergency")),
        outcomes=[_outcome(row) for row in rows],
    )


def _table(table: Table | None) -> ConfidenceTable | None:
    if table is None:
        return None
    return ConfidenceTable(
        digest=table.digest,
        stratum=table.stratum,
        fitted_at=table.fitted_at,
        moves=table.moves,
        right=table.right_moves,
        confidence=table.calibration.margins,
        share_right=table.calibration.shares,
    )


def _moves(count: Count) -> Moves:
    share = count.precision
    return Moves(
        count.right, count.wrong, count.unknown, None if share is None else round(share, 4)
    )


def _outcome(row: OutcomeRow) -> MoveOutcome:
    return MoveOutcome(
        proposal_id=row.proposal_id,
        mesh_region_id=row.mesh_region_id,
        currency=row.currency,
        rail=row.rail,
        from_bank_profile_id=row.from_bank_id,
        to_bank_profile_id=row.to_bank_id,
        applied_at=row.applied_at,
        is_automatic=row.is_automatic,
        is_drill=row.is_drill,
        raw_confidence=row.raw,
        confidence=row.confidence,
        from_seen=row.from_seen,
        from_failed=row.from_failed,
        to_seen=row.to_seen,
        to_failed=row.to_failed,
        outcome=row.outcome,
        judged_at=row.judged_at,
    )


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
