"""What can be approved in alerting."""

from __future__ import annotations

from typing import Any

from molam.alerts.remediation import policy_actions, recommendation_actions, threshold_actions
from molam.platform.actions import ActionType

ACTIONS: tuple[ActionType[Any], ...] = (
    *policy_actions.ACTIONS,
    *threshold_actions.ACTIONS,
    *recommendation_actions.ACTIONS,
)
