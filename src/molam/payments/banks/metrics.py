"""What is counted about banks. No label names a merchant."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

ATTEMPTS = Counter("molam_payments_attempts", "Answers of banks to sending", ["bank", "outcome"])
SILENT = Counter(
    "molam_payments_silent_callbacks",
    "Payments whose end the bank did not tell, and an inquiry found",
    ["bank"],
)
CONTRADICTIONS = Counter(
    "molam_payments_contradictions", "Banks that unsaid what they had said", ["bank"]
)
CALLBACKS = Counter("molam_payments_callbacks", "Callbacks of banks", ["bank", "outcome"])
ANSWER_SECONDS = Histogram(
    "molam_payments_bank_seconds",
    "How long banks take to answer",
    ["bank"],
    buckets=(0.1, 0.3, 1, 3, 10, 30),
)
