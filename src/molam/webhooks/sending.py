"""One attempt: the body, its signatures, and what came back."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from datetime import timedelta

import httpx2

from molam.kernel.refusals import Outage
from molam.platform.egress import AddressRefused, Egress
from molam.webhooks.bodies import body_of
from molam.webhooks.delivery_store import DueRow
from molam.webhooks.model import Told, read_retry_after
from molam.webhooks.signing import sign
from molam.webhooks.vault import SecretUnreadable, Vault

TIMEOUT_S = 10.0
"""The specification's, for name, connection and answer together."""
PORTS = frozenset({443, 8443})
ANSWER_BYTES_READ = 2048

_STATUSES = range(100, 600)


async def send(row: DueRow, egress: Egress, vault: Vault, *, began: float) -> Told:
    """
    Post one delivery and say what came back. No transaction is open.

    *began* is when `row.now` was, on the monotonic clock.
    """
    try:
        keys = [vault.open(each, endpoint_id=row.endpoint_id) for each in row.sealed or []]
    except SecretUnreadable:
        keys = []
    if not keys:
        return Told(None, 0.0, error="secret-unreadable")
    body = body_of(row)
    # By PostgreSQL's clock: ours may be wrong, and receivers refuse what is too old.
    at = row.now + timedelta(seconds=time.monotonic() - began)
    headers = {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "Molam-Webhooks/1",
        "X-Molam-Event": row.event,
        **sign(body, id_=row.event_id, at=at, keys=keys),
    }
    sent_at = time.monotonic()
    try:
        answer = await egress.post(row.url, body=body, headers=headers, bytes_max=ANSWER_BYTES_READ)
    except AddressRefused:
        return Told(None, time.monotonic() - sent_at, error="address-refused")
    except Outage as outage:
        return Told(None, time.monotonic() - sent_at, error=_named(outage.__cause__))
    latency_s = time.monotonic() - sent_at
    if answer.status not in _STATUSES:
        return Told(None, latency_s, error="answer-malformed")
    return Told(
        answer.status,
        latency_s,
        retry_after_s=read_retry_after(answer.headers.get("retry-after"), at),
        answer_bytes=len(answer.body),
    )


def _named(cause: BaseException | None) -> str:
    """Name why there was no answer, without repeating what a stranger's server said."""
    seen = cause
    while seen is not None:
        match seen:
            case TimeoutError() | asyncio.TimeoutError() | httpx2.TimeoutException():
                return "timeout"
            case socket.gaierror():
                return "name-not-found"
            case ssl.SSLError():
                return "certificate"
            case httpx2.ConnectError() if seen.__cause__ is None:
                return "connection-refused"
            case ConnectionRefusedError():
                return "connection-refused"
        seen = seen.__cause__ or seen.__context__
    return "connection-lost"
