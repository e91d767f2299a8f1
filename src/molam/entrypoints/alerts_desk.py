"""What alerting works with, put together for the app and for workers alike."""

from __future__ import annotations

from molam.alerts.runtime import Watch
from molam.approvals.runtime import Runtime
from molam.entrypoints.keys import sira_api_key, sira_signing_key
from molam.kernel.clock import SystemClock
from molam.platform.settings import Settings


def watch_of(settings: Settings, approvals: Runtime) -> Watch:
    return Watch(
        approvals=approvals,
        clock=SystemClock(),
        signing_key=sira_signing_key(settings),
        sira_url=settings.sira_url.rstrip("/"),
        sira_api_key=sira_api_key(settings),
        sira_timeout_s=settings.sira_timeout_ms / 1000,
        fallback_enabled=settings.sira_fallback_enabled,
    )
