"""Changing a mesh policy, or a region's own settings, so that the controller may do more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.approvals.model import Actor
from molam.mesh.members import policy_store, regions, rules, writing
from molam.mesh.members.trail import By
from molam.mesh.members.writing import Document, Terms
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

CHANGE_POLICY = "CHANGE_MESH_POLICY"
CHANGE_REGION = "CHANGE_MESH_REGION"

Id = Annotated[str, Meta(min_length=1, max_length=255)]


class ChangeMeshPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*version* None: a policy that does not exist yet. *document* is the whole policy."""

    policy_id: Id
    mesh_region_id: Id
    version: int | None
    document: dict[str, Any]


class ChangeMeshRegion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mesh_region_id: Id
    auto_failover_enabled: bool
    approval_threshold: Annotated[int, Meta(ge=0)]
    allowed_crossborder: bool


async def _plan_policy(tx: Tx, params: ChangeMeshPolicy) -> Plan:
    after = _document(params)
    region = await regions.get(tx, params.mesh_region_id)
    before = await writing.stored(tx, params.policy_id)
    was = None if before is None else writing.document_of(before)
    return Plan(
        target_name=f"{after.name}: {region.name}",
        changes=tuple(_changes(was, after)),
        reversible=True,
        expect={
            "version": None if before is None else before.version,
            "deciding": await writing.deciding_version(tx, region.id),
        },
        effects=("controller_may_do_more",),
    )


async def _apply_policy(tx: Tx, execution: Execution[ChangeMeshPolicy]) -> Outcome:
    params = execution.params
    await tx.one(policy_store.LOCK_REGION, region_id=params.mesh_region_id)
    deciding = await writing.deciding_version(tx, params.mesh_region_id)
    if execution.expect.get("deciding") != deciding:
        raise PreconditionChanged("Another policy decides in the region by now, or it was changed.")
    before = await writing.stored(tx, params.policy_id)
    version = None if before is None else before.version
    if version != params.version:
        raise PreconditionChanged("The policy was changed since.")
    written = await writing.write(
        tx,
        writing.Target(params.policy_id, params.mesh_region_id, before),
        _document(params),
        by=_by(execution),
    )
    return Outcome(
        {
            "updated": True,
            "policy_id": written.id,
            "version": written.version,
            "mode": written.mode,
        },
        (Change("policy_version", version, written.version),),
    )


async def _plan_region(tx: Tx, params: ChangeMeshRegion) -> Plan:
    region = await regions.get(tx, params.mesh_region_id)
    before, after = Terms.of(region), _terms(params)
    return Plan(
        target_name=region.name,
        changes=tuple(
            Change(name, getattr(before, name), getattr(after, name))
            for name in before.differences(after)
        ),
        reversible=True,
        expect=before.as_json(),
        effects=("controller_may_do_more",),
    )


async def _apply_region(tx: Tx, execution: Execution[ChangeMeshRegion]) -> Outcome:
    params = execution.params
    await tx.one(policy_store.LOCK_REGION, region_id=params.mesh_region_id)
    region = await regions.get(tx, params.mesh_region_id)
    before = Terms.of(region)
    if dict(execution.expect) != before.as_json():
        raise PreconditionChanged("The region was changed since.")
    after = _terms(params)
    await writing.write_region(
        tx,
        region.id,
        before,
        after,
        by=_by(execution),
    )
    return Outcome({"updated": True, "mesh_region_id": region.id, **after.as_json()})


def _by(execution: Execution[ChangeMeshPolicy] | Execution[ChangeMeshRegion]) -> By:
    return By(Actor(execution.executed_by), execution.at, execution.action_id)


def _terms(params: ChangeMeshRegion) -> Terms:
    return Terms(
        params.auto_failover_enabled, params.approval_threshold, params.allowed_crossborder
    )


def _document(params: ChangeMeshPolicy) -> Document:
    try:
        return writing.read_document(params.document)
    except rules.RulesRefused as refusal:
        raise ParamsRefused(refusal.detail) from refusal


def _changes(before: Document | None, after: Document) -> list[Change]:
    old: Mapping[str, object] = {} if before is None else before.flat()
    return [
        Change(f"mesh_rule.{name}", old.get(name), value)
        for name, value in after.flat().items()
        if old.get(name) != value
    ]


def _twin(params: ChangeMeshPolicy) -> str:
    """Tell requests apart: a new policy is its region's and its name's, whatever its id."""
    if params.version is not None:
        return f"mesh_policy/{params.policy_id}"
    return f"mesh_policy/{params.mesh_region_id}/{params.document.get('name', '')}"


def _policy_title(params: ChangeMeshPolicy, locale: str) -> str:
    name = params.document.get("name", params.policy_id)
    if locale == "fr":
        return f"Changer la règle du réseau « {name} »"
    return f"Change mesh policy “{name}”"


def _region_title(_params: ChangeMeshRegion, locale: str) -> str:
    return "Changer une région du réseau" if locale == "fr" else "Change a mesh region"


ACTIONS = (
    ActionType(
        name=CHANGE_POLICY,
        params=ChangeMeshPolicy,
        risk="high",
        is_asked_by_code=True,
        title=_policy_title,
        target=lambda params: Target("mesh_policy", params.policy_id),
        twin=_twin,
        plan=_plan_policy,
        apply=_apply_policy,
    ),
    ActionType(
        name=CHANGE_REGION,
        params=ChangeMeshRegion,
        risk="critical",
        is_asked_by_code=True,
        title=_region_title,
        target=lambda params: Target("mesh_region", params.mesh_region_id),
        plan=_plan_region,
        apply=_apply_region,
    ),
)
