"""Writing a policy: what only tightens holds at once, what loosens others have to agree to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from molam.approvals.model import NewAction
from molam.approvals.store import ActionRow
from molam.kernel.ids import show, uuid7
from molam.mesh import permissions
from molam.mesh.members import (
    floors,
    policies,
    policy_actions,
    policy_store,
    regions,
    rules,
    writing,
)
from molam.mesh.members.policy_store import PolicyRow
from molam.mesh.members.rules import Rules
from molam.mesh.members.trail import By
from molam.mesh.members.writing import Document, Target, Terms
from molam.mesh.runtime import Mesh
from molam.platform.db import Tx

_BOTH = floors.floor(permissions.OPS_ADMIN, permissions.TREASURY)
_WITH_COMPLIANCE = floors.floor(permissions.OPS_ADMIN, permissions.TREASURY, permissions.COMPLIANCE)


@dataclass(frozen=True, slots=True)
class Written:
    """
    What came of it: a policy that holds now, or the action that waits for others.

    *loosened* are the rules by which the region's controller would be allowed more.
    """

    policy: PolicyRow | None
    action: ActionRow | None
    loosened: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegionWritten:
    action: ActionRow | None
    loosened: tuple[str, ...] = ()


async def create(tx: Tx, mesh: Mesh, region: str, given: Mapping[str, Any], *, by: By) -> Written:
    """
    Write a new policy for a region.

    Raises:
        RegionAbsent, RulesRefused, PolicyNameTaken, and as for any action.
        TwinOpen: a policy of this name has been asked for already.
        PolicyChanged: what decides in the region changed just now.
    """
    found = await regions.get(tx, region)
    document = writing.read_document(given)
    if any(row.name == document.name for row in await policies.listed(tx, region=found.id)):
        raise writing.PolicyNameTaken("Choose another name.")
    target = Target(show("mp", uuid7(by.at)), found.id, None)
    return await _write(tx, mesh, target, document, by=by)


async def change(
    tx: Tx,
    mesh: Mesh,
    policy_id: str,
    given: Mapping[str, Any],
    *,
    version: int | None,
    by: By,
) -> Written:
    """
    Change a policy; fields and rules that are left out stay as they are.

    Raises:
        PolicyMissing, RulesRefused, PolicyNameTaken, and as for any action.
        PolicyChanged: it is not *version* any more.
    """
    row = await policies.get(tx, policy_id)
    if version not in {None, row.version}:
        raise writing.PolicyChanged("Read it again.", version=row.version)
    before = writing.document_of(row)
    stated = given.get("rules", {})
    if not isinstance(stated, Mapping):
        raise rules.RulesRefused("rules is an object.")
    after = writing.read_document(
        {
            **before.as_json(),
            **given,
            "rules": rules.rules_json(rules.read_rules(stated, base=before.rules)),
        }
    )
    if after == before:
        return Written(row, None)
    return await _write(tx, mesh, Target(row.id, row.mesh_region_id, row), after, by=by)


async def change_region(tx: Tx, mesh: Mesh, region: str, after: Terms, *, by: By) -> RegionWritten:
    """
    Change what a region itself allows; allowing more needs compliance, too.

    Raises:
        RegionAbsent, and as for any action.
        PolicyChanged: the region changed just now.
    """
    found = await regions.get(tx, region)
    before = Terms.of(found)
    loosened = before.loosened_by(after)
    if before == after:
        return RegionWritten(None)
    if not loosened:
        await tx.one(policy_store.LOCK_REGION, region_id=found.id)
        if Terms.of(await regions.get(tx, found.id)) != before:
            raise writing.PolicyChanged("Read it again.")
        await writing.write_region(tx, found.id, before, after, by=by)
        return RegionWritten(None)
    params = {"mesh_region_id": found.id, **after.as_json()}
    request = NewAction(origin="module", action_type=policy_actions.CHANGE_REGION, params=params)
    action = await floors.ask(
        tx, mesh.approvals, request, by.actor, least=_WITH_COMPLIANCE, name="Looser mesh region"
    )
    return RegionWritten(action, tuple(loosened))


async def _write(tx: Tx, mesh: Mesh, target: Target, document: Document, *, by: By) -> Written:
    loosened = await _loosened(tx, mesh, target, document)
    if not loosened:
        # Not before: whoever asks locks actions, and those come before regions.
        await tx.one(policy_store.LOCK_REGION, region_id=target.region_id)
        if await _loosened(tx, mesh, target, document):
            raise writing.PolicyChanged("Read it again.")
        row = await writing.write(tx, target, document, by=by)
        return Written(row, None)
    params = {
        "policy_id": target.policy_id,
        "mesh_region_id": target.region_id,
        "version": None if target.before is None else target.before.version,
        "document": document.as_json(),
    }
    action = await floors.ask(
        tx,
        mesh.approvals,
        NewAction(origin="module", action_type=policy_actions.CHANGE_POLICY, params=params),
        by.actor,
        least=_WITH_COMPLIANCE if rules.needs_compliance(loosened) else _BOTH,
        name="Looser mesh policy",
    )
    return Written(target.before, action, tuple(loosened))


async def _loosened(tx: Tx, mesh: Mesh, target: Target, document: Document) -> list[str]:
    """Compare what decides in the region now with what would decide then."""
    deciding = await policies.effective(tx, target.region_id, mesh)
    after = await _deciding_then(tx, mesh, target, document)
    own = (await regions.get(tx, target.region_id)).approval_threshold
    return rules.loosens(_with_threshold(deciding.rules, own), _with_threshold(after, own))


def _with_threshold(some: Rules, regions_own: int) -> Rules:
    """Write the region's own threshold where a policy leaves it to that."""
    if some.approval_required_threshold is not None:
        return some
    return msgspec.structs.replace(some, approval_required_threshold=regions_own)


async def _deciding_then(tx: Tx, mesh: Mesh, target: Target, document: Document) -> Rules:
    others = [
        (row.priority, row.id, policies.rules_of(row))
        for row in await policies.listed(tx, region=target.region_id)
        if row.active and row.id != target.policy_id
    ]
    if document.active:
        others.append((document.priority, target.policy_id, document.rules))
    if not others:
        return policies.default_rules(mesh)
    return min(others, key=lambda each: each[:2])[2]
