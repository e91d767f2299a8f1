"""Alerting as other code calls it, by the specification's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from molam.alerts.episodes import commands as episodes
from molam.alerts.episodes import deciding
from molam.alerts.episodes import store as episodes_store
from molam.alerts.episodes.model import AlertAbsent, AlertRow, NewAlert
from molam.alerts.remediation import commands, following, views
from molam.alerts.remediation.views import read_id
from molam.alerts.rules import commands as rules
from molam.alerts.rules import tenants
from molam.alerts.rules.messages import MetricEvent, sample_of
from molam.alerts.rules.model import MetricMalformed
from molam.alerts.runtime import Watch
from molam.approvals import views as actions
from molam.approvals.model import Actor, parsed
from molam.platform.db import Database

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alerts:
    """
    Alerting inside this process.

    Whoever calls it vouches for the ids it passes, as with the approval engine.
    """

    db: Database
    watch: Watch

    async def process_metric_event(self, **fields: object) -> Document | None:
        """
        Judge one measurement at once, and return the alert that is open because of it, if any.

        Raises:
            MetricMalformed, UnknownCurrency: it is none.
        """
        now = self.watch.clock.now()
        try:
            event = msgspec.convert(parsed(fields), MetricEvent, strict=False)
        except msgspec.ValidationError as error:
            raise MetricMalformed(f"{error}.") from None
        async with self.db.transaction("alerts.process_metric_event") as tx:
            sample = sample_of(event, now=now)
            await tenants.check_floats(tx, [sample])
            moved = await rules.take_in(tx, [sample], now=now, settle=True, book=self.watch.rules)
            rows = await episodes.apply(tx, self.watch, moved)
        open_ = [row for row in rows if not row.is_over]
        return _document(open_[0]) if open_ else None

    async def create_alert(self, **fields: object) -> Document:
        """
        Raise an alert; of one that is open already, that one.

        Raises: as `deciding.create_alert`.
        """
        try:
            asked = msgspec.convert(parsed(fields), NewAlert)
        except msgspec.ValidationError as error:
            raise MetricMalformed(f"{error}.") from None
        async with self.db.transaction("alerts.create_alert") as tx:
            return _document(await deciding.create_alert(tx, self.watch, asked))

    async def call_sira_recommendation(self, alert: Mapping[str, object]) -> Document:
        """Ask SIRA what *alert* calls for; nothing follows from asking."""
        return await commands.recommendation_of(
            self.db, self.watch, read_id(str(alert.get("id", "")))
        )

    async def get_alert(self, alert_id: str) -> Document:
        """
        Raises:
            AlertAbsent
        """
        found = await self.db.read(episodes_store.FIND_ALERT, id=read_id(alert_id))
        if not found:
            raise AlertAbsent("Check the alert's id.")
        return _document(found[0])

    async def acknowledge_alert(
        self, alert_id: str, user_id: str, note: str | None = None
    ) -> Document:
        """
        Raises:
            AlertAbsent, AlertOver, AlertTaken
        """
        return _document(
            await deciding.acknowledge(self.db, read_id(alert_id), by=user_id, note=note)
        )

    async def resolve_alert(self, alert_id: str, user_id: str, note: str | None = None) -> Document:
        """
        Raises:
            AlertAbsent, AlertOver
        """
        return _document(
            await deciding.resolve(self.db, self.watch, read_id(alert_id), by=user_id, note=note)
        )

    async def trigger_remediation_flow(self, alert_id: str) -> Document | None:
        """Do what the alert's policy lets happen by itself; return the action, if there is one."""
        row = await commands.remediate(self.db, self.watch, read_id(alert_id))
        return None if row is None else actions.action_json(row)

    async def remediate_alert(self, alert_id: str, user_id: str) -> Document:
        """
        Ask by hand for what the alert's policy does.

        Raises: as `commands.remediate_by_hand`.
        """
        row = await commands.remediate_by_hand(
            self.db, self.watch, read_id(alert_id), Actor(user_id)
        )
        return actions.action_json(row)

    async def get_policy_for_alert_type(self, alert_type: str) -> Document:
        """
        Raises:
            PolicyUnknown
        """
        async with self.db.transaction("alerts.get_policy", readonly=True) as tx:
            return views.policy_json(await commands.policy_of(tx, alert_type))

    async def get_alert_decisions(self, alert_id: str) -> list[Document]:
        """List what was decided about an alert, oldest first."""
        return await views.decisions_json(self.db, read_id(alert_id))

    async def verify_remediations(self) -> int:
        """Find out whether what was carried out has helped; return how much is not settled."""
        return await following.follow(self.db, self.watch)


def _document(row: AlertRow) -> Document:
    return views.alert_json(row)
