"""One action for many targets: what it is asked with."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from molam.ledger import actions as ledger
from molam.mesh import actions as mesh
from molam.payments.payouts import actions as payouts
from molam.platform.actions import Registry
from molam.tenancy import actions as tenancy

REMEDIATE_GROUP = "REMEDIATE_GROUP"
GROUP = "alerts.ask_group"
GATHER_S = 30.0
"""So long after the first target was held others may join it."""
MEMBERS_MAX = 500

GROUPED = frozenset({"ADJUST_FLOAT", "FREEZE_MERCHANT", "PAUSE_PAYOUT", "EMERGENCY_CIRCUIT_BREAK"})
"""What may be done to many at once: each is about one target, and done in the database alone."""
TYPES = Registry([*tenancy.ACTIONS, *ledger.ACTIONS, *payouts.ACTIONS, *mesh.ACTIONS])

_Id = Annotated[str, Meta(min_length=1, max_length=255)]


class GroupJob(msgspec.Struct, frozen=True):
    """Arguments of the job `GROUP`."""

    alert_type: str
    action_type: str
    version: int = 1


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target, and what is done to it: the params of the action it would have had alone."""

    alert_id: _Id
    target_type: _Id
    target_id: _Id
    params: dict[str, Any]


class RemediateGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*action_type* is done to each of *members*, which are alerts of *alert_type*."""

    alert_type: _Id
    action_type: _Id
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]

    def __post_init__(self) -> None:
        if self.action_type not in GROUPED:
            raise ValueError(f"action_type is one of {', '.join(sorted(GROUPED))}")
        targets = {(each.target_type, each.target_id) for each in self.members}
        if len(targets) != len(self.members):
            raise ValueError("members names each target once")

    @property
    def target_id(self) -> str:
        return target_id_of(self.alert_type, self.action_type)


def target_id_of(alert_type: str, action_type: str) -> str:
    return f"{alert_type}/{action_type}"
