"""Everything of alerting that the operations app answers to."""

from __future__ import annotations

from molam.alerts.episodes import endpoints as episodes
from molam.alerts.episodes import inhibition_endpoints as inhibitions
from molam.alerts.episodes import silence_endpoints as silences
from molam.alerts.remediation import endpoints as remediation
from molam.alerts.rules import endpoints as rules
from molam.platform.web import Routes

API: tuple[Routes, ...] = (
    rules.routes,
    silences.routes,
    inhibitions.routes,
    episodes.routes,
    remediation.routes,
)
