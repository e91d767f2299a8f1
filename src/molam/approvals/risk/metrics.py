"""How long the routes of /api/approvals take, under the specification's name."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from http import HTTPStatus

from prometheus_client import Histogram

from molam.kernel.refusals import Outage, Refusal
from molam.platform.web import problems

DURATION = Histogram(
    "molam_approvals_http_request_duration_ms",
    "Time to answer, in milliseconds.",
    ["method", "route", "status_code"],
    buckets=(5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000),
)

_MILLIS = 1000


@contextlib.contextmanager
def timed(method: str, route: str, status: int = HTTPStatus.OK) -> Iterator[None]:
    """Observe how long the block takes, by *status* or by what it is refused with."""
    began = time.perf_counter()
    try:
        yield
    except Refusal as refusal:
        status = problems.STATUS[refusal.kind]
        raise
    except Outage:
        status = HTTPStatus.SERVICE_UNAVAILABLE
        raise
    finally:
        elapsed_ms = (time.perf_counter() - began) * _MILLIS
        DURATION.labels(method, route, str(int(status))).observe(elapsed_ms)
