"""What is done by the clock: secrets whose overlap has ended, and what is old enough to forget."""

from __future__ import annotations

from molam.platform.db import Database
from molam.platform.jobs import Cron
from molam.webhooks import delivery_store

KEPT_DAYS = 90

_AT_ONCE = 2000
_ROUNDS_MAX = 500


def crons() -> list[Cron]:
    return [
        Cron("webhooks.purge", "37 * * * *", purge),
        Cron("webhooks.revoke_retired", "*/10 * * * *", revoke_retired),
    ]


async def purge(db: Database) -> None:
    """Forget events, with their deliveries and attempts, after `KEPT_DAYS`."""
    for _ in range(_ROUNDS_MAX):
        async with db.transaction("webhooks.purge") as tx:
            if not await tx.run(delivery_store.PURGE_EVENTS, days=KEPT_DAYS, limit=_AT_ONCE):
                break
    async with db.transaction("webhooks.purge") as tx:
        await tx.run(delivery_store.PURGE_ENDPOINTS, days=KEPT_DAYS)


async def revoke_retired(db: Database) -> None:
    """Mark secrets whose overlap has ended; they stopped signing at that moment."""
    async with db.transaction("webhooks.revoke_retired") as tx:
        await tx.run(delivery_store.REVOKE_RETIRED)
