"""A worker that sends payouts, to be killed at any moment."""

from __future__ import annotations

import asyncio
import sys

import structlog

sys.path.insert(0, str(__import__("pathlib").Path(__file__).parents[1]))

from bank_desk import ROOT_SECRET, UNRESTRAINED, Hasty, PlainOwner
from molam.kernel.clock import SystemClock
from molam.payments.banks import inquiries, jobs
from molam.payments.banks.commands import enqueue_send
from molam.payments.banks.connectors.assembly import connectors_of
from molam.payments.banks.http import BankHttp
from molam.payments.banks.secrets import BankSecrets
from molam.payments.banks.teller import Patience, Teller
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.jobs import run_jobs

LEASE_S = 1.0


async def _give_up(db: Database) -> None:
    """The safety removed: a sender that died has failed, and its payment is begun anew."""
    async with db.transaction("tests.give_up") as tx:
        rows = await tx.connection.fetch(
            "update payments.bank_attempts set state = 'rejected'"
            " where state in ('sending', 'unknown') and lease_until <= now() returning object_id"
        )
        for row in rows:
            await tx.connection.execute(
                "update public.owned set state = 'queued' where id = $1", row["object_id"]
            )
            await enqueue_send(tx, kind="payout", object_id=row["object_id"])


async def main(dsn: str, callbacks_url: str, mode: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    db = await open_database(dsn, ProcessRole.WORKER, application="bank_worker")
    async with BankHttp(timeout_s=5) as http:
        connectors = connectors_of(http)
        hasty = {kind: Hasty(each) for kind, each in connectors.items()}
        teller = Teller(
            connectors if mode == "careful" else hasty,
            {"payout": PlainOwner()},
            BankSecrets(root=ROOT_SECRET),
            callbacks_url,
            SystemClock(),
            Patience(lease_s=2, resend_after_s=1, asks_s=(0.5,)),
            UNRESTRAINED,
        )

        async def sweep() -> None:
            while True:
                if mode == "careful":
                    await inquiries.enqueue_due(teller, db)
                else:
                    await _give_up(db)
                await asyncio.sleep(0.3)

        sweeping = asyncio.create_task(sweep())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        stop = asyncio.Event()
        await run_jobs(db, dsn=dsn, handlers=jobs.handlers(teller), stop=stop, lease_s=LEASE_S)
        sweeping.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
