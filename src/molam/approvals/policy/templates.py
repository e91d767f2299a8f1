"""Policies to start from: the examples everybody knows, ready to be changed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from molam.platform.actions import Registry


@dataclass(frozen=True, slots=True)
class Template:
    """A policy with words about it. *action_types* must exist before it can be saved."""

    key: str
    name: tuple[str, str]
    description: tuple[str, str]
    action_types: tuple[str, ...]
    criteria: dict[str, Any]
    policy: dict[str, Any]
    priority: int

    def as_json(self, registry: Registry) -> dict[str, Any]:
        """Write it for the API, saying whether every action type it names is known."""
        return {
            "key": self.key,
            "name": {"en": self.name[0], "fr": self.name[1]},
            "description": {"en": self.description[0], "fr": self.description[1]},
            "criteria": self.criteria,
            "policy": self.policy,
            "priority": self.priority,
            "missing_action_types": [each for each in self.action_types if each not in registry],
        }


def _by(role: str, least: int, **more: object) -> dict[str, Any]:
    quorum = {"type": "role", "value": {"role": role, "min_votes": least}}
    return {"required_quorum": quorum, **more}


TEMPLATES = (
    Template(
        key="merchant-freeze",
        name=("Merchant Freeze", "Gel d'un marchand"),
        description=(
            "Two payment administrators freeze a merchant within two hours; then ops_admin joins.",
            (
                "Deux administrateurs des paiements gèlent un marchand en deux heures ; "
                "ensuite ops_admin peut aussi décider."
            ),
        ),
        action_types=("FREEZE_MERCHANT",),
        criteria={"action_type": "FREEZE_MERCHANT"},
        policy=_by(
            "pay_admin",
            2,
            required_ratio=Decimal("0.66"),
            timeout_seconds=7200,
            escalation_role="ops_admin",
            auto_execute=False,
        ),
        priority=90,
    ),
    Template(
        key="high-value-payout",
        name=("High Value Payout", "Versement important"),
        description=(
            "Reversing a payout of 1,000,000 or more takes two of finance, with 75% in favour.",
            (
                "Annuler un versement d'au moins 1 000 000 demande deux personnes des finances, "
                "aux trois quarts des voix."
            ),
        ),
        action_types=("REVERSE_PAYOUT",),
        criteria={"action_type": "REVERSE_PAYOUT", "amount": {"$gte": 1_000_000}},
        policy=_by(
            "finance_ops",
            2,
            required_ratio=Decimal("0.75"),
            timeout_seconds=14400,
            escalation_role="pay_admin",
            auto_execute=False,
        ),
        priority=100,
    ),
    Template(
        key="merchant-fee-adjustment",
        name=("Merchant Fee Adjustment", "Changement de frais"),
        description=(
            "Fees of 3% or more take two of finance within two hours; then the cfo joins.",
            (
                "Des frais d'au moins 3 % demandent deux personnes des finances en deux heures ; "
                "ensuite le cfo peut aussi décider."
            ),
        ),
        action_types=("ADJUST_MERCHANT_FEE",),
        criteria={
            "action_type": "ADJUST_MERCHANT_FEE",
            "params.fee_percentage": {"$gte": Decimal("3.0")},
        },
        policy=_by(
            "finance_ops",
            2,
            required_ratio=Decimal("0.75"),
            timeout_seconds=7200,
            escalation_role="cfo",
            auto_execute=False,
        ),
        priority=90,
    ),
    Template(
        key="float-top-up",
        name=("Float Top-up", "Approvisionnement du float"),
        description=(
            "Two of finance fill or empty an agent's float; a person then executes it.",
            (
                "Deux personnes des finances remplissent ou vident le float d'un agent ; "
                "une personne exécute ensuite."
            ),
        ),
        action_types=("ADJUST_FLOAT",),
        criteria={"action_type": "ADJUST_FLOAT"},
        policy=_by("finance_ops", 2, timeout_seconds=86400, escalation_role="cfo"),
        priority=80,
    ),
    Template(
        key="mesh-member",
        name=("New Mesh Member", "Nouveau membre du réseau"),
        description=(
            "Compliance and an operations administrator let a bank into the mesh in three days.",
            (
                "La conformité et un administrateur des opérations admettent une banque dans le "
                "réseau, en trois jours."
            ),
        ),
        action_types=("ADD_MESH_MEMBER",),
        criteria={"action_type": "ADD_MESH_MEMBER"},
        policy={
            "required_quorum": {
                "type": "all_of",
                "value": [
                    {"type": "role", "value": {"role": "compliance", "min_votes": 1}},
                    {"type": "role", "value": {"role": "ops_admin", "min_votes": 1}},
                ],
            },
            "required_ratio": Decimal(1),
            "timeout_seconds": 259200,
            "auto_execute": True,
        },
        priority=100,
    ),
)
