"""What tests of alerts begin with: transitions that open them, and alerts as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from measuring import AGENT, T0, a_rule, a_watch, at
from molam.alerts.episodes import commands
from molam.alerts.episodes.model import AlertRow
from molam.alerts.rules.model import Transition, fingerprint
from molam.platform.db import Database

ROW: dict[str, Any] = {
    "id": UUID(int=1),
    "alert_type": "float_low",
    "tenant_type": "agent",
    "tenant_id": AGENT,
    "severity": "critical",
    "metric": {"metric": "float_available", "value": 500_000, "threshold": 1_000_000},
    "state": "open",
    "status": "open",
    "is_suppressed": False,
    "title": "Low float, Kiosque Médina",
    "description": "",
    "facts": {},
    "rule_id": "float_low",
    "fingerprint": bytes(32),
    "episode": 1,
    "currency": "XOF",
    "fired_at": T0,
    "created_at": T0,
    "acknowledged_at": None,
    "acknowledged_by": None,
    "resolved_at": None,
    "resolved_by": None,
    "note": None,
    "remedied_by_action_id": None,
    "suppressed_until": None,
    "suppression_reason": None,
    "is_silenced": False,
    "is_inhibited": False,
    "is_in_maintenance": False,
    "is_flapping": False,
    "inhibited_by": None,
    "group_key": "float_low/agent",
    "notified_at": None,
    "told_severity": None,
    "resolution_notified_at": None,
    "notify_roles": ["finance_ops"],
    "escalation": [],
    "escalation_step": 0,
    "escalate_at": None,
    "version": 1,
    "updated_at": T0,
}


def an_alert_row(**changed: Any) -> AlertRow:
    return AlertRow(**{**ROW, **changed})


def a_transition(moved: Any = "opened", seconds: float = 0, **changed: Any) -> Transition:
    """A float at half a million francs; *rule* may change, fields of the transition as well."""
    rule = changed.pop("rule", None) or a_rule()
    tenant_id = changed.pop("tenant_id", AGENT)
    made = Transition(
        moved=moved,
        at=at(seconds),
        fingerprint=fingerprint(
            rule.alert_type, rule.metric, rule.tenant_type, tenant_id, currency=rule.currency
        ),
        episode=1,
        rule=rule,
        tenant_id=tenant_id,
        currency=rule.currency,
        severity="critical",
        value=Decimal(500_000),
        previous_value=None,
        is_flapping=False,
    )
    return replace(made, **changed)


async def happen(db: Database, *transitions: Transition) -> list[AlertRow]:
    """Let alerts follow *transitions* in one transaction."""
    async with db.transaction("tests.happen") as tx:
        return await commands.apply(tx, a_watch(), transitions)


async def one(db: Database, transitions: Sequence[Transition] = ()) -> AlertRow:
    (row,) = await happen(db, *(transitions or [a_transition()]))
    return row


async def age(db: Database, by: timedelta) -> None:
    """Let everything that happened to alerts have happened *by* earlier."""
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update alerts.alerts set created_at = created_at - $1::interval,"
            " notified_at = notified_at - $1::interval, resolved_at = resolved_at - $1::interval,"
            " escalate_at = escalate_at - $1::interval, suppressed_until = suppressed_until - $1::interval",
            by,
        )
        await tx.connection.execute(
            "update alerts.alert_groups set last_notified_at = last_notified_at - $1::interval", by
        )
        await tx.connection.execute(
            "update alerts.silences set starts_at = starts_at - $1::interval, ends_at = ends_at - $1::interval",
            by,
        )
