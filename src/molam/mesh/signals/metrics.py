"""What is counted about signals and predictions. No label names a merchant."""

from __future__ import annotations

import math

from prometheus_client import Counter, Gauge, Histogram

TAKEN_IN = Counter("molam_mesh_signals", "Signals about banks taken in")
PROBES = Counter("molam_mesh_probes", "Answers of banks to probes", ["bank", "outcome"])
P_DOWN = Gauge("molam_mesh_p_down", "Probability that a bank is down", ["bank", "rail", "currency"])
CONFIDENCE = Histogram(
    "molam_mesh_prediction_confidence",
    "How sure SIRA is of its predictions",
    buckets=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
)
COVERAGE = Gauge(
    "molam_mesh_interval_coverage",
    "Share of predictions whose interval held what came; 0.8 is meant",
)
COVERAGE.set(math.nan)  # 0 would say that none has held.
SILENT = Gauge("molam_mesh_silent_banks", "Banks whose heartbeats have stopped")
REFUSED = Counter(
    "molam_mesh_predictions_refused", "Predictions that did not bear SIRA's signature", ["why"]
)
