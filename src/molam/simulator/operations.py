"""The demo's policies, and some actions in every stage, made through the engine itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from molam.approvals.engine import Engine
from molam.approvals.policy.policies import PolicyNameTaken, PolicyRefused
from molam.approvals.policy.templates import TEMPLATES
from molam.kernel.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Case:
    """One action of the demo: who asks, who votes how, and who carries it out."""

    key: str
    by: str
    action_type: str
    params: Mapping[str, object]
    votes: Sequence[tuple[str, str, str]] = ()
    executor: str | None = None
    origin: str = "ops_ui"


CASES = (
    Case(
        "demo-float-bouake",
        "sira-system",
        "ADJUST_FLOAT",
        {
            "agent_id": "agent-bouake",
            "adjustment": "top_up",
            "amount": 1_000_000,
            "sira_confidence": 0.95,
            "sira_explanation": "Float below its usual Saturday need since 09:10.",
        },
        origin="sira",
    ),
    Case(
        "demo-freeze-makola",
        "mariama.cisse",
        "FREEZE_MERCHANT",
        {
            "merchant_id": "merchant-makola",
            "reason": "Chargebacks four times the usual rate since Thursday",
            "duration": "24h",
        },
        (("cheikh.faye", "approve", "Saw the disputes, freeze until they are answered"),),
    ),
    Case(
        "demo-fee-cocody",
        "ousmane.sow",
        "ADJUST_MERCHANT_FEE",
        {
            "merchant_id": "merchant-cocody",
            "fee_percentage": 3.5,
            "effective_date": "2027-01-01",
        },
        (
            ("ibrahima.ba", "approve", "As the new contract says"),
            ("esi.boateng", "approve", "Contract checked"),
        ),
    ),
    Case(
        "demo-rate-limit",
        "khady.seck",
        "ADJUST_RATE_LIMIT",
        {"name": "ops.read", "limit": 2_000},
        (
            ("ibrahima.ba", "approve", "The month's end needs it"),
            ("esi.boateng", "approve", "Fine until the next review"),
        ),
        "khady.seck",
    ),
    Case(
        "demo-freeze-balogun",
        "chinedu.obi",
        "FREEZE_MERCHANT",
        {
            "merchant_id": "merchant-balogun",
            "reason": "One complaint by telephone, not confirmed",
            "duration": "12h",
        },
        (
            ("rokhaya.thiam", "reject", "One call is no reason to stop a shop's trade"),
            ("yaw.appiah", "reject", "Ask for the order number first"),
        ),
    ),
)


async def seed_operations(engine: Engine) -> tuple[int, int]:
    """
    Add the demo's policies and actions; safe to repeat.

    Returns how many policies and actions are new. What cannot be done any more,
    because the demo has moved on, is left out.
    """
    known = {each["name"] for each in await engine.list_policies()}
    added = 0
    for template in TEMPLATES:
        # The specification's own example makes that one; here it would be in its way.
        if template.key == "merchant-fee-adjustment":
            continue
        added += template.name[0] not in known and await _put_policy(engine, template.key)
    actions = 0
    for case in CASES:
        actions += await _play(engine, case)
    return added, actions


async def _put_policy(engine: Engine, key: str) -> bool:
    template = next(each for each in TEMPLATES if each.key == key)
    if template.as_json(engine.runtime.registry)["missing_action_types"]:
        return False
    try:
        await engine.create_approval_policy(
            name=template.name[0],
            description=template.description[0],
            criteria=template.criteria,
            policy=template.policy,
            priority=template.priority,
            created_by="system",
        )
    except (PolicyNameTaken, PolicyRefused):
        return False
    return True


async def _play(engine: Engine, case: Case) -> bool:
    try:
        action = await engine.create_ops_action(
            idempotency_key=case.key,
            origin=case.origin,
            action_type=case.action_type,
            params=dict(case.params),
            created_by=case.by,
        )
        if action["votes_cast"] or action["state"] != "pending":
            return False
        for voter, vote, comment in case.votes:
            await engine.vote_on_action(action["id"], voter, [], vote, comment)
        if case.executor is not None:
            await engine.execute_action(action["id"], case.executor)
    except Refusal:
        return False
    return True
