"""What is counted about alerts. No label names a tenant."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

CREATED = Counter("alerts_created", "Alerts opened", ["type", "severity"])
RESOLVED = Counter("alerts_resolved", "Alerts that ended", ["type"])
PENDING = Gauge("alerts_pending_gauge", "Alerts that nobody has taken on yet")
TOLD = Counter("molam_alerts_notices", "Notices about alerts", ["about"])
ESCALATED = Counter("molam_alerts_escalated", "Steps of escalations taken")
