"""Metrics and liveness of a process that serves nothing else, such as a worker."""

from __future__ import annotations

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest


def serve_metrics(listener: socket.socket, *, allow: frozenset[str]) -> ThreadingHTTPServer:
    """
    Answer ``GET /metrics`` to the addresses in *allow*, and ``GET /health`` to anybody.

    It runs in a thread, so that it answers while the event loop is busy, and ends
    with the process or when its ``shutdown`` is called.
    """

    class Answer(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            match self.path:
                case "/health":
                    self._send(HTTPStatus.OK, b'{"status":"healthy"}', "application/json")
                case "/metrics" if self.client_address[0] in allow:
                    self._send(HTTPStatus.OK, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
                case "/metrics":
                    self._send(HTTPStatus.FORBIDDEN, b"see MOLAM_METRICS_ALLOW\n", "text/plain")
                case _:
                    self._send(HTTPStatus.NOT_FOUND, b"/health or /metrics\n", "text/plain")

        def _send(self, status: HTTPStatus, body: bytes, media: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise.
            """Say nothing: a scrape every few seconds is no news."""

    server = ThreadingHTTPServer(listener.getsockname()[:2], Answer, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.daemon_threads = True
    server.server_activate()
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
