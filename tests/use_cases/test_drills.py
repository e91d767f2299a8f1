"""Drills: a simulated bank is broken for a time, with payouts on their way to it, and recovers."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import bank_desk
import paying_out as pay
from builders import a_merchant
from molam.entrypoints import drill as drill_command
from molam.kernel.clock import SystemClock
from molam.platform.db import Database
from molam.platform.jobs import Job
from molam.platform.settings import Settings
from molam.simulator import drill as drills
from molam.simulator.banks.app import SimulatedBanks
from molam.simulator.banks.books_store import Books
from molam.simulator.banks.temper import Temper
from molam.simulator.drill import DrillRefused, Wish
from molam.simulator.profiles import DRILLED

CLOCK = SystemClock()


@dataclass
class Range:
    """Where drills are tried: simulated banks, and a worker that does their jobs when told."""

    db: Database
    worker_db: Database
    banks: SimulatedBanks
    url: str
    jobs: int = 0

    def temper(self, bank: str) -> Temper:
        return self.banks._tempers.get(bank, Temper())

    async def do(self, name: str, drill_id: str) -> None:
        self.jobs += 1
        payload = msgspec.json.encode(drills.Step(drill_id))
        for handler in drills.handlers(CLOCK):
            if handler.name == name:
                await handler.run(Job(self.jobs, name, payload, 1, self.worker_db))

    async def state(self, drill_id: str) -> str:
        found = await drills.find(self.db, drill_id)
        assert found is not None
        return found.state


@pytest.fixture
async def range_(db: Database, worker_db: Database, tmp_path: Path) -> AsyncIterator[Range]:
    books = Books(tmp_path / "banks.sqlite")
    banks = SimulatedBanks(
        books, bank_desk.BankSecrets({}, root=bank_desk.ROOT_SECRET), callbacks_url="http://unused"
    )
    app = Starlette(routes=[Mount("/banks", banks.app)])
    with contextlib.closing(books):
        async with bank_desk.served(app) as url:
            await pay.a_bank(db, id_="bp_123")
            await pay.sql(
                db,
                "update payments.bank_profiles set endpoint_url = $1 where id = 'bp_123'",
                f"{url}/banks/bp_123",
            )
            await a_merchant(db, id_=DRILLED.merchant_id)
            await drills.seed_drills(db, datetime.now(UTC))
            yield Range(db, worker_db, banks, url)


def a_wish() -> Wish:
    return Wish("bp_123", Decimal("0.500"), minutes=3, payouts=6, started_by="binta.toure")


async def test_a_drill_breaks_the_bank_and_sends_payouts_its_way(range_: Range):
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)

    made = await pay.sql(
        range_.db,
        "select p.bank_profile_id, p.state, p.scheduled_for > now() from payments.payouts p"
        " join mesh.drill_payouts d on d.payout_id = p.id order by p.scheduled_for",
    )
    assert range_.temper("bp_123").fail_rate == 0.5
    assert [row[0] for row in made] == ["bp_123"] * 6
    assert [row[1] for row in made] == ["pending"] * 4 + ["scheduled"] * 2
    assert await range_.state(drill_id) == "running"
    await pay.agree(range_.db)


async def test_its_end_gives_the_bank_its_temper_back(range_: Range):
    range_.banks.set_temper("bp_123", Temper(latency_s=0.01))
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)
    await range_.do(drills.END, drill_id)

    assert range_.temper("bp_123") == Temper(latency_s=0.01)
    assert await range_.state(drill_id) == "ended"


async def test_a_drill_that_nobody_ends_is_ended_by_the_clock(range_: Range):
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)
    await pay.sql(range_.db, "update mesh.drills set ends_at = now() - interval '1 second'")

    for cron in drills.crons():
        await cron.run(range_.worker_db)

    assert range_.temper("bp_123") == Temper()
    assert await range_.state(drill_id) == "ended"


async def test_a_real_bank_is_not_broken(range_: Range):
    address = "https://bank.example/api"
    await pay.sql(range_.db, "update payments.bank_profiles set endpoint_url = $1", address)

    with pytest.raises(DrillRefused):
        await drills.start(range_.db, CLOCK, a_wish())


async def test_one_bank_has_one_drill_at_a_time(range_: Range):
    await drills.start(range_.db, CLOCK, a_wish())

    with pytest.raises(DrillRefused):
        await drills.start(range_.db, CLOCK, a_wish())


async def test_a_bank_that_is_away_fails_the_drill(range_: Range):
    await pay.sql(
        range_.db,
        "update payments.bank_profiles set endpoint_url = 'http://127.0.0.1:9/banks/bp_123'"
        " where id = 'bp_123'",
    )
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)

    assert await range_.state(drill_id) == "failed"


async def test_beginning_twice_sends_once(range_: Range):
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)
    await range_.do(drills.BEGIN, drill_id)

    assert await pay.sql(range_.db, "select count(*) from payments.payouts") == [(6,)]


async def test_the_timeline_says_what_has_happened_so_far(range_: Range):
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)

    now = await drills.timeline(range_.db, drill_id)

    assert now is not None
    assert (now.made, now.paid, now.moved, now.left_behind) == (6, 0, 0, 6)
    assert (now.first_failure_at, now.detected_at, now.applied_at) == (None, None, None)


async def _routed(range_: Range, drill_id: str) -> None:
    """A route that leads the first payout of a drill away, simulated and not applied yet."""
    await pay.sql(
        range_.db,
        "insert into mesh.mesh_routing_proposals (id, mesh_region_id, currency, proposal, status, from_bank_id,"
        " created_by, sira_signature, token_id, expires_at) values ('route', 'region_cedeao', 'XOF',"
        " '{}', 'simulated', 'bp_123', 'sira', 'x', 'route', now() + interval '1 hour')",
    )
    await pay.sql(
        range_.db,
        "with done as (insert into mesh.mesh_action_logs (id, action_type, payload_hash, actor_type,"
        " actor_id, result, started_at, idempotency_key)"
        " values ('done', 'failover', '', 'system', 'x', 'success', now(), 'done') returning id)"
        " insert into mesh.mesh_reconciliations (id, payout_id, merchant_id, mesh_region_id,"
        " routing_proposal_id, action_log_id, original_amount, original_currency, version_before,"
        " version_after) select 'mr', p.id, p.merchant_id, 'region_cedeao', 'route', 'done',"
        " p.amount, p.currency, 1, 2 from payments.payouts as p"
        " where p.id = (select min(payout_id) from mesh.drill_payouts where drill_id = $1)",
        drill_id,
    )


async def test_a_route_waits_for_people_once_they_are_asked_and_not_before(range_: Range):
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)
    await _routed(range_, drill_id)

    alone = await drills.timeline(range_.db, drill_id)
    await pay.sql(range_.db, "update mesh.mesh_routing_proposals set ops_action_id = 'asked'")
    asked = await drills.timeline(range_.db, drill_id)

    assert alone is not None
    assert asked is not None
    assert (alone.asks_people, asked.asks_people) == (False, True)


async def test_what_a_rollback_brought_back_is_with_no_other_bank(range_: Range):
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)
    await _routed(range_, drill_id)

    away = await drills.timeline(range_.db, drill_id)
    await pay.sql(range_.db, "update mesh.mesh_reconciliations set outcome = 'rolled_back'")
    back = await drills.timeline(range_.db, drill_id)

    assert away is not None
    assert back is not None
    assert (away.moved, away.taken_back, back.moved, back.taken_back) == (1, 0, 0, 1)
    assert back.moved_value == 0


@pytest.mark.parametrize(
    ("ends_first", "said"),
    [(True, "the outage was over, and 0 of 6 payouts"), (False, "was ended before its time")],
)
async def test_who_stops_watching_is_told_whether_the_outage_was_over(
    range_: Range, capsys: pytest.CaptureFixture[str], ends_first: bool, said: str
):
    drill_id = await drills.start(range_.db, CLOCK, a_wish())
    await range_.do(drills.BEGIN, drill_id)
    if ends_first:
        await range_.do(drills.END, drill_id)
    stop = asyncio.Event()
    stop.set()

    code = await drill_command._watch(Settings(), range_.db, drill_id, approve=False, stop=stop)

    assert code == 130
    assert said in capsys.readouterr().out


async def test_the_summary_writes_money_as_people_read_it(
    range_: Range, capsys: pytest.CaptureFixture[str]
) -> None:
    drill_id = await drills.start(range_.db, CLOCK, Wish("bp_123", Decimal(1), 3, payouts=1))
    drill = await drills.find(range_.db, drill_id)
    now = await drills.timeline(range_.db, drill_id)
    assert drill is not None
    assert now is not None

    drill_command._sum_up(drill, replace(now, made=40, paid=40, moved=36, moved_value=966_100))

    said = capsys.readouterr().out
    assert re.search(r"36 through another bank \(966,100\s\S+\sCFA\), 0 left", said)
