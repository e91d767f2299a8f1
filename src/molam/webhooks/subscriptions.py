"""What merchants do with their endpoints: add, change, switch off, rotate, test, send again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from molam.kernel.clock import Instant
from molam.kernel.ids import show, uuid7
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Tx
from molam.platform.egress import AddressRefused, check_url
from molam.platform.settings import Secret
from molam.webhooks import log_store, store
from molam.webhooks.model import TEST_EVENT, canonical_event
from molam.webhooks.sending import PORTS
from molam.webhooks.signing import new_secret
from molam.webhooks.store import EndpointRow
from molam.webhooks.vault import Vault

ENDPOINTS_MAX = 16
OVERLAP_HOURS = 24
REPLAYED_AT_ONCE_MAX = 10_000
"""Of one request; a second one goes on where it ended."""


class EndpointAbsent(Refusal):
    code = "webhook-absent"
    kind = Kind.ABSENT
    title = "No such webhook endpoint"


class DeliveryAbsent(Refusal):
    code = "webhook-delivery-absent"
    kind = Kind.ABSENT
    title = "No such delivery"


class TooManyEndpoints(Refusal):
    code = "webhook-too-many"
    kind = Kind.BROKEN_RULE
    title = "There are as many webhook endpoints as there may be"


class UrlTaken(Refusal):
    code = "webhook-url-taken"
    kind = Kind.CONFLICT
    title = "This address is an endpoint already"


class EndpointInactive(Refusal):
    code = "webhook-inactive"
    kind = Kind.CONFLICT
    title = "This webhook endpoint is switched off"


class DeliveryOpen(Refusal):
    code = "webhook-delivery-open"
    kind = Kind.CONFLICT
    title = "This delivery is still on its way"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an endpoint is to be."""

    url: str
    events: Sequence[str]
    description: str = ""
    retry_schedule: str = "standard"


@dataclass(frozen=True, slots=True)
class Way:
    """Where endpoints may be: anywhere in development, the Internet in production."""

    vault: Vault
    allow_private: bool


def checked(wanted: Wanted, way: Way) -> Wanted:
    """
    Write what is wanted in its one form.

    Raises:
        AddressRefused: nothing is sent there.
        EventUnknown: there is no such event.
    """
    url = wanted.url.strip()
    parts = check_url(url, allow_private=way.allow_private, ports=PORTS)
    if parts.fragment:
        raise AddressRefused("Leave out what follows the # of the address.")
    events = sorted({canonical_event(each) for each in wanted.events})
    return replace(wanted, url=url, events=events, description=wanted.description.strip())


async def add(
    tx: Tx, wanted: Wanted, way: Way, *, merchant_id: str, by: str, now: Instant
) -> tuple[EndpointRow, Secret]:
    """
    Add an endpoint; its secret is in the answer and never shown again.

    Raises:
        AddressRefused, EventUnknown, TooManyEndpoints, UrlTaken
    """
    asked = checked(wanted, way)
    await tx.run(store.HOLD_LIST, merchant_id=merchant_id)
    existing = await tx.all(store.LIST_ENDPOINTS, merchant_id=merchant_id, id=None)
    _ensure_free(asked.url, existing)
    if len(existing) >= ENDPOINTS_MAX:
        raise TooManyEndpoints(f"Delete one of the {ENDPOINTS_MAX} first.", limit=ENDPOINTS_MAX)
    id_ = show("we", uuid7(now))
    await tx.run(
        store.ADD_ENDPOINT,
        id=id_,
        merchant_id=merchant_id,
        url=asked.url,
        description=asked.description,
        events=list(asked.events),
        retry_schedule=asked.retry_schedule,
        created_by=by,
    )
    secret = await _new_secret(tx, way.vault, merchant_id, id_, version=1)
    return await find(tx, merchant_id, id_), secret


async def change(
    tx: Tx, endpoint_id: str, wanted: Wanted, way: Way, *, merchant_id: str
) -> tuple[EndpointRow, EndpointRow]:
    """
    Make an endpoint what is wanted; return it as it was and as it is.

    Raises:
        EndpointAbsent, AddressRefused, EventUnknown, UrlTaken
    """
    asked = checked(wanted, way)
    await tx.run(store.HOLD_LIST, merchant_id=merchant_id)
    before = await _lock(tx, merchant_id, endpoint_id)
    existing = await tx.all(store.LIST_ENDPOINTS, merchant_id=merchant_id, id=None)
    _ensure_free(asked.url, [each for each in existing if each.id != endpoint_id])
    await tx.run(
        store.SET_ENDPOINT,
        merchant_id=merchant_id,
        id=endpoint_id,
        url=asked.url,
        description=asked.description,
        events=list(asked.events),
        retry_schedule=asked.retry_schedule,
    )
    return before, await find(tx, merchant_id, endpoint_id)


async def enable(tx: Tx, merchant_id: str, endpoint_id: str) -> tuple[EndpointRow, EndpointRow]:
    """
    Switch an endpoint on. What was skipped meanwhile stays so until it is asked for.

    Raises:
        EndpointAbsent
    """
    before = await _lock(tx, merchant_id, endpoint_id)
    if not before.active:
        await tx.run(store.SET_ENABLED, merchant_id=merchant_id, id=endpoint_id)
    return before, await find(tx, merchant_id, endpoint_id)


async def disable(tx: Tx, merchant_id: str, endpoint_id: str) -> tuple[EndpointRow, EndpointRow]:
    """
    Switch an endpoint off; what waits for it is skipped.

    Raises:
        EndpointAbsent
    """
    before = await _lock(tx, merchant_id, endpoint_id)
    if before.active:
        await tx.run(store.SET_DISABLED, merchant_id=merchant_id, id=endpoint_id, reason="by_hand")
        await tx.run(store.SKIP_QUEUE, merchant_id=merchant_id, id=endpoint_id)
    return before, await find(tx, merchant_id, endpoint_id)


async def delete(tx: Tx, merchant_id: str, endpoint_id: str) -> EndpointRow:
    """
    Delete an endpoint with its secrets. What it got stays in the log for its time.

    Raises:
        EndpointAbsent
    """
    before = await _lock(tx, merchant_id, endpoint_id)
    await tx.run(store.SET_DELETED, merchant_id=merchant_id, id=endpoint_id)
    await tx.run(store.SKIP_QUEUE, merchant_id=merchant_id, id=endpoint_id)
    await tx.run(store.RETIRE_SECRET, merchant_id=merchant_id, endpoint_id=endpoint_id, hours=0)
    return before


async def rotate(
    tx: Tx, vault: Vault, *, merchant_id: str, endpoint_id: str
) -> tuple[EndpointRow, Secret]:
    """
    Give an endpoint a new secret; the one before signs as well for `OVERLAP_HOURS`.

    One that was still in its overlap ends at once: there are never more than two.

    Raises:
        EndpointAbsent
    """
    endpoint = await _lock(tx, merchant_id, endpoint_id)
    row = {"merchant_id": merchant_id, "endpoint_id": endpoint_id}
    known = await tx.all(store.LIST_SECRETS, **row)
    await tx.run(store.RETIRE_SECRET, **row, hours=OVERLAP_HOURS)
    newest = max((each.version for each in known), default=0)
    secret = await _new_secret(tx, vault, merchant_id, endpoint_id, version=newest + 1)
    return endpoint, secret


async def test(tx: Tx, merchant_id: str, endpoint_id: str, *, by: str, now: Instant) -> UUID:
    """
    Queue one `webhook.test` for an endpoint, active or not; return its delivery.

    It is tried once, and counts neither for nor against the endpoint.

    Raises:
        EndpointAbsent
    """
    await _lock(tx, merchant_id, endpoint_id)
    id_ = uuid7(now)
    queued = await tx.one(
        log_store.ADD_TEST,
        id=show("evt", id_),
        merchant_id=merchant_id,
        endpoint_id=endpoint_id,
        event=TEST_EVENT,
        object_id=show("test", id_),
        data={"message": "This is a test.", "asked_by": by, "endpoint": endpoint_id},
    )
    assert queued is not None
    return queued.id


async def replay(tx: Tx, merchant_id: str, delivery_id: UUID) -> log_store.DeliveryRow:
    """
    Send one delivery again under the same webhook-id, with all its retries.

    Raises:
        DeliveryAbsent, DeliveryOpen, EndpointInactive
    """
    found = await tx.one(log_store.LOCK_DELIVERY, merchant_id=merchant_id, id=delivery_id)
    if found is None:
        raise DeliveryAbsent("It may be older than what is kept.")
    endpoint = await _lock(tx, merchant_id, found.endpoint_id)
    if not endpoint.active:
        raise EndpointInactive("Switch it on first.")
    if found.state in {"waiting", "delivering"}:
        raise DeliveryOpen("It is sent by itself; wait for it to end.")
    await tx.run(log_store.SET_AGAIN, merchant_id=merchant_id, id=delivery_id)
    after = await tx.one(log_store.LOCK_DELIVERY, merchant_id=merchant_id, id=delivery_id)
    assert after is not None
    return after


async def replay_since(
    tx: Tx, merchant_id: str, endpoint_id: str, *, since: Instant, everything: bool
) -> int:
    """
    Send again what was given up or skipped since then, or *everything*; return how many.

    Raises:
        EndpointAbsent, EndpointInactive
    """
    endpoint = await _lock(tx, merchant_id, endpoint_id)
    if not endpoint.active:
        raise EndpointInactive("Switch it on first.")
    again = await tx.one(
        log_store.SET_AGAIN_SINCE,
        merchant_id=merchant_id,
        endpoint_id=endpoint_id,
        since=since,
        states=["dead", "skipped", *(["delivered"] if everything else [])],
        limit=REPLAYED_AT_ONCE_MAX,
    )
    assert again is not None
    return again.count


async def find(tx: Tx, merchant_id: str, endpoint_id: str) -> EndpointRow:
    """
    Raises:
        EndpointAbsent: the merchant has no such endpoint.
    """
    row = await tx.one(store.LIST_ENDPOINTS, merchant_id=merchant_id, id=endpoint_id)
    if row is None:
        raise EndpointAbsent("Check the id, or list your endpoints.")
    return row


async def _lock(tx: Tx, merchant_id: str, endpoint_id: str) -> EndpointRow:
    row = await tx.one(store.LOCK_ENDPOINT, merchant_id=merchant_id, id=endpoint_id)
    if row is None:
        raise EndpointAbsent("Check the id, or list your endpoints.")
    return row


def _ensure_free(url: str, others: Sequence[EndpointRow]) -> None:
    taken = next((each for each in others if each.url == url), None)
    if taken is not None:
        raise UrlTaken("Change that one instead: each event would come twice.", id=taken.id)


async def _new_secret(
    tx: Tx, vault: Vault, merchant_id: str, endpoint_id: str, *, version: int
) -> Secret:
    secret = new_secret()
    await tx.run(
        store.ADD_SECRET,
        endpoint_id=endpoint_id,
        version=version,
        merchant_id=merchant_id,
        sealed=vault.seal(secret, endpoint_id=endpoint_id),
    )
    return secret
