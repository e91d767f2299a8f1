"""What can be approved in the mesh."""

from __future__ import annotations

from typing import Any

from molam.mesh.control import actions as control
from molam.mesh.control import override_actions, plan_actions, resuming
from molam.mesh.liquidity import pool_actions
from molam.mesh.members import actions as members
from molam.platform.actions import ActionType

ACTIONS: tuple[ActionType[Any], ...] = (
    *members.ACTIONS,
    *pool_actions.ACTIONS,
    *control.ACTIONS,
    *resuming.ACTIONS,
    *override_actions.ACTIONS,
    *plan_actions.ACTIONS,
)
