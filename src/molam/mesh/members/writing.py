"""Writing policies and regions down: versions, history and record, whoever decided it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.kernel.refusals import Kind, Refusal
from molam.mesh.members import policies, policy_store, trail
from molam.mesh.members.policy_store import PolicyRow
from molam.mesh.members.rules import Rules, RulesRefused, read_rules, rules_json
from molam.mesh.members.store import RegionRow
from molam.mesh.members.trail import By
from molam.platform.db import Tx


class PolicyNameTaken(Refusal):
    code = "mesh-policy-name-taken"
    kind = Kind.CONFLICT
    title = "Another policy of the region has this name"


class PolicyChanged(Refusal):
    code = "mesh-policy-stale"
    kind = Kind.CONFLICT
    title = "Somebody changed the policy before you"


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy as a whole, as it is agreed to, stored in its history and recorded."""

    name: Annotated[str, Meta(min_length=1, max_length=140)]
    description: Annotated[str, Meta(max_length=2000)] = ""
    priority: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    """The smallest number decides."""
    active: bool = True
    rules: Rules = Rules()

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "priority": self.priority,
            "active": self.active,
            "rules": rules_json(self.rules),
        }

    def flat(self) -> dict[str, object]:
        """Write it on one level, each rule under its own name."""
        whole = self.as_json()
        rules = whole.pop("rules")
        return {**whole, **rules}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a region itself allows, whatever its policies say."""

    auto_failover_enabled: bool
    approval_threshold: int
    allowed_crossborder: bool

    @classmethod
    def of(cls, region: RegionRow) -> Terms:
        return cls(
            region.auto_failover_enabled, region.approval_threshold, region.allowed_crossborder
        )

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    def differences(self, other: Terms) -> list[str]:
        mine, theirs = self.as_json(), other.as_json()
        return [name for name in mine if mine[name] != theirs[name]]

    def loosened_by(self, after: Terms) -> list[str]:
        """List what *after* allows more than this."""
        return [
            name
            for name, value in after.as_json().items()
            if isinstance(value, int) and value > int(getattr(self, name))
        ]


@dataclass(frozen=True, slots=True)
class Target:
    """Which policy is written: its row as it stands, None for a new one."""

    policy_id: str
    region_id: str
    before: PolicyRow | None


def read_document(given: Mapping[str, Any]) -> Document:
    """
    Read a whole policy strictly.

    Raises:
        RulesRefused: says which field, and what was expected.
    """
    fields = dict(given)
    stated = fields.pop("rules", {})
    if not isinstance(stated, Mapping):
        raise RulesRefused("rules is an object.")
    try:
        shell = msgspec.convert(fields, Document)
    except msgspec.ValidationError as error:
        raise RulesRefused(f"{error}.") from None
    return msgspec.structs.replace(shell, rules=read_rules(stated))


def document_of(row: PolicyRow) -> Document:
    return Document(
        name=row.name,
        description=row.description,
        priority=row.priority,
        active=row.active,
        rules=policies.rules_of(row),
    )


async def stored(tx: Tx, policy_id: str) -> PolicyRow | None:
    return await tx.one(policy_store.FIND_POLICY, id=policy_id)


async def deciding_version(tx: Tx, region_id: str) -> str:
    """Name the version of the policy that decides in a region: ``policy_cedeao/3``, or ``none``."""
    row = await tx.one(policy_store.FIND_DECIDING, region_id=region_id)
    return "none" if row is None else f"{row.id}/{row.version}"


async def write(tx: Tx, target: Target, document: Document, *, by: By) -> PolicyRow:
    """
    Write a policy whose region the caller has locked, keeping what it said before.

    Raises:
        PolicyNameTaken: another one of the region has its name.
        PolicyChanged: it is not the version that was looked at.
    """
    values = {
        "id": target.policy_id,
        "name": document.name,
        "description": document.description,
        "mode": document.rules.mode,
        "auto_confidence_threshold": document.rules.auto_confidence_threshold,
        "rules": rules_json(document.rules),
        "priority": document.priority,
        "active": document.active,
        "action_id": by.action_id,
    }
    before = target.before
    if before is None:
        written = await tx.run(
            policy_store.INSERT_POLICY, **values, region_id=target.region_id, by=by.actor.id
        )
    else:
        written = await tx.run(policy_store.SET_POLICY, **values, version=before.version)
    row = await stored(tx, target.policy_id)
    if not written or row is None:
        if before is not None and row is not None and row.version != before.version:
            raise PolicyChanged("Read it again.", version=row.version)
        raise PolicyNameTaken("Choose another name.")
    if before is not None:
        await tx.run(
            policy_store.KEEP_VERSION,
            policy_id=row.id,
            version=before.version,
            document=document_of(before).as_json(),
            by=by.actor.id,
            action_id=by.action_id,
        )
    data = {"policy": row.id, "version": row.version, "document": document.as_json()}
    event = "mesh_policy.created" if before is None else "mesh_policy.changed"
    await trail.record(tx, row.mesh_region_id, event, data, by=by)
    return row


async def write_region(tx: Tx, region_id: str, before: Terms, after: Terms, *, by: By) -> None:
    """Write what a region allows, whose row the caller has locked."""
    await tx.run(policy_store.SET_REGION, id=region_id, **after.as_json())
    data = {"before": before.as_json(), "after": after.as_json()}
    await trail.record(tx, region_id, "mesh_region.changed", data, by=by)
