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
HELD_BACK = Counter(
    "molam_payments_held_back",
    "Requests to pay that wait because a bank refuses too many",
    ["bank"],
)
INQUIRIES = Counter(
    "molam_payments_inquiries",
    "Questions to banks about payments, and those that were put off",
    ["bank", "outcome"],
)
NOT_REPEATED = Counter(
    "molam_payments_not_repeated",
    "Payments that a bank never saw and that wait for its budget of repetitions",
    ["bank"],
)
CALLBACKS = Counter("molam_payments_callbacks", "Callbacks of banks", ["bank", "outcome"])
ANSWER_SECONDS = Histogram(
    "molam_payments_bank_seconds",
    "How long banks take to answer",
    ["bank"],
    buckets=(0.1, 0.3, 1, 3, 10, 30),
)
