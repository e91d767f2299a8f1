"""Facts on their way from the transaction that made them true to whoever must know."""

from molam.platform.events.consumer import Consumer
from molam.platform.events.dead_letters import requeue_dead_letters
from molam.platform.events.kafka import Kafka
from molam.platform.events.log import Event, cloud_event, publish, purge
from molam.platform.events.loop import run_consumers, run_relay

__all__ = [
    "Consumer",
    "Event",
    "Kafka",
    "cloud_event",
    "publish",
    "purge",
    "requeue_dead_letters",
    "run_consumers",
    "run_relay",
]
