"""What can be approved in alerting."""

from __future__ import annotations

from typing import Any

from molam.alerts.episodes import inhibition_actions
from molam.alerts.remediation import (
    group_actions,
    policy_actions,
    recommendation_actions,
    threshold_actions,
)
from molam.platform.actions import ActionType

ACTIONS: tuple[ActionType[Any], ...] = (
    *inhibition_actions.ACTIONS,
    *policy_actions.ACTIONS,
    *threshold_actions.ACTIONS,
    *recommendation_actions.ACTIONS,
    *group_actions.ACTIONS,
)
