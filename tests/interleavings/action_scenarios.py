"""What people and jobs do to one action at once, and what must hold whatever the order."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from interleave import StepDatabase, Work, interleave, step

from audit_records import assert_audited
from builders import a_person, a_policy, operations
from molam.approvals import commands, sweeps
from molam.approvals.engine import Engine
from molam.approvals.model import Actor
from molam.kernel.refusals import Refusal
from molam.platform.db import Database, ProcessRole, Query, open_database
from molam.platform.db.transaction import Nothing
from till import POLICY, Tills, make_tills, payments_of

Together = Callable[[int, Sequence[Work]], Awaitable[None]]

FIRST, SECOND, THIRD = "finance-user-1", "finance-user-2", "finance-user-3"
CREATOR, EXECUTOR, ANOTHER = "ops-admin-3", "ops-admin-1", "ops-admin-2"


@dataclass(frozen=True, slots=True)
class Scene:
    """
    Where sessions meet: *engine* and *directory* are theirs.

    *calm* is the same engine for what comes before and after; *together* runs the
    sessions at once, each statement in an order drawn by seed or as PostgreSQL has it.
    A session may give its *turn* to others.
    """

    engine: Engine
    directory: Database
    calm: Engine
    owner: Database
    observer: asyncpg.Connection[Any]
    together: Together
    turn: Callable[[], Awaitable[None]]


Scenario = Callable[[Scene, int], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def scene(dsn: str) -> AsyncIterator[Scene]:
    """Sessions of which one takes one step at a time."""
    async with _opened(dsn, connections_max=5) as (owner, ops, observer):
        yield Scene(
            engine=Engine.of(StepDatabase(ops._pool), Tills().registry),
            directory=StepDatabase(owner._pool),
            calm=Engine.of(ops, Tills().registry),
            owner=owner,
            observer=observer,
            together=lambda seed, works: interleave(seed, observer, works),
            turn=step,
        )


@contextlib.asynccontextmanager
async def contended_scene(dsn: str, *, connections_max: int) -> AsyncIterator[Scene]:
    """Sessions that start together, or a few milliseconds apart, and then run as they can."""
    async with _opened(dsn, connections_max=connections_max) as (owner, ops, observer):
        calm = Engine.of(ops, Tills().registry)
        yield Scene(
            engine=calm,
            directory=owner,
            calm=calm,
            owner=owner,
            observer=observer,
            together=_at_once,
            turn=lambda: asyncio.sleep(0.001),
        )


async def _at_once(seed: int, works: Sequence[Work]) -> None:
    rng = random.Random(seed)
    barrier = asyncio.Barrier(len(works))
    apart_s = rng.choice((0.0, 0.0, 0.002, 0.01))

    async def run(work: Work, later_s: float) -> None:
        await barrier.wait()
        await asyncio.sleep(later_s)
        await work()

    runs = [run(work, rng.uniform(0, apart_s)) for work in works]
    for answer in await asyncio.gather(*runs, return_exceptions=True):
        if isinstance(answer, Exception):
            raise AssertionError(f"seed {seed}: {answer!r}") from answer  # noqa: TRY004


@contextlib.asynccontextmanager
async def _opened(
    dsn: str, *, connections_max: int
) -> AsyncIterator[tuple[Database, Database, asyncpg.Connection[Any]]]:
    owner, ops = [
        await open_database(dsn, role, application="schedules", connections_max=connections_max)
        for role in (ProcessRole.OWNER, ProcessRole.OPS)
    ]
    observer = await asyncpg.connect(dsn)
    try:
        await make_tills(owner)
        await operations(owner)
        for name, more in (
            ("TILL_PAY", {}),
            ("TILL_AUTO", {"auto_execute": True, "escalation_role": "cfo"}),
        ):
            await a_policy(
                owner, name=name, criteria={"action_type": name}, policy={**POLICY, **more}
            )
        yield owner, ops, observer
    finally:
        await observer.close()
        await ops.close()
        await owner.close()


async def last_vote(scene: Scene, seed: int) -> None:
    """Three people vote at once where two are enough; one of them is against."""
    id_ = await _asked(scene, seed)
    words = random.Random(seed).sample(("approve", "approve", "reject"), 3)
    told: list[str] = []

    async def vote(person: str, word: str) -> None:
        told.append(await _vote(scene.engine, id_, person, word))

    people = zip((FIRST, SECOND, THIRD), words, strict=True)
    await scene.together(seed, [lambda who=who, word=word: vote(who, word) for who, word in people])

    cast = [
        row["vote"]
        for row in await _rows(
            scene,
            "select vote from approvals.ops_approvals where ops_action_id = $1 order by seq",
            id_,
        )
    ]
    row = await _row(scene, id_)
    decided = [_is_approved(cast[: n + 1]) for n in range(len(cast))]
    in_turn = [False] * (len(cast) - 1) + [True]
    assert decided == in_turn, f"seed {seed}: not as in turn: {cast}, {told}"
    assert row["state"] == "approved", f"seed {seed}: not as in turn: {cast}, {dict(row)}"
    counted = (row["votes_approve"], row["votes_reject"])
    assert counted == (cast.count("approve"), cast.count("reject")), f"seed {seed}: not as in turn"
    assert told.count("ok") == len(cast), f"seed {seed}: {told}"
    await assert_audited(scene.owner, id_)


def _is_approved(cast: Sequence[str]) -> bool:
    yes, no = cast.count("approve"), cast.count("reject")
    return yes >= 2 and 5 * yes >= 3 * (yes + no)


async def double_execute(scene: Scene, seed: int) -> None:
    """Two people carry the same action out."""
    id_ = await _approved(scene, seed)
    told: list[str] = []

    async def execute(person: str) -> None:
        told.append(await _execute(scene.engine, id_, person))

    await scene.together(seed, [lambda who=who: execute(who) for who in (EXECUTOR, ANOTHER)])

    count = await payments_of(scene.observer, _till(seed))
    row = await _row(scene, id_)
    assert count == 1, f"seed {seed}: paid {count} times"
    assert sorted(told) == ["action-not-in-state", "ok"], f"seed {seed}: {told}"
    assert (row["state"], row["fence"]) == ("executed", 1), f"seed {seed}: {dict(row)}"
    await assert_audited(scene.owner, id_)


async def cancel_against_execute(scene: Scene, seed: int) -> None:
    """Whoever asked for it takes it back while somebody carries it out."""
    id_ = await _approved(scene, seed)
    told: dict[str, str] = {}

    async def execute() -> None:
        told["execute"] = await _execute(scene.engine, id_, EXECUTOR)

    async def cancel() -> None:
        told["cancel"] = await _attempt(
            commands.cancel(scene.engine.runtime.db, id_, Actor(CREATOR), reason="a mistake")
        )

    await scene.together(seed, [execute, cancel])

    count = await payments_of(scene.observer, _till(seed))
    state = (await _row(scene, id_))["state"]
    winner = {"executed": "execute", "cancelled": "cancel"}.get(state)
    assert winner is not None, f"seed {seed}: {state}"
    assert [verb for verb, answer in told.items() if answer == "ok"] == [winner], (
        f"seed {seed}: {told}, and it is {state}"
    )
    assert count == (winner == "execute"), f"seed {seed}: paid {count} times, and it is {state}"
    await assert_audited(scene.owner, id_)


# The row is written anew by whoever decides; the deadline they write is the one they read.
_END_NOW = Query(
    """
    /* tests.end_now */
    update approvals.ops_actions
       set created_at = created_at - interval '1 day',
           expires_at = clock_timestamp()
     where id = :id
    """,
    row=Nothing,
)


async def expiry_against_vote(scene: Scene, seed: int) -> None:
    """The last vote is cast while the time to vote ends and a job looks for what is over."""
    id_ = await _asked(scene, seed)
    await _vote(scene.calm, id_, FIRST, "approve")
    told: list[str] = []

    async def vote() -> None:
        told.append(await _vote(scene.engine, id_, SECOND, "approve"))

    async def end() -> None:
        async with scene.engine.runtime.db.transaction("schedule.end") as tx:
            await tx.run(_END_NOW, id=id_)

    async def sweep() -> None:
        await sweeps.escalate_expired(scene.engine.runtime)

    await scene.together(seed, [vote, end, sweep])
    await sweeps.escalate_expired(scene.calm.runtime)

    row = await _row(scene, id_)
    if row["state"] == "approved":
        assert row["decided_at"] < row["expires_at"], f"seed {seed}: approved after its deadline"
    expected = {"approved": ["ok"], "expired": ["action-expired"]}.get(row["state"])
    assert told == expected, f"seed {seed}: {told}, and it is {row['state']}"
    await assert_audited(scene.owner, id_)


_REVOKE = Query(
    """
    /* tests.revoke */
    update tenancy.role_grants
       set revoked_at = clock_timestamp()
     where person_id = :person
    """,
    row=Nothing,
)


async def role_revoked(scene: Scene, seed: int) -> None:
    """One of the two who approved it loses the role while somebody carries it out."""
    leaver = f"leaver-{seed}"
    await a_person(scene.owner, id_=leaver, roles=["finance_ops"], merchant_id=None)
    id_ = await _asked(scene, seed)
    for person in (leaver, SECOND):
        assert await _vote(scene.calm, id_, person, "approve") == "ok"
    turns = random.Random(seed).randrange(6)
    gone = False
    told: list[tuple[bool, str]] = []

    async def revoke() -> None:
        nonlocal gone
        async with scene.directory.transaction("schedule.revoke") as tx:
            await tx.run(_REVOKE, person=leaver)
        gone = True

    async def execute() -> None:
        for _ in range(turns):
            await scene.turn()
        was_gone = gone
        told.append((was_gone, await _execute(scene.engine, id_, EXECUTOR)))

    await scene.together(seed, [execute, revoke])

    count = await payments_of(scene.observer, _till(seed))
    [(was_gone, answer)] = told
    state = (await _row(scene, id_))["state"]
    assert not (was_gone and count), f"seed {seed}: carried out on the vote of who had left"
    expected = {"executed": ("ok", 1), "pending": ("no-longer-approved", 0)}.get(state)
    assert (answer, count) == expected, f"seed {seed}: {answer}, paid {count} times, {state}"
    await assert_audited(scene.owner, id_)


async def one_key(scene: Scene, seed: int) -> None:
    """Two ask for the same under one key, and a third for something else under it."""
    key = f"key-{seed}"
    told: list[tuple[int, str]] = []

    async def ask(amount: int) -> None:
        try:
            made = await _ask(scene.engine, seed, amount=amount, idempotency_key=key)
        except Refusal as refusal:
            told.append((amount, refusal.code))
        else:
            told.append((amount, made["id"]))

    await scene.together(seed, [lambda amount=amount: ask(amount) for amount in (1, 1, 2)])

    rows = await _rows(
        scene,
        "select id, (params ->> 'amount')::int as amount from approvals.ops_actions"
        " where idempotency_key = $1",
        key,
    )
    assert len(rows) == 1, f"seed {seed}: stored {len(rows)} times"
    for amount, answer in told:
        is_same = amount == rows[0]["amount"]
        expected = str(rows[0]["id"]) if is_same else "idempotency-mismatch"
        assert answer == expected, f"seed {seed}: {told}"
    await assert_audited(scene.owner, rows[0]["id"])


async def two_twins(scene: Scene, seed: int) -> None:
    """Two ask for the same without a key, where a third's time has just passed."""
    older = await _asked(scene, seed)
    async with scene.owner.transaction("schedule.end") as tx:
        await tx.run(_END_NOW, id=older)
    told: list[str] = []

    async def ask(by: str) -> None:
        told.append(await _attempt(_ask(scene.engine, seed, created_by=by)))

    await scene.together(seed, [lambda who=who: ask(who) for who in (EXECUTOR, ANOTHER)])

    states = [
        row["state"]
        for row in await _rows(
            scene,
            "select state from approvals.ops_actions where target_tenant_id = $1 order by id",
            _till(seed),
        )
    ]
    assert sorted(told) == ["action-twin-open", "ok"], f"seed {seed}: {told}"
    assert states == ["expired", "pending"], f"seed {seed}: {states}"
    await assert_audited(scene.owner, older)


async def two_sweepers(scene: Scene, seed: int) -> None:
    """Two jobs at once find an action that is due for more people, and one that runs by itself."""
    due = await _asked(scene, seed, action_type="TILL_AUTO", till=f"due-{seed}")
    async with scene.owner.transaction("schedule.end") as tx:
        await tx.run(_END_NOW, id=due)
        await tx.connection.execute(
            "update approvals.ops_actions set escalates_at = expires_at where id = $1", due
        )
    runs = await _approved(scene, seed, action_type="TILL_AUTO")

    async def sweep() -> None:
        await sweeps.escalate_expired(scene.engine.runtime)
        await sweeps.auto_execute(scene.engine.runtime)

    await scene.together(seed, [sweep, sweep])

    count = await payments_of(scene.observer, _till(seed))
    row = await _row(scene, due)
    asked = await scene.observer.fetchval(
        "select count(*) from notices.inbox as i join notices.notices as n on n.id = i.notice_id"
        " where n.subject = $1 and n.kind = 'action_escalated' and i.person_id = 'cfo-1'",
        str(due),
    )
    assert count == 1, f"seed {seed}: paid {count} times"
    assert (row["state"], row["level"]) == ("pending", 1), f"seed {seed}: {dict(row)}"
    assert asked == 1, f"seed {seed}: asked {asked} times"
    await assert_audited(scene.owner, due, runs)


ALL: tuple[Scenario, ...] = (
    last_vote,
    double_execute,
    cancel_against_execute,
    expiry_against_vote,
    role_revoked,
    one_key,
    two_twins,
    two_sweepers,
)
"""Whatever the order, one outcome, done once."""


def _till(seed: int) -> str:
    return f"till-{seed}"


async def _ask(
    engine: Engine,
    seed: int,
    *,
    till: str | None = None,
    amount: int = 1,
    created_by: str = CREATOR,
    **more: object,
) -> dict[str, Any]:
    fields: dict[str, object] = {"action_type": "TILL_PAY", **more}
    return await engine.create_ops_action(
        origin="module",
        params={"till": till or _till(seed), "amount": amount},
        created_by=created_by,
        **fields,
    )


async def _asked(scene: Scene, seed: int, **more: Any) -> UUID:
    return UUID((await _ask(scene.calm, seed, **more))["id"])


async def _approved(scene: Scene, seed: int, **more: Any) -> UUID:
    id_ = await _asked(scene, seed, **more)
    for person in (FIRST, SECOND):
        assert await _vote(scene.calm, id_, person, "approve") == "ok"
    return id_


async def _vote(engine: Engine, id_: UUID, person: str, word: str) -> str:
    why = "Le montant est faux." if word == "reject" else None
    return await _attempt(engine.vote_on_action(str(id_), person, (), word, why))


async def _execute(engine: Engine, id_: UUID, person: str) -> str:
    return await _attempt(engine.execute_action(str(id_), person))


async def _attempt(call: Awaitable[object]) -> str:
    """Return the code of the refusal, or "ok"."""
    try:
        await call
    except Refusal as refusal:
        return refusal.code
    return "ok"


async def _row(scene: Scene, id_: UUID) -> asyncpg.Record:
    [row] = await _rows(scene, "select * from approvals.ops_actions where id = $1", id_)
    return row


async def _rows(scene: Scene, sql: str, *given: object) -> list[asyncpg.Record]:
    async with scene.owner.transaction("schedule.look") as tx:
        return await tx.connection.fetch(sql, *given)
