"""Everybody's own inbox: what they were told, and what they also want by mail."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.notices import commands, queries
from molam.ops import permissions
from molam.ops.shell import framed, said, zone_of
from molam.platform.web import Caller, Routes
from molam.platform.web.templating import language_of

routes = Routes()

ENTRIES_SHOWN = 30

Entry = Annotated[int, Meta(ge=1, le=commands.INBOX_ID_MAX)]


class InboxQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    show: Literal["unread", "all"] = "unread"
    before: Entry | None = None
    said: Annotated[str, Meta(max_length=32)] | None = None


class UpTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    up_to: Entry


class Preference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    email: Literal["all", "urgent", "none"]


@routes.get("/ops/inbox", needs=permissions.USE_CONSOLE, page=True, query=InboxQuery)
async def inbox(request: Request, caller: Caller, query: InboxQuery) -> Response:
    """Show what the caller was told, newest first."""
    db, everything = request.app.state.db, query.show == "all"
    language, zone = language_of(request, caller), zone_of(request)
    entries = await queries.inbox(
        db,
        person_id=caller.subject,
        language=language,
        limit=ENTRIES_SHOWN + 1,
        before=query.before,
        unread_only=not everything,
    )
    more, entries = len(entries) > ENTRIES_SHOWN, entries[:ENTRIES_SHOWN]
    older = f"/ops/inbox?show={query.show}&before={entries[-1].id}" if more else None
    return await framed(
        request,
        caller,
        "inbox.html",
        place="inbox",
        entries=[queries.in_zone(each, language, zone) for each in entries],
        everything=everything,
        older=older,
        preference=await queries.email_preference(db, caller.subject),
        said=said(query.said),
    )


@routes.post("/ops/inbox/read", needs=permissions.USE_CONSOLE, page=True, form=True, body=UpTo)
async def mark_read(request: Request, caller: Caller, body: UpTo) -> Response:
    """Record that the caller has seen everything up to an entry."""
    await commands.mark_all_read(request.app.state.db, person_id=caller.subject, up_to=body.up_to)
    return RedirectResponse("/ops/inbox?said=read", status_code=HTTPStatus.SEE_OTHER)


@routes.post(
    "/ops/inbox/preferences",
    needs=permissions.USE_CONSOLE,
    page=True,
    form=True,
    body=Preference,
)
async def set_preference(request: Request, caller: Caller, body: Preference) -> Response:
    """Choose which notices the caller also gets by mail."""
    await commands.set_preference(request.app.state.db, person_id=caller.subject, email=body.email)
    return RedirectResponse("/ops/inbox?said=saved", status_code=HTTPStatus.SEE_OTHER)
