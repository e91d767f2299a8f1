"""Roles lent for a while: within limits, one seat once, and undone as soon as it is taken back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import builders
from molam.approvals import delegations, queries, store
from molam.approvals.claims import NoLongerApproved
from molam.approvals.delegations import (
    OPEN_MAX,
    DelegationAbsent,
    DelegationRefused,
    NewDelegation,
)
from molam.approvals.engine import Engine
from molam.approvals.model import Actor, FieldsRefused, NotEligible, SameHands
from molam.entrypoints.registry import registry
from molam.platform.actions import UnknownActionType
from molam.platform.db import Database

DAY = timedelta(days=1)


@pytest.fixture
async def engine(db: Database, ops_db: Database) -> Engine:
    await builders.operations(db)
    await builders.a_policy(db)
    await builders.an_agent(db, balance=500_000)
    return Engine.of(ops_db, registry())


async def lend(
    db: Database,
    giver: str = "finance-user-1",
    to: str = "compliance-1",
    *,
    role: str = "finance_ops",
    days: float = 2,
    **changed: Any,
) -> UUID:
    wanted: dict[str, Any] = {
        "delegate_id": to,
        "role": role,
        "ends_at": datetime.now(UTC) + days * DAY,
        "reason": "on leave until Monday",
    }
    wanted |= changed
    row = await delegations.delegate(db, registry(), NewDelegation(**wanted), Actor(giver))
    return row.id


async def ask(engine: Engine, *, by: str = "pay-admin-1") -> str:
    action = await engine.create_ops_action(
        origin="ops_ui",
        action_type="ADJUST_FLOAT",
        params={"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000},
        created_by=by,
    )
    return str(action["id"])


async def vote(engine: Engine, action: str, who: str, word: str = "approve") -> dict[str, Any]:
    cast = await engine.vote_on_action(action, who, [], word, "a reason that is long enough")
    found: dict[str, Any] = cast["action"]
    return found


@pytest.mark.parametrize(
    ("why", "changed"),
    [
        ("role", {"role": "pay_admin"}),
        ("role", {"role": "no_such_role"}),
        ("delegate", {"to": "nobody"}),
        ("delegate", {"to": "awa.diop"}),
        ("delegate", {"to": "gone.away"}),
        ("delegate", {"to": "sira-system"}),
        ("self", {"to": "finance-user-1"}),
        ("length", {"days": 30.01}),
        ("past", {"days": -1}),
        ("past", {"starts_at": datetime.now(UTC) - DAY}),
        ("past", {"starts_at": datetime.now(UTC) + 3 * DAY}),
    ],
)
async def test_a_delegation_beyond_its_limits_is_refused(
    engine: Engine, db: Database, ops_db: Database, why: str, changed: dict[str, Any]
):
    await builders.a_merchant(db)
    await builders.a_person(db)
    await builders.a_person(db, id_="gone.away", roles=("finance_ops",), merchant_id=None)
    await builders.a_person(db, id_="sira-system", roles=("finance_ops",), merchant_id=None)
    async with db.transaction("tests.leave") as tx:
        await tx.connection.execute(
            "update tenancy.people set deactivated_at = now() where id = 'gone.away'"
        )
        await tx.connection.execute(
            "update tenancy.people set is_service = true where id = 'sira-system'"
        )

    with pytest.raises(DelegationRefused) as refused:
        await lend(ops_db, **changed)

    assert refused.value.facts["why"] == why
    assert await delegations.listed(ops_db, None) == []


async def test_a_malformed_delegation_is_refused_with_the_field(engine: Engine, ops_db: Database):
    naive = datetime(2026, 12, 1, 12, 0)  # noqa: DTZ001 - that is what is refused.
    for field, value in (("ends_at", naive), ("reason", "   "), ("role", " ")):
        with pytest.raises(FieldsRefused) as refused:
            await lend(ops_db, **{field: value})
        assert refused.value.facts["field"] == field
    with pytest.raises(UnknownActionType):
        await lend(ops_db, action_types=["ADJUST_FLOTE"])


async def test_a_role_that_was_lent_cannot_be_lent_on(engine: Engine, ops_db: Database):
    await lend(ops_db)

    with pytest.raises(DelegationRefused) as refused:
        await lend(ops_db, "compliance-1", "cfo-1")

    assert refused.value.facts["why"] == "role"


async def test_a_role_that_only_a_merchant_gives_cannot_be_lent(
    engine: Engine, db: Database, ops_db: Database
):
    await builders.a_merchant(db)
    await builders.a_person(db)

    with pytest.raises(DelegationRefused):
        await lend(ops_db, "awa.diop", "cfo-1", role="merchant_admin")


async def test_only_so_many_delegations_are_open_at_once_however_they_race(
    engine: Engine, ops_db: Database
):
    people = [each for each in builders.OPERATIONS if each != "finance-user-1"][: OPEN_MAX + 3]

    ended = await asyncio.gather(
        *(lend(ops_db, to=each) for each in people), return_exceptions=True
    )

    assert sum(isinstance(each, UUID) for each in ended) == OPEN_MAX
    assert all(isinstance(each, UUID | DelegationRefused) for each in ended)


async def test_the_same_role_is_not_lent_twice_for_the_same_time(engine: Engine, ops_db: Database):
    first = await lend(ops_db)
    with pytest.raises(DelegationRefused) as refused:
        await lend(ops_db)
    await delegations.revoke(ops_db, first, Actor("finance-user-1"))

    again = await lend(ops_db)

    assert refused.value.facts["why"] == "overlap"
    assert again != first


async def test_a_delegate_fills_the_delegators_seat_once(engine: Engine, ops_db: Database):
    await lend(ops_db)
    action = await ask(engine)

    first = await vote(engine, action, "compliance-1")
    second = await vote(engine, action, "finance-user-1")
    third = await vote(engine, action, "finance-user-2")

    assert first["votes"][0]["seat"] == "finance-user-1"
    # The same seat twice is one approval of two.
    assert second["status"] == "pending_approval"
    assert third["status"] == "approved"


async def test_two_delegates_of_one_person_are_one_vote(engine: Engine, ops_db: Database):
    await lend(ops_db, to="compliance-1")
    await lend(ops_db, to="cfo-1")
    action = await ask(engine)

    await vote(engine, action, "compliance-1")
    second = await vote(engine, action, "cfo-1")

    assert second["status"] == "pending_approval"


async def test_the_delegators_own_vote_goes_before_that_of_the_delegate(
    engine: Engine, ops_db: Database
):
    await lend(ops_db)
    action = await ask(engine)
    await vote(engine, action, "compliance-1", "approve")

    after = await vote(engine, action, "finance-user-1", "reject")

    # The other two approvals would be two thirds, and three quarters are asked for.
    assert after["status"] == "rejected"


async def test_without_a_delegation_the_same_person_may_not_vote(engine: Engine):
    action = await ask(engine)

    with pytest.raises(NotEligible):
        await vote(engine, action, "compliance-1")


async def test_a_delegation_that_has_not_begun_lends_nothing(engine: Engine, ops_db: Database):
    await lend(ops_db, starts_at=datetime.now(UTC) + DAY)
    action = await ask(engine)

    with pytest.raises(NotEligible):
        await vote(engine, action, "compliance-1")


async def test_a_delegation_for_other_action_types_lends_nothing_here(
    engine: Engine, ops_db: Database
):
    await lend(ops_db, action_types=["FREEZE_MERCHANT"])
    action = await ask(engine)

    with pytest.raises(NotEligible):
        await vote(engine, action, "compliance-1")


async def test_whoever_asked_does_not_vote_in_anothers_seat(engine: Engine, ops_db: Database):
    await lend(ops_db, to="pay-admin-1")
    action = await ask(engine, by="pay-admin-1")

    with pytest.raises(NotEligible) as refused:
        await vote(engine, action, "pay-admin-1")

    assert refused.value.facts["why"] == "excluded"


async def test_a_delegate_of_whoever_asked_may_not_vote(engine: Engine, ops_db: Database):
    await lend(ops_db, "finance-user-3", "finance-user-2")
    action = await ask(engine, by="finance-user-3")

    with pytest.raises(NotEligible) as refused:
        await vote(engine, action, "finance-user-2")

    assert refused.value.facts["why"] == "excluded"


async def test_whoever_gives_a_delegation_back_may_vote_again(engine: Engine, ops_db: Database):
    given = await lend(ops_db, "finance-user-3", "finance-user-2")
    action = await ask(engine, by="finance-user-3")

    await delegations.revoke(ops_db, given, Actor("finance-user-2"))
    after = await vote(engine, action, "finance-user-2", "reject")

    assert after["votes_reject"] == 1


async def test_a_delegation_taken_back_stops_counting_at_once(engine: Engine, ops_db: Database):
    given = await lend(ops_db)
    action = await ask(engine)
    await vote(engine, action, "compliance-1")

    await delegations.revoke(ops_db, given, Actor("finance-user-1"))
    after = await vote(engine, action, "finance-user-2")

    assert after["status"] == "pending_approval"


async def test_a_delegation_taken_back_stops_counting_at_execution(
    engine: Engine, ops_db: Database
):
    given = await lend(ops_db)
    action = await ask(engine)
    await vote(engine, action, "compliance-1")
    approved = await vote(engine, action, "finance-user-2")

    await delegations.revoke(ops_db, given, Actor("finance-user-1"))
    with pytest.raises(NoLongerApproved):
        await engine.execute_action(action, "ops-admin-1")

    assert approved["status"] == "approved"
    assert (await engine.get_action_with_votes(action))["status"] == "pending_approval"


@pytest.mark.parametrize("who", ["finance-user-1", "compliance-1"])
async def test_neither_delegator_nor_delegate_carries_out_what_was_approved_in_that_seat(
    engine: Engine, ops_db: Database, who: str
):
    await lend(ops_db)
    action = await ask(engine)
    await vote(engine, action, "compliance-1")
    await vote(engine, action, "finance-user-2")

    with pytest.raises(SameHands):
        await engine.execute_action(action, who)


async def test_without_the_check_of_the_delegation_the_taken_back_vote_would_count(
    engine: Engine, ops_db: Database, monkeypatch: pytest.MonkeyPatch
):
    unchecked = store.STANDING.sql.replace("d.revoked_at is null", "true")
    monkeypatch.setattr(store, "STANDING", type(store.STANDING)(unchecked, row=store.StandingRow))
    given = await lend(ops_db)
    action = await ask(engine)
    await vote(engine, action, "compliance-1")

    await delegations.revoke(ops_db, given, Actor("finance-user-1"))
    after = await vote(engine, action, "finance-user-2")

    assert after["status"] == "approved"


async def test_a_delegators_lost_role_takes_the_delegates_vote_along(
    engine: Engine, db: Database, ops_db: Database
):
    await lend(ops_db)
    action = await ask(engine)
    await vote(engine, action, "compliance-1")
    async with db.transaction("tests.revoke") as tx:
        await tx.connection.execute(
            "update tenancy.role_grants set revoked_at = now() where person_id = 'finance-user-1'"
        )

    after = await vote(engine, action, "finance-user-2")

    assert after["status"] == "pending_approval"


async def test_a_vote_given_in_time_still_counts_when_the_delegation_has_run_out(
    engine: Engine, db: Database, ops_db: Database
):
    given = await lend(ops_db)
    action = await ask(engine)
    await vote(engine, action, "compliance-1")
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update approvals.delegations set ends_at = clock_timestamp() where id = $1", given
        )

    after = await vote(engine, action, "finance-user-2")

    assert after["status"] == "approved"


@pytest.mark.parametrize("who", ["finance-user-1", "compliance-1", "ops-admin-1"])
async def test_giver_delegate_and_administrator_may_end_a_delegation(
    engine: Engine, ops_db: Database, who: str
):
    given = await lend(ops_db)
    actor = Actor(who, roles=frozenset(builders.OPERATIONS[who]))

    first = await delegations.revoke(ops_db, given, actor)
    second = await delegations.revoke(ops_db, given, actor)

    assert first.revoked_at is not None
    assert second == first


async def test_nobody_else_learns_of_a_delegation_or_ends_it(engine: Engine, ops_db: Database):
    given = await lend(ops_db)

    with pytest.raises(DelegationAbsent):
        await delegations.revoke(ops_db, given, Actor("cfo-1", roles=frozenset({"cfo"})))

    assert await delegations.listed(ops_db, "cfo-1") == []
    assert [each.is_open for each in await delegations.listed(ops_db, "compliance-1")] == [True]


async def test_what_a_lent_role_decides_is_in_the_delegates_queue(engine: Engine, ops_db: Database):
    action = await ask(engine)
    queue = {"person": "compliance-1", "roles": ["compliance"]}
    before = await queries.queue(ops_db, "turn", **queue)

    given = await lend(ops_db)
    during = await queries.queue(ops_db, "turn", **queue)
    await delegations.revoke(ops_db, given, Actor("compliance-1"))
    after = await queries.queue(ops_db, "turn", **queue)

    assert [[str(row.id) for row in each] for each in (before, during, after)] == [[], [action], []]


async def test_a_delegation_is_recorded_and_the_delegate_is_told(engine: Engine, ops_db: Database):
    given = await lend(ops_db)
    await delegations.revoke(ops_db, given, Actor("finance-user-1"))

    async with ops_db.transaction("tests.read") as tx:
        recorded = await tx.connection.fetch(
            "select body::jsonb ->> 'event' as event, body::jsonb -> 'data' ->> 'role' as role"
            " from audit.ops_approval_audit where chain = 'ops' order by seq"
        )
        told = await tx.connection.fetch(
            "select n.kind, i.person_id from notices.notices n"
            " join notices.inbox i on i.notice_id = n.id order by n.id"
        )
    assert [tuple(each) for each in recorded] == [
        ("delegation.given", "finance_ops"),
        ("delegation.revoked", "finance_ops"),
    ]
    assert [tuple(each) for each in told] == [
        ("delegation_given", "compliance-1"),
        ("delegation_ended", "compliance-1"),
    ]
