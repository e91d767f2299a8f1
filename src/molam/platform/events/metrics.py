"""What an operator watches of the event log."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

BATCHES = Counter("molam_events_batches", "Batches applied", ["group"])
HANDLED = Counter("molam_events_handled", "Events moved past", ["group"])
DEAD_LETTERS = Counter("molam_events_dead_letters", "Events nobody could handle", ["group"])
FAILURES = Counter("molam_events_failures", "Batches that will be tried again", ["group"])
BEHIND = Gauge("molam_events_behind", "Events not yet read, at most 100,000", ["group"])
BEHIND_SECONDS = Gauge("molam_events_behind_seconds", "Age of the oldest of them", ["group"])
RELAYED = Counter("molam_events_relayed", "Events that Kafka acknowledged")
