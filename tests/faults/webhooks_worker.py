"""A worker that delivers webhooks, to be killed; says when it has begun."""

from __future__ import annotations

import asyncio
import sys

from molam.platform.db import ProcessRole, open_database
from molam.platform.db.transaction import Nothing, Query
from molam.platform.egress import Egress
from molam.platform.settings import Secret
from molam.platform.telemetry import configure_logging
from molam.webhooks import delivery_store, dispatcher
from molam.webhooks.vault import Vault

LEASE_S = 3.0


async def main(dsn: str, key: str, safety: str) -> None:
    configure_logging("webhooks_worker", level="error")
    if safety == "forgetful":
        idle = "/* tests.idle */ select where :lease::uuid is null"
        delivery_store.TAKE_BACK = Query(idle, row=Nothing)
    dispatcher._SWEEP_EVERY_S = 0.2
    db = await open_database(dsn, ProcessRole.WORKER, application="webhooks_worker")
    limits = dispatcher.Limits(lease_s=LEASE_S)
    async with Egress(allow_private=True, at_once_max=64, keep_alive_s=5) as egress:
        made = dispatcher.Dispatcher(db, egress, Vault(Secret(key)), limits=limits)
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        await made.run(dsn=dsn, stop=asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
