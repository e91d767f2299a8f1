"""A worker to be killed between sending a notice and writing that down; says when it is there."""

from __future__ import annotations

import asyncio
import sys

from molam.kernel.clock import SystemClock
from molam.notices import jobs
from molam.notices.channels import Channels
from molam.platform.db import ProcessRole, open_database
from molam.platform.egress import Egress
from molam.platform.jobs import run_jobs
from molam.platform.settings import Secret

LEASE_S = 1.0


class _Lingering(Egress):
    """Sends, says so, and then takes its time."""

    linger_s = 0.0

    async def post(self, url, *, body, headers):
        answer = await super().post(url, body=body, headers=headers)
        sys.stdout.write("sent\n")
        sys.stdout.flush()
        await asyncio.sleep(self.linger_s)
        return answer


async def main(dsn: str, url: str, linger_s: str) -> None:
    db = await open_database(dsn, ProcessRole.WORKER, application="notices_worker")
    channels = Channels(
        public_url="http://localhost:3136",
        webhook_url=url,
        webhook_secret=Secret("0123456789abcdef"),
    )
    egress = _Lingering(allow_private=True)
    egress.linger_s = float(linger_s)
    handlers = jobs.handlers(channels, egress, SystemClock())
    await run_jobs(db, dsn=dsn, handlers=handlers, stop=asyncio.Event(), lease_s=LEASE_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
