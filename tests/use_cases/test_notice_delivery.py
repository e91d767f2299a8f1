"""What leaves: by mail, webhook and chat, at least once, and without holding anything up."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from builders import NOW, a_person
from molam.kernel.clock import ManualClock
from molam.notices import commands, email, jobs, queries, store
from molam.notices.channels import Channels, Smtp
from molam.notices.model import Kind, Notice, Undeliverable
from molam.platform.db import Database
from molam.platform.egress import Egress
from molam.platform.jobs import JobHandler, run_jobs
from molam.platform.settings import Secret
from sinks import HttpSink, MailSink, serving

SECRET = "webhook-secret-CANARY-0123456789"
HASH = "c568e95da74bd73a5ca586b63034e9ea956b7a1ab9d2b0de3661561e17a93d14"
WORDS = "YVUO SXNH JPLT UXFF … BXRW MFLB 4F5J HUKA"

NOTICE = Notice(
    kind=Kind.ACTION_WAITING,
    key="action-1:waiting:0",
    people=["awa"],
    subject="action-1",
    link="/ops/actions/action-1",
    urgent=True,
    facts={
        "title": {"fr": "Porter le flottant à 2", "en": "Raise the float to 2"},
        "amount": {"currency": "XOF", "minor": 1_000_000},
        "by": "Moussa <b>Ba</b>",
        "deadline": "2026-11-16T14:30:00Z",
        "intent_hash": HASH,
        "reason": "urgent <script>alert(1)</script> <!channel>\r\nBcc: victim@example.com",
        "account_number": "SN08-CANARY-001234",
        "params": {"api_key": "CANARY-key-9999", "webhook": [{"client_secret": "CANARY-zzzz"}]},
    },
)


@pytest.fixture
async def mail_sink() -> AsyncIterator[MailSink]:
    sink = MailSink()
    async with serving(sink):
        yield sink


@pytest.fixture
async def http_sink() -> AsyncIterator[HttpSink]:
    sink = HttpSink()
    async with serving(sink):
        yield sink


@pytest.fixture
def channels(mail_sink: MailSink, http_sink: HttpSink) -> Channels:
    return Channels(
        public_url="https://ops.example.com",
        smtp=Smtp.of(Secret(mail_sink.url)),
        sender="approvals@molam.example",
        webhook_url=f"{http_sink.url}/hook",
        webhook_secret=Secret(SECRET),
        slack_url=Secret(f"{http_sink.url}/services/CANARY-chat"),
    )


@pytest.fixture
async def told(db: Database, ops_db: Database, worker_db: Database, channels: Channels) -> None:
    await a_person(db, id_="awa", name="Awa Diop", roles=("ops_admin",))
    await commands.offer_channels(worker_db, channels.enabled)
    await tell(ops_db)


async def tell(ops_db: Database, **changed: Any) -> None:
    async with ops_db.transaction("tests.tell") as tx:
        await commands.tell(tx, replace(NOTICE, **changed))


async def states(db: Database) -> dict[str, tuple[str, int, str | None]]:
    async with db.transaction("tests.states") as tx:
        found = await tx.connection.fetch(
            "select channel, state, attempts, last_error from notices.deliveries"
        )
    return {each[0]: (each[1], each[2], each[3]) for each in found}


async def until(holds: Callable[[], Any], *, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def a_worker(
    db: Database, dsn: str, channels: Channels, *, attempts_max: int = 3
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with Egress(allow_private=True, timeout_s=1) as egress:
        handlers = jobs.handlers(
            channels, egress, ManualClock(NOW), attempts_max=attempts_max, retry_first_s=0.05
        )
        task = asyncio.create_task(run_jobs(db, dsn=dsn, handlers=handlers, stop=stop, lease_s=2))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)


async def delivered(db: Database, dsn: str, channels: Channels, *, attempts_max: int = 3) -> None:
    """Run a worker until every delivery is sent or held."""

    async def settled() -> bool:
        return all(state in {"sent", "held"} for state, _, _ in (await states(db)).values())

    async with a_worker(db, dsn, channels, attempts_max=attempts_max):
        await until(settled)


def parts(mail: EmailMessage) -> tuple[str, str]:
    plain, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


async def row_of(db: Database, channel: str) -> store.DeliveryRow:
    async with db.transaction("tests.row") as tx:
        id_ = await tx.connection.fetchval(
            "select id from notices.deliveries where channel = $1", channel
        )
    return (await db.read(store.FIND_DELIVERY, id=id_))[0]


@pytest.mark.usefixtures("told")
async def test_every_channel_gets_the_notice_once(
    worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink, http_sink: HttpSink
):
    await delivered(worker_db, dsn, channels)

    assert {state for state, _, _ in (await states(worker_db)).values()} == {"sent"}
    assert len(mail_sink.mails) == 1
    assert sorted(post.path for post in http_sink.posts) == ["/hook", "/services/CANARY-chat"]
    assert await queries.trouble(worker_db, limit=5) == []


@pytest.mark.usefixtures("told")
async def test_a_mail_says_it_in_text_and_html_alike(
    worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink
):
    await delivered(worker_db, dsn, channels)

    (mail,) = mail_sink.mails
    plain, html = parts(mail)
    assert mail["Subject"] == "Votre vote est demandé\u00a0: Porter le flottant à 2"
    assert (mail["To"], mail["From"]) == (
        "Awa Diop <awa@example.com>",
        "Molam Connect <approvals@molam.example>",
    )
    assert (mail["Auto-Submitted"], mail["Importance"]) == ("auto-generated", "high")
    assert mail["Message-ID"] == f"<{mail['Idempotency-Key']}@ops.example.com>"
    for text in (plain, html):
        assert WORDS in text
        assert "1\u202f000\u202f000" in text
        assert "https://ops.example.com/ops/actions/action-1" in text
    assert 'lang="fr"' in html


@pytest.mark.parametrize(
    ("locale", "said"), [("fr", "Votre vote est demandé"), ("en", "Your vote is asked for")]
)
async def test_a_mail_is_in_its_readers_language(
    db: Database, channels: Channels, locale: str, said: str, worker_db: Database, ops_db: Database
):
    await a_person(db, id_="awa", locale=locale, roles=())
    await commands.offer_channels(worker_db, ("email",))
    await tell(ops_db)

    mail = email.compose(await row_of(db, "email"), channels, to="awa@example.com")

    assert said in str(mail["Subject"])
    assert all(said in part for part in parts(mail))
    assert WORDS in parts(mail)[0]


@pytest.mark.usefixtures("told")
async def test_what_somebody_typed_is_text_wherever_it_lands(
    worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink, http_sink: HttpSink
):
    await delivered(worker_db, dsn, channels)

    (mail,) = mail_sink.mails
    assert mail["Bcc"] is None
    assert b"Bcc:" not in mail_sink.raw[0].partition(b"\r\n\r\n")[0]
    assert "<script>" not in parts(mail)[1]
    assert "&lt;script&gt;" in parts(mail)[1]
    chat = json.loads(next(post.body for post in http_sink.posts if "chat" in post.path))
    assert "<" not in chat["text"]
    texts = [block for block in chat["blocks"] if block["type"] != "actions"]
    assert "mrkdwn" not in json.dumps(texts)


@pytest.mark.usefixtures("told")
async def test_links_lead_to_pages_and_none_of_them_decides(
    worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink, http_sink: HttpSink
):
    await delivered(worker_db, dsn, channels)

    sent = [*parts(mail_sink.mails[0]), *(post.body.decode() for post in http_sink.posts)]
    links = {
        link.rstrip('.",') for text in sent for link in re.findall(r"https?://[^\s\"<>]+", text)
    }

    assert links == {
        "https://ops.example.com/ops/actions/action-1",
        "https://ops.example.com/ops/inbox",
    }


@pytest.mark.usefixtures("told")
async def test_no_secret_is_in_anything_that_leaves_or_is_kept(
    db: Database, worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink,
    http_sink: HttpSink, caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    await delivered(worker_db, dsn, channels)
    async with db.transaction("tests.dump") as tx:
        kept = [
            str(each[0])
            for table in ("notices.notices", "notices.deliveries", "jobs.pgqueuer_log")
            for each in await tx.connection.fetch(f"select t::text from {table} as t")
        ]
    shown = await queries.inbox(worker_db, person_id="awa", language="fr", limit=5)

    assert "1234" in "".join(kept)
    left = [*map(bytes.decode, mail_sink.raw), *(post.body.decode() for post in http_sink.posts)]
    assert "CANARY" not in "".join([*left, *kept, str(shown), caplog.text, repr(channels)])


@pytest.mark.usefixtures("told")
async def test_a_webhook_is_signed_over_its_time_and_body(
    worker_db: Database, dsn: str, channels: Channels, http_sink: HttpSink
):
    await delivered(worker_db, dsn, channels)

    (post,) = (post for post in http_sink.posts if post.path == "/hook")
    at, mac = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", post.headers["molam-signature"]).groups()
    wanted = hmac.new(SECRET.encode(), f"{at}.".encode() + post.body, hashlib.sha256).hexdigest()
    assert (mac, int(at)) == (wanted, int(NOW.timestamp()))
    document = json.loads(post.body)
    assert document["id"] == post.headers["idempotency-key"]
    assert (document["kind"], document["subject"]) == ("action_waiting", "action-1")
    assert document["check"] == WORDS
    assert document["text"] == {
        "fr": "Votre vote est demandé\u00a0: Porter le flottant à 2",
        "en": "Your vote is asked for: Raise the float to 2",
    }
    assert document["facts"]["account_number"] == "••••1234"


async def test_a_crash_after_sending_sends_again_under_the_same_key(
    db: Database, worker_db: Database, channels: Channels, told: None, mail_sink: MailSink,
    http_sink: HttpSink, dsn: str,
):  # fmt: skip
    async with Egress(allow_private=True) as egress:
        for channel in ("email", "webhook", "slack"):
            # Sent, and then nothing is written down: the worker has died.
            await jobs.send(await row_of(db, channel), channels, egress, NOW)

    await delivered(worker_db, dsn, channels)

    mails = [mail["Message-ID"] for mail in mail_sink.mails]
    keys = [post.headers["idempotency-key"] for post in http_sink.posts]
    assert (len(mails), len(set(mails))) == (2, 1)
    assert (len(keys), len(set(keys))) == (4, 2)


@pytest.mark.usefixtures("told")
async def test_a_job_that_runs_again_after_the_mark_sends_nothing(
    db: Database, worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink,
    http_sink: HttpSink,
):  # fmt: skip
    await delivered(worker_db, dsn, channels)
    async with db.transaction("tests.again") as tx:
        for row in await tx.connection.fetch("select id from notices.deliveries"):
            await commands.enqueue_all(
                tx, [(commands.SEND["email"], commands.Delivery(str(row[0])))]
            )

    async def idle() -> bool:
        async with db.transaction("tests.idle") as tx:
            return not await tx.connection.fetchval("select count(*) from jobs.pgqueuer")

    async with a_worker(worker_db, dsn, channels):
        await until(idle)

    assert (len(mail_sink.mails), len(http_sink.posts)) == (1, 2)


@pytest.mark.usefixtures("told")
async def test_a_dead_relay_holds_its_mail_and_nothing_else(
    worker_db: Database, ops_db: Database, dsn: str, channels: Channels, http_sink: HttpSink
):
    dead = replace(channels, smtp=Smtp.of(Secret("smtp://127.0.0.1:1")))

    await delivered(worker_db, dsn, dead)

    found = await states(worker_db)
    assert found["email"] == ("held", 3, "For now: mail relay.")
    assert found["webhook"][0] == found["slack"][0] == "sent"
    assert len(http_sink.posts) == 2
    await asyncio.wait_for(tell(ops_db, key="another"), 1)
    assert await queries.unread_count(ops_db, "awa") == 2


async def test_a_relay_that_never_answers_keeps_no_other_job_waiting(
    db: Database, worker_db: Database, ops_db: Database, dsn: str, channels: Channels, told: None,
    mail_sink: MailSink, http_sink: HttpSink,
):  # fmt: skip
    mail_sink.mute = True
    assert channels.smtp is not None
    patient = replace(channels, smtp=replace(channels.smtp, timeout_s=3))
    await commands.offer_channels(worker_db, ("email",))
    for number in range(60):
        await tell(ops_db, key=f"k{number}")
    await commands.offer_channels(worker_db, ("webhook",))
    await tell(ops_db, key="last")

    async def posted() -> bool:
        return sum(post.path == "/hook" for post in http_sink.posts) == 2

    async with a_worker(worker_db, dsn, patient):
        await until(posted, seconds=2.5)

    assert (await states(db))["email"][0] != "sent"


@pytest.mark.usefixtures("told")
async def test_a_relay_that_comes_back_gets_what_waited(
    worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink, http_sink: HttpSink
):
    mail_sink.refuse, http_sink.status = 451, 503

    async def failed() -> bool:
        return all(attempts for _, attempts, _ in (await states(worker_db)).values())

    async with a_worker(worker_db, dsn, channels, attempts_max=200):
        await until(failed)
        assert "sent" not in {state for state, _, _ in (await states(worker_db)).values()}
        mail_sink.refuse, http_sink.status = 0, 204
        await until(lambda: _all_sent(worker_db))

    assert len(mail_sink.mails) == 1


async def _all_sent(db: Database) -> bool:
    return {state for state, _, _ in (await states(db)).values()} == {"sent"}


@pytest.mark.usefixtures("told")
async def test_a_final_no_is_not_asked_again(
    worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink, http_sink: HttpSink
):
    mail_sink.refuse, http_sink.status = 550, 404

    await delivered(worker_db, dsn, channels, attempts_max=50)

    assert await states(worker_db) == {
        "email": ("held", 1, "The mail relay refused it with 550."),
        "webhook": ("held", 1, "The webhook answered 404."),
        "slack": ("held", 1, "The chat answered 404."),
    }
    assert len(await queries.trouble(worker_db, limit=9)) == 3


@pytest.mark.usefixtures("told")
async def test_who_has_left_by_then_gets_no_mail(
    db: Database, worker_db: Database, dsn: str, channels: Channels, mail_sink: MailSink
):
    async with db.transaction("tests.leave") as tx:
        await tx.connection.execute("update tenancy.people set deactivated_at = now()")

    await delivered(worker_db, dsn, channels)

    assert (await states(worker_db))["email"] == ("held", 1, "The person is no longer active.")
    assert mail_sink.mails == []


@pytest.mark.usefixtures("told")
async def test_a_channel_that_was_taken_away_holds_what_was_meant_for_it(
    worker_db: Database, dsn: str, channels: Channels
):
    await delivered(worker_db, dsn, replace(channels, slack_url=Secret("")))

    assert (await states(worker_db))["slack"][0] == "held"
    assert (await states(worker_db))["webhook"][0] == "sent"


@pytest.mark.usefixtures("told")
async def test_outside_development_nothing_goes_to_a_private_address(
    db: Database, channels: Channels, http_sink: HttpSink
):
    private = replace(channels, webhook_url="https://127.0.0.1:9/hook")
    async with Egress() as egress:
        with pytest.raises(Exception, match="private network"):
            await jobs.send(await row_of(db, "webhook"), private, egress, NOW)

    assert http_sink.posts == []


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("address", ["nonsense", "a@b\r\nBcc: c@d", "a b@example.com", "", "@"])
async def test_what_is_no_address_gets_no_mail(db: Database, channels: Channels, address: str):
    with pytest.raises(Undeliverable):
        email.compose(await row_of(db, "email"), channels, to=address)


@pytest.mark.usefixtures("told")
async def test_mail_is_not_sent_inside_a_transaction(db: Database, channels: Channels):
    row = await row_of(db, "email")

    with pytest.raises(AssertionError, match="a mail attempted inside"):
        async with db.transaction("tests.open"):
            await email.send(row, channels)


@pytest.mark.parametrize(
    ("url", "port", "tls", "encrypts"),
    [
        ("smtp://mail.internal", 587, False, False),
        ("smtp://user:p%40ss@mail.internal:2525", 2525, False, True),
        ("smtps://user:p%40ss@mail.internal", 465, True, True),
        ("smtp://user:p%40ss@localhost", 587, False, False),
    ],
)
def test_a_password_crosses_no_network_in_clear(url: str, port: int, tls: bool, encrypts: bool):
    smtp = Smtp.of(Secret(url))

    assert (smtp.port, smtp.use_tls, smtp.must_encrypt) == (port, tls, encrypts)
    assert smtp.password.reveal() in {"", "p@ss"}
    assert "p@ss" not in repr(smtp)


def test_the_last_attempt_comes_after_hours_and_not_minutes():
    (handler, *_) = jobs.handlers(Channels(public_url=""), Egress(), ManualClock(NOW))
    assert isinstance(handler, JobHandler)

    waits = [min(handler.retry_first_s * 2**n, 300) for n in range(handler.attempts_max)]

    assert timedelta(hours=4) < timedelta(seconds=sum(waits)) < timedelta(hours=6)
