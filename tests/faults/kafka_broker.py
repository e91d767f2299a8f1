"""A Kafka of librdkafka's own making, on a real TCP port: prints its address, then serves."""

from __future__ import annotations

import sys

from confluent_kafka import Producer


def main() -> None:
    host = Producer(
        {
            "bootstrap.servers": "ignored:1",
            "test.mock.num.brokers": 1,
            "log_level": 3,
        }
    )
    brokers = host.list_topics(timeout=10).brokers.values()
    sys.stdout.write(",".join(f"{broker.host}:{broker.port}" for broker in brokers) + "\n")
    sys.stdout.flush()
    while True:
        host.poll(1)


main()
