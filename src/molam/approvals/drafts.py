"""Under which rules, by whom and until when a new action is to be decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from molam.approvals import binding, store
from molam.approvals.electorate import electorate, people_named, pinned, roles_asked
from molam.approvals.intents import Intent, facts_of, plan_json
from molam.approvals.model import ActionAbsent, Actor, FieldsRefused, NewAction, Unsatisfiable
from molam.approvals.policy import durations
from molam.approvals.policy.book import PolicyBook
from molam.approvals.policy.decision import Elector, Missing, decide
from molam.approvals.policy.quorum import quorum_json
from molam.approvals.policy.rules import Rules, at_level, levels, rules_json, tightened
from molam.approvals.store import StandingRow
from molam.approvals.timing import deadline, next_escalation
from molam.audit import chain
from molam.kernel.clock import Instant
from molam.kernel.digests import digest
from molam.kernel.ids import uuid7
from molam.platform.actions import Plan, Risk
from molam.platform.db import Tx

PLAN = "molam.plan/1"


@dataclass(frozen=True, slots=True)
class Ruling:
    """
    The rules an action is decided by, and where they come from.

    *risk* is what this one action was found to risk, where its type says too little.
    """

    name: str
    version: int
    rules: Rules
    trace: Mapping[str, Any]
    policy_id: UUID | None = None
    risk: Risk | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A validated request, its rehearsal, and the hash a repetition must have."""

    intent: Intent
    plan: Plan
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """A new action, ready to be stored."""

    id: UUID
    at: Instant
    values: dict[str, Any]
    electors: list[Elector]
    entry: chain.Entry


async def draft_of(
    tx: Tx,
    book: PolicyBook,
    request: NewAction,
    actor: Actor,
    *,
    asked: Asked,
    ruling: Ruling | None,
) -> Draft:
    """
    Decide how an action is to be decided, and pin it.

    Raises:
        Unsatisfiable: too few people could ever approve it; says whom it lacks.
        PolicyMalformed: what the requester asks of the policy cannot be read.
    """
    intent, plan = asked.intent, asked.plan
    shown = plan_json(intent, plan)
    if ruling is None:
        ruling = await _chosen(tx, book, intent, shown, origin=request.origin)
    rules = tightened(ruling.rules, request.tightening())
    if intent.type.idempotency == "none":
        # Nobody could find out what became of it, so a person has to be there.
        rules = replace(rules, auto_execute=False)
    gaining = (request.on_behalf_of, plan.beneficiary, *plan.beneficiaries)
    named = [each for each in gaining if each is not None]
    excluded = {actor.id, *named}
    if named:
        found = await tx.all(store.LIST_PRINCIPALS, names=named)
        excluded.update(each.id for each in found)
    standing = await _standing(tx, intent.type.name, rules, actor.id, excluded=sorted(excluded))
    # A service asks; whoever answers for it asked.
    excluded |= {standing.voter, standing.owner or standing.voter}
    barred = frozenset(excluded) | frozenset(standing.excluded_too)
    electors = electorate(rules, standing, excluded=barred)
    rules = pinned(rules, electors)
    _check_satisfiable(rules, standing, barred)

    snapshot = {"name": ruling.name, "version": ruling.version, "rules": rules_json(rules)}
    id_ = uuid7(standing.now)
    bound = {
        "id": id_,
        "policy_id": ruling.policy_id,
        "policy_name": ruling.name,
        "policy_version": ruling.version,
        "policy_hash": digest(binding.POLICY, snapshot),
        "policy_snapshot": snapshot,
        "policy_trace": {"policies_changed_at": _text(standing), **ruling.trace},
        "excluded": sorted(excluded),
        "created_at": standing.now,
        "expires_at": deadline(rules, standing.now),
        "escalates_at": next_escalation(rules, created_at=standing.now, level=0),
        **_intent_columns(asked, shown),
        "risk_level": ruling.risk or intent.type.risk,
        **_rule_columns(rules, electors),
        **_request_columns(request, actor),
    }
    entry = _created(bound, actor, electors)
    values = {**bound, "level": 0, "chain_seq": entry.seq, "chain_hash": entry.hash}
    return Draft(id_, standing.now, values, electors, entry)


async def _chosen(
    tx: Tx, book: PolicyBook, intent: Intent, shown: Mapping[str, Any], *, origin: str
) -> Ruling:
    facts = facts_of(
        origin=origin,
        risk=intent.type.risk,
        intent=intent.document,
        plan=shown,
        context=intent.context,
    )
    selection = await book.select(tx, facts)
    chosen = selection.policy
    return Ruling(chosen.name, chosen.version, selection.rules, selection.trace, chosen.id)


async def _standing(
    tx: Tx, action_type: str, rules: Rules, creator: str, *, excluded: list[str]
) -> StandingRow:
    last = at_level(rules, len(levels(rules)))
    standing = await tx.one(
        store.STANDING,
        voter=creator,
        roles=sorted(roles_asked(rules) | roles_asked(last)),
        people=sorted(people_named(rules)),
        action_id=None,
        action_type=action_type,
        excluded=excluded,
    )
    assert standing is not None
    return standing


def _check_satisfiable(rules: Rules, standing: StandingRow, barred: frozenset[str]) -> None:
    """Refuse what even the last escalation could not approve."""
    last = at_level(rules, len(levels(rules)))
    verdict = decide(last, electorate(last, standing, excluded=barred), [])
    if verdict.state == "blocked":
        lacking = "; ".join(map(_slot, verdict.missing)) or "people"
        raise Unsatisfiable(
            f"Without whoever asks, too few people could approve: {lacking}.", missing=lacking
        )


def _slot(missing: Missing) -> str:
    who = ", ".join(sorted(missing.roles)) or ", ".join(missing.users)
    return f"{missing.count} of {who}"


def _intent_columns(asked: Asked, shown: dict[str, Any]) -> dict[str, Any]:
    intent = asked.intent
    return {
        "action_type": intent.type.name,
        "schema": intent.type.schema,
        "params": intent.params_json,
        "context": intent.context,
        "target_tenant_type": intent.target[0],
        "target_tenant_id": intent.target[1],
        "intent_hash": intent.hash,
        "expect": msgspec.to_builtins(dict(asked.plan.expect)),
        "plan": shown,
        "twin": intent.twin,
        "request_hash": asked.request_hash,
    }


def _rule_columns(rules: Rules, electors: list[Elector]) -> dict[str, Any]:
    """Write the specification's columns, and what "my queue" looks for."""
    last = at_level(rules, len(levels(rules)))
    ratio = Decimal(rules.ratio.numerator) / Decimal(rules.ratio.denominator)
    return {
        "required_quorum": quorum_json(rules.quorum),
        "required_ratio": ratio.quantize(Decimal("0.0001")),
        "timeout_seconds": durations.seconds_of(rules.timeout),
        "escalation_role": rules.escalation_role,
        "auto_execute": rules.auto_execute,
        "electorate_size": len(electors),
        "voter_roles": sorted(roles_asked(rules) | roles_asked(last)),
        "voter_ids": sorted(people_named(rules)),
    }


def _request_columns(request: NewAction, actor: Actor) -> dict[str, Any]:
    return {
        "origin": request.origin,
        "origin_id": request.origin_id,
        "idempotency_key": request.idempotency_key,
        "created_by": actor.id,
        "creator_roles": sorted(actor.roles),
        "on_behalf_of": request.on_behalf_of,
        "supersedes": None if request.supersedes is None else read_id(request.supersedes),
        "compensates": None if request.compensates is None else read_id(request.compensates),
        "rollback_action": request.rollback_action,
        "not_before": request.not_before,
    }


def _created(bound: Mapping[str, Any], actor: Actor, electors: list[Elector]) -> chain.Entry:
    """Write the first entry of the action's chain: enough to replay every later decision."""
    data = {
        "action_type": bound["action_type"],
        "schema": bound["schema"],
        "params": bound["params"],
        "target": {"type": bound["target_tenant_type"], "id": bound["target_tenant_id"]},
        "policy": {
            "name": bound["policy_name"],
            "version": bound["policy_version"],
            "hash": bound["policy_hash"].hex(),
            "rules": bound["policy_snapshot"]["rules"],
        },
        "electors": [{"id": each.id, "roles": sorted(each.roles)} for each in electors],
        "plan_hash": digest(PLAN, bound["plan"]).hex(),
        "expires_at": binding.instant_text(bound["expires_at"]),
        "created_by": actor.id,
        "origin": bound["origin"],
    }
    id_ = str(bound["id"])
    return chain.entry_of(
        chain=id_,
        seq=0,
        prev=chain.GENESIS,
        ts=bound["created_at"],
        event="action.created",
        action_id=id_,
        actor_kind=actor.kind,
        actor_id=actor.id,
        intent_hash=bound["intent_hash"].hex(),
        data=data,
    )


def read_id(text: str) -> UUID:
    """
    Read an action's id.

    Raises:
        ActionAbsent: it is not one, so there is no such action.
    """
    try:
        return UUID(text)
    except ValueError:
        raise ActionAbsent("Check the action's id.") from None


def _text(standing: StandingRow) -> str | None:
    changed = standing.policies_changed_at
    return None if changed is None else binding.instant_text(changed)


def check_bounds(request: NewAction) -> None:
    """
    Refuse identifiers that could not be stored.

    Raises:
        FieldsRefused: says which.
    """
    for name in ("idempotency_key", "origin_id", "target_tenant_id", "on_behalf_of"):
        value = getattr(request, name)
        if value is not None and not 1 <= len(value) <= 255:  # noqa: PLR2004 - ids from outside.
            raise FieldsRefused(f"{name} has 1 to 255 characters.", field=name)
    if request.not_before is not None and request.not_before.tzinfo is None:
        raise FieldsRefused("not_before needs an offset, such as Z.", field="not_before")
