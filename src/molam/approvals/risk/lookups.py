"""Reading what deciding about a risk needs: policies, pools, and who asked for what."""

from __future__ import annotations

from typing import Any

from molam.approvals.model import Actor
from molam.approvals.risk import model, store
from molam.approvals.risk.store import RiskRow
from molam.platform.db import Tx
from molam.sira.scoring import ScoreRequest


async def policies_of(tx: Tx) -> list[model.RiskPolicy]:
    return [
        model.RiskPolicy(
            name=row.name,
            country=row.country,
            module=row.module,
            action_type=row.action_type,
            min_score_auto=row.min_score_auto,
            min_score_single=row.min_score_single,
            min_score_double=row.min_score_double,
            max_approvals=row.max_approvals,
            timeout_minutes=row.timeout_minutes,
            evidence_required_score=row.evidence_required_score,
            force_multichannel=row.force_multichannel,
        )
        for row in await tx.all(store.LIST_POLICIES)
    ]


async def pools_of(tx: Tx) -> list[model.Pool]:
    return [
        model.Pool(
            name=row.name,
            roles=tuple(row.roles),
            country=row.country,
            module=row.module,
            min_amount=row.min_amount,
            max_amount=row.max_amount,
            priority=row.priority,
        )
        for row in await tx.all(store.LIST_POOLS)
    ]


def subject_of(
    action_type: str, module: str, payload: dict[str, Any], amount_xof: int | None
) -> model.Subject:
    return model.Subject(
        action_type=action_type,
        module=module,
        country=model.country_of(payload, "origin_country", "account_country"),
        amount_xof=amount_xof,
    )


def question_of(
    action_type: str, module: str, payload: dict[str, Any], actor: Actor
) -> ScoreRequest:
    return model.score_request(
        action_type=action_type,
        module=module,
        payload=payload,
        actor=(actor.id, sorted(actor.roles)),
    )


def asker_of(row: RiskRow) -> Actor:
    """Return whoever asked, as the engine knows people and services."""
    roles = frozenset(row.creator_roles)
    return Actor(row.created_by, roles, kind="service" if "service" in roles else "user")
