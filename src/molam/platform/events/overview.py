"""How every consumer group stands, for an operator who asks once."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Database, Query


@dataclass(frozen=True, slots=True)
class Standing:
    """What a group has not read of the log yet, and what it could not handle."""

    group: str
    behind: int
    behind_s: float
    dead_letters: int


_LIST_STANDINGS = Query(
    """
    /* platform.list_standings */
    select p."group",
           count(e.created_at)::int as behind,
           coalesce(extract(epoch from now() - min(e.created_at)), 0)::float8 as behind_s,
           (select count(*)::int
              from platform.dead_letters as d
             where d."group" = p."group"
               and d.requeued_at is null) as dead_letters
      from platform.consumer_progress as p
      left join lateral (
           select e.created_at
             from platform.events as e
            where p.topic = 'events'
              and e.part = p.part
              and (e.xid, e.id) > (p.xid, p.pos)
            order by e.xid, e.id
            limit 25000) as e on true
     group by p."group"
     order by p."group"
     limit 100
    """,
    row=Standing,
)


async def list_standings(db: Database) -> list[Standing]:
    return await db.read(_LIST_STANDINGS)
