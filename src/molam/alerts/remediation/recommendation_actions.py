"""Applying what SIRA recommends on the dashboard: it leads to the action that is recommended."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.alerts.remediation import evidence_store, store
from molam.alerts.remediation.evidence_store import RecommendationRow
from molam.alerts.runtime import Watch
from molam.approvals import commands as engine
from molam.approvals.model import Actor, NewAction
from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.platform.jobs import Job, JobHandler, enqueue

ASK = "alerts.ask_recommended"

# Note [Two questions]
#
# That a recommendation is to be applied and that its action is to be done are two
# questions. Whoever agrees to the first does not thereby answer the second: the action is
# asked for under its own type, and decided by the policies that speak of that.


class RecommendationEnded(Refusal):
    code = "recommendation-ended"
    kind = Kind.CONFLICT
    title = "This recommendation is no longer open"


class ApplyRecommendation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    recommendation_id: Annotated[str, Meta(min_length=36, max_length=36)]


class AskJob(msgspec.Struct, frozen=True):
    """Arguments of the job `ASK`."""

    recommendation_id: str
    by: str
    version: int = 1


async def _pending(tx: Tx, params: ApplyRecommendation) -> RecommendationRow:
    try:
        id_ = UUID(params.recommendation_id)
    except ValueError:
        raise ParamsRefused("recommendation_id is an id.") from None
    found = await tx.one(evidence_store.FIND_RECOMMENDATION, id=id_)
    if found is None:
        raise ParamsRefused("There is no such recommendation.")
    if not found.is_pending:
        raise RecommendationEnded(f"It is {found.status}.", status=found.status)
    return found


async def _plan(tx: Tx, params: ApplyRecommendation) -> Plan:
    found = await _pending(tx, params)
    return Plan(
        target_name=found.title,
        changes=(
            Change("recommendation_status", found.status, "pending_approval"),
            Change("recommended_action", None, found.suggested_action.get("action_type")),
        ),
        reversible=True,
        expect={"action": found.suggested_action},
        effects=("recommended_action_is_voted_on",),
    )


async def _apply(tx: Tx, execution: Execution[ApplyRecommendation]) -> Outcome:
    found = await _pending(tx, execution.params)
    if execution.expect.get("action") != found.suggested_action:
        raise PreconditionChanged("It recommends something else by now.")
    job = AskJob(str(found.id), execution.executed_by)
    await enqueue(tx, ASK, job, once=f"{ASK}/{found.id}")
    return Outcome(
        {
            "applied": True,
            "recommendation_id": str(found.id),
            "action_type": found.suggested_action.get("action_type"),
        }
    )


def handlers(watch: Watch) -> list[JobHandler]:
    async def ask(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=AskJob)
        async with job.effect() as tx:
            await _ask(tx, watch, UUID(asked.recommendation_id), asked.by)

    return [JobHandler(ASK, ask)]


async def _ask(tx: Tx, watch: Watch, id_: UUID, by: str) -> None:
    """Ask for the action that is recommended, under the key that applying it by hand has."""
    found = await tx.one(evidence_store.FIND_RECOMMENDATION, id=id_)
    if found is None or not found.is_pending:
        return
    request = NewAction(
        idempotency_key=f"sira-rec-{id_}-apply",
        origin="sira",
        origin_id=str(id_),
        action_type=str(found.suggested_action.get("action_type")),
        params={
            **dict(found.suggested_action.get("params") or {}),
            "sira_recommendation_id": str(id_),
            "sira_confidence": found.confidence_score,
            "sira_explanation": found.explanation,
        },
    )
    created = await engine.create_in(tx, watch.approvals, request, Actor(by, kind="system"))
    await tx.run(store.SET_RECOMMENDATION_ASKED, id=id_, action_id=created.row.id)


def _title(params: ApplyRecommendation, locale: str) -> str:
    if locale == "fr":
        return f"Appliquer la recommandation {params.recommendation_id} de SIRA"
    return f"Apply SIRA's recommendation {params.recommendation_id}"


ACTIONS = (
    ActionType(
        name="APPLY_SIRA_RECOMMENDATION",
        params=ApplyRecommendation,
        risk="medium",
        title=_title,
        target=lambda params: Target("recommendation", params.recommendation_id),
        plan=_plan,
        apply=_apply,
    ),
)
