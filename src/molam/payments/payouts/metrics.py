"""What is counted about payouts; without a merchant's name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

MADE = Counter("molam_payouts_made", "Payouts made from balances", ["asked_as"])
ENDED = Counter("molam_payouts_ended", "Payouts that came to an end", ["state"])
HELD = Counter("molam_payouts_held", "Payouts that could not be sent when due", ["reason"])
IN_DOUBT = Counter("molam_payouts_in_doubt", "Sendings whose answer was lost", [])
LATE_TRUTH = Counter("molam_payouts_late_truth", "Payouts paid after their bank refused them", [])
RECALLS = Counter("molam_payout_recalls_total", "Requests to give a payout back", ["state"])
RECALLS_OPEN = Gauge(
    "molam_payout_recalls_open", "Requests to give a payout back that have not ended", ["state"]
)
