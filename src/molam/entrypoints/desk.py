"""What the engine is given, in the ops app and in the jobs worker alike."""

from __future__ import annotations

import os
import socket

from molam.approvals.risk.commands import Desk
from molam.approvals.risk.links import Links
from molam.approvals.risk.scoring import Scorer
from molam.approvals.runtime import Runtime
from molam.entrypoints.keys import approval_token_key, sira_api_key, sira_signing_key
from molam.kernel.clock import SystemClock
from molam.ledger.francs import Francs
from molam.platform import files
from molam.platform.settings import Settings


def desk_of(settings: Settings, runtime: Runtime) -> Desk:
    """Put together what risk-aware approvals need beside the engine."""
    clock = SystemClock()
    return Desk(
        runtime=runtime,
        scorer=Scorer(
            clock=clock,
            francs=Francs(clock),
            signing_key=sira_signing_key(settings),
            url=settings.sira_url,
            api_key=sira_api_key(settings),
            model_version=settings.sira_model_version,
            may_fall_back=settings.sira_fallback_enabled,
            timeout_s=settings.sira_timeout_ms / 1000,
        ),
        links=Links(approval_token_key(settings), settings.token_ttl_seconds),
        files=files.open_store(settings),
    )


def worker_name(part: str) -> str:
    """Name this process in leases and attempts."""
    return f"{part}@{socket.gethostname()}:{os.getpid()}"
