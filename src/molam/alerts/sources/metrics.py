"""What is counted about sources. No label names a tenant."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

TOLD = Counter("molam_alerts_measured", "Values that the product measured of itself and told")
SECONDS = Histogram(
    "molam_alerts_measuring_seconds",
    "How long one round of measuring took",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
