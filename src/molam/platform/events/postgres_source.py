"""Reading events from the log in PostgreSQL, shared by as many workers as there are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from molam.platform.db import Database, Query, Rank, Tx
from molam.platform.db.transaction import Nothing
from molam.platform.events.consumer import (
    Behind,
    Consumer,
    Patience,
    advance,
    apply,
    count,
    lock_key,
    settle,
)
from molam.platform.events.log import LOG, PARTS, Message

POLL_MIN_S = 0.001
POLL_MAX_S = 0.2


@dataclass(frozen=True, slots=True)
class _Row:
    part: int
    old_xid: int
    old_pos: int
    xid: int
    id: int
    is_wanted: bool
    payload: str


# One statement claims parts that have something to read, and reads them. Claiming is
# both work sharing and fencing: a part whose row another worker has locked is skipped.
# See Note [The horizon] in log.py.
_READ_NEXT = Query(
    """
    /* events.read_next */
    with horizon as materialized (
        select coalesce(
               (select unfinished.xid
                  from pg_snapshot_xip(pg_current_snapshot()) as unfinished (xid)
                 where not exists (
                       select from pg_stat_activity as a
                        where a.usename = 'molam_refresh'
                          and a.backend_xid = unfinished.xid::xid)
                 order by unfinished.xid
                 limit 1),
               pg_snapshot_xmax(pg_current_snapshot())) as xid
    ), claimed as materialized (
        select p.part, p.xid, p.pos
          from platform.consumer_progress as p
         cross join horizon
         where p."group" = :group
           and p.topic = 'events'
           and exists (
               select from platform.events as e
                where e.part = p.part
                  and (e.xid, e.id) > (p.xid, p.pos)
                  and e.xid < horizon.xid)
         order by random()
         limit :parts_max
           for update of p skip locked
    ), owned as materialized (
        select part, xid, pos, pg_advisory_xact_lock(:lock, part::int) from claimed
    )
    select o.part, o.xid::text::bigint as old_xid, o.pos as old_pos,
           e.xid::text::bigint as xid, e.id, e.is_wanted, e.payload
      from owned as o
     cross join horizon
     cross join lateral (
           select e.xid, e.id, e.topic = any(:topics::text[]) as is_wanted,
                  case when e.topic = any(:topics::text[])
                       then e.payload::text else '' end as payload
             from platform.events as e
            where e.part = o.part
              and (e.xid, e.id) > (o.xid, o.pos)
              and e.xid < horizon.xid
            order by e.xid, e.id
            limit :part_events_max) as e
     order by e.xid, e.id
    """,
    row=_Row,
    locks=Rank.CONSUMER_PROGRESS,
)

_BEGIN = Query(
    """
    /* events.begin_group */
    insert into platform.consumer_progress ("group", topic, part)
    select :group, 'events', part
      from generate_series(0, :parts - 1) as part
    on conflict do nothing
    """,
    row=Nothing,
)


async def begin(tx: Tx, group: str) -> None:
    """Let *group* start at the beginning of the log, unless it has started before."""
    await tx.run(_BEGIN, group=group, parts=PARTS)


@dataclass(frozen=True, slots=True)
class _Lag:
    events: int
    seconds: float


_LAG = Query(
    """
    /* events.behind */
    select count(*)::int as events,
           coalesce(extract(epoch from now() - min(e.created_at)), 0)::float8 as seconds
      from platform.consumer_progress as p
     cross join lateral (
           select e.created_at
             from platform.events as e
            where e.part = p.part
              and (e.xid, e.id) > (p.xid, p.pos)
            order by e.xid, e.id
            limit 25000) as e
     where p."group" = :group
       and p.topic = 'events'
    """,
    row=_Lag,
)


async def read_next(tx: Tx, consumer: Consumer, *, parts_max: int = 1) -> list[Message]:
    """
    Claim parts that have something for *consumer*, and read them in order.

    The claim lasts as long as *tx*. Events of other topics are read too, but not
    their payloads: the position must pass them, or they would be read for ever.
    """
    rows = await tx.all(
        _READ_NEXT,
        group=consumer.group,
        topics=list(consumer.topics),
        lock=lock_key(consumer.group),
        parts_max=parts_max,
        part_events_max=consumer.batch_max // parts_max,
    )
    messages = []
    before: dict[int, tuple[int, int]] = {}
    for row in rows:
        messages.append(
            Message(
                topic=LOG,
                part=row.part,
                xid=row.xid,
                pos=row.id,
                before=before.get(row.part, (row.old_xid, row.old_pos)),
                lane=row.part,
                payload=row.payload,
                is_wanted=row.is_wanted,
            )
        )
        before[row.part] = (row.xid, row.id)
    return messages


class PostgresSource:
    """What one consumer has still to read of the log."""

    def __init__(self, db: Database, consumer: Consumer, rung: asyncio.Event) -> None:
        self._db = db
        self._consumer = consumer
        self._rung = rung
        self._delay_s = POLL_MIN_S
        self._is_behind = False

    async def open(self) -> None:
        async with self._db.transaction(f"events.{self._consumer.group}.begin") as tx:
            await begin(tx, self._consumer.group)

    async def step(self, patience: Patience) -> int:
        """
        Apply the next batch, and return its size.

        A reader that keeps up takes all parts at once, since each batch has its
        price. One that is behind takes one, and leaves the others to its fellows.

        Raises:
            Fenced: another worker was faster. Nothing happened; go on.
        """
        messages: list[Message] = []
        parts_max = 1 if self._is_behind else min(PARTS, self._consumer.batch_max)
        try:
            async with self._db.transaction(f"events.{self._consumer.group}") as tx:
                messages = await read_next(tx, self._consumer, parts_max=parts_max)
                self._is_behind = len(messages) >= self._consumer.batch_max // parts_max
                if not messages:
                    return 0
                await apply(tx, self._consumer, messages)
                await advance(tx, self._consumer.group, messages)
        except patience.poison:
            if not messages:
                raise
            await settle(self._db, self._consumer, messages, patience)
        else:
            count(self._consumer.group, messages)
        self._delay_s = POLL_MIN_S
        return len(messages)

    async def wait(self) -> None:
        # What rang may still be above the horizon, held there by a transaction that
        # rings no bell when it ends. So look again soon, then less and less often:
        # an event waits at most twice as long as it was held back.
        try:
            await asyncio.wait_for(self._rung.wait(), self._delay_s)
            self._delay_s = POLL_MIN_S
        except TimeoutError:
            self._delay_s = min(self._delay_s * 2, POLL_MAX_S)
        self._rung.clear()

    async def behind(self) -> Behind:
        (lag,) = await self._db.read(_LAG, group=self._consumer.group)
        return Behind(lag.events, lag.seconds)

    async def close(self) -> None:
        """Nothing is held between steps."""
