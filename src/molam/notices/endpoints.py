"""Everybody's own inbox, under /api/ops/inbox."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.notices import commands, queries
from molam.notices.model import NoticeAbsent
from molam.platform.web import SIGNED_IN, Caller, Forbidden, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.languages import known
from molam.platform.web.wire import PageLimit

routes = Routes()

InboxId = Annotated[int, Meta(ge=1, le=commands.INBOX_ID_MAX)]


class InboxQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    before: InboxId | None = None
    """The `next_before` of the page before."""
    unread: bool = False
    limit: PageLimit = 50


class DetailView(msgspec.Struct):
    label: str
    value: str


class EntryView(msgspec.Struct):
    id: int
    kind: str
    subject: str
    headline: str
    advice: str
    details: list[DetailView]
    quote: str
    link: str
    urgent: bool
    created_at: datetime
    read_at: datetime | None


class InboxView(msgspec.Struct):
    ok: bool
    unread: int
    next_before: int | None
    rows: list[EntryView]


class UpTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    up_to: InboxId
    """The newest entry that was shown; later ones stay unread."""


class ReadView(msgspec.Struct):
    ok: bool
    unread: int


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    email: Literal["all", "urgent", "none"]
    """Which notices also come by mail; the inbox has all of them."""


class PreferencesView(msgspec.Struct):
    ok: bool
    email: str


@routes.get("/api/ops/inbox", needs=SIGNED_IN, query=InboxQuery, answers=InboxView)
async def inbox(request: Request, caller: Caller, query: InboxQuery) -> InboxView:
    """List the caller's own inbox, newest first, in the caller's language."""
    db = request.app.state.db
    entries = await queries.inbox(
        db,
        person_id=caller.subject,
        language=language_of(caller),
        limit=query.limit,
        before=query.before,
        unread_only=query.unread,
    )
    return InboxView(
        ok=True,
        unread=await queries.unread_count(db, caller.subject),
        next_before=entries[-1].id if len(entries) == query.limit else None,
        rows=[_view(entry) for entry in entries],
    )


@routes.post(
    "/api/ops/inbox/{id:int}/read", needs=SIGNED_IN, answers=ReadView, refuses=(NoticeAbsent,)
)
async def mark_read(request: Request, caller: Caller) -> ReadView:
    """Record that the caller has seen an entry. Safe to repeat."""
    db = request.app.state.db
    await commands.mark_read(db, person_id=caller.subject, id_=request.path_params["id"])
    return ReadView(ok=True, unread=await queries.unread_count(db, caller.subject))


@routes.post("/api/ops/inbox/read", needs=SIGNED_IN, body=UpTo, answers=ReadView)
async def mark_all_read(request: Request, caller: Caller, body: UpTo) -> ReadView:
    """Record that the caller has seen everything up to an entry."""
    db = request.app.state.db
    await commands.mark_all_read(db, person_id=caller.subject, up_to=body.up_to)
    return ReadView(ok=True, unread=await queries.unread_count(db, caller.subject))


@routes.get("/api/ops/inbox/preferences", needs=SIGNED_IN, answers=PreferencesView)
async def preferences(request: Request, caller: Caller) -> PreferencesView:
    """Say which notices the caller also gets by mail."""
    email = await queries.email_preference(request.app.state.db, caller.subject)
    return PreferencesView(ok=True, email=email)


@routes.put(
    "/api/ops/inbox/preferences", needs=SIGNED_IN, body=Preferences, answers=PreferencesView
)
async def set_preferences(request: Request, caller: Caller, body: Preferences) -> PreferencesView:
    """Choose which notices the caller also gets by mail."""
    db = request.app.state.db
    if not await commands.set_preference(db, person_id=caller.subject, email=body.email):
        raise Forbidden("Only people of the directory have preferences.", required_roles="")
    return PreferencesView(ok=True, email=body.email)


def language_of(caller: Caller) -> Language:
    return "en" if known(caller.locale) == "en" else "fr"


def _view(entry: queries.Entry) -> EntryView:
    return EntryView(
        id=entry.id,
        kind=entry.kind.value,
        subject=entry.subject,
        headline=entry.message.headline,
        advice=entry.message.advice,
        details=[DetailView(each.label, each.value) for each in entry.message.details],
        quote=entry.message.quote,
        link=entry.link,
        urgent=entry.urgent,
        created_at=entry.created_at,
        read_at=entry.read_at,
    )
