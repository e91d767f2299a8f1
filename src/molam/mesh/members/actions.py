"""What can be approved about members, policies and switches, and in an emergency."""

from __future__ import annotations

from typing import Any

from molam.mesh.members import emergency_actions, member_actions, policy_actions, switch_actions
from molam.platform.actions import ActionType

ACTIONS: tuple[ActionType[Any], ...] = (
    *member_actions.ACTIONS,
    *policy_actions.ACTIONS,
    *switch_actions.ACTIONS,
    *emergency_actions.ACTIONS,
)
