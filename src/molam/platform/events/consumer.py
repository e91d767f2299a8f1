"""A consumer's effects and its position in the log, committed together."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg

from molam.kernel.refusals import Refusal
from molam.platform.db import Database, Query, Tx
from molam.platform.db.transaction import Nothing
from molam.platform.events import metrics
from molam.platform.events.dead_letters import bury
from molam.platform.events.log import Message

Handle = Callable[[Tx, list[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Consumer:
    """
    A named reader of some topics.

    *handle* gets CloudEvents in JSON, in order for each key, inside the transaction
    that also moves the position: each event takes effect once, or not yet. The
    same fact may still arrive as two events (a producer that repeated itself), so
    *handle* keeps facts apart by their own ids.
    """

    group: str
    topics: tuple[str, ...]
    handle: Handle
    batch_max: int = 500


class Fenced(Exception):
    """The position is not where this reader left it: another has taken over its part."""


# What an event can do to a handler that no repetition will cure.
POISON: tuple[type[Exception], ...] = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.RaiseError,
    Refusal,
)

# Bugs that one event may trigger. The reader gives them a few attempts first.
UNFORESEEN: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


ATTEMPTS_BEFORE_BLAME = 5
STRIKES_MAX = 3


@dataclass(slots=True)
class Patience:
    """
    How long a reader keeps trying before it blames the event.

    What POISON lists is the event's fault at once. A bug becomes it only after some
    attempts, and only for a few events in a row: when all fail, it is the code.
    """

    failures: int = 0
    strikes: int = 0

    @property
    def poison(self) -> tuple[type[Exception], ...]:
        if self.failures >= ATTEMPTS_BEFORE_BLAME and self.strikes < STRIKES_MAX:
            return POISON + UNFORESEEN
        return POISON


@dataclass(frozen=True, slots=True)
class Behind:
    """How far a reader is from the end: events (counted up to a bound), and age of the oldest."""

    events: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Taken:
    taken: bool


_TAKE_LANES = Query(
    """
    /* events.take_lanes */
    select pg_advisory_xact_lock(:lock, wanted.lane) is not null as taken
      from (select distinct unnest(:lanes::int[]) as lane order by 1) as wanted
    """,
    row=_Taken,
)

_ADVANCE = Query(
    """
    /* events.advance */
    update platform.consumer_progress as p
       set xid = moved.xid::text::xid8,
           pos = moved.pos,
           updated_at = now()
      from unnest(:topics::text[], :parts::smallint[], :xids::bigint[], :positions::bigint[],
                  :old_xids::bigint[], :old_positions::bigint[])
           as moved (topic, part, xid, pos, old_xid, old_pos)
     where p."group" = :group
       and p.topic = moved.topic
       and p.part = moved.part
       and p.xid = moved.old_xid::text::xid8
       and p.pos = moved.old_pos
    """,
    row=Nothing,
)


def lock_key(group: str) -> int:
    """Name *group* in the first half of an advisory lock; the second half is the lane."""
    return zlib.crc32(f"events:{group}".encode()) - 2**31


async def take_lanes(tx: Tx, group: str, lanes: Sequence[int]) -> None:
    """
    Wait until nobody else handles these *lanes* for *group*.

    Rows of consumer_progress do not do this alone: Kafka has one for each topic, and
    one merchant's events of two topics must not be handled twice at once.
    """
    await tx.all(_TAKE_LANES, lock=lock_key(group), lanes=list(lanes))


async def advance(tx: Tx, group: str, messages: Sequence[Message]) -> None:
    """
    Move the position past *messages* by compare-and-swap.

    Raises:
        Fenced: another reader has moved it.
    """
    first: dict[tuple[str, int], Message] = {}
    last: dict[tuple[str, int], Message] = {}
    for message in messages:
        first.setdefault((message.topic, message.part), message)
        last[message.topic, message.part] = message
    moved = await tx.run(
        _ADVANCE,
        group=group,
        topics=[topic for topic, _ in last],
        parts=[part for _, part in last],
        xids=[message.xid for message in last.values()],
        positions=[message.pos for message in last.values()],
        old_xids=[message.before[0] for message in first.values()],
        old_positions=[message.before[1] for message in first.values()],
    )
    if moved != len(last):
        raise Fenced(group)


async def apply(tx: Tx, consumer: Consumer, messages: Sequence[Message]) -> None:
    """Let the consumer handle what it wants of *messages*, and bury what cannot be read."""
    texts = [m.payload for m in messages if m.is_wanted and m.refused is None]
    if texts:
        await consumer.handle(tx, texts)
    for message in messages:
        if message.refused is not None:
            await bury(tx, consumer.group, message, message.refused)


async def settle(
    db: Database, consumer: Consumer, messages: Sequence[Message], patience: Patience
) -> None:
    """
    Apply *messages*, however bad one of them is, and move past them.

    A batch that fails is halved until the offender stands alone; it goes to the dead
    letters with its reason. Each half is a transaction of its own, because a
    constraint may speak only at commit, and because locks that a failed half took
    would come in the wrong order for the next.

    Raises:
        Fenced: another reader has taken over.
    """
    group = consumer.group
    try:
        async with db.transaction(f"events.{group}") as tx:
            await take_lanes(tx, group, [message.lane for message in messages])
            await advance(tx, group, messages)
            await apply(tx, consumer, messages)
    except patience.poison as error:
        if len(messages) > 1:
            middle = len(messages) // 2
            await settle(db, consumer, messages[:middle], patience)
            await settle(db, consumer, messages[middle:], patience)
            return
        if not isinstance(error, POISON):
            patience.strikes += 1
        async with db.transaction(f"events.{group}.bury") as tx:
            await advance(tx, group, messages)
            await bury(tx, group, messages[0], reason(error))
    else:
        patience.strikes = 0
        count(group, messages)


def count(group: str, messages: Sequence[Message]) -> None:
    metrics.BATCHES.labels(group).inc()
    metrics.HANDLED.labels(group).inc(len(messages))


def reason(error: Exception) -> str:
    """Say in a line why an event was refused."""
    if isinstance(error, Refusal):
        return f"{error.code}: {error.detail}"
    return f"{type(error).__name__}: {error}"[:1000]
