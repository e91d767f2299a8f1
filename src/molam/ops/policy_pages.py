"""Policies as sentences: what is in force, what each said before, and what it decided."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.policy import criteria, rule_words
from molam.approvals.policy.policies import PolicyAbsent
from molam.approvals.policy.rules import read_rules
from molam.kernel.refusals import Refusal
from molam.ops import permissions, policy_store, statistics_store
from molam.ops.shell import framed, may, said
from molam.ops.statistics_pages import people_for
from molam.ops.views import line
from molam.platform.actions import Registry
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

ACTIONS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class PolicyView:
    id: UUID
    name: str
    description: str
    version: int
    priority: int
    enabled: bool
    baseline: bool
    updated_at: datetime
    when: str
    then: str


class PoliciesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


@routes.get("/ops/policies", needs=permissions.VIEW_POLICIES, page=True, query=PoliciesQuery)
async def policies(request: Request, caller: Caller, query: PoliciesQuery) -> Response:
    """List policies in the order in which they are asked."""
    rows = await request.app.state.db.read(policy_store.LIST_POLICIES)
    language, registry = language_of(request, caller), request.app.state.runtime.registry
    return await framed(
        request,
        caller,
        "policies.html",
        place="policies",
        policies=[view(row, registry, language) for row in rows],
        may_change=may(caller, permissions.CHANGE_POLICIES),
        said=said(query.said),
    )


@routes.get(
    "/ops/policies/{id:uuid}",
    needs=permissions.VIEW_POLICIES,
    page=True,
    query=PoliciesQuery,
    refuses=(PolicyAbsent,),
)
async def policy(request: Request, caller: Caller, query: PoliciesQuery) -> Response:
    """Show one policy: in words, as it is written, its versions, and what it decided."""
    db, id_ = request.app.state.db, request.path_params["id"]
    found = await db.read(policy_store.FIND_POLICY, id=id_)
    if not found:
        raise PolicyAbsent("It may have been deleted long ago.")
    row = found[0]
    language = language_of(request, caller)
    holders = await db.read(statistics_store.HOLDERS)
    actions = await db.read(policy_store.LIST_DECIDED, policy_id=id_, limit=ACTIONS_SHOWN)
    return await framed(
        request,
        caller,
        "policy.html",
        place="policies",
        policy=view(row, request.app.state.runtime.registry, language),
        may_change=may(caller, permissions.CHANGE_POLICIES) and not row.is_deleted,
        said=said(query.said),
        people=people_for(row.policy.get("required_quorum"), holders),
        versions=await db.read(policy_store.LIST_VERSIONS, policy_id=id_),
        text=as_text({"criteria": row.criteria, "policy": row.policy}),
        actions=[line(each, language, asked_by=each.created_by_name) for each in actions],
    )


def view(row: policy_store.PolicyRow, registry: Registry, language: Language) -> PolicyView:
    """Say a stored policy in words; one that can no longer be read is shown as it is."""
    try:
        when = criteria.sentence(compiled(row, registry), language)
    except Refusal:
        when = as_text(row.criteria)
    try:
        then = rule_words.sentence(read_rules(row.policy), language)
    except Refusal:
        then = as_text(row.policy)
    return PolicyView(
        id=row.id,
        name=row.name,
        description=row.description,
        version=row.version,
        priority=row.priority,
        enabled=row.enabled,
        baseline=row.baseline,
        updated_at=row.updated_at,
        when=when,
        then=then,
    )


def compiled(row: policy_store.PolicyRow, registry: Registry) -> criteria.Criteria:
    """
    Raises:
        CriteriaMalformed: they can no longer be read.
    """
    return criteria.compile_criteria(row.criteria, registry, baseline=row.baseline, stored=True)


def as_text(document: object) -> str:
    """Write JSON as people read it; a decimal as the number it is."""
    return json.dumps(document, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return repr(value)
