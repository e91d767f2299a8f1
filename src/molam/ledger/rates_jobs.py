"""Asking for exchange rates by the clock."""

from __future__ import annotations

import random
from datetime import timedelta

from molam.kernel.clock import Clock
from molam.ledger import rates
from molam.ledger.rates_providers import provider_of
from molam.platform.db import Database
from molam.platform.egress import Egress
from molam.platform.jobs import Cron
from molam.platform.settings import Settings

JITTER_MAX_S = 600


def crons(settings: Settings, egress: Egress, clock: Clock) -> list[Cron]:
    """
    List what runs by the clock: nothing where nobody is asked.

    It looks every ten minutes whether it is time to ask: right after the ECB has
    published, or an hour after the last time. What failed is tried again.
    """
    provider = provider_of(
        settings.fx_provider, key=settings.fx_api_key, url=settings.fx_url, egress=egress
    )
    if provider is None:
        return []
    # Ours alone, so that not every installation asks in the same second.
    jitter = timedelta(seconds=random.SystemRandom().uniform(0, JITTER_MAX_S))

    async def refresh(db: Database) -> None:
        await rates.refresh_if_due(db, provider, now=clock.now(), jitter=jitter)

    return [Cron("ledger.refresh_rates", "6-59/10 * * * *", refresh)]
