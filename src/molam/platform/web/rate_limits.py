"""How many requests of one kind a caller may make in an hour, whichever process answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, Query, Tx
from molam.platform.db.transaction import Nothing
from molam.platform.jobs import Cron
from molam.platform.web.caller import Caller


class RateLimited(Refusal):
    code = "rate-limited"
    kind = Kind.TOO_MANY
    title = "Too many requests this hour"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One kind of request. What operations set replaces *default_per_hour*."""

    name: str
    default_per_hour: int


OPS_CREATE = RateLimit("ops.create", 100)
OPS_VOTE = RateLimit("ops.vote", 500)
OPS_EXECUTE = RateLimit("ops.execute", 50)
OPS_READ = RateLimit("ops.read", 1000)
MESH_PREDICT = RateLimit("mesh.predict", 2000)
MESH_PLAN = RateLimit("mesh.plan", 60)
"""Plans and forecasts: each keeps a processor busy for seconds."""

_ALL = (OPS_CREATE, OPS_VOTE, OPS_EXECUTE, OPS_READ, MESH_PREDICT, MESH_PLAN)
LIMITS: Mapping[str, RateLimit] = MappingProxyType({each.name: each for each in _ALL})


@dataclass(frozen=True, slots=True)
class _Taken:
    per_hour: int
    used: int
    is_granted: bool
    reset_at: int
    reset_in_s: int


@dataclass(frozen=True, slots=True)
class _InForce:
    per_hour: int


# One upsert of one row: the count of a caller, a kind and an hour (UTC). The table is
# not logged, so no disk is waited for; a crash of the server forgets one hour's counts.
# Who is over the limit writes nothing.
_TAKE = Query(
    """
    /* rate_limits.take */
    with allowed as materialized (
        select coalesce((select per_hour from platform.rate_limits where name = :name),
                        :default_per_hour::int) as per_hour,
               date_trunc('hour', now(), 'UTC') as hour
    ), taken as (
        insert into platform.rate_counts as c (name, caller, hour, used)
        select :name, :caller, hour, 1 from allowed
            on conflict (name, caller, hour) do update
           set used = c.used + 1
         where c.used < (select per_hour from allowed)
     returning used
    )
    select per_hour,
           coalesce((select used from taken), per_hour) as used,
           exists (select from taken) as is_granted,
           extract(epoch from hour + interval '1 hour')::bigint as reset_at,
           ceil(extract(epoch from hour + interval '1 hour' - now()))::int as reset_in_s
      from allowed
    """,
    row=_Taken,
)


async def take(db: Database, limit: RateLimit, caller: Caller) -> dict[str, str]:
    """
    Count one request of *caller* and return the headers that tell how many are left.

    Raises:
        RateLimited: this hour's requests are used up; nothing was counted.
    """
    (taken,) = await db.read(
        _TAKE, name=limit.name, default_per_hour=limit.default_per_hour, caller=caller.subject
    )
    if not taken.is_granted:
        raise RateLimited(
            f"{taken.per_hour} an hour are allowed; wait {taken.reset_in_s} seconds.",
            rate_limit=limit.name,
            limit=taken.per_hour,
            reset_at=taken.reset_at,
            retry_after_s=taken.reset_in_s,
        )
    return headers(
        per_hour=taken.per_hour, left=taken.per_hour - taken.used, reset_at=taken.reset_at
    )


def headers(*, per_hour: int, left: int, reset_at: int) -> dict[str, str]:
    """Say what is left of the hour; *reset_at* is in seconds since 1970."""
    return {
        "X-RateLimit-Limit": str(per_hour),
        "X-RateLimit-Remaining": str(max(0, left)),
        "X-RateLimit-Reset": str(reset_at),
    }


_FIND = Query(
    """
    /* rate_limits.find */
    select per_hour
      from platform.rate_limits
     where name = :name
    """,
    row=_InForce,
)

_LOCK = Query(
    """
    /* rate_limits.lock */
    select per_hour
      from platform.rate_limits
     where name = :name
       for update
    """,
    row=_InForce,
)

_PUT = Query(
    """
    /* rate_limits.put */
    insert into platform.rate_limits (name, per_hour, changed_by, changed_at)
    values (:name, :per_hour, :changed_by, now())
    on conflict (name) do nothing
    """,
    row=Nothing,
)

_SET = Query(
    """
    /* rate_limits.set */
    update platform.rate_limits
       set per_hour = :per_hour,
           changed_by = :changed_by,
           changed_at = now()
     where name = :name
       and per_hour = :old
    """,
    row=Nothing,
)


async def in_force(tx: Tx, limit: RateLimit) -> int:
    """Tell how many requests an hour *limit* allows now."""
    row = await tx.one(_FIND, name=limit.name)
    return limit.default_per_hour if row is None else row.per_hour


async def lock(tx: Tx, limit: RateLimit, *, by: str) -> int:
    """Tell how many requests an hour *limit* allows, and let nobody change that until *tx* ends."""
    await tx.run(_PUT, name=limit.name, per_hour=limit.default_per_hour, changed_by=by)
    row = await tx.one(_LOCK, name=limit.name)
    assert row is not None
    return row.per_hour


async def adjust(tx: Tx, limit: RateLimit, *, old: int, new: int, by: str) -> None:
    """Allow *new* requests an hour of a limit that *tx* has locked at *old*."""
    changed = await tx.run(_SET, name=limit.name, old=old, per_hour=new, changed_by=by)
    assert changed == 1, "the row was locked"


_PURGE = Query(
    """
    /* rate_limits.purge */
    delete from platform.rate_counts
     where hour < now() - interval '2 hours'
    """,
    row=Nothing,
)


async def _purge(db: Database) -> None:
    async with db.transaction("rate_limits.purge") as tx:
        await tx.run(_PURGE)


CRONS = [Cron("platform.purge_rates", "7 * * * *", _purge)]
