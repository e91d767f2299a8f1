"""Remediation as the API shows it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from uuid import UUID

import msgspec

from molam.alerts.episodes.model import AlertAbsent, AlertRow
from molam.alerts.remediation import store
from molam.alerts.remediation.model import Policy
from molam.platform.db import Database

_HIDDEN = frozenset({"fingerprint", "group_key", "told_severity"})


def read_id(text: str) -> UUID:
    """
    Raises:
        AlertAbsent: it is no id, so there is no such alert.
    """
    try:
        return UUID(text)
    except ValueError:
        raise AlertAbsent("Check the alert's id.") from None


def policy_json(policy: Policy) -> dict[str, Any]:
    return _plain(policy.as_json())


def alert_json(row: AlertRow) -> dict[str, Any]:
    return _plain(
        {each.name: getattr(row, each.name) for each in fields(row) if each.name not in _HIDDEN}
    )


async def decisions_json(db: Database, alert_id: UUID) -> list[dict[str, Any]]:
    """List what was decided about an alert, oldest first."""
    return [
        _plain({"id": row.id, "decision": row.decision, "created_at": row.created_at})
        for row in await db.read(store.LIST_DECISIONS, alert_id=alert_id)
    ]


_encode = msgspec.json.Encoder(decimal_format="number").encode


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = msgspec.json.decode(_encode(document))
    return written
