"""Telling people, and what they do with what they were told."""

from __future__ import annotations

import msgspec

from molam.kernel.shown import masked_facts
from molam.notices import store
from molam.notices.model import Kind, Notice, NoticeAbsent
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue_all

SEND = {
    "email": "notices.send_email",
    "webhook": "notices.send_webhook",
    "slack": "notices.send_slack",
}
"""The job of each channel: one that is dead keeps none of the others waiting."""
BELL = "inbox"
"""PostgreSQL tells this channel whose inbox has changed."""

INBOX_ID_MAX = 2**63 - 1

# Whoever has not voted by the time of the decision is not asked any more.
_ASKING = (Kind.ACTION_WAITING, Kind.ACTION_ESCALATED, Kind.ACTION_SENT_BACK)


class Delivery(msgspec.Struct, frozen=True):
    """Arguments of the jobs of `SEND`."""

    delivery_id: str
    version: int = 1


async def tell(tx: Tx, notice: Notice, *, secret: frozenset[str] = frozenset()) -> int:
    """
    Put *notice* into inboxes and the outbox, and return how many people it is new to.

    Part of the caller's transaction: they are told if it commits. It takes one
    statement, and a second one where mail, webhook or chat are set up; no network.
    People who left, and programs, are passed over. *secret* names further facts to mask.
    """
    told = await tx.one(
        store.TELL,
        key=notice.key,
        kind=notice.kind.value,
        subject=notice.subject,
        facts=masked_facts(notice.facts, secret),
        link=notice.link,
        urgent=notice.urgent,
        people=sorted(set(notice.people)),
        for_merchants=notice.is_for_merchants,
    )
    assert told is not None
    queued = zip(told.channels, told.deliveries, strict=True)
    await enqueue_all(tx, [(SEND[channel], Delivery(str(id_))) for channel, id_ in queued])
    return told.people


async def settle(tx: Tx, subject: str) -> None:
    """Mark as read whatever still asks for votes on *subject*, which has been decided."""
    await tx.one(store.SET_SUBJECT_READ, subject=subject, kinds=[kind.value for kind in _ASKING])


async def mark_read(db: Database, *, person_id: str, id_: int) -> None:
    """
    Record that a person has seen one entry of their inbox. Safe to repeat.

    Raises:
        NoticeAbsent: it is not in this person's inbox.
    """
    found = None
    if id_ <= INBOX_ID_MAX:
        async with db.transaction("notices.mark_read") as tx:
            found = await tx.one(store.SET_READ, person_id=person_id, id=id_)
    if found is None or not found.count:
        raise NoticeAbsent("Reload your inbox.")


async def mark_all_read(db: Database, *, person_id: str, up_to: int) -> int:
    """Record that a person has seen all entries up to the one they saw last."""
    async with db.transaction("notices.mark_all_read") as tx:
        found = await tx.one(
            store.SET_ALL_READ, person_id=person_id, up_to=min(up_to, INBOX_ID_MAX)
        )
    assert found is not None
    return found.count


async def set_preference(db: Database, *, person_id: str, email: str) -> bool:
    """Choose which notices a person also gets by mail; False for who is not in the directory."""
    async with db.transaction("notices.set_preference") as tx:
        return await tx.run(store.PUT_PREFERENCE, person_id=person_id, email=email) == 1


async def offer_channels(db: Database, enabled: tuple[str, ...]) -> None:
    """Say which channels there are, so that `tell` writes for those alone."""
    async with db.transaction("notices.offer_channels") as tx:
        await tx.run(store.SET_CHANNELS, enabled=list(enabled))
