"""Loosening a policy is itself an action, with its backtest before the approvers' eyes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.approvals.model import StaleVersion
from molam.approvals.policy import store as policy_store
from molam.approvals.policy.document import document_of, document_of_row, read_draft
from molam.approvals.policy.policies import (
    CHANGE_TYPE,
    PolicyAbsent,
    Wanted,
    Weighed,
    Word,
    refuse_errors,
    weigh,
    write,
)
from molam.approvals.policy.rules import sentence
from molam.approvals.policy.selection import StoredPolicy
from molam.approvals.policy.trials import backtest, backtest_json
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Registry,
    Target,
)
from molam.platform.db import Tx


class ChangePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy is to say; null ends it. *version* is the one that is replaced, 0 if none."""

    policy_id: UUID
    version: Annotated[int, Meta(ge=0)]
    document: dict[str, Any] | None


def with_policy_changes(types: Sequence[ActionType[Any]]) -> Registry:
    """Join *types* and the change of policies itself, which must know them all."""
    held: list[Registry] = []
    registry = Registry([*types, _type(lambda: held[0])])
    held.append(registry)
    return registry


def _type(registry: Callable[[], Registry]) -> ActionType[ChangePolicy]:
    async def complete(_tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
        return _completed(raw, registry())

    async def plan(tx: Tx, params: ChangePolicy) -> Plan:
        return await _plan(tx, params, registry())

    async def apply(tx: Tx, execution: Execution[ChangePolicy]) -> Outcome:
        return await _apply(tx, execution, registry())

    return ActionType(
        name=CHANGE_TYPE,
        params=ChangePolicy,
        risk="critical",
        title=_title,
        target=lambda params: Target("policy", str(params.policy_id)),
        twin=_twin,
        complete=complete,
        plan=plan,
        apply=apply,
        compensate=_undo,
    )


def _completed(raw: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """Hash a policy in its one form, whichever way it was written."""
    document = raw.get("document")
    if not isinstance(document, Mapping):
        return raw
    return {**raw, "document": document_of(read_draft(document, registry))}


def _wanted(params: ChangePolicy) -> Wanted:
    if params.version == 0 and params.document is None:
        raise ParamsRefused("A policy that is not there cannot be deleted.")
    return Wanted(params.policy_id, params.version, params.document)


async def _plan(tx: Tx, params: ChangePolicy, registry: Registry) -> Plan:
    weighed = await weigh(tx, registry, _wanted(params))
    refuse_errors(weighed)
    tried = await backtest(tx, (weighed.before, weighed.after), types=weighed.types)
    before = None if weighed.row is None else document_of_row(weighed.row)
    return Plan(
        target_name=_name(weighed),
        changes=(
            Change("policy", before, params.document),
            *_said(weighed),
            Change("backtest", None, backtest_json(tried)),
        ),
        reversible=True,
        expect={"version": params.version},
        effects=("policy_tightened",) if weighed.tightens else ("policy_loosened",),
    )


def _said(weighed: Weighed) -> tuple[Change, ...]:
    ours = {each.id: each for each in weighed.before}
    mine = None if weighed.draft is None else weighed.after[-1]
    old = None if weighed.row is None else ours[weighed.row.id]
    said = [None if each is None else _sentences(each) for each in (old, mine)]
    return (Change("policy_sentence", said[0], said[1]),)


def _sentences(policy: StoredPolicy) -> dict[str, str]:
    return {"en": sentence(policy.rules, "en"), "fr": sentence(policy.rules, "fr")}


async def _apply(tx: Tx, execution: Execution[ChangePolicy], registry: Registry) -> Outcome:
    await tx.one(policy_store.LOCK_POLICIES)
    wanted = _wanted(execution.params)
    try:
        weighed = await weigh(tx, registry, wanted)
    except (StaleVersion, PolicyAbsent) as refusal:
        raise PreconditionChanged(f"The policy has changed. {refusal.detail}") from refusal
    word: Word = "created" if wanted.version == 0 else "loosened"
    if wanted.document is None:
        word = "deleted"
    row = await write(
        tx,
        weighed,
        wanted,
        word=word,
        by=execution.executed_by,
        action_id=UUID(execution.action_id),
    )
    before = None if weighed.row is None else document_of_row(weighed.row)
    version = wanted.version + 1
    return Outcome(
        {"changed": True, "policy_id": str(wanted.policy_id), "version": version, "change": word},
        (Change("policy", before, None if row is None else document_of_row(row)),),
    )


def _twin(params: ChangePolicy) -> str:
    """Take two requests for a new policy of one name as the same; each makes an id of its own."""
    if params.version or params.document is None:
        return f"policy/{params.policy_id}"
    return f"policy/new/{params.document.get('name')}"


def _undo(
    params: ChangePolicy, result: Mapping[str, object]
) -> tuple[str, dict[str, object]] | None:
    """Take back a new policy. What one said before is in its versions, and is asked for anew."""
    if params.version != 0:
        return None
    undone: dict[str, object] = {
        "policy_id": str(params.policy_id),
        "version": result["version"],
        "document": None,
    }
    return CHANGE_TYPE, undone


def _name(weighed: Weighed) -> str:
    if weighed.row is not None:
        return weighed.row.name
    assert weighed.draft is not None
    return weighed.draft.name


def _title(params: ChangePolicy, locale: str) -> str:
    named = str(params.policy_id if params.document is None else params.document.get("name"))
    match locale == "fr", params.document is None, params.version == 0:
        case True, True, _:
            title = f"Supprimer la règle {named}"
        case True, _, True:
            title = f"Ajouter la règle « {named} »"
        case True, _, _:
            title = f"Assouplir la règle « {named} »"
        case _, True, _:
            title = f"Delete the policy {named}"
        case _, _, True:
            title = f"Add the policy “{named}”"
        case _:
            title = f"Loosen the policy “{named}”"
    return title
