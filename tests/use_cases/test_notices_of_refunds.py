"""Whoever must agree to a refund is led to a page they can open: the shop's, or the console's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from email.message import EmailMessage

from builders import a_person
from molam.kernel.clock import SystemClock
from molam.notices import commands, jobs
from molam.notices.channels import Channels, Smtp
from molam.platform.db import Database
from molam.platform.egress import Egress
from molam.platform.jobs import run_jobs
from molam.platform.settings import Secret
from refunding import MOUSSA, Till, a_sale, a_shop
from sinks import HttpSink, MailSink, serving

OPS, MERCHANT = "https://ops.example.com", "https://shop.example.com"


@contextlib.asynccontextmanager
async def leaving(db: Database, dsn: str) -> AsyncIterator[tuple[MailSink, HttpSink]]:
    """Mail and webhook as they leave, with a worker that sends them."""
    mails, hooks = MailSink(), HttpSink()
    async with serving(mails), serving(hooks), Egress(allow_private=True) as egress:
        channels = Channels(
            public_url=OPS,
            merchant_url=MERCHANT,
            smtp=Smtp.of(Secret(mails.url)),
            sender="approvals@molam.example",
            webhook_url=f"{hooks.url}/hook",
            webhook_secret=Secret("webhook-secret-CANARY-0123456789"),
        )
        await commands.offer_channels(db, channels.enabled)
        stop = asyncio.Event()
        handlers = jobs.handlers(channels, egress, SystemClock())
        work = asyncio.create_task(run_jobs(db, dsn=dsn, handlers=handlers, stop=stop))
        yield mails, hooks
        stop.set()
        await work


async def until_sent(db: Database, count: int) -> None:
    async with asyncio.timeout(20):
        while True:
            async with db.transaction("tests.sent") as tx:
                states = await tx.connection.fetch("select state from notices.deliveries")
            if [row["state"] for row in states] == ["sent"] * count:
                return
            await asyncio.sleep(0.05)


def link_in(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    [line] = [
        each
        for each in body.get_content().splitlines()
        if "/refunds/" in each or "/ops/actions/" in each
    ]
    return "https://" + line.partition("https://")[2]


async def links_of(db: Database) -> list[tuple[str, str, bool]]:
    async with db.transaction("tests.links") as tx:
        rows = await tx.connection.fetch(
            "select i.person_id, n.link, n.for_merchants from notices.inbox i"
            " join notices.notices n on n.id = i.notice_id order by 1, n.id"
        )
    return [tuple(row) for row in rows]


async def action_of(db: Database, refund_id: str) -> str:
    async with db.transaction("tests.action") as tx:
        return str(
            await tx.connection.fetchval(
                "select approval_id from payments.refunds where id = $1", refund_id
            )
        )


async def test_merchants_people_are_led_to_the_refund_in_their_own_app(
    db: Database, worker_db: Database, money_db: Database, dsn: str
):
    await a_shop(db)
    await a_sale(db, "tx_big", 300_000)
    async with leaving(worker_db, dsn) as (mails, hooks):
        row = await Till(money_db).ask(150_000, transaction_id="tx_big")
        await until_sent(db, 1)

    assert await links_of(db) == [(MOUSSA.id, f"/refunds/{row.id}", True)]
    assert [link_in(mail) for mail in mails.mails] == [f"{MERCHANT}/refunds/{row.id}"]
    assert hooks.posts == []


async def test_finance_is_led_to_the_action_in_the_console(
    db: Database, worker_db: Database, money_db: Database, dsn: str
):
    await a_shop(db, admins=1)
    await a_sale(db, "tx_big", 300_000)
    await a_person(db, id_="finance-user-1", name="F", roles=("finance_ops",), merchant_id=None)
    async with leaving(worker_db, dsn) as (mails, hooks):
        row = await Till(money_db).ask(150_000, transaction_id="tx_big")
        await until_sent(db, 2)

    path = f"/ops/actions/{await action_of(db, row.id)}"
    assert await links_of(db) == [("finance-user-1", path, False)]
    assert [link_in(mail) for mail in mails.mails] == [OPS + path]
    assert len(hooks.posts) == 1


async def test_whoever_asked_is_led_to_the_refund_when_it_is_decided(
    db: Database, money_db: Database
):
    await a_shop(db)
    await a_sale(db, "tx_big", 300_000)
    till = Till(money_db)
    row = await till.ask(150_000, transaction_id="tx_big")

    await till.vote(row.id, MOUSSA)

    assert {(person, link) for person, link, _ in await links_of(db)} == {
        ("awa.diop", f"/refunds/{row.id}"),
        (MOUSSA.id, f"/refunds/{row.id}"),
    }
