"""What is counted about measurements. No label names a tenant."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

TAKEN_IN = Counter("molam_alerts_metric_events", "Measurements taken in")
LATE = Counter("molam_alerts_late_samples", "Measurements that came after their time was judged")
FOREIGN = Counter(
    "molam_alerts_foreign_floats",
    "Measurements of floats in a currency that is not their agent's",
)
UNKNOWN = Counter(
    "molam_alerts_unknown_tenants", "Measurements posted of tenants that nobody registered"
)
TRANSITIONS = Counter("molam_alerts_transitions", "What became true of watched tenants", ["moved"])
SERIES = Gauge("molam_alerts_series", "Tenants and metrics that are watched")
