"""Questions about what people were told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from molam.kernel.clock import Instant
from molam.notices import store
from molam.notices.commands import INBOX_ID_MAX
from molam.notices.messages import Message, say
from molam.notices.model import Kind
from molam.platform.db import Database
from molam.platform.web.l10n import Language


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an inbox, in its reader's language."""

    id: int
    kind: Kind
    subject: str
    link: str
    urgent: bool
    message: Message
    facts: Mapping[str, object]
    created_at: Instant
    read_at: Instant | None


async def inbox(
    db: Database,
    *,
    person_id: str,
    language: Language,
    limit: int,
    before: int | None = None,
    unread_only: bool = False,
) -> list[Entry]:
    """List a person's inbox, newest first, from below the entry *before*."""
    rows = await db.read(
        store.LIST_INBOX,
        person_id=person_id,
        before=INBOX_ID_MAX if before is None else before,
        unread_only=unread_only,
        limit=limit,
    )
    return [_entry(row, language) for row in rows]


def in_zone(entry: Entry, language: Language, zone: str) -> Entry:
    """Say an entry again for a reader whose time zone is known."""
    return replace(entry, message=say(entry.kind, entry.facts, language, zone=zone))


async def unread_count(db: Database, person_id: str) -> int:
    """Count what a person has not read, up to 1,000."""
    return (await db.read(store.COUNT_UNREAD, person_id=person_id))[0].count


async def email_preference(db: Database, person_id: str) -> str:
    """Tell which notices a person also gets by mail: ``all``, ``urgent`` or ``none``."""
    rows = await db.read(store.FIND_PREFERENCE, person_id=person_id)
    return rows[0].email if rows else "all"


async def trouble(db: Database, *, limit: int) -> Sequence[store.TroubleRow]:
    """List deliveries that failed and are tried again, or are held for a person."""
    return await db.read(store.LIST_TROUBLE, limit=limit)


def _entry(row: store.InboxRow, language: Language) -> Entry:
    kind = Kind(row.kind)
    return Entry(
        id=row.id,
        kind=kind,
        subject=row.subject,
        link=row.link,
        urgent=row.urgent,
        message=say(kind, row.facts, language),
        facts=row.facts,
        created_at=row.created_at,
        read_at=row.read_at,
    )
