"""Telling a merchant's administrators of what was changed about the account itself."""

from __future__ import annotations

from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.merchant import store
from molam.merchant.team_model import Member, admins
from molam.notices import commands as notices
from molam.notices.model import Kind, Notice
from molam.platform.db import Tx
from molam.platform.web import Caller


@dataclass(frozen=True, slots=True)
class Changed:
    """What was changed: an alert in the app, and a notice with its *title* in both languages."""

    alert_type: str
    alert_title: str
    description: str
    facts: dict[str, object]
    title: dict[str, str]
    link: str


async def tell_admins(
    tx: Tx, caller: Caller, team: list[Member], changed: Changed, *, now: Instant
) -> None:
    """Raise an alert that every administrator sees, and tell each of them; whoever did it too."""
    id_ = uuid7(now)
    await tx.run(
        store.APPEND_ALERT,
        id=id_,
        merchant_id=caller.merchant,
        alert_type=changed.alert_type,
        severity="warning",
        title=changed.alert_title,
        description=changed.description,
        related_transactions=[],
        sira_score=None,
        sira_tags=["account"],
        sira_recommendations=[],
        episode=id_.hex,
        facts=changed.facts,
        expires_at=None,
    )
    await notices.tell(
        tx,
        Notice(
            kind=Kind.ACCOUNT_CHANGED,
            key=f"account/{id_.hex}",
            people=sorted(admins(team)),
            subject=caller.merchant,
            link=changed.link,
            facts={"title": changed.title, "by": caller.name},
            urgent=True,
        ),
    )
