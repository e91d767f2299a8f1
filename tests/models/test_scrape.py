"""A worker's metrics are for the addresses that may read them; its liveness is for anybody."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

from molam.platform.scrape import serve_metrics
from molam.platform.telemetry import kpi_updates_total


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        yield found


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_worker_tells_what_it_counted(listener: socket.socket):
    kpi_updates_total.inc(3)
    server = serve_metrics(listener, allow=frozenset({"127.0.0.1"}))

    status, said = _get(listener.getsockname()[1], "/metrics")
    server.shutdown()

    counted = [
        line for line in said.splitlines() if line.startswith("molam_merchant_kpi_updates_total")
    ]
    assert status == 200
    assert float(counted[0].split()[1]) >= 3


def test_another_address_reads_the_liveness_only(listener: socket.socket):
    server = serve_metrics(listener, allow=frozenset({"10.0.0.1"}))
    port = listener.getsockname()[1]

    answers = {path: _get(port, path)[0] for path in ("/metrics", "/health", "/etc/passwd")}
    server.shutdown()

    assert answers == {"/metrics": 403, "/health": 200, "/etc/passwd": 404}
