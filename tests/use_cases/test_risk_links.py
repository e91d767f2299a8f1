"""Links: sent to whom they are for, worth nothing to anybody else, and good for one decision."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import builders
from molam.approvals.model import Actor
from molam.approvals.risk import decisions as risk_decisions
from molam.approvals.risk import notices as risk_notices
from molam.approvals.risk import proof_store as proofs
from molam.approvals.risk.commands import Desk
from molam.approvals.risk.decisions import Decided, consume
from molam.approvals.risk.evidence import Evidence
from molam.approvals.risk.queries import detail
from molam.kernel.clock import SystemClock
from molam.kernel.refusals import Refusal
from molam.notices import commands as notices
from molam.notices import jobs as notices_jobs
from molam.notices.channels import Channels, Smtp
from molam.platform.db import Database, Query
from molam.platform.db.transaction import Nothing
from molam.platform.egress import Egress
from molam.platform.jobs import run_jobs
from molam.platform.settings import Secret
from risk import EVIDENCE, a_desk, an_approval, events_of, link_of, signed
from sinks import MailSink, serving

TRIALS = 12
ROUNDS = 4


@pytest.fixture
async def desk(db: Database, ops_db: Database, tmp_path: Path) -> Desk:
    await builders.operations(db)
    return a_desk(ops_db, tmp_path)


async def outcomes(attempts: list[Awaitable[Any]]) -> Counter[str]:
    """How many succeeded, and how many were refused with which code."""
    found = await asyncio.gather(*attempts, return_exceptions=True)
    for each in found:
        assert not isinstance(each, BaseException) or isinstance(each, Refusal), repr(each)
    return Counter(each.code if isinstance(each, Refusal) else "ok" for each in found)


async def votes_of(db: Database, approval_id: Any) -> int:
    async with db.transaction("tests.votes") as tx:
        return int(
            await tx.connection.fetchval(
                "select count(*) from approvals.ops_approvals v join approvals.approvals_action a"
                " using (ops_action_id) where a.id = $1",
                approval_id,
            )
        )


async def used_at_once(desk: Desk, db: Database, trial: int) -> tuple[int, int]:
    """Use one link four times at once; return successes, and votes in the database."""
    row = (await an_approval(desk, "two", origin_entity_id=f"tx_{trial}")).row
    link = await link_of(desk, row.id, "finance-user-1", "approve")
    found = await outcomes([consume(desk, link, signed("finance-user-1")) for _ in range(ROUNDS)])
    return found["ok"], await votes_of(db, row.id)


async def test_link_used_by_many_at_once_decides_once(desk: Desk, db: Database):
    found = [await used_at_once(desk, db, trial) for trial in range(TRIALS)]

    assert found == [(1, 1)] * TRIALS


async def test_link_would_decide_more_often_without_its_checks(
    desk: Desk, db: Database, monkeypatch: pytest.MonkeyPatch
):
    async def trust(*_: Any, **__: Any) -> None:
        pass

    monkeypatch.setattr(risk_decisions, "_check", trust)
    # The conditional update alone still holds...
    assert await used_at_once(desk, db, 0) == (1, 1)

    unconditional = Query(
        "/* tests.spend */ update approvals.approvals_tokens"
        " set used = true, used_at = now(), used_by_ip = :ip where id = :id",
        row=Nothing,
    )
    monkeypatch.setattr(proofs, "SPEND_TOKEN", unconditional)
    # ... and without it, nothing does.
    assert await used_at_once(desk, db, 1) == (ROUNDS, ROUNDS)


async def test_last_votes_at_once_approve_once_and_are_told_once(desk: Desk, db: Database):
    for trial in range(TRIALS):
        row = (await an_approval(desk, "two", origin_entity_id=f"tx_{trial}")).row
        people = ("finance-user-1", "finance-user-2", "pay-admin-1")
        links = {each: await link_of(desk, row.id, each, "approve") for each in people}

        found = await outcomes([consume(desk, raw, signed(each)) for each, raw in links.items()])

        assert found["ok"] == 2
        assert (await detail(desk.runtime.db, row.id)).row.status == "approved"
        assert [topic for topic, _ in await events_of(db, row.id)] == ["approval.completed"]


async def test_yes_and_no_at_once_end_one_way_and_are_told_once(desk: Desk, db: Database):
    for trial in range(TRIALS):
        row = (await an_approval(desk, origin_entity_id=f"tx_{trial}")).row
        links = [
            await link_of(desk, row.id, "compliance-1", "approve"),
            await link_of(desk, row.id, "compliance-1", "reject"),
        ]

        found = await outcomes([consume(desk, each, Decided()) for each in links])

        assert found["ok"] == 1
        ended = (await detail(desk.runtime.db, row.id)).row.status
        told = [data["status"] for _, data in await events_of(db, row.id)]
        assert told == [ended]


async def test_override_and_the_last_vote_at_once_end_one_way(desk: Desk, db: Database):
    boss = Actor("super-admin-1", frozenset({"super_admin"}))
    for trial in range(TRIALS):
        row = (await an_approval(desk, origin_entity_id=f"tx_{trial}")).row
        link = await link_of(desk, row.id, "compliance-1", "approve")

        found = await outcomes(
            [
                consume(desk, link, Decided()),
                risk_decisions.override(
                    desk, row.id, decision="reject", reason="This is a known fraud.", actor=boss
                ),
            ]
        )

        assert found["ok"] == 1
        assert len(await events_of(db, row.id)) == 1


async def test_evidence_of_a_refused_decision_is_not_kept(desk: Desk):
    row = (await an_approval(desk, "three")).row
    link = await link_of(desk, row.id, "finance-user-1", "approve")
    paper = Evidence(file_name="a.pdf", file_type="application/pdf", content=EVIDENCE)

    found = await outcomes(
        [consume(desk, link, signed("finance-user-1", evidence=paper, view_hash="0" * 64))]
    )

    assert found == {"stale-view": 1}
    assert (await detail(desk.runtime.db, row.id)).evidence == []


async def mails_of(worker_db: Database, dsn: str, desk: Desk, *, people: str) -> list[str]:
    """Ask for an approval with mail set up, let a worker send, and return each mail's link."""
    sink = MailSink()
    async with serving(sink), Egress(allow_private=True, timeout_s=1) as egress:
        channels = Channels(
            public_url="https://ops.example.com",
            smtp=Smtp.of(Secret(sink.url)),
            sender="approvals@molam.example",
        )
        await notices.offer_channels(worker_db, channels.enabled)
        opened = await an_approval(desk, people)
        stop = asyncio.Event()
        handlers = notices_jobs.handlers(
            channels, egress, SystemClock(), page_for=risk_notices.page_for(desk.links)
        )
        running = asyncio.create_task(
            run_jobs(worker_db, dsn=dsn, handlers=handlers, stop=stop, lease_s=2)
        )
        async with asyncio.timeout(20):
            while len(sink.mails) < len(opened.approvers):
                await asyncio.sleep(0.05)
        stop.set()
        await running
    found = []
    for mail in sink.mails:
        body = mail.get_body(("plain",))
        assert body is not None
        [link] = re.findall(
            r"https://ops\.example\.com/(?:approvals|ops/actions)/\S+", body.get_content()
        )
        found.append(link)
    return found


async def test_each_approver_is_mailed_a_link_of_their_own(
    desk: Desk, worker_db: Database, dsn: str
):
    found = await mails_of(worker_db, dsn, desk, people="two")

    raws = [parse_qs(urlsplit(each).query)["token"][0] for each in found]
    assert {urlsplit(each).path for each in found} == {"/approvals/link"}
    assert len({raw.split("|")[1] for raw in raws}) == len(raws) == 7
    mine = signed(raws[0].split("|")[1])
    assert (await consume(desk, raws[0], mine)).row.approved_count == 1


async def test_mail_that_leaves_late_leads_to_the_console_instead(
    desk: Desk, worker_db: Database, db: Database, dsn: str
):
    over = replace(desk, links=replace(desk.links, ttl_s=0))

    [link] = await mails_of(worker_db, dsn, over, people="one")

    assert urlsplit(link).path.startswith("/ops/actions/")
