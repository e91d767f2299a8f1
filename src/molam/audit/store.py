"""Every statement of the audit record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the last entry's number and hash."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Unsealed:
    id: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """The oldest transaction that a statement saw unfinished."""

    xid: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    size: int
    root: bytes
    key_id: str
    note: str
    signed_at: datetime
    sealed_xid: int


@dataclass(frozen=True, slots=True)
class Node:
    level: int
    index: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Granted:
    granted: bool


@dataclass(frozen=True, slots=True)
class PublicKey:
    public_key: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry and its place in the tree."""

    position: int
    seq: int
    body: str
    prev: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry, sealed or not."""

    chain: str
    seq: int
    action: str
    actor_email: str | None
    body: str
    prev: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Forgotten:
    count: int


# The columns beside `body` are read out of it, so that they cannot say anything else.
APPEND = Query(
    """
    /* audit.append */
    insert into audit.ops_approval_audit
           (chain, seq, ops_action_id, action, actor, actor_email, snapshot, body, prev, hash, created_at)
    select said ->> 'chain', (said ->> 'seq')::int, (said ->> 'action_id')::uuid, e.action,
           said -> 'actor' ->> 'id', e.email, said -> 'data', e.body, e.prev, e.hash,
           (said ->> 'ts')::timestamptz
      from unnest(:bodies::text[], :prevs::bytea[], :hashes::bytea[], :actions::text[], :emails::text[])
           with ordinality as e (body, prev, hash, action, email, place)
     cross join lateral (select e.body::jsonb offset 0) as parsed (said)
     order by e.place
    """,
    row=Nothing,
)

LOCK_HEAD = Query(
    """
    /* audit.lock_head */
    insert into audit.chain_heads as h (chain, seq, hash)
    values (:chain, -1, decode(repeat('00', 32), 'hex'))
    on conflict (chain) do update set seq = h.seq
    returning h.seq, h.hash
    """,
    row=Head,
    locks=Rank.AUDIT_CHAIN,
)

SET_HEAD = Query(
    """
    /* audit.set_head */
    update audit.chain_heads
       set seq = :seq, hash = :hash
     where chain = :chain
       and seq < :seq
    """,
    row=Nothing,
)

APPEND_PERSONAL_VALUES = Query(
    """
    /* audit.append_personal_values */
    insert into audit.personal_values (digest, salt, value, person)
    select v.digest, v.salt, v.value, v.person
      from unnest(:digests::bytea[], :salts::bytea[], :texts::text[], :people::text[])
           as v (digest, salt, value, person)
    """,
    row=Nothing,
)

FORGET = Query(
    """
    /* audit.forget */
    select audit.forget(:person) as count
    """,
    row=Forgotten,
)

# Held to the end of the transaction. Not waited for: whoever has it seals for all.
TAKE_SEAL = Query(
    """
    /* audit.take_seal */
    select pg_try_advisory_xact_lock(:key) as granted
    """,
    row=Granted,
)

SEEN = Query(
    """
    /* audit.seen */
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xid
    """,
    row=Seen,
)

# See Note [What the sealer takes] in sealer.py.
LIST_UNSEALED = Query(
    """
    /* audit.list_unsealed */
    select e.id, e.hash
      from audit.ops_approval_audit as e
     where e.xid >= :sealed_xid::bigint::text::xid8
       and not exists (select from audit.leaves as l where l.entry_id = e.id)
     order by e.id
     limit :limit
    """,
    row=Unsealed,
)

APPEND_LEAVES = Query(
    """
    /* audit.append_leaves */
    insert into audit.leaves (position, entry_id)
    select :size + e.place - 1, e.id
      from unnest(:ids::bigint[]) with ordinality as e (id, place)
    """,
    row=Nothing,
)

APPEND_NODES = Query(
    """
    /* audit.append_nodes */
    insert into audit.nodes (level, index, hash)
    select n.level, n.index, n.hash
      from unnest(:levels::smallint[], :indexes::bigint[], :hashes::bytea[]) as n (level, index, hash)
    """,
    row=Nothing,
)

LIST_NODES = Query(
    """
    /* audit.list_nodes */
    select n.level, n.index, n.hash
      from unnest(:levels::smallint[], :indexes::bigint[]) as asked (level, index)
      join audit.nodes as n using (level, index)
    """,
    row=Node,
)

APPEND_CHECKPOINT = Query(
    """
    /* audit.append_checkpoint */
    with signer as (
        insert into audit.checkpoint_keys (key_id, public_key)
        values (:key_id, :public_key)
        on conflict do nothing
    )
    insert into audit.checkpoints (size, root, key_id, note, sealed_xid)
    values (:size, :root, :key_id, :note, :sealed_xid::bigint::text::xid8)
    """,
    row=Nothing,
)

LATEST_CHECKPOINT = Query(
    """
    /* audit.latest_checkpoint */
    select c.size, c.root, c.key_id, c.note, c.signed_at, c.sealed_xid::text::bigint as sealed_xid
      from audit.checkpoints as c
     order by c.size desc
     limit 1
    """,
    row=Checkpoint,
)

FIND_CHECKPOINT = Query(
    """
    /* audit.find_checkpoint */
    select c.size, c.root, c.key_id, c.note, c.signed_at, c.sealed_xid::text::bigint as sealed_xid
      from audit.checkpoints as c
     where c.size = :size
    """,
    row=Checkpoint,
)

LIST_KEYS = Query(
    """
    /* audit.list_keys */
    select k.public_key
      from audit.checkpoint_keys as k
     order by k.first_used, k.key_id
     limit 1000
    """,
    row=PublicKey,
)

LIST_SEALED = Query(
    """
    /* audit.list_sealed */
    select l.position, e.seq, e.body, e.prev, e.hash
      from audit.leaves as l
      join audit.ops_approval_audit as e on e.id = l.entry_id
     where l.position >= :from_position
       and l.position < :to_position
     order by l.position
    """,
    row=Sealed,
)

LIST_OF_ACTION = Query(
    """
    /* audit.list_of_action */
    select l.position, e.seq, e.body, e.prev, e.hash
      from audit.ops_approval_audit as e
      join audit.leaves as l on l.entry_id = e.id
     where e.ops_action_id = :action_id
       and l.position < :size
     order by e.seq, l.position
     limit :limit
    """,
    row=Sealed,
)

LIST_RECORDED = Query(
    """
    /* audit.list_recorded */
    select chain, seq, action, actor_email, body, prev, hash
      from audit.ops_approval_audit
     where ops_action_id = :action_id
       and chain = :chain
     order by seq
     limit :limit
    """,
    row=Recorded,
)
