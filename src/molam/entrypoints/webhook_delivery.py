"""Where the delivery of webhooks is put together, for whichever worker has it as a part."""

from __future__ import annotations

import asyncio

from molam.entrypoints.keys import secret_key
from molam.kernel.clock import SystemClock
from molam.merchant import webhook_payments
from molam.merchant.webhook_alerts import tell_disabled
from molam.platform.db import Database
from molam.platform.egress import Egress
from molam.platform.events import Consumer
from molam.platform.settings import Settings
from molam.webhooks.dispatcher import PER_ENDPOINT_MAX, Dispatcher
from molam.webhooks.sending import PORTS, TIMEOUT_S
from molam.webhooks.subscriptions import Way
from molam.webhooks.vault import Vault

PART = "webhooks"
KEEP_ALIVE_S = 15.0


def consumer(*, group: str) -> Consumer:
    """Read payments from the log, to tell those who want to hear of each."""
    return Consumer(group or PART, webhook_payments.TOPICS, webhook_payments.tell_payments)


def way_of(settings: Settings) -> Way:
    """Say where endpoints may be here, and under which key their secrets are kept."""
    return Way(Vault(secret_key(settings)), allow_private=not settings.is_production)


async def deliver(settings: Settings, db: Database, stop: asyncio.Event) -> None:
    """Deliver until *stop*."""
    way = way_of(settings)
    async with Egress(
        allow_private=way.allow_private,
        timeout_s=TIMEOUT_S,
        ports=PORTS,
        at_once_max=PER_ENDPOINT_MAX * 4,
        keep_alive_s=KEEP_ALIVE_S,
    ) as egress:
        dispatcher = Dispatcher(db, egress, way.vault, on_disabled=tell_disabled(SystemClock()))
        await dispatcher.run(dsn=settings.database_dsn, stop=stop)
