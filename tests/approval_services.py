"""An approval service on a real port that decides, errs and falls silent as a test asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from molam.payments.refunds.remote_service import ApprovalService
from molam.platform.settings import Secret

TOKEN = "token-of-a-service"


class FakeApprovals:
    """Keeps one approval for each key, as the specification's service does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """Each question as it came: its key and its body."""
        self.tokens: set[str] = set()
        self.approvals: dict[str, dict[str, Any]] = {}
        self.first_status = "pending"
        self.more: dict[str, Any] = {}
        """What is answered otherwise than it is."""
        self.failing: tuple[int, bytes] | None = None
        """A status and a body in place of every answer."""
        self.port = 0

    def service(self) -> ApprovalService:
        return ApprovalService(f"http://127.0.0.1:{self.port}", Secret(TOKEN), timeout_s=2.0)

    def decide(self, status: str, **more: Any) -> None:
        for each in self.approvals.values():
            each.update(status=status, **more)

    def take(self, key: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((key, body))
        if key not in self.approvals:
            id_ = f"approval-{len(self.approvals) + 1}"
            self.approvals[key] = {"id": id_, "status": self.first_status, "votes": [], **body}
        found = self.approvals[key]
        return {"ok": True, "approval_id": found["id"], "status": found["status"]}

    def show(self, id_: str) -> dict[str, Any] | None:
        for each in self.approvals.values():
            if each["id"] == id_:
                shown = {name: value for name, value in each.items() if name != "votes"}
                return {"ok": True, "approval": {**shown, **self.more}, "votes": each["votes"]}
        return None

    def answer(self, method: str, path: str, key: str, body: bytes) -> tuple[int, bytes]:
        if self.failing is not None:
            return self.failing
        if method == "POST":
            return 201, json.dumps(self.take(key, json.loads(body))).encode()
        shown = self.show(path.rpartition("/")[2])
        return (404, b"{}") if shown is None else (200, json.dumps(shown).encode())


@contextmanager
def deciding() -> Iterator[FakeApprovals]:
    """Serve a `FakeApprovals` on a free port of loopback."""
    fake = FakeApprovals()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer("POST")

        def do_GET(self) -> None:
            self._answer("GET")

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            fake.tokens.add(self.headers.get("Authorization", ""))
            key = self.headers.get("Idempotency-Key", "")
            status, answer = fake.answer(method, self.path, key, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
