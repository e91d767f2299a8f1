"""Changing policies: tightening at once, loosening by an action that others must approve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from molam.approvals.commands import create
from molam.approvals.model import Actor, NewAction, StaleVersion
from molam.approvals.policy import store as policy_store
from molam.approvals.policy.document import (
    Document,
    Draft,
    document_of,
    document_of_row,
    hash_of,
    read_draft,
    stored_of_row,
)
from molam.approvals.policy.effect import is_tightening, only_built_in_decided
from molam.approvals.policy.lint import Finding, lint
from molam.approvals.policy.selection import StoredPolicy
from molam.approvals.runtime import Runtime
from molam.approvals.store import NOW, ActionRow, PolicyRow
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import Registry
from molam.platform.db import Database, Tx

Word = Literal["created", "tightened", "loosened", "deleted"]

CHANGE_TYPE = "CHANGE_APPROVAL_POLICY"
POLICIES_MAX = 500


class PolicyAbsent(Refusal):
    code = "policy-absent"
    kind = Kind.ABSENT
    title = "There is no such policy"


class PolicyNameTaken(Refusal):
    code = "policy-name-taken"
    kind = Kind.CONFLICT
    title = "Another policy has this name"


class PolicyRefused(Refusal):
    code = "policy-refused"
    kind = Kind.BROKEN_RULE
    title = "The policy cannot be saved as it is"


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    One change: what a policy is to become, None for its end.

    *version* is the one it replaces, 0 for a new policy.
    """

    policy_id: UUID
    version: int
    document: Document | None


@dataclass(frozen=True, slots=True)
class Weighed:
    """A change beside every policy there is, before it and after it."""

    row: PolicyRow | None
    draft: Draft | None
    before: tuple[StoredPolicy, ...]
    after: tuple[StoredPolicy, ...]
    tightens: bool
    findings: tuple[Finding, ...]
    at: Instant

    @property
    def types(self) -> frozenset[str] | None:
        """Return the action types that the change could concern, None for all."""
        found: frozenset[str] = frozenset()
        for each in set(self.before) ^ set(self.after):
            if each.criteria.types is None:
                return None
            found |= each.criteria.types
        return found


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a change: the *policy* as it is now, or the *action* that waits for votes."""

    policy: PolicyRow | None
    action: ActionRow | None
    findings: tuple[Finding, ...] = ()


async def create_policy(runtime: Runtime, fields: Mapping[str, object], actor: Actor) -> Changed:
    """
    Add a policy; see `change_policy`.

    Raises:
        PolicyMalformed, CriteriaMalformed, PolicyRefused, PolicyNameTaken
    """
    draft = read_draft(fields, runtime.registry)
    return await _change(runtime, None, draft, actor)


async def update_policy(
    runtime: Runtime,
    policy_id: UUID,
    fields: Mapping[str, object],
    actor: Actor,
    *,
    version: int | None = None,
) -> Changed:
    """
    Change the given fields of a policy and keep the others.

    Raises:
        PolicyAbsent: there is none of this id.
        StaleVersion: it is no longer at *version*.
        PolicyMalformed, CriteriaMalformed, PolicyRefused, PolicyNameTaken
    """
    row = await find_policy(runtime.db, policy_id)
    _check_version(row, version)
    draft = read_draft({**document_of_row(row), **fields}, runtime.registry)
    return await _change(runtime, row, draft, actor)


async def delete_policy(
    runtime: Runtime, policy_id: UUID, actor: Actor, *, version: int | None = None
) -> Changed:
    """
    End a policy; what it decided keeps its rules.

    Raises:
        PolicyAbsent, StaleVersion
    """
    row = await find_policy(runtime.db, policy_id)
    _check_version(row, version)
    return await _change(runtime, row, None, actor)


async def find_policy(db: Database, policy_id: UUID) -> PolicyRow:
    """
    Raises:
        PolicyAbsent: there is none of this id.
    """
    rows = await db.read(policy_store.FIND_POLICY, id=policy_id)
    if not rows:
        raise PolicyAbsent("It may have been deleted.")
    return rows[0]


async def list_policies(db: Database, *, enabled_only: bool = False) -> list[PolicyRow]:
    return await db.read(policy_store.LIST_POLICIES, enabled_only=enabled_only)


async def list_versions(db: Database, policy_id: UUID) -> list[policy_store.VersionRow]:
    """List what a policy has said, the latest first; deleted ones too."""
    return await db.read(policy_store.LIST_POLICY_VERSIONS, policy_id=policy_id)


async def load_policies(tx: Tx, registry: Registry) -> list[StoredPolicy]:
    """Read and compile every policy that is not deleted."""
    rows = await tx.all(policy_store.LIST_POLICIES, enabled_only=False)
    return [stored_of_row(row, registry) for row in rows]


async def _change(
    runtime: Runtime, row: PolicyRow | None, draft: Draft | None, actor: Actor
) -> Changed:
    """
    Apply a change that provably lets nothing more through, or ask for it.

    A policy where only the built-in rules applied before may also be added by
    code in this process, which nobody reaches over HTTP.
    """
    async with runtime.db.transaction("approvals.change_policy") as tx:
        locked = await tx.one(policy_store.LOCK_POLICIES)
        assert locked is not None
        wanted = Wanted(
            policy_id=uuid7(locked.at) if row is None else row.id,
            version=0 if row is None else row.version,
            document=None if draft is None else document_of(draft),
        )
        weighed = await weigh(tx, runtime.registry, wanted)
        refuse_errors(weighed)
        first = actor.auth is None and row is None and _is_first(weighed, runtime.registry)
        if weighed.tightens or first:
            word: Word = "created" if row is None else "tightened"
            if draft is None:
                word = "deleted"
            written = await write(tx, weighed, wanted, word=word, by=actor.id)
            return Changed(written, None, weighed.findings)
    request = NewAction(origin="ops_ui", action_type=CHANGE_TYPE, params=params_of(wanted))
    asked = await create(runtime, request, actor)
    return Changed(row, asked.row, weighed.findings)


def params_of(wanted: Wanted) -> dict[str, Any]:
    """Write a change as the parameters of the action that carries it out."""
    return {
        "policy_id": str(wanted.policy_id),
        "version": wanted.version,
        "document": wanted.document,
    }


async def weigh(tx: Tx, registry: Registry, wanted: Wanted) -> Weighed:
    """
    Put a change beside all policies as they are now.

    Raises:
        PolicyAbsent, StaleVersion: what it replaces is not there any more.
        PolicyMalformed, CriteriaMalformed: it cannot be read.
    """
    now = await tx.one(NOW)
    assert now is not None
    row = None
    if wanted.version:
        row = await tx.one(policy_store.FIND_POLICY, id=wanted.policy_id)
        if row is None:
            raise PolicyAbsent("It may have been deleted.")
        _check_version(row, wanted.version)
    draft = None if wanted.document is None else read_draft(wanted.document, registry)
    before = tuple(await load_policies(tx, registry))
    after = tuple(each for each in before if each.id != wanted.policy_id)
    findings: tuple[Finding, ...] = ()
    if draft is not None:
        created = now.at if row is None else row.created_at
        mine = draft.stored(wanted.policy_id, version=wanted.version + 1, created_at=created)
        findings = tuple(lint(mine, after, registry))
        after = (*after, mine)
    if len(after) > POLICIES_MAX:
        raise PolicyRefused(f"There are at most {POLICIES_MAX} policies.")
    tightens = is_tightening(before, after, registry, now.at)
    return Weighed(row, draft, before, after, tightens, findings, now.at)


def refuse_errors(weighed: Weighed) -> None:
    """
    Raises:
        PolicyRefused: the linter found an error; says the first.
    """
    errors = [each for each in weighed.findings if each.level == "error"]
    if errors:
        raise PolicyRefused(errors[0].sentence_en, finding=errors[0].code, path=errors[0].path)


async def write(
    tx: Tx,
    weighed: Weighed,
    wanted: Wanted,
    *,
    word: Word,
    by: str,
    action_id: UUID | None = None,
) -> PolicyRow | None:
    """
    Write a change with its version and its entry in the record; None after a deletion.

    The caller holds `policy_store.LOCK_POLICIES`.

    Raises:
        PolicyNameTaken: another policy is called that.
    """
    version, at = wanted.version + 1, weighed.at
    document = wanted.document
    if document is None or weighed.draft is None:
        assert weighed.row is not None
        document = document_of_row(weighed.row)
        key: dict[str, Any] = {"id": wanted.policy_id, "version": wanted.version}
        written = await tx.one(policy_store.DELETE_POLICY, **key, by=by, at=at)
    else:
        written = await _store(tx, weighed, wanted, by=by)
    assert written is not None, "policies change one by one"
    await tx.run(
        policy_store.APPEND_POLICY_VERSION,
        policy_id=wanted.policy_id,
        version=version,
        document=document,
        hash=hash_of(document),
        change=word,
        by=by,
        at=at,
        action_id=action_id,
    )
    fact = Fact(
        event=f"policy.{word}",
        actor_kind="user",
        actor_id=by,
        action_id=None if action_id is None else str(action_id),
        data={"policy_id": str(wanted.policy_id), "version": version, "document": document},
    )
    await append_to(tx, f"policy:{wanted.policy_id}", [fact], at=at)
    return await tx.one(policy_store.FIND_POLICY, id=wanted.policy_id)


async def _store(
    tx: Tx, weighed: Weighed, wanted: Wanted, *, by: str
) -> policy_store.Written | None:
    draft, document = weighed.draft, wanted.document
    assert draft is not None
    assert document is not None
    if any(each.name == draft.name for each in weighed.after if each.id != wanted.policy_id):
        raise PolicyNameTaken("Choose another name, or change that policy.", name=draft.name)
    values: dict[str, Any] = {
        "id": wanted.policy_id,
        "name": draft.name,
        "description": draft.description,
        "criteria": document["criteria"],
        "policy": document["policy"],
        "priority": draft.priority,
        "enabled": draft.enabled,
        "baseline": draft.baseline,
        "valid_from": draft.valid_from,
        "valid_until": draft.valid_until,
        "hash": hash_of(document),
        "by": by,
        "at": weighed.at,
    }
    if weighed.row is None:
        return await tx.one(policy_store.INSERT_POLICY, **values)
    return await tx.one(policy_store.UPDATE_POLICY, **values, version=wanted.version)


def _is_first(weighed: Weighed, registry: Registry) -> bool:
    assert weighed.draft is not None
    mine = weighed.after[-1]
    return only_built_in_decided(weighed.before, mine, registry)


def _check_version(row: PolicyRow, version: int | None) -> None:
    if version is not None and row.version != version:
        raise StaleVersion("Read the policy again.", version=row.version)
