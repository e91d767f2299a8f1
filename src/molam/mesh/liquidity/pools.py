"""Pools: money that banks of a region put together, and draw from when one runs short."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from molam.approvals import commands as engine
from molam.approvals.drafts import Ruling
from molam.approvals.model import Actor, NewAction
from molam.approvals.policy.durations import Duration
from molam.approvals.policy.quorum import Role
from molam.approvals.policy.rules import Rules
from molam.approvals.tightening import RULED
from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.digests import digest
from molam.kernel.ids import show, uuid7, uuid8
from molam.kernel.money import Money
from molam.ledger import commands as ledger
from molam.ledger import queries as rates
from molam.mesh.liquidity import model, pool_store, position_store
from molam.mesh.liquidity.model import Breach, MovementKind, Room, Share
from molam.mesh.liquidity.pool_store import MovementRow, PoolRow, ShareRow
from molam.mesh.permissions import OPS_ADMIN, TREASURY
from molam.mesh.runtime import Mesh
from molam.platform.db import Tx
from molam.platform.web.idempotency import IdempotencyKeyReused

DRAW_ACTION = "POOL_DRAW"
APPROVALS = 2
APPROVAL_MINUTES = 12 * 60
EXECUTION_WINDOW_S = 3600
_PURPOSE = "molam.pool-movement/1"
_CAUSES: dict[MovementKind, str] = {
    "contribution": "pool_paid_in",
    "draw": "pool_draw",
    "return": "pool_return",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A movement that somebody asks for; *key* makes a repetition of it the same movement."""

    pool_id: str
    bank_profile_id: str
    amount: int
    reason: str
    key: str | None = None
    draw_id: str | None = None


class Done(NamedTuple):
    row: MovementRow
    is_new: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """What a draw would do, before it is asked for."""

    free_before: int
    free_after: int
    owed_before: int
    owed_after: int
    needs_approval: bool
    breaches: list[Breach] = field(default_factory=list)


def account(pool_id: str) -> str:
    """Name the ledger account that stands for what lies in a pool."""
    return f"pools:{pool_id}"


async def get(tx: Tx, pool_id: str) -> PoolRow:
    """
    Raises:
        PoolAbsent: there is none.
    """
    row = await tx.one(pool_store.FIND_POOL, id=pool_id)
    if row is None:
        raise model.PoolAbsent("Pools are listed by GET /api/mesh/pools.")
    return row


async def rehearse(tx: Tx, pool_id: str, bank_profile_id: str, amount: int) -> Effect:
    """
    Say what drawing *amount* would do, and what forbids it.

    Raises:
        PoolAbsent: no such pool.
    """
    pool = await get(tx, pool_id)
    shares = {row.bank_profile_id: row for row in await _shares(tx, pool.id)}
    share = share_of(shares.get(bank_profile_id))
    return Effect(
        free_before=pool.total_available - pool.reserved,
        free_after=pool.total_available - pool.reserved - amount,
        owed_before=share.owed,
        owed_after=share.owed + amount,
        needs_approval=await _needs_approval(tx, pool, amount),
        breaches=model.breaches(_room(pool), share, bank_profile_id, amount),
    )


async def contribute(tx: Tx, mesh: Mesh, asked: Asked, *, by: str) -> Done:
    """
    Put money of ours at a bank into a pool, in the bank's name.

    Raises:
        PoolAbsent, IdempotencyKeyReused
        DrawRefused: the bank takes no part, or we have less there that is not spoken for.
    """
    pool = await _locked(tx, asked.pool_id)
    known = await _replayed(tx, asked, "contribution")
    if known is not None:
        return Done(known, is_new=False)
    if asked.bank_profile_id not in pool.participants:
        raise refused_for(Breach("participant", 0))
    done = await _book_new(tx, mesh, asked, "contribution", by=by)
    # Looked at when it is booked: whoever else takes from the account waits for us, or we did.
    place = {"bank_profile_id": asked.bank_profile_id, "currency": pool.currency}
    found = await tx.one(position_store.FIND_FREE, **place)
    free = 0 if found is None else found.free
    if free < 0:
        raise refused_for(Breach("position", max(0, free + asked.amount)))
    return done


async def draw(tx: Tx, mesh: Mesh, asked: Asked, actor: Actor) -> Done:
    """
    Take money from a pool for a bank: at once, or when it is much, once others agree.

    Raises:
        PoolAbsent, IdempotencyKeyReused
        DrawRefused: a limit forbids it; says which, and how much it allows.
        Unsatisfiable: it takes approval, and nobody could give it.
    """
    pool = await _locked(tx, asked.pool_id)
    known = await _replayed(tx, asked, "draw")
    if known is not None:
        return Done(known, is_new=False)
    shares = {row.bank_profile_id: row for row in await _shares(tx, pool.id)}
    share = share_of(shares.get(asked.bank_profile_id))
    found = model.breaches(_room(pool), share, asked.bank_profile_id, asked.amount)
    if found:
        raise refused_for(found[0])
    if not await _needs_approval(tx, pool, asked.amount):
        return await _book_new(tx, mesh, asked, "draw", by=actor.id)
    id_ = await _insert(tx, asked, "draw", at=mesh.clock.now(), state="waiting", by=actor.id)
    await tx.run(pool_store.RESERVE, id=pool.id, amount=asked.amount)
    created = await engine.create_in(
        tx,
        mesh.approvals,
        NewAction(
            origin="module",
            origin_id=id_,
            action_type=DRAW_ACTION,
            params={
                "movement_id": id_,
                "pool_id": pool.id,
                "bank_profile_id": asked.bank_profile_id,
                "amount": {"currency": pool.currency, "minor": asked.amount},
                "reason": asked.reason,
            },
        ),
        actor,
        ruling=_ruling(pool),
    )
    await tx.run(pool_store.SET_ACTION, id=id_, action_id=str(created.row.id))
    return Done(await find(tx, id_), is_new=True)


async def give_back(tx: Tx, mesh: Mesh, asked: Asked, *, by: str) -> Done:
    """
    Give back a draw, or a part of it.

    Raises:
        PoolAbsent, DrawAbsent, IdempotencyKeyReused
        DrawRefused: less than that is still owed.
    """
    await _locked(tx, asked.pool_id)
    known = await _replayed(tx, asked, "return")
    if known is not None:
        return Done(known, is_new=False)
    taken = await tx.one(pool_store.FIND_MOVEMENT, id=asked.draw_id)
    if taken is None or taken.pool_id != asked.pool_id or taken.kind != "draw":
        raise model.DrawAbsent("Name a draw of this pool.")
    owed = taken.amount - taken.returned if taken.state == "booked" else 0
    if asked.amount > owed:
        raise model.DrawRefused("Less than that is still owed for this draw.", allowed=owed)
    await tx.run(pool_store.ADD_RETURNED, id=taken.id, amount=asked.amount)
    return await _book_new(tx, mesh, asked, "return", by=by)


async def book_waiting(tx: Tx, movement_id: str, *, at: Instant) -> MovementRow | None:
    """
    Carry out a draw that was agreed to; None when it was settled before.

    Raises:
        DrawRefused: a limit forbids it by now.
    """
    row = await find(tx, movement_id)
    pool = await _locked(tx, row.pool_id)
    row = await find(tx, movement_id)
    if row.state != "waiting":
        return None
    shares = {each.bank_profile_id: each for each in await _shares(tx, pool.id)}
    share = share_of(shares.get(row.bank_profile_id))
    room = _room(pool, without=row.amount)
    before = Share(share.contributed, share.owed - row.amount)
    found = model.breaches(room, before, row.bank_profile_id, row.amount)
    if found:
        raise refused_for(found[0])
    await tx.run(pool_store.RESERVE, id=pool.id, amount=-row.amount)
    await tx.run(pool_store.SET_STATE, id=row.id, state="booked", ended_as=None)
    await _post(tx, row, "draw", at=at)
    await tx.run(pool_store.NOTIFY_PAGES)
    return await find(tx, row.id)


async def prepare_agreed(tx: Tx, asked: Asked, *, by: str, at: Instant) -> MovementRow:
    """
    Write down a draw that others have agreed to as a part of something larger.

    The pool is locked by the caller, who posts what `transfer_of` says for it, after
    freeing the amount that is reserved here.

    Raises:
        PoolAbsent, DrawRefused: as `draw`.
    """
    pool = await get(tx, asked.pool_id)
    shares = {row.bank_profile_id: row for row in await _shares(tx, pool.id)}
    share = share_of(shares.get(asked.bank_profile_id))
    found = model.breaches(_room(pool), share, asked.bank_profile_id, asked.amount)
    if found:
        raise refused_for(found[0])
    id_ = await _insert(tx, asked, "draw", at=at, state="booked", by=by)
    await tx.run(pool_store.RESERVE, id=pool.id, amount=asked.amount)
    return await find(tx, id_)


async def let_go(tx: Tx, movement_id: str, ended_as: str) -> None:
    """Free what a draw had reserved that was not agreed to; safe to repeat."""
    row = await find(tx, movement_id)
    await _locked(tx, row.pool_id)
    if await tx.run(pool_store.SET_STATE, id=row.id, state="refused", ended_as=ended_as):
        await tx.run(pool_store.RESERVE, id=row.pool_id, amount=-row.amount)
        await tx.run(pool_store.NOTIFY_PAGES)


async def find(tx: Tx, movement_id: str) -> MovementRow:
    """
    Raises:
        DrawAbsent: there is none.
    """
    row = await tx.one(pool_store.FIND_MOVEMENT, id=movement_id)
    if row is None:
        raise model.DrawAbsent("Check the number of the movement.")
    return row


def share_of(row: ShareRow | None) -> Share:
    """Read what a bank put in and owes; a draw that waits is owed already."""
    if row is None:
        return Share()
    return Share(row.contributed, row.drawn - row.returned + row.waiting)


def refused_for(breach: Breach) -> model.DrawRefused:
    """Make the refusal of a breached limit."""
    return model.DrawRefused(
        model.sentence(breach.limit), limit=breach.limit, allowed=breach.allowed
    )


async def _locked(tx: Tx, pool_id: str) -> PoolRow:
    await tx.run(pool_store.LOCK_POOL, id=pool_id)
    return await get(tx, pool_id)


async def _shares(tx: Tx, pool_id: str) -> list[ShareRow]:
    return await tx.all(pool_store.LIST_SHARES, pool_id=pool_id)


def _room(pool: PoolRow, *, without: int = 0) -> Room:
    """Describe the pool as it would be if a draw of *without* did not wait."""
    return Room(
        frozenset(pool.participants),
        pool.total_available,
        pool.reserved - without,
        pool.drawn_today - without,
        pool.max_single_draw,
        pool.daily_draw_limit,
    )


async def _needs_approval(tx: Tx, pool: PoolRow, amount: int) -> bool:
    """Tell whether *amount* exceeds the region's threshold; in an unknown rate, it does."""
    if pool.currency == pool.approval_currency:
        return amount > pool.approval_threshold
    known = await rates.rates_in(tx, pool.today)
    worth = known.convert(Money(amount, currency(pool.currency)), currency(pool.approval_currency))
    return worth is None or worth.minor > pool.approval_threshold


async def _replayed(tx: Tx, asked: Asked, kind: MovementKind) -> MovementRow | None:
    if asked.key is None:
        return None
    row = await tx.one(pool_store.FIND_BY_KEY, pool_id=asked.pool_id, key=asked.key)
    if row is not None and row.fingerprint != _fingerprint(asked, kind):
        raise IdempotencyKeyReused("Use a new key for a new request.")
    return row


async def _book_new(tx: Tx, mesh: Mesh, asked: Asked, kind: MovementKind, *, by: str) -> Done:
    now = mesh.clock.now()
    id_ = await _insert(tx, asked, kind, at=now, state="booked", by=by)
    row = await find(tx, id_)
    await _post(tx, row, kind, at=now)
    await tx.run(pool_store.NOTIFY_PAGES)
    return Done(row, is_new=True)


async def _insert(tx: Tx, asked: Asked, kind: MovementKind, *, at: Instant, **how: object) -> str:
    id_ = show("pm", uuid7(at))
    await tx.run(
        pool_store.INSERT_MOVEMENT,
        id=id_,
        pool_id=asked.pool_id,
        bank_profile_id=asked.bank_profile_id,
        kind=kind,
        amount=asked.amount,
        reason=asked.reason,
        draw_id=asked.draw_id,
        key=asked.key,
        fingerprint=_fingerprint(asked, kind),
        **how,
    )
    return id_


async def _post(tx: Tx, row: MovementRow, kind: MovementKind, *, at: Instant) -> None:
    moved = await ledger.post(tx, [transfer_of(row, kind, at=at)])
    assert moved == 1, "a movement is booked once, under the pool's lock"


def transfer_of(row: MovementRow, kind: MovementKind, *, at: Instant) -> ledger.OwnTransfer:
    """
    Write a movement as the ledger has it.

    Both accounts stand for places outside, where what is ours is minus the balance: what
    leaves the pool is added to its account, and what reaches the bank is taken from its.
    """
    bank, pool = ledger.at_bank(row.bank_profile_id), account(row.pool_id)
    source, target = (bank, pool) if kind == "draw" else (pool, bank)
    return ledger.OwnTransfer(
        id=uuid8(f"pool-movement/{row.id}"),
        source=source,
        target=target,
        amount=row.amount,
        currency=row.currency,
        cause=_CAUSES[kind],
        cause_id=f"transfer:{row.id}",
        occurred_at=at,
    )


def _fingerprint(asked: Asked, kind: MovementKind) -> bytes:
    return digest(
        _PURPOSE,
        {
            "pool": asked.pool_id,
            "bank": asked.bank_profile_id,
            "kind": kind,
            "amount": asked.amount,
            "reason": asked.reason,
            "draw": asked.draw_id,
        },
    )


def _ruling(pool: PoolRow) -> Ruling:
    rules = Rules(
        quorum=Role(frozenset({TREASURY, OPS_ADMIN}), APPROVALS),
        ratio=Fraction(1),
        timeout=Duration(seconds=APPROVAL_MINUTES * 60),
        auto_execute=True,
        execution_window=Duration(seconds=EXECUTION_WINDOW_S),
        reject_threshold=1,
    )
    trace = {RULED: True, "threshold": pool.approval_threshold, "region": pool.mesh_region_id}
    return Ruling("Draw from a pool above the region's threshold", 1, rules, trace)
