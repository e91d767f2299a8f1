"""Events that nobody could handle: kept with the reason, and put back on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, Query, Tx
from molam.platform.db.transaction import Nothing
from molam.platform.events import metrics
from molam.platform.events.log import LOG, Event, Message, publish

# Each letter may be of 256 KiB; a batch of them fits in memory.
_BATCH = 100
_UNREADABLE_MAX = 1_000


class NotAnEvent(Refusal):
    code = "not-an-event"
    kind = Kind.BROKEN_RULE
    title = "This dead letter cannot be put back"


_BURY = Query(
    """
    /* events.bury */
    insert into platform.dead_letters ("group", topic, part, pos, payload, reason)
    values (:group, :topic, :part, :pos, :payload, :reason)
    on conflict ("group", topic, part, pos) do nothing
    """,
    row=Nothing,
)


async def bury(tx: Tx, group: str, message: Message, reason: str) -> None:
    """Keep *message* for a person to look at; its address is that of the progress row."""
    await tx.run(
        _BURY,
        group=group,
        topic=message.topic,
        part=message.part,
        pos=message.pos,
        payload=message.payload,
        reason=reason.replace("\0", "\\0"),
    )
    metrics.DEAD_LETTERS.labels(group).inc()


@dataclass(frozen=True, slots=True)
class _Buried:
    id: int
    topic: str
    payload: str
    event_topic: str | None
    event_key: str | None


_LOCK = Query(
    """
    /* events.lock_dead_letters */
    select d.id, d.topic, d.payload, e.topic as event_topic, e.key as event_key
      from platform.dead_letters as d
      left join platform.events as e on d.topic = 'events' and e.id = d.pos
     where d.id = any(:ids::bigint[])
       and d.requeued_at is null
     order by d.id
       for update of d
    """,
    row=_Buried,
)

_SET_REQUEUED = Query(
    """
    /* events.set_requeued */
    update platform.dead_letters
       set requeued_at = now(),
           requeued_by = :by::text
     where id = any(:ids::bigint[])
       and requeued_at is null
    """,
    row=Nothing,
)


async def requeue_dead_letters(tx: Tx, ids: Sequence[int], *, by: str | None = None) -> int:
    """
    Publish dead letters *ids* again, each once, and return how many that were.

    *by* is kept with them; see `requeue_oldest`.

    Every consumer of their topics sees them again; each knows the facts it has.

    Raises:
        NotAnEvent: one of them is no CloudEvent, so nobody could ever read it.
    """
    buried = await tx.all(_LOCK, ids=list(ids))
    await publish(tx, [_event(letter) for letter in buried])
    await tx.run(_SET_REQUEUED, ids=[letter.id for letter in buried], by=by)
    return len(buried)


@dataclass(frozen=True, slots=True)
class Requeued:
    """How many dead letters were put back, and how many nobody could ever read."""

    count: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _Id:
    id: int


_COUNT_WAITING = Query(
    """
    /* events.count_waiting */
    select count(*) as count
      from platform.dead_letters
     where requeued_at is null
       and (:group::text is null or "group" = :group)
    """,
    row=_Count,
)

_COUNT_REQUEUED = Query(
    """
    /* events.count_requeued */
    select count(*) as count
      from platform.dead_letters
     where requeued_by = :by
    """,
    row=_Count,
)

_LIST_OLDEST = Query(
    """
    /* events.list_oldest */
    select id
      from platform.dead_letters
     where requeued_at is null
       and (:group::text is null or "group" = :group)
       and id > :beyond
     order by id
     limit :limit
    """,
    row=_Id,
)


async def count_waiting(tx: Tx, *, group: str | None) -> int:
    """Count the dead letters nobody has put back, of one consumer group or all."""
    row = await tx.one(_COUNT_WAITING, group=group)
    assert row is not None
    return row.count


async def requeue_oldest(tx: Tx, *, group: str | None, items_max: int, by: str) -> Requeued:
    """
    Publish the oldest dead letters again, at most *items_max* in all the calls named *by*.

    Those that are no events stay where they are and do not stand in the others' way.
    """
    before = await tx.one(_COUNT_REQUEUED, by=by)
    assert before is not None
    if before.count:
        return Requeued(before.count, 0)
    count = unreadable = beyond = 0
    while count < items_max:
        batch = await tx.all(
            _LIST_OLDEST, group=group, beyond=beyond, limit=min(_BATCH, items_max - count)
        )
        if not batch:
            break
        beyond = batch[-1].id
        buried = await tx.all(_LOCK, ids=[row.id for row in batch])
        readable = [letter for letter in buried if _is_event(letter)]
        count += await requeue_dead_letters(tx, [letter.id for letter in readable], by=by)
        unreadable += len(buried) - len(readable)
        if unreadable >= _UNREADABLE_MAX:
            break
    return Requeued(count, unreadable)


def _is_event(letter: _Buried) -> bool:
    try:
        _event(letter)
    except NotAnEvent:
        return False
    return True


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that *group* could not handle, newest first in lists."""

    id: int
    group: str
    topic: str
    failed_at: datetime
    reason: str


_LIST = Query(
    """
    /* events.list_dead_letters */
    select id, "group", topic, failed_at, reason
      from platform.dead_letters
     where requeued_at is null
     order by id desc
     limit :limit
    """,
    row=DeadLetter,
)


async def list_dead_letters(db: Database, *, limit: int) -> list[DeadLetter]:
    return await db.read(_LIST, limit=limit)


class _Data(msgspec.Struct):
    merchant_id: str = ""


class _Envelope(msgspec.Struct):
    type: str
    subject: str = ""
    data: _Data = msgspec.field(default_factory=_Data)


def _event(letter: _Buried) -> Event:
    if letter.event_topic is not None and letter.event_key is not None:
        return Event(letter.event_topic, letter.event_key, letter.payload)
    # From Kafka, whose keys are not kept, or purged from the log: the document tells.
    try:
        envelope = msgspec.json.decode(letter.payload, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        raise NotAnEvent(f"Dead letter {letter.id} is not a CloudEvent.") from None
    topic = envelope.type if letter.topic == LOG else letter.topic
    key = envelope.data.merchant_id or envelope.subject
    if not key:
        raise NotAnEvent(f"Dead letter {letter.id} names no merchant.")
    return Event(topic, key, letter.payload)
