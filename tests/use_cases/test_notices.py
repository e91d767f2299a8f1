"""Telling people: in the transaction of the fact, each once, by the channels they take."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from builders import a_person
from molam.notices import commands, jobs, queries
from molam.notices.model import Kind, Notice, NoticeAbsent
from molam.platform.db import Database

ALL = ("email", "webhook", "slack")


def a_notice(**changed: Any) -> Notice:
    given: dict[str, Any] = {
        "kind": Kind.ACTION_WAITING,
        "key": "action-1:waiting:0",
        "people": ["awa", "moussa"],
        "subject": "action-1",
        "link": "/actions/action-1",
        "facts": {"title": {"fr": "Geler", "en": "Freeze"}, "iban": "SN08CANARY001234"},
    }
    return Notice(**{**given, **changed})


async def told(db: Database, notice: Notice | None = None) -> int:
    async with db.transaction("tests.tell") as tx:
        return await commands.tell(tx, notice or a_notice())


async def rows(db: Database, sql: str) -> list[tuple[Any, ...]]:
    async with db.transaction("tests.rows") as tx:
        return [tuple(each) for each in await tx.connection.fetch(sql)]


async def deliveries(db: Database) -> list[tuple[Any, ...]]:
    return await rows(db, "select channel, person_id from notices.deliveries order by 1, 2")


@pytest.fixture
async def people(db: Database) -> None:
    await a_person(db, id_="awa", name="Awa", roles=("ops_admin",), merchant_id=None)
    await a_person(
        db, id_="moussa", name="Moussa", locale="en", roles=("ops_admin",), merchant_id=None
    )


pytestmark = pytest.mark.usefixtures("people")


async def test_by_default_there_is_an_inbox_and_nothing_leaves(ops_db: Database):
    assert await told(ops_db) == 2

    assert len(await queries.inbox(ops_db, person_id="awa", language="fr", limit=5)) == 1
    assert await deliveries(ops_db) == []
    assert await rows(ops_db, "select * from jobs.pgqueuer") == []


async def test_what_is_rolled_back_was_never_told(ops_db: Database, worker_db: Database):
    await commands.offer_channels(worker_db, ALL)

    async def tell_and_fail() -> None:
        async with ops_db.transaction("tests.tell") as tx:
            await commands.tell(tx, a_notice())
            raise KeyError

    with pytest.raises(KeyError):
        await tell_and_fail()

    assert await rows(ops_db, "select 1 from notices.notices") == []
    assert await rows(ops_db, "select 1 from jobs.pgqueuer") == []


async def test_each_channel_gets_one_delivery_and_each_delivery_one_job(
    ops_db: Database, worker_db: Database
):
    await commands.offer_channels(worker_db, ALL)

    await told(ops_db)

    assert await deliveries(ops_db) == [
        ("email", "awa"), ("email", "moussa"), ("slack", None), ("webhook", None),
    ]  # fmt: skip
    queued = "select entrypoint, count(*) from jobs.pgqueuer group by 1 order by 1"
    assert await rows(ops_db, queued) == [
        ("notices.send_email", 2), ("notices.send_slack", 1), ("notices.send_webhook", 1),
    ]  # fmt: skip


async def test_telling_again_under_the_same_key_tells_nobody_twice(
    ops_db: Database, worker_db: Database
):
    await commands.offer_channels(worker_db, ALL)
    await told(ops_db)

    again = await told(ops_db)
    more = await told(ops_db, a_notice(people=["awa", "moussa", "awa", "fatou"]))

    assert (again, more) == (0, 0)
    assert len(await deliveries(ops_db)) == 4
    assert len(await rows(ops_db, "select 1 from jobs.pgqueuer")) == 4


async def test_whoever_joins_later_is_told_alone(
    db: Database, ops_db: Database, worker_db: Database
):
    await commands.offer_channels(worker_db, ALL)
    await told(ops_db, a_notice(people=["awa"]))

    assert await told(ops_db) == 1
    assert await deliveries(db) == [
        ("email", "awa"), ("email", "moussa"), ("slack", None), ("webhook", None),
    ]  # fmt: skip


async def test_two_at_once_tell_each_person_once(ops_db: Database, worker_db: Database):
    await commands.offer_channels(worker_db, ALL)

    counts = await asyncio.gather(*(told(ops_db) for _ in range(8)))

    assert sorted(counts) == [0, 0, 0, 0, 0, 0, 0, 2]
    assert len(await deliveries(ops_db)) == 4


async def test_an_escalation_is_told_once_for_each_level(ops_db: Database):
    keys = [f"action-1:escalated:{level}" for level in (1, 1, 2)]

    counts = [
        await told(ops_db, a_notice(kind=Kind.ACTION_ESCALATED, key=key, people=["awa"]))
        for key in keys
    ]

    assert counts == [1, 0, 1]


async def test_people_who_left_and_programs_and_strangers_are_passed_over(
    db: Database, ops_db: Database
):
    await a_person(db, id_="left", roles=())
    await a_person(db, id_="robot", roles=())
    async with db.transaction("tests.leave") as tx:
        await tx.connection.execute(
            "update tenancy.people set deactivated_at = now() where id = 'left'"
        )
        await tx.connection.execute(
            "update tenancy.people set is_service = true where id = 'robot'"
        )

    assert await told(ops_db, a_notice(people=["awa", "left", "robot", "nobody"])) == 1


@pytest.mark.parametrize(
    ("preference", "urgent", "mailed"),
    [
        ("all", False, True),
        ("all", True, True),
        ("urgent", False, False),
        ("urgent", True, True),
        ("none", True, False),
    ],
)
async def test_people_choose_what_they_get_by_mail(
    ops_db: Database, worker_db: Database, preference: str, urgent: bool, mailed: bool
):
    await commands.offer_channels(worker_db, ("email",))
    await commands.set_preference(ops_db, person_id="awa", email=preference)

    assert await told(ops_db, a_notice(people=["awa"], urgent=urgent)) == 1

    assert await deliveries(ops_db) == ([("email", "awa")] if mailed else [])
    assert await queries.email_preference(ops_db, "awa") == preference
    assert await queries.email_preference(ops_db, "moussa") == "all"


async def test_secrets_are_masked_before_anything_is_stored(ops_db: Database):
    await told(ops_db)

    stored = await rows(ops_db, "select facts::text from notices.notices")

    assert "••••1234" in stored[0][0]
    assert "CANARY" not in stored[0][0]


async def test_the_bell_rings_for_each_reader_at_commit(dsn: str, ops_db: Database):
    heard: list[str] = []
    listener = await asyncpg.connect(dsn)
    await listener.add_listener(commands.BELL, lambda *each: heard.append(each[3]))
    try:
        await told(ops_db)
        (entry,) = await queries.inbox(ops_db, person_id="awa", language="fr", limit=5)
        await commands.mark_read(ops_db, person_id="awa", id_=entry.id)
        async with asyncio.timeout(5):
            while len(heard) < 3:
                await asyncio.sleep(0.01)
    finally:
        await listener.close()

    assert sorted(heard) == ["awa", "awa", "moussa"]


async def test_an_inbox_is_read_newest_first_in_pages_and_in_the_readers_language(ops_db: Database):
    for number in range(5):
        await told(ops_db, a_notice(key=f"k{number}", subject=f"s{number}"))

    first = await queries.inbox(ops_db, person_id="awa", language="fr", limit=3)
    rest = await queries.inbox(ops_db, person_id="awa", language="en", limit=3, before=first[-1].id)

    assert [entry.subject for entry in [*first, *rest]] == ["s4", "s3", "s2", "s1", "s0"]
    assert first[0].message.headline == "Votre vote est demandé\u00a0: Geler"
    assert rest[0].message.headline == "Your vote is asked for: Freeze"
    assert first[0].link == "/actions/action-1"


async def test_reading_counts_down_and_repeating_changes_nothing(ops_db: Database):
    for number in range(4):
        await told(ops_db, a_notice(key=f"k{number}"))
    entries = await queries.inbox(ops_db, person_id="awa", language="fr", limit=9)

    for _ in range(2):
        await commands.mark_read(ops_db, person_id="awa", id_=entries[0].id)
    assert await queries.unread_count(ops_db, "awa") == 3
    assert await commands.mark_all_read(ops_db, person_id="awa", up_to=entries[1].id) == 3

    unread = await queries.inbox(ops_db, person_id="awa", language="fr", limit=9, unread_only=True)
    assert unread == []
    assert await queries.unread_count(ops_db, "moussa") == 4


async def test_nobody_reads_the_inbox_of_another(ops_db: Database):
    await told(ops_db, a_notice(people=["awa"]))
    (entry,) = await queries.inbox(ops_db, person_id="awa", language="fr", limit=9)

    for person_id, id_ in [("moussa", entry.id), ("awa", 999_999), ("awa", 2**70)]:
        with pytest.raises(NoticeAbsent):
            await commands.mark_read(ops_db, person_id=person_id, id_=id_)

    assert await queries.unread_count(ops_db, "awa") == 1


async def test_a_decision_takes_back_the_requests_to_vote_and_no_more(ops_db: Database):
    await told(ops_db)
    await told(ops_db, a_notice(key="other", subject="action-2"))
    await told(ops_db, a_notice(key="done", kind=Kind.ACTION_APPROVED))

    async with ops_db.transaction("tests.settle") as tx:
        await commands.settle(tx, "action-1")

    unread = await queries.inbox(ops_db, person_id="awa", language="fr", limit=9, unread_only=True)
    assert [(entry.subject, entry.kind) for entry in unread] == [
        ("action-1", Kind.ACTION_APPROVED), ("action-2", Kind.ACTION_WAITING),
    ]  # fmt: skip


async def test_preferences_are_for_people_of_the_directory(ops_db: Database):
    assert not await commands.set_preference(ops_db, person_id="nobody", email="none")
    assert await commands.set_preference(ops_db, person_id="awa", email="none")


async def test_old_notices_go_with_all_that_hangs_on_them(
    db: Database, ops_db: Database, worker_db: Database
):
    await commands.offer_channels(worker_db, ALL)
    await told(ops_db)
    await told(ops_db, a_notice(key="new"))
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update notices.notices set created_at = now() - interval '401 days' where key <> 'new'"
        )

    (cron,) = jobs.crons()
    await cron.run(worker_db)

    assert await rows(db, "select key from notices.notices") == [("new",)]
    assert len(await rows(db, "select 1 from notices.inbox")) == 2


async def test_operations_cannot_rewrite_what_was_told(ops_db: Database):
    await told(ops_db)

    for sql in (
        "update notices.notices set facts = '{}'",
        "delete from notices.notices",
        "delete from notices.inbox",
        "update notices.deliveries set state = 'sent'",
        "update notices.channels set enabled = true",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with ops_db.transaction("tests.rewrite") as tx:
                await tx.connection.execute(sql)

    assert len(await rows(ops_db, "select 1 from notices.inbox")) == 2


async def test_a_delivery_is_named_by_an_id_of_its_own(ops_db: Database, worker_db: Database):
    await commands.offer_channels(worker_db, ALL)
    await told(ops_db)

    ids = [each[0] for each in await rows(ops_db, "select id from notices.deliveries")]

    assert all(isinstance(each, UUID) for each in ids)
    assert len(set(ids)) == 4
