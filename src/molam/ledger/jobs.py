"""What the ledger does by the clock: prove to itself that it adds up."""

from __future__ import annotations

import structlog
from prometheus_client import Gauge

from molam.ledger import queries
from molam.platform.db import Database
from molam.platform.jobs import Cron

log = structlog.get_logger()

_imbalances = Gauge(
    "molam_ledger_imbalances", "Accounts whose balance is not the sum of their entries."
)


async def check_balances(db: Database) -> int:
    """Compare every balance with its entries and return how many differ: none, ever."""
    found = await queries.imbalances(db)
    _imbalances.set(len(found))
    for each in found:
        log.error(
            "ledger.balance.differs",
            account=each.account_id,
            balance=each.balance,
            entries=each.entries,
        )
    return len(found)


async def _check(db: Database) -> None:
    await check_balances(db)


CRONS = [Cron("ledger.check_balances", "41 2 * * *", _check)]
