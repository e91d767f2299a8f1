"""The statements about the log of what was done, and about signatures that were used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class ActionRow:
    id: str
    action_type: str
    mesh_region_id: str | None
    routing_proposal_id: str | None
    payload: dict[str, Any]
    payload_hash: bytes
    actor_type: str
    actor_id: str
    affected_count: int
    affected_value: int
    affected_bank_profiles: list[str]
    result: str
    error_details: str | None
    timings: dict[str, Any]
    started_at: datetime
    completed_at: datetime | None
    duration_ms: int | None
    idempotency_key: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ActionShownRow:
    """A row of the log as lists show it: at most a hundred of its payouts by id."""

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
    timings: dict[str, Any]
    started_at: datetime
    completed_at: datetime | None
    duration_ms: int | None
    idempotency_key: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UseRow:
    used_for: str


_ACTION = """
    select id, action_type, mesh_region_id, routing_proposal_id, payload, payload_hash, actor_type,
           actor_id, affected_count, affected_value, affected_bank_profiles, result, error_details,
           timings, started_at, completed_at, duration_ms, idempotency_key, created_at
      from mesh.mesh_action_logs"""

FIND_ACTION = Query(
    "/* control.find_action */" + _ACTION + " where idempotency_key = :key",
    row=ActionRow,
)

LIST_OF_PROPOSAL = Query(
    "/* control.list_of_proposal */"
    + _ACTION
    + """
     where routing_proposal_id = :proposal_id and result in ('success', 'partial')
     order by created_at, id
     limit :limit""",
    row=ActionRow,
)

LIST_ACTIONS = Query(
    """
    /* control.list_actions */
    select a.id, a.action_type, a.mesh_region_id, a.routing_proposal_id, a.payload, a.actor_type,
           a.actor_id, a.affected_payouts[1:100] as affected_payouts, a.affected_count, a.affected_value,
           a.affected_bank_profiles, a.result, a.error_details, a.timings, a.started_at,
           a.completed_at, a.duration_ms, a.idempotency_key, a.created_at
      from mesh.mesh_action_logs as a
     where (:region::text is null or a.mesh_region_id = :region::text)
       and (:action_type::text is null or a.action_type = :action_type::text)
       and (:proposal_id::text is null or a.routing_proposal_id = :proposal_id::text)
       and (a.created_at, a.id) < (:at::timestamptz, :id::text)
     order by a.created_at desc, a.id desc
     limit :limit
    """,
    row=ActionShownRow,
)

APPEND_ACTION = Query(
    """
    /* control.append_action */
    insert into mesh.mesh_action_logs
           (id, action_type, mesh_region_id, routing_proposal_id, payload, payload_hash, actor_type,
            actor_id, affected_payouts, affected_count, affected_value, affected_bank_profiles, result,
            error_details, timings, started_at, completed_at, duration_ms, idempotency_key)
    values (:id, :action_type, :region, :proposal_id, :payload::jsonb, :payload_hash, :actor_type,
            :actor_id, :affected::text[], :count, :value, :banks::text[], :result,
            :error, :timings::jsonb, :started_at, clock_timestamp(), :duration_ms, :key)
        on conflict (idempotency_key) do nothing
    """,
    row=Nothing,
)

USE_TOKEN = Query(
    """
    /* control.use_token */
    insert into mesh.used_tokens (token_id, used_for)
    values (:token_id, :used_for)
        on conflict (token_id) do nothing
    """,
    row=Nothing,
)

FIND_USE = Query(
    """
    /* control.find_use */
    select used_for from mesh.used_tokens where token_id = :token_id
    """,
    row=UseRow,
)
