"""Sealing the record every minute."""

from __future__ import annotations

from obstore.store import ObjectStore

from molam.audit import sealer
from molam.audit.signing import Signer
from molam.platform.db import Database
from molam.platform.jobs import Cron


def crons(signer: Signer, files: ObjectStore) -> list[Cron]:
    async def seal(db: Database) -> None:
        checkpoint = await sealer.seal(db, signer)
        if checkpoint is not None:
            await sealer.keep_elsewhere(files, checkpoint)

    return [Cron("audit.seal", "* * * * *", seal)]
