"""Where the action types of every domain are joined into what the engine knows."""

from __future__ import annotations

from molam.alerts import actions as alerts
from molam.approvals import freeze_actions
from molam.approvals.policy.actions import with_policy_changes
from molam.approvals.risk import actions as risk_actions
from molam.ledger import actions as ledger
from molam.mesh import actions as mesh
from molam.payments.payouts import actions as payouts
from molam.payments.refunds import actions as refunds
from molam.payments.statements import actions as statements
from molam.platform.actions import Registry
from molam.platform.events import actions as events
from molam.platform.web import rate_actions
from molam.tenancy import actions as tenancy


def registry() -> Registry:
    """Join the action types; the engine is given them and imports none."""
    return with_policy_changes(
        [
            *tenancy.ACTIONS,
            *ledger.ACTIONS,
            *events.ACTIONS,
            *rate_actions.ACTIONS,
            *risk_actions.ACTIONS,
            *refunds.ACTIONS,
            *payouts.ACTIONS,
            *statements.ACTIONS,
            *mesh.ACTIONS,
            *alerts.ACTIONS,
            *freeze_actions.ACTIONS,
        ]
    )
