"""What is counted about remedies. No label names a tenant."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

EXECUTED = Counter("remediations_executed", "Remedies of alerts carried out", ["type"])
LATENCY = Histogram(
    "remediation_latency_seconds",
    "How long after an alert opened its remedy was carried out",
    buckets=(1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400),
)
