"""How this deployment reaches Kafka."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import confluent_kafka
import structlog

from molam.kernel.refusals import Outage
from molam.platform.events.log import EVENT_BYTES_MAX
from molam.platform.settings import Secret, Settings

log = structlog.get_logger()

_CONNECT_TIMEOUT_S = 5.0

Option = str | int | bool | float | object


@dataclass(frozen=True, slots=True)
class Kafka:
    """The brokers and who we are to them."""

    brokers: str
    client_id: str
    ssl: bool = False
    username: str = ""
    password: Secret = Secret("")  # noqa: RUF009 - immutable.

    @classmethod
    def of(cls, settings: Settings) -> Kafka | None:
        """Return None when no brokers are set: events go through the log alone."""
        if not settings.kafka_brokers:
            return None
        return cls(
            brokers=settings.kafka_brokers,
            client_id=settings.kafka_client_id,
            ssl=settings.kafka_ssl,
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password,
        )

    def consumer(self, group: str) -> confluent_kafka.Consumer:
        """
        Open a client that reads; offsets are ours to keep, see Note [Offsets].

        Raises:
            Outage: no broker answers.
        """
        client = confluent_kafka.Consumer(
            {
                **self._common(),
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "allow.auto.create.topics": True,
                "topic.metadata.refresh.interval.ms": 10_000,
                # The same parts of each topic to one worker, so that one merchant's
                # events seldom meet at the lock on a lane.
                "partition.assignment.strategy": "range",
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 1_500,
                "fetch.wait.max.ms": 20,
                # At its default of 1 s, a full queue pauses for that long.
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": 16 * 1024,
            }
        )
        self._greet(client, group)
        return client

    def producer(self) -> confluent_kafka.Producer:
        """
        Open a client that writes, in order and without repeating itself.

        Raises:
            Outage: no broker answers.
        """
        client = confluent_kafka.Producer(
            {
                **self._common(),
                "enable.idempotence": True,
                # CRC-32 of the key, as `log.lane` does.
                "partitioner": "consistent",
                "linger.ms": 2,
                "message.timeout.ms": 30_000,
                "message.max.bytes": 2 * EVENT_BYTES_MAX,
            }
        )
        self._greet(client, "relay")
        return client

    def _greet(
        self, client: confluent_kafka.Consumer | confluent_kafka.Producer, group: str
    ) -> None:
        try:
            cluster = client.list_topics(timeout=_CONNECT_TIMEOUT_S)
        except confluent_kafka.KafkaException as error:
            raise Outage("kafka") from error
        log.info("Kafka connected", group=group, brokers=len(cluster.brokers))

    def _common(self) -> dict[str, Option]:
        options: dict[str, Option] = {
            "bootstrap.servers": self.brokers,
            "client.id": self.client_id,
            "security.protocol": self._protocol(),
            "logger": logging.getLogger("molam.kafka"),
            "error_cb": _tell,
        }
        if self.username:
            options["sasl.mechanism"] = "PLAIN"
            options["sasl.username"] = self.username
            options["sasl.password"] = self.password.reveal()
        return options

    def _protocol(self) -> str:
        transport = "SSL" if self.ssl else "PLAINTEXT"
        return f"SASL_{transport}" if self.username else transport


def _tell(error: confluent_kafka.KafkaError) -> None:
    """Librdkafka mends its own connections; an operator should still know."""
    log.warning("events.kafka.trouble", reason=error.str())
