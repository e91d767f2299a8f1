"""Logs in the specification's shape, and metrics under its names."""

from __future__ import annotations

import functools
import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The request being served, added to every log line written for it."""

loses_answer: ContextVar[bool] = ContextVar("loses_answer", default=False)
"""Set by whoever leaves the answer to a request unfinished on purpose."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

kpi_updates_total = Counter(
    "molam_merchant_kpi_updates_total", "Facts that the KPI worker counted."
)
kpi_drift_total = Counter(
    "molam_merchant_kpi_drift_total", "KPI figures found to differ from the rows behind them."
)
kpi_compute_seconds = Histogram(
    "molam_merchant_kpi_compute_seconds",
    "Time to compute a summary that no cache held.",
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5),
)
cache_lookups_total = Counter(
    "molam_merchant_kpi_cache_lookups_total", "Summaries asked of the KPI cache.", ["result"]
)
view_refresh_seconds = Histogram(
    "molam_merchant_view_refresh_seconds",
    "Duration of REFRESH MATERIALIZED VIEW.",
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300),
)
open_streams = Gauge("molam_merchant_open_streams", "Live streams open now.", ["transport"])
dropped_streams_total = Counter(
    "molam_merchant_dropped_streams_total", "Live streams closed because the client was slow."
)


class RequestMetrics:
    """How many requests each route answered with which status, and how fast."""

    def __init__(self, prefix: str) -> None:
        self._total = Counter(
            f"{prefix}_requests_total", "HTTP requests.", ["method", "route", "status"]
        )
        self._seconds = Histogram(
            f"{prefix}_request_duration_seconds",
            "Time to answer.",
            ["method", "route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
        )
        # Looking a series up costs more than counting; routes and statuses are few.
        self._series = functools.cache(self._found)

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        total, duration = self._series(method, route, status)
        total.inc()
        duration.observe(seconds)

    def _found(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        return self._total.labels(method, route, status), self._seconds.labels(method, route)


@functools.cache
def request_metrics(prefix: str) -> RequestMetrics:
    """Return the request metrics of the app named by *prefix*; a registry holds a name once."""
    return RequestMetrics(prefix)


# A second net under the rule that log calls name the fields they want: neither
# these keys nor anything shaped like a token reaches a log.
_SECRET_KEY = re.compile(
    r"authorization|cookie|token|password|passwd|secret|csrf|otp|verifier|assertion|api_?key|dsn",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?i:bearer|basic)\s+[\w.~+/=-]{8,}"
    r"|(?<=[?&])(?:code|state|token|id_token_hint|login_hint)=[^&\s\"']+"
)
_HIDDEN = "•••"

_level = logging.INFO

# JSON escapes C0 controls itself; these too can move a terminal's cursor or
# start a line in some readers.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure_logging(service: str, *, level: str = "info", stream: TextIO | None = None) -> None:
    """
    Send our logs and every library's to *stream* (standard error), one JSON object a line.

    *service* is the specification's name of the process: ``merchant-dashboard``.
    """
    out = stream or sys.stderr
    global _level  # noqa: PLW0603 - logging is the process's, as the root logger is.
    threshold = _level = getattr(logging, level.upper())
    structlog.configure(
        processors=[structlog.processors.format_exc_info, functools.partial(_render, service)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Formatter(service))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
    # Ours is written at debug level by the edge; uvicorn's would show query strings.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    # These write whole URLs, and sign-in codes travel in URLs.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    # uvicorn writes this, as an error, of each WebSocket handshake that was refused
    # as it should be; anybody could fill the log with it.
    if record.msg == "ASGI callable returned without completing response.":
        return not loses_answer.get()
    return record.msg != "ASGI callable returned without completing handshake."


def is_debugging() -> bool:
    """Tell whether debug lines are written; asking is cheaper than writing nothing."""
    return _level <= logging.DEBUG


def _render(service: str, _logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    message = str(event.pop("event", ""))
    return line(service, "warning" if method == "warn" else method, message, event)


class _Formatter(logging.Formatter):
    """Put the standard library's records into the same shape."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        metadata: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[0] is not None:
            metadata["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return line(self._service, record.levelname.lower(), record.getMessage(), metadata)


def line(service: str, level: str, message: str, metadata: Mapping[str, object]) -> str:
    """Write one log line; nothing in it can break out of the line or be a secret."""
    facts = {key: _shown(key, value) for key, value in metadata.items()}
    current = request_id.get()
    if current:
        facts["request_id"] = current
    text = msgspec.json.encode(
        {
            "timestamp": datetime.now(UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": level,
            "service": service,
            "message": _shown("message", message),
            "metadata": facts,
        },
        enc_hook=repr,
    ).decode()
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _shown(key: str, value: object) -> object:
    if _SECRET_KEY.search(key):
        return _HIDDEN
    if isinstance(value, str):
        return _SECRET_VALUE.sub(_HIDDEN, value.encode(errors="replace").decode())
    if isinstance(value, Mapping):
        return {str(inner): _shown(str(inner), held) for inner, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(key, item) for item in value]
    return value
