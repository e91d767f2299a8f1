"""Doing now what waits in the queue for a later time, without adding it a second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from molam.platform.db import Query, Tx
from molam.platform.jobs import enqueue_all


@dataclass(frozen=True, slots=True)
class WaitingRow:
    payload: bytes


# What is being picked up just now is passed over, as if it were not there.
_WAKE = Query(
    """
    /* jobs.wake */
    with waiting as materialized (
        select q.id, q.payload, q.execute_after
          from jobs.pgqueuer as q
          join (select distinct unnest(:payloads::bytea[]) as payload) as w on w.payload = q.payload
         where q.entrypoint = :name and q.status = 'queued'
         order by q.id
           for update of q skip locked
    ),
    woken as (
        update jobs.pgqueuer as q
           set execute_after = now(), updated = now()
          from waiting as w
         where q.id = w.id and w.execute_after > now()
    )
    select distinct payload
      from waiting
    """,
    row=WaitingRow,
)


async def enqueue_or_wake(tx: Tx, name: str, payloads: Sequence[msgspec.Struct]) -> int:
    """
    Let the job *name* be done now for each of *payloads*; return how many were added.

    Those that wait for a later time are woken, and not added again. Call this in a job:
    workers hear of its end, and then look.
    """
    wanted = {msgspec.json.encode(each): each for each in payloads}
    if not wanted:
        return 0
    found = await tx.all(_WAKE, name=name, payloads=list(wanted))
    waiting = {row.payload for row in found}
    new = [(name, each) for body, each in wanted.items() if body not in waiting]
    await enqueue_all(tx, new)
    return len(new)
