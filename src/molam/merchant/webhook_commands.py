"""What a merchant's people do with webhooks: proved by a second factor, and written down."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

from starlette.datastructures import State

from molam.kernel.clock import Instant
from molam.kernel.refusals import Refusal
from molam.merchant import trail
from molam.platform.auth.step_up import StepUpRequired, require_step_up
from molam.platform.db import Database, Tx
from molam.platform.egress import AddressRefused
from molam.platform.settings import Secret
from molam.platform.web import Caller
from molam.tenancy.queries import MerchantAbsent
from molam.tenancy.standing import MerchantFrozen, ensure_may_change
from molam.webhooks import subscriptions
from molam.webhooks.log_store import DeliveryRow
from molam.webhooks.model import EventUnknown
from molam.webhooks.store import EndpointRow
from molam.webhooks.subscriptions import (
    DeliveryAbsent,
    DeliveryOpen,
    EndpointAbsent,
    EndpointInactive,
    TooManyEndpoints,
    UrlTaken,
    Wanted,
)

CHANGE_REFUSES: tuple[type[Refusal], ...] = (MerchantFrozen, MerchantAbsent, StepUpRequired)
ADD_REFUSES = (*CHANGE_REFUSES, AddressRefused, EventUnknown, TooManyEndpoints, UrlTaken)
EDIT_REFUSES = (*CHANGE_REFUSES, EndpointAbsent, AddressRefused, EventUnknown, UrlTaken)
TEST_REFUSES = (MerchantFrozen, MerchantAbsent, EndpointAbsent)
REPLAY_REFUSES = (*TEST_REFUSES, DeliveryAbsent, DeliveryOpen, EndpointInactive)


async def add(
    state: State, caller: Caller, wanted: Wanted, *, now: Instant
) -> tuple[EndpointRow, Secret]:
    """
    Add an endpoint and return its secret, once.

    Raises:
        whatever is in `ADD_REFUSES`.
    """
    require_step_up(caller, now=now)
    async with _changing(state, caller, "webhooks.add", now=now) as tx:
        endpoint, secret = await subscriptions.add(
            tx, wanted, state.webhooks, merchant_id=caller.merchant, by=caller.subject, now=now
        )
        await _record(tx, caller, "created", before=None, after=endpoint)
    return endpoint, secret


async def change(
    state: State, caller: Caller, endpoint_id: str, wanted: Wanted, *, now: Instant
) -> EndpointRow:
    """
    Make an endpoint what is wanted.

    Raises:
        whatever is in `EDIT_REFUSES`.
    """
    require_step_up(caller, now=now)
    async with _changing(state, caller, "webhooks.change", now=now) as tx:
        before, after = await subscriptions.change(
            tx, endpoint_id, wanted, state.webhooks, merchant_id=caller.merchant
        )
        await _record(tx, caller, "changed", before=before, after=after)
    return after


async def switch(
    state: State, caller: Caller, endpoint_id: str, *, on: bool, now: Instant
) -> EndpointRow:
    """
    Switch an endpoint on or off. Doing it twice changes nothing.

    Raises:
        whatever is in `CHANGE_REFUSES`, and EndpointAbsent.
    """
    require_step_up(caller, now=now)
    async with _changing(state, caller, "webhooks.switch", now=now) as tx:
        do = subscriptions.enable if on else subscriptions.disable
        before, after = await do(tx, caller.merchant, endpoint_id)
        if before.active != after.active:
            await _record(tx, caller, "enabled" if on else "disabled", before=before, after=after)
    return after


async def delete(state: State, caller: Caller, endpoint_id: str, *, now: Instant) -> EndpointRow:
    """
    Delete an endpoint; what waits for it is not sent any more.

    Raises:
        whatever is in `CHANGE_REFUSES`, and EndpointAbsent.
    """
    require_step_up(caller, now=now)
    async with _changing(state, caller, "webhooks.delete", now=now) as tx:
        before = await subscriptions.delete(tx, caller.merchant, endpoint_id)
        await _record(tx, caller, "deleted", before=before, after=None)
    return before


async def rotate(
    state: State, caller: Caller, endpoint_id: str, *, now: Instant
) -> tuple[EndpointRow, Secret]:
    """
    Give an endpoint a new secret and return it, once.

    Raises:
        whatever is in `CHANGE_REFUSES`, and EndpointAbsent.
    """
    require_step_up(caller, now=now)
    async with _changing(state, caller, "webhooks.rotate", now=now) as tx:
        endpoint, secret = await subscriptions.rotate(
            tx, state.webhooks.vault, merchant_id=caller.merchant, endpoint_id=endpoint_id
        )
        await _record(tx, caller, "secret_rotated", before=endpoint, after=endpoint)
    return endpoint, secret


async def test(state: State, caller: Caller, endpoint_id: str, *, now: Instant) -> UUID:
    """
    Have a test sent and return its delivery.

    Raises:
        whatever is in `TEST_REFUSES`.
    """
    async with _changing(state, caller, "webhooks.test", now=now) as tx:
        delivery_id = await subscriptions.test(
            tx, caller.merchant, endpoint_id, by=caller.subject, now=now
        )
        await trail.record(
            tx,
            caller,
            action_type="webhook_tested",
            resource_type="settings",
            resource_id=endpoint_id,
            before={},
            after={"delivery_id": str(delivery_id)},
        )
    return delivery_id


async def replay(state: State, caller: Caller, delivery_id: UUID, *, now: Instant) -> DeliveryRow:
    """
    Send one delivery again.

    Raises:
        whatever is in `REPLAY_REFUSES`.
    """
    async with _changing(state, caller, "webhooks.replay", now=now) as tx:
        row = await subscriptions.replay(tx, caller.merchant, delivery_id)
        await trail.record(
            tx,
            caller,
            action_type="webhook_replayed",
            resource_type="settings",
            resource_id=row.endpoint_id,
            before={},
            after={"delivery_id": str(delivery_id), "event": row.event_id},
        )
    return row


async def replay_since(
    state: State,
    caller: Caller,
    endpoint_id: str,
    *,
    since: Instant,
    everything: bool,
    now: Instant,
) -> int:
    """
    Send again what an endpoint missed since then, or *everything*; return how many.

    Raises:
        whatever is in `REPLAY_REFUSES`.
    """
    async with _changing(state, caller, "webhooks.replay", now=now) as tx:
        count = await subscriptions.replay_since(
            tx, caller.merchant, endpoint_id, since=since, everything=everything
        )
        await trail.record(
            tx,
            caller,
            action_type="webhook_replayed",
            resource_type="settings",
            resource_id=endpoint_id,
            before={},
            after={"since": since.isoformat(), "everything": everything, "count": count},
        )
    return count


@contextlib.asynccontextmanager
async def _changing(state: State, caller: Caller, name: str, *, now: Instant) -> AsyncIterator[Tx]:
    db: Database = state.money
    async with db.transaction(name, merchant_id=caller.merchant) as tx:
        await ensure_may_change(tx, caller.merchant, now=now)
        yield tx


async def _record(
    tx: Tx,
    caller: Caller,
    change: str,
    *,
    before: EndpointRow | None,
    after: EndpointRow | None,
) -> None:
    endpoint = after or before
    assert endpoint is not None
    await trail.record(
        tx,
        caller,
        action_type="webhook_configured",
        resource_type="settings",
        resource_id=endpoint.id,
        before=_facts(before),
        after={"change": change, **_facts(after)},
        requires_2fa=True,
    )


def _facts(row: EndpointRow | None) -> dict[str, object]:
    if row is None:
        return {}
    return {
        "url": row.url,
        "description": row.description,
        "events": row.events,
        "active": row.active,
        "retry_schedule": row.retry_schedule,
    }
