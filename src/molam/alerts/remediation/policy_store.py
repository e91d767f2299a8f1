"""Statements about remediation policies."""

from __future__ import annotations

from molam.alerts.remediation.model import Policy
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing

_POLICY = """
       id, alert_type, enabled, auto_action, bounds, auto_threshold, cooldown_seconds,
       last_executed_at, require_multi_sig, required_approvals, notify_channels, targets_per_hour,
       share_of_targets, verify_hold_s, verify_within_s, version, created_by, updated_by,
       created_at, updated_at
"""

LIST_POLICIES = Query(
    """
    /* remediation.list_policies */
    select """
    + _POLICY
    + """
      from alerts.remediation_policies
     order by alert_type
    """,
    row=Policy,
)

FIND_POLICY = Query(
    """
    /* remediation.find_policy */
    select """
    + _POLICY
    + """
      from alerts.remediation_policies
     where alert_type = :alert_type::text
    """,
    row=Policy,
)

# Whoever acts on alerts of one type does so one after the other: what is counted of the
# hour is then all there is.
LOCK_POLICY = Query(
    """
    /* remediation.lock_policy */
    select """
    + _POLICY
    + """
      from alerts.remediation_policies
     where alert_type = :alert_type::text
       for update
    """,
    row=Policy,
    locks=Rank.ALERT,
)

WRITE_POLICY = Query(
    """
    /* remediation.write_policy */
    update alerts.remediation_policies
       set enabled = :enabled,
           auto_action = :auto_action,
           bounds = :bounds,
           auto_threshold = :auto_threshold,
           cooldown_seconds = :cooldown_seconds,
           require_multi_sig = :require_multi_sig,
           required_approvals = :required_approvals,
           notify_channels = :notify_channels,
           targets_per_hour = :targets_per_hour,
           share_of_targets = :share_of_targets,
           verify_hold_s = :verify_hold_s,
           verify_within_s = :verify_within_s,
           version = version + 1,
           updated_by = :by,
           updated_at = now()
     where alert_type = :alert_type::text
    """,
    row=Nothing,
)

STAMP_POLICY = Query(
    """
    /* remediation.stamp_policy */
    update alerts.remediation_policies
       set last_executed_at = now()
     where alert_type = :alert_type::text
    """,
    row=Nothing,
)
