"""The event log: a fact enters it in the transaction that made it true."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from molam.kernel.clock import Instant
from molam.platform.db import Query, Tx
from molam.platform.db.transaction import Nothing

PARTS = 4
"""How many lanes the log has. Events of one key share a lane, and so keep their order."""

EVENT_BYTES_MAX = 256 * 1024

LOG = "events"
"""The ``topic`` of a progress row that counts positions in this log, and the NOTIFY channel."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that became true. *payload* is a CloudEvents 1.0 document in JSON."""

    topic: str
    key: str
    payload: str


@dataclass(frozen=True, slots=True)
class Message:
    """
    One event as its source delivered it.

    *topic*, *part*, *xid* and *pos* are its address, the first two naming the row
    of platform.consumer_progress and *before* what that row says just before it.
    """

    topic: str
    part: int
    xid: int
    pos: int
    before: tuple[int, int]
    lane: int
    payload: str
    is_wanted: bool = True
    refused: str | None = None


def lane(key: bytes) -> int:
    """Return the part of *key*; librdkafka's ``consistent`` partitioner agrees."""
    return zlib.crc32(key) % PARTS


def cloud_event(
    *,
    id_: str,
    source: str,
    type_: str,
    subject: str,
    time: Instant,
    data: Mapping[str, object],
) -> str:
    """Write a CloudEvents 1.0 document in its structured JSON form."""
    assert time.tzinfo is not None
    document = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": type_,
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    }
    return msgspec.json.encode(document).decode()


@dataclass(frozen=True, slots=True)
class _Told:
    told: bool


_APPEND = Query(
    """
    /* events.append */
    with appended as (
        insert into platform.events (topic, part, key, payload)
        select e.topic, e.part, e.key, e.payload
          from unnest(:topics::text[], :parts::smallint[], :keys::text[], :payloads::json[])
               with ordinality as e (topic, part, key, payload, place)
         order by e.place
    )
    select pg_notify('events', '') is not null as told
    """,
    row=_Told,
)


async def publish(tx: Tx, events: Sequence[Event]) -> None:
    """
    Append *events* in order; they become visible, and wake readers, when *tx* commits.

    This is the only way to emit.
    """
    if not events:
        return
    for event in events:
        assert len(event.payload.encode()) <= EVENT_BYTES_MAX, f"{event.topic} is too long"
    await tx.one(
        _APPEND,
        topics=[event.topic for event in events],
        parts=[lane(event.key.encode()) for event in events],
        keys=[event.key for event in events],
        payloads=[event.payload for event in events],
    )


_PURGE = Query(
    """
    /* events.purge */
    delete from platform.events
     where id in (
           select e.id
             from platform.events as e
            where e.created_at < now() - make_interval(days => :days)
              and (select count(*)
                     from platform.consumer_progress as p
                    where p."group" = any(:groups::text[])
                      and p.topic = 'events'
                      and p.part = e.part
                      and (p.xid, p.pos) >= (e.xid, e.id)) = cardinality(:groups::text[])
            order by e.created_at
            limit :rows_max)
    """,
    row=Nothing,
)


async def purge(tx: Tx, *, groups: Sequence[str], days: int, rows_max: int = 10_000) -> int:
    """
    Delete events older than *days* that each of *groups* is past; return how many.

    *groups* are all who read the log now: the relay alone when Kafka is in use. One
    that has never started keeps everything.
    """
    assert groups, "somebody must have read an event before it may go"
    return await tx.run(_PURGE, groups=list(groups), days=days, rows_max=rows_max)


# Note [The horizon]
#
# Writers of the log never wait for each other, so rows become visible in another
# order than that of their ids: 7 may commit after 8 was read, and a reader that
# remembers "8" never sees it. In a trial with four writers, 20 % were lost so.
#
# Readers therefore go by (xid, id), and only below the horizon: the oldest
# transaction that the statement's own snapshot sees unfinished. Whatever is below
# it has ended, so no row can appear there any more, and a position below it can be
# passed for good. The horizon and the rows come from one statement, hence from one
# snapshot: with two, a transaction could commit in between and be passed unread.
#
# The price is that any long transaction that has written something holds back the
# log until it ends. So those that log in as molam_refresh are left out: that role
# may not insert into the log, and a session cannot change whom it logged in as
# (pg_stat_activity shows that name even after SET ROLE). A transaction id is never
# given twice, so activity read a moment after the snapshot cannot name a writer's
# id as the refresh's. An id whose backend cannot be found, or belongs to nobody
# (a prepared transaction), counts as a writer: waiting is safe, passing is not.
