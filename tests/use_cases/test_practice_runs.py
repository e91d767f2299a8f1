"""Practice runs: a small share of new payouts, for half an hour, to see that a bank works."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

import paying_out as pay
import rerouting
from molam.mesh.control import practice, practising
from molam.mesh.control.looking import Scope
from molam.mesh.control.model import PracticeRefused
from molam.mesh.control.practice import Hour
from molam.mesh.control.rollback import Undo, roll_back
from molam.mesh.members.rules import Rules
from molam.mesh.runtime import Mesh
from molam.payments.payouts import bank_store
from molam.platform.db import Database, Query
from rerouting import A, B, C, one, sql

SCOPE = Scope(rerouting.REGION, "XOF", "bank")
HOUR_IS_FOR = Hour.is_for
RULES = {"practice": True, "practice_share_pct": 25}


@pytest.fixture(autouse=True)
def quiet_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hour, "is_for", lambda _self, _rules: True)


async def _world(db: Database, *, auto: bool = True, **rules: Any) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    if auto:
        await rerouting.let_it_act(db)
    await sql(
        db,
        "update mesh.mesh_policies set rules = rules || $2 where mesh_region_id = $1",
        *(rerouting.REGION, {**RULES, **rules}),
    )
    for bank in (A, B, C):
        await rerouting.feel(db, bank)


async def _begin(db: Database, mesh: Mesh) -> str:
    found = await practising.begin(db, mesh, SCOPE)
    assert found is not None
    return found


async def _make(db: Database, count: int = 100, *, prefix: str = "new_") -> dict[str | None, int]:
    """Make payouts, give them their banks as a run does, and say which."""
    await rerouting.payouts(db, count, bank=None, prefix=prefix)
    ids = await sql(db, "select id from payments.payouts where id like $1 || '%'", prefix)
    async with db.transaction("tests.make") as tx:
        await tx.run(bank_store.SET_BANKS, ids=[id_ for (id_,) in ids])
    return await rerouting.where(db, prefix)


async def _run(db: Database, proposal: str, columns: str) -> tuple[Any, ...]:
    return (
        await sql(db, f"select {columns} from mesh.practice_runs where proposal_id = $1", proposal)
    )[0]


async def _pass_time(db: Database) -> None:
    for table in ("payments.bank_practices", "mesh.practice_runs"):
        begins = "begins_at" if table.endswith("practices") else "began_at"
        await sql(
            db,
            f"update {table} set {begins} = {begins} - interval '31 minutes',"
            " ends_at = ends_at - interval '31 minutes'",
        )


async def test_a_share_of_new_payouts_goes_to_the_next_bank_and_nothing_else_changes(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await rerouting.payouts(db, 40)
    mesh = rerouting.mesh_on(worker_db)
    proposal = await _begin(worker_db, mesh)
    assert await rerouting.where(db) == {A: 40}, "what waits stays"
    made = await _make(db)
    wanted = await one(
        db,
        "select count(*) from payments.payouts where id like 'new_%'"
        " and abs(hashtextextended(id, 0) % 100) < 25",
    )
    assert made == {A: 100 - wanted, B: wanted}
    assert wanted > 0
    assert await rerouting.is_open(db, A)
    assert (
        await one(db, "select count(*) from payments.bank_routes where replaced_at is not null")
        == 0
    )
    assert await _run(db, proposal, "from_bank_id, to_bank_id, share") == (A, B, 25)
    kind, status, actor = (
        await sql(
            db,
            "select p.kind, p.status, a.actor_id from mesh.mesh_routing_proposals as p"
            " join mesh.mesh_action_logs as a on a.routing_proposal_id = p.id where p.id = $1",
            proposal,
        )
    )[0]
    assert (kind, status, actor) == ("practice", "applied", "mesh-controller")


async def test_lots_say_how_likely_each_bank_was_to_be_given_a_payout(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await _begin(worker_db, rerouting.mesh_on(worker_db))
    given = await _make(db)
    likely = (
        "select bank_profile_id, propensity, count(*)::int from payments.bank_choices group by 1, 2"
    )
    assert sorted(await sql(db, likely)) == [(A, 0.75, given[A]), (B, 0.25, given[B])]


async def test_it_ends_by_time_although_nobody_lives_to_end_it(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    await _begin(worker_db, rerouting.mesh_on(worker_db))
    await _pass_time(db)
    assert await _make(db) == {A: 100}


async def test_without_its_end_it_would_go_on(
    db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bank_store.SET_BANKS
    sql_: Any = whole.sql.replace("and t.ends_at > clock_timestamp()", "")
    monkeypatch.setattr(bank_store, "SET_BANKS", Query(sql_, row=whole.row, locks=whole.locks))
    await _world(db)
    await _begin(worker_db, rerouting.mesh_on(worker_db))
    await _pass_time(db)
    assert B in await _make(db)


async def test_what_was_not_sent_goes_back_and_nothing_came(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    mesh = rerouting.mesh_on(worker_db)
    proposal = await _begin(worker_db, mesh)
    given = (await _make(db))[B]
    await _pass_time(db)
    await practising.practise(worker_db, mesh)
    assert await rerouting.where(db, "new_") == {A: 100}
    assert await _run(db, proposal, "end_reason, outcome, payouts, given_back") == (
        "time",
        "nothing_came",
        given,
        given,
    )
    assert await sql(
        db,
        "select distinct reconciliation_status, outcome from mesh.mesh_reconciliations"
        " where routing_proposal_id = $1",
        proposal,
    ) == [("resolved", "rolled_back")]
    assert await practising.begin(worker_db, mesh, SCOPE) is None, "not twice in a week"


async def test_payouts_that_were_paid_there_show_that_it_works(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    mesh = rerouting.mesh_on(worker_db)
    proposal = await _begin(worker_db, mesh)
    given = (await _make(db))[B]
    await practising.practise(worker_db, mesh)
    assert (await _run(db, proposal, "outcome, payouts")) == (None, given)
    await sql(
        db,
        "update payments.payouts set state = 'paid', attempts = 1, submitted_at = now() - interval '90 s',"
        " ended_at = now() where id like 'new_%' and bank_profile_id = $1",
        B,
    )
    await _pass_time(db)
    await practising.practise(worker_db, mesh)
    found = await _run(db, proposal, "outcome, paid, failed, given_back, fees, usual_fees, seconds")
    # 110 + 1 % of 10,000 there, 100 + 1 % at the usual bank.
    assert found == ("works", given, 0, 0, given * 210, given * 200, 90)


async def test_a_bank_that_fails_ends_it_at_once_and_people_are_told(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    mesh = rerouting.mesh_on(worker_db)
    proposal = await _begin(worker_db, mesh)
    given = (await _make(db))[B]
    await sql(
        db,
        "update payments.payouts set state = 'failed', attempts = 1, ended_at = now() where id ="
        " (select min(id) from payments.payouts where bank_profile_id = $1)",
        B,
    )
    await sql(
        db,
        "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at, attempts, failures)"
        " values ($1, 'bank', 'XOF', now(), 2, 2)",
        B,
    )
    await practising.practise(worker_db, mesh)
    assert await _run(db, proposal, "end_reason, outcome, failed, given_back") == (
        "bank_suffers",
        "fails",
        1,
        given - 1,
    )
    told = "select count(*) from notices.notices where kind = 'mesh_practice_failed'"
    assert await one(db, told) == 1
    await practising.practise(worker_db, mesh)
    assert await one(db, told) == 1


async def test_a_stop_ends_it(db: Database, worker_db: Database) -> None:
    await _world(db)
    mesh = rerouting.mesh_on(worker_db)
    proposal = await _begin(worker_db, mesh)
    await sql(db, "insert into mesh.kill_switches values ('global', true, 'essai', 'khady.seck')")
    await practising.practise(worker_db, mesh)
    assert await _run(db, proposal, "end_reason") == ("stopped",)
    assert await _make(db) == {A: 100}


@pytest.mark.parametrize(
    "trouble",
    [
        "a bank fails",
        "insert into mesh.kill_switches values ('member:mm_bank_c', true, 'essai', 'khady.seck')",
        "update mesh.mesh_policies set rules = rules || '{\"practice\": false}'",
        "update mesh.mesh_policies set rules = rules || '{\"enforcing_pct\": 0}'",
        "insert into payments.bank_gates values ('bank_c', 'bank', 'XOF', false)",
        "update mesh.member_health set mode = 'left', left_at = now() where bank_profile_id = 'bank_c'",
    ],
)
async def test_nothing_is_practised_while_anything_is_the_matter(
    db: Database, worker_db: Database, trouble: str
) -> None:
    await _world(db)
    if trouble == "a bank fails":
        await rerouting.feel(db, C, failures=6)
    else:
        await sql(db, trouble)
    assert await practising.begin(worker_db, rerouting.mesh_on(worker_db), SCOPE) is None
    assert await one(db, "select count(*) from mesh.mesh_routing_proposals") == 0


async def _asked_for(db: Database, worker_db: Database) -> tuple[Mesh, str]:
    """A practice that people agreed to, and then a bank fails."""
    await _world(db, auto=False)
    mesh = rerouting.mesh_on(worker_db)
    proposal = await _begin(worker_db, mesh)
    await sql(db, "update mesh.mesh_routing_proposals set status = 'approved'")
    await rerouting.feel(db, C, failures=6)
    return mesh, proposal


async def test_what_goes_wrong_after_it_was_asked_for_keeps_it_from_beginning(
    db: Database, worker_db: Database
) -> None:
    mesh, proposal = await _asked_for(db, worker_db)
    with pytest.raises(PracticeRefused, match="the matter"):
        await rerouting.commands.apply_now(worker_db, mesh, proposal, actor=rerouting.PEOPLES)
    assert await _make(db) == {A: 100}


async def test_without_asking_again_it_would_begin(
    db: Database, worker_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh, proposal = await _asked_for(db, worker_db)
    monkeypatch.setattr(practice, "obstacle", lambda _world: None)
    await rerouting.commands.apply_now(worker_db, mesh, proposal, actor=rerouting.PEOPLES)
    assert B in await _make(db)


def test_holidays_weekends_and_other_hours_are_not_for_practice() -> None:
    def suits(at: datetime, *countries: str) -> bool:
        return HOUR_IS_FOR(Hour(at, "Africa/Dakar", frozenset(countries)), Rules())

    assert suits(datetime(2026, 11, 24, 3, 10, tzinfo=UTC), "SN", "FR")
    assert not suits(datetime(2026, 11, 24, 4, 0, tzinfo=UTC), "SN")
    assert not suits(datetime(2026, 11, 22, 3, 10, tzinfo=UTC), "SN"), "a Sunday"
    assert suits(datetime(2026, 7, 14, 3, 10, tzinfo=UTC), "SN")
    assert not suits(datetime(2026, 7, 14, 3, 10, tzinfo=UTC), "SN", "FR"), "a holiday of one"


async def test_where_people_decide_they_are_asked_and_it_begins_when_they_agree(
    db: Database, worker_db: Database
) -> None:
    await _world(db, auto=False)
    mesh = rerouting.mesh_on(worker_db)
    proposal = await _begin(worker_db, mesh)
    assert (
        await one(db, "select ops_action_id is not null from mesh.mesh_routing_proposals") is True
    )
    assert await _make(db) == {A: 100}
    assert await practising.begin(worker_db, mesh, SCOPE) is None
    await sql(db, "update mesh.mesh_routing_proposals set status = 'approved'")
    row = await one(db, "select id from mesh.mesh_routing_proposals")
    assert row == proposal
    await rerouting.commands.apply_now(worker_db, mesh, proposal, actor=rerouting.PEOPLES)
    assert B in await _make(db, prefix="then_")


async def test_people_take_it_back_and_what_was_not_sent_returns(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    mesh = rerouting.mesh_on(worker_db)
    proposal = await _begin(worker_db, mesh)
    await _make(db)
    undo = Undo(
        proposal_id=proposal,
        reason="essai",
        actor=rerouting.PEOPLES,
        window_h=24,
        at=mesh.clock.now(),
    )
    async with worker_db.transaction("tests.roll_back") as tx:
        await roll_back(tx, undo)
    assert await rerouting.where(db, "new_") == {A: 100}
    assert await _run(db, proposal, "end_reason") == ("taken_back",)
    assert await _make(db, prefix="then_") == {A: 100}
    assert (
        await one(db, "select count(*) from mesh.member_health where suppressed_since is not null")
        == 0
    )


async def test_it_is_no_later_route_and_begins_no_cooldown(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    mesh = rerouting.mesh_on(worker_db)
    early = await rerouting.a_proposal(db, mesh, min_amount=1, max_amount=2)
    await rerouting.apply(worker_db, mesh, early)
    await sql(db, "update mesh.mesh_routing_proposals set applied_at = now() - interval '1 hour'")
    await _begin(worker_db, mesh)
    undo = Undo(
        proposal_id=early.id,
        reason="essai",
        actor=rerouting.PEOPLES,
        window_h=24,
        at=mesh.clock.now(),
    )
    async with worker_db.transaction("tests.roll_back") as tx:
        await roll_back(tx, undo)
    await rerouting.feel(db, A, failures=4)
    async with worker_db.transaction("tests.look") as tx:
        world, _ = await practising.look(tx, mesh, SCOPE, writes=False)
    assert world.last_apply_at is None


async def test_a_bank_practises_within_its_room(db: Database, worker_db: Database) -> None:
    await _world(db)
    await _begin(worker_db, rerouting.mesh_on(worker_db))
    await sql(db, "update payments.bank_practices set value_max = 30000")
    assert (await _make(db))[B] == 3
    assert await _make(db, prefix="more_") == {A: 100}


async def test_an_installation_without_a_controller_begins_none(
    db: Database, worker_db: Database
) -> None:
    await _world(db)
    mesh = replace(rerouting.mesh_on(worker_db), is_controller=False)
    await practising.practise(worker_db, mesh)
    assert await one(db, "select count(*) from mesh.practice_runs") == 0


async def test_a_policy_has_a_bank_practise_from_its_first_minute_to_its_verdict(
    db: Database, worker_db: Database
) -> None:
    """Nobody does anything: the clock's job begins it, payouts are made and sent, it is judged."""
    await _world(db)
    await sql(
        db,
        "insert into payments.payout_destinations (merchant_id, currency, destination, changed_by)"
        " values ($1, 'XOF', $2, 'tests')",
        rerouting.MERCHANT,
        {
            "type": "bank_account",
            "holder": "Awa Diop",
            "country": "SN",
            "account_number": "SN0001",
            "bic": "AAAASNDA",
        },
    )
    mesh = rerouting.mesh_on(worker_db)
    await practising.practise(worker_db, mesh)
    proposal = await one(db, "select proposal_id from mesh.practice_runs")
    assert proposal is not None
    given: dict[str | None, int] = {}
    while given.get(B, 0) < 2:
        await pay.an_entry(db, 10_000)
        payout = (await pay.ask(db)).id
        instruction = await pay.claim(worker_db, payout)
        assert instruction is not None
        bank = instruction.bank_profile_id
        given[bank] = given.get(bank, 0) + 1
        # Of those that it was given one is still to be sent when the time is over.
        if bank == A or given[B] == 1:
            await pay.settle(worker_db, payout, "settled", provider_ref=f"ref_{payout}")
    left = "update payments.payouts set state = 'pending', attempts = 0 where id = $1"
    await sql(db, left, payout)
    await practising.practise(worker_db, mesh)
    assert await _run(db, proposal, "payouts, outcome, end_reason") == (2, None, None)

    await _pass_time(db)
    await practising.practise(worker_db, mesh)
    assert await _run(db, proposal, "end_reason, outcome, payouts, paid, given_back") == (
        *("time", "works"),
        *(2, 1, 1),
    )
    assert await one(db, "select bank_profile_id from payments.payouts where id = $1", payout) == A
    assert sorted(
        await sql(
            db,
            "select reconciliation_status, outcome from mesh.mesh_reconciliations"
            " where routing_proposal_id = $1",
            proposal,
        )
    ) == [("pending", None), ("resolved", "rolled_back")]
    await practising.practise(worker_db, mesh)
    assert await one(db, "select count(*) from mesh.practice_runs") == 1, "not twice in a week"
