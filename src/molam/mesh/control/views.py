"""What the API says of decisions, actions and reconciliations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.digests import decimal_text
from molam.mesh.control.log_store import ActionShownRow
from molam.mesh.control.model import Applied, RolledBack
from molam.mesh.control.reconcile_store import ReconciliationRow
from molam.mesh.control.world_store import VerdictRow
from molam.mesh.routing.views import ProposalView

ActionType = Literal[
    "apply_route", "rollback", "override", "failover", "manual_switch", "emergency_stop"
]
Status = Literal["pending", "matched", "unmatched", "disputed", "resolved"]
_Limit = Annotated[int, Meta(ge=1, le=100)]
_Text = Annotated[str, Meta(max_length=4000)]


class ApproveRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The hashes say what the voter was shown; without them the vote counts as well."""

    comment: _Text | None = None
    intent_hash: Annotated[str, Meta(max_length=64)] | None = None
    view_hash: Annotated[str, Meta(max_length=64)] | None = None


class RejectRequest(msgspec.Struct, forbid_unknown_fields=True):
    reason: _Text | None = None


class RollbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    reason: _Text | None = None
    """Required; it may be left out only to be told so."""


class Approval(msgspec.Struct):
    """The action that people vote on: how many have agreed, and of whom more are wanted."""

    action_id: str
    status: str
    votes: int
    votes_needed: int
    roles: list[str]
    expires_at: Instant


class DecisionAnswer(msgspec.Struct, omit_defaults=True):
    """*applied* or *rolled_back*: it is done. Otherwise *approval* says what is missing."""

    ok: bool
    message: str
    proposal: ProposalView
    approval: Approval | None = None
    applied: Applied | None = None
    rolled_back: RolledBack | None = None


class ActionView(msgspec.Struct):
    """Something that was done. *affected_payouts* names at most a hundred."""

    id: str
    action_type: str
    mesh_region_id: str | None
    routing_proposal_id: str | None
    payload: dict[str, Any]
    actor_type: str
    actor_id: str
    affected_payouts: list[str]
    affected_count: int
    affected_value: int
    affected_bank_profiles: list[str]
    result: str
    error_details: str | None
    timings_ms: dict[str, Any]
    started_at: Instant
    completed_at: Instant | None
    duration_ms: int | None
    idempotency_key: str
    created_at: Instant


class ActionsQuery(msgspec.Struct, forbid_unknown_fields=True):
    mesh_region_id: Annotated[str, Meta(max_length=255)] | None = None
    """An id or a name."""
    action_type: ActionType | None = None
    proposal_id: Annotated[str, Meta(max_length=255)] | None = None
    limit: _Limit = 100
    cursor: Annotated[str, Meta(max_length=2048)] | None = None


class ActionsAnswer(msgspec.Struct):
    ok: bool
    actions: list[ActionView]
    has_more: bool
    next_cursor: str | None = None


class ReconciliationView(msgspec.Struct):
    """A payout that was led to another bank, and what became of it. Amounts are minor units."""

    id: str
    payout_id: str
    mesh_region_id: str | None
    original_bank_profile_id: str | None
    original_treasury_account_id: str | None
    rerouted_bank_profile_id: str | None
    rerouted_treasury_account_id: str | None
    routing_proposal_id: str | None
    action_log_id: str
    original_amount: int
    original_currency: str
    rerouted_amount: int | None
    rerouted_currency: str | None
    fx_rate: str | None
    original_estimated_cost: int | None
    rerouted_estimated_cost: int | None
    actual_cost: int | None
    cost_delta: int | None
    original_estimated_settlement: Instant | None
    promised_settlement: Instant | None
    actual_settlement: Instant | None
    settlement_delta_seconds: int | None
    reconciliation_status: str
    outcome: str | None
    is_overdue: bool
    ledger_entry_ids: list[str]
    bank_statement_line_ids: list[str]
    metadata: dict[str, Any]
    created_at: Instant
    reconciled_at: Instant | None


class ReconciliationsQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: Status | None = None
    mesh_region_id: Annotated[str, Meta(max_length=255)] | None = None
    """An id or a name."""
    limit: _Limit = 100
    cursor: Annotated[str, Meta(max_length=2048)] | None = None


class PageQuery(msgspec.Struct, forbid_unknown_fields=True):
    limit: _Limit = 100
    cursor: Annotated[str, Meta(max_length=2048)] | None = None


class ReconciliationsAnswer(msgspec.Struct):
    ok: bool
    reconciliations: list[ReconciliationView]
    has_more: bool
    next_cursor: str | None = None


class VerdictView(msgspec.Struct):
    """What the controller decided last, in words of its own, and since when it says so."""

    mesh_region_id: str
    currency: str
    rail: str
    verdict: str
    reason: str
    detail: dict[str, Any]
    from_bank_id: str | None
    to_bank_id: str | None
    proposal_id: str | None
    since: Instant
    decided_at: Instant


class VerdictsQuery(msgspec.Struct, forbid_unknown_fields=True):
    mesh_region_id: Annotated[str, Meta(max_length=255)] | None = None


class VerdictsAnswer(msgspec.Struct):
    ok: bool
    verdicts: list[VerdictView]


def action_view(row: ActionShownRow) -> ActionView:
    fields = {
        name: getattr(row, name) for name in ActionView.__struct_fields__ if name != "timings_ms"
    }
    shown = {name: value for name, value in row.payload.items() if name != "applied"}
    return ActionView(**{**fields, "payload": shown, "timings_ms": row.timings})


def reconciliation_view(row: ReconciliationRow) -> ReconciliationView:
    fields = {name: getattr(row, name) for name in ReconciliationView.__struct_fields__}
    rate = None if row.fx_rate is None else decimal_text(row.fx_rate)
    return ReconciliationView(**{**fields, "fx_rate": rate})


def verdict_view(row: VerdictRow) -> VerdictView:
    return VerdictView(**{name: getattr(row, name) for name in VerdictView.__struct_fields__})
