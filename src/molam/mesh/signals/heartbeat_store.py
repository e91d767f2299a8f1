"""The statements about heartbeats."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class HeartbeatRow:
    bank_profile_id: str
    last_at: datetime
    gaps: list[float]
    silent_since: datetime | None


LOCK = Query(
    """
    /* heartbeats.lock */
    select bank_profile_id, last_at, gaps, silent_since
      from mesh.heartbeats
     where :bank_ids::text[] is null or bank_profile_id = any(:bank_ids)
     order by bank_profile_id
     limit :limit
       for update
    """,
    row=HeartbeatRow,
    locks=Rank.MEMBER_HEALTH,
)

PUT = Query(
    """
    /* heartbeats.put */
    insert into mesh.heartbeats as h (bank_profile_id, last_at, gaps)
    values (:bank_id, :last_at, :gaps::float8[])
        on conflict (bank_profile_id) do update
       set last_at = excluded.last_at, gaps = excluded.gaps, silent_since = null
     where h.last_at < excluded.last_at
    """,
    row=Nothing,
)

SET_SILENT = Query(
    """
    /* heartbeats.set_silent */
    update mesh.heartbeats
       set silent_since = last_at
     where bank_profile_id = any(:bank_ids::text[]) and silent_since is null
    """,
    row=Nothing,
)
