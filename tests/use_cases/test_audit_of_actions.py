"""Every change of an action has its entry, and the entries alone give the action back."""

from __future__ import annotations

import random
from collections import Counter
from uuid import UUID

import pytest

from audit_records import SIGNER, assert_audited
from builders import a_merchant, a_person
from molam.approvals import aftermath, commands, execution, sweeps, voting
from molam.approvals.engine import Engine, read_request
from molam.approvals.model import Actor, VoteRequest
from molam.audit import queries, sealer, verify
from molam.audit.explain import explain
from molam.kernel.refusals import Refusal
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.tenancy.actions import ACTIONS

STEPS = 120
PEOPLE = ("awa", "ben", "coumba", "dado")
MERCHANTS = tuple(f"merchant-{n}" for n in range(8))


@pytest.fixture
async def engine(db: Database, ops_db: Database) -> Engine:
    for merchant in MERCHANTS:
        await a_merchant(db, id_=merchant)
    for person in PEOPLE:
        await a_person(db, id_=person, roles=["ops_admin"], merchant_id=None)
    return Engine.of(ops_db, Registry(ACTIONS))


async def _create(engine: Engine, merchant: str, by: str) -> UUID:
    request = read_request(
        {
            "origin": "ops_ui",
            "action_type": "FREEZE_MERCHANT",
            "params": {"merchant_id": merchant, "reason": "Fraude probable"},
        }
    )
    runtime = engine.runtime
    created = await commands.create(runtime, request, Actor(by))
    return created.row.id


async def _pass_time(db: Database, action_id: UUID) -> None:
    """Let the deadlines of one action be over."""
    async with db.transaction("tests.pass_time") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set created_at = created_at - interval '3 days',"
            " expires_at = expires_at - interval '3 days',"
            " escalates_at = escalates_at - interval '3 days',"
            " execution_deadline = execution_deadline - interval '3 days' where id = $1",
            action_id,
        )


async def _step(engine: Engine, db: Database, ids: list[UUID], chance: random.Random) -> None:
    """Do one thing somebody might; refusals are as good as any other answer."""
    runtime, who = engine.runtime, Actor(chance.choice(PEOPLE), roles=frozenset({"ops_admin"}))
    if not ids or chance.random() < 0.1:
        ids.append(await _create(engine, chance.choice(MERCHANTS), who.id))
        return
    id_ = chance.choice(ids[-2:])
    match chance.choice(
        ["vote"] * 16 + ["execute"] * 4 + ["cancel", "sweep", "time", "verify", "glass"]
    ):
        case "vote":
            word = chance.choice(["approve"] * 6 + ["reject", "abstain", "withdrawn"])
            request = VoteRequest(vote=word, comment="Vu avec le marchand ce matin.")
            await voting.vote(runtime, id_, request, who)
        case "execute":
            await execution.execute(runtime, id_, who)
        case "cancel":
            await commands.cancel(runtime.db, id_, who, reason="no longer needed")
        case "sweep":
            await sweeps.escalate_expired(runtime)
            await sweeps.auto_execute(runtime)
        case "time":
            await _pass_time(db, id_)
        case "verify":
            await sweeps.verify(runtime)
        case "glass":
            await aftermath.break_glass(runtime.db, id_, who, reason="The agents cannot pay out.")


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_the_entries_come_to_the_row(
    engine: Engine, db: Database, seed: int
):
    chance = random.Random(seed)
    ids: list[UUID] = []
    refused: Counter[str] = Counter()
    for _ in range(STEPS):
        try:
            await _step(engine, db, ids, chance)
        except Refusal as refusal:
            refused[refusal.code] += 1
    await sealer.seal(engine.runtime.db, SIGNER)

    assert await assert_audited(db) > 0, refused
    checkpoint, keys = await queries.latest_checkpoint(db)
    lines = [each.encode() async for each in queries.export(db, checkpoint)]
    signed = verify.read_checkpoint(checkpoint.note, verify.read_keys("\n".join(keys)))
    assert verify.verify(lines, signed).chains >= len(ids) - sum(refused.values())


async def test_an_unrecorded_change_is_noticed(engine: Engine, db: Database):
    id_ = await _create(engine, MERCHANTS[0], "awa")
    assert await assert_audited(db) == 1
    async with db.transaction("tests.tamper") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set state = 'cancelled' where id = $1", id_
        )

    with pytest.raises(AssertionError):
        await assert_audited(db)


async def test_an_approval_follows_from_its_entries(engine: Engine, db: Database):
    id_ = await _create(engine, MERCHANTS[0], "awa")
    for voter in ("ben", "coumba"):
        await engine.vote_on_action(str(id_), voter, [], "approve")
    bodies = [verify.strictly(each.body) for each in await queries.entries_of_action(db, id_)]

    told = "\n".join(explain(bodies))

    assert "It is now: approved" in told
    assert "yes: 2 of ops_admin" in told
    assert "counted: ben, coumba" in told
    assert "DOES NOT FOLLOW" not in told
