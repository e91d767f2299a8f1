"""Policies as sentences: what is in force, what each said before, and what it decided."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import criteria, rule_words
from molam.approvals.rules import read_rules
from molam.kernel.refusals import Kind, Refusal
from molam.ops import permissions, policy_store, statistics_store
from molam.ops.shell import framed
from molam.ops.statistics_pages import people_for
from molam.ops.views import line
from molam.platform.actions import Registry
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

ACTIONS_SHOWN = 10


class PolicyAbsent(Refusal):
    code = "policy-absent"
    kind = Kind.ABSENT
    title = "No such policy"


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


@routes.get("/ops/policies", needs=permissions.VIEW_POLICIES, page=True)
async def policies(request: Request, caller: Caller) -> Response:
    """List policies in the order in which they are asked."""
    rows = await request.app.state.db.read(policy_store.LIST_POLICIES)
    language, registry = language_of(request, caller), request.app.state.runtime.registry
    return await framed(
        request,
        caller,
        "policies.html",
        place="policies",
        policies=[view(row, registry, language) for row in rows],
    )


@routes.get(
    "/ops/policies/{id:uuid}",
    needs=permissions.VIEW_POLICIES,
    page=True,
    refuses=(PolicyAbsent,),
)
async def policy(request: Request, caller: Caller) -> Response:
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
        people=people_for(row.policy.get("required_quorum"), holders),
        versions=await db.read(policy_store.LIST_VERSIONS, policy_id=id_),
        text=_text({"criteria": row.criteria, "policy": row.policy}),
        actions=[line(each, language, asked_by=each.created_by_name) for each in actions],
    )


def view(row: policy_store.PolicyRow, registry: Registry, language: Language) -> PolicyView:
    """Say a stored policy in words; one that can no longer be read is shown as it is."""
    try:
        when = criteria.sentence(criteria.compile_criteria(row.criteria, registry), language)
    except Refusal:
        when = _text(row.criteria)
    try:
        then = rule_words.sentence(read_rules(row.policy), language)
    except Refusal:
        then = _text(row.policy)
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


def _text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else repr(value)
