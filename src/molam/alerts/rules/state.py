"""Where one watched tenant stands."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from molam.alerts.rules.model import Severity
from molam.kernel.clock import Instant

State = Literal["ok", "pending", "firing", "clearing", "no_data"]
Cause = Literal["value", "silence"]


class Waiting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A sample that is too young to be judged."""

    at: Instant
    value: int | Decimal
    """An integer where it is one: those are read several times as fast."""
    context: dict[str, object] | None = None


class SeriesState(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one tenant's measurements have come to, by one rule.

    - pending: beyond `fire_at`, not yet for as long as the rule asks.
    - firing: an alert. clearing: an alert whose value has cleared, not yet for long enough.
    - no_data: nothing was measured for longer than the rule allows.

    *opened_by* says that an episode is open, and what opened it. Everything before
    *judged_at* has been judged. *recent* are the last bad (1) and good (0) states, the newest
    in the lowest bit, as of *flap_at*.
    """

    fingerprint: bytes
    rule_id: str
    rule_version: int
    tenant_id: str | None
    currency: str | None
    state: State
    since: Instant
    judged_at: Instant
    last_at: Instant
    last_value: Decimal
    flap_at: Instant
    previous_value: Decimal | None = None
    context: dict[str, object] = {}
    waiting: tuple[Waiting, ...] = ()
    due_at: Instant | None = None
    recent: int = 0
    recent_count: int = 0
    is_flapping: bool = False
    episode: int = 0
    severity: Severity | None = None
    opened_by: Cause | None = None
    late_samples: int = 0
