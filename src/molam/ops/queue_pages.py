"""The queue: what the reader can decide now, and what else is under way."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.approvals import queries
from molam.approvals.electorate import people_named, roles_asked
from molam.approvals.locked import rules_of
from molam.approvals.policy.quorum import Stages
from molam.approvals.policy.rules import at_level
from molam.approvals.queries import Tab
from molam.approvals.store import ActionRow
from molam.kernel.clock import Instant
from molam.ops import permissions, store
from molam.ops.emergencies import Unreviewed, unreviewed
from molam.ops.propose_pages import actor_of
from molam.ops.shell import TEMPLATES, framed, may
from molam.ops.views import Line, line, needed_by
from molam.platform.auth.step_up import NEXT_LENGTH_MAX
from molam.platform.db import Database
from molam.platform.web import PUBLIC, Caller, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.preferences import local_path
from molam.platform.web.templating import language_of

routes = Routes()

PAGE_ROWS = 50
_PAGES_MAX = 200
_PASSED_OVER_MAX = 10
TABS: tuple[Tab, ...] = get_args(Tab)


class QueueQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tab: Tab = "turn"
    page: Annotated[int, Meta(ge=1, le=_PAGES_MAX)] = 1
    live: Literal["0"] | None = None


class SignInQuery(msgspec.Struct, forbid_unknown_fields=True):
    next: Annotated[str, Meta(max_length=NEXT_LENGTH_MAX)] = "/"
    acr_values: Annotated[str, Meta(max_length=64)] | None = None
    max_age: Annotated[str, Meta(max_length=8)] | None = None


@routes.get("/sign-in", needs=PUBLIC, page=True, query=SignInQuery)
async def sign_in(request: Request, _caller: Caller, query: SignInQuery) -> Response:
    """Welcome a visitor who has not signed in."""
    if query.acr_values is not None:
        # Already signed in and asked for more: nothing to welcome them to.
        given = {"next": query.next, "acr_values": query.acr_values, "max_age": query.max_age}
        wanted = urlencode({key: value for key, value in given.items() if value is not None})
        return RedirectResponse(f"/auth/sign-in?{wanted}", status_code=HTTPStatus.SEE_OTHER)
    return TEMPLATES.page(request, None, "sign_in.html", next=local_path(query.next))


@routes.get("/ops", needs=permissions.USE_CONSOLE, page=True, query=QueueQuery)
async def queue(request: Request, caller: Caller, query: QueueQuery) -> Response:
    """Show one tab of the reader's queue, the nearest deadline first."""
    db = request.app.state.db
    rows, following = await _rows(request, caller, query)
    last_left: Instant | None = None
    if not rows and query.tab == "turn":
        votes = await queries.user_votes(db, caller.subject, limit=1)
        last_left = votes[0].created_at if votes else None
    return await framed(
        request,
        caller,
        "queue.html",
        place="queue",
        live=query.live is None and query.page == 1,
        tab=query.tab,
        tabs=TABS,
        rows=await _lines(request.app.state, rows, caller, language_of(request, caller)),
        key=await waiting(request.app.state, caller, query.tab),
        last_left=last_left,
        emergencies=await _emergencies(db, query.tab, language=language_of(request, caller)),
        may_propose=may(caller, permissions.PROPOSE),
        older=None if following is None else f"/ops?tab={query.tab}&page={following}",
    )


async def _rows(
    request: Request, caller: Caller, query: QueueQuery
) -> tuple[list[ActionRow], int | None]:
    """
    Read one page of a tab; return the number of the next one, if there is one.

    Pages of "my turn" on which nothing is the reader's yet are passed over.
    """
    for number in range(query.page, query.page + _PASSED_OVER_MAX):
        rows = await queries.queue(
            request.app.state.db,
            query.tab,
            person=caller.subject,
            roles=sorted(caller.roles),
            limit=PAGE_ROWS + 1,
            offset=(number - 1) * PAGE_ROWS,
        )
        more, rows = len(rows) > PAGE_ROWS, rows[:PAGE_ROWS]
        if query.tab == "turn":
            rows = [row for row in rows if await _may_vote(request, caller, row)]
        if rows or not more:
            return rows, number + 1 if more else None
    return [], query.page + _PASSED_OVER_MAX


async def _emergencies(db: Database, tab: Tab, *, language: Language) -> list[Unreviewed]:
    """List what waits for a review above what is being carried out: both want looking after."""
    return await unreviewed(db, language) if tab == "executing" else []


async def _may_vote(request: Request, caller: Caller, row: ActionRow) -> bool:
    """
    Tell whether the reader could vote on *row* now.

    The list holds what their roles decide at any level; some of it will be theirs
    only after an escalation, or at a later stage. Stages need the votes, so they
    are looked up; of the rest, the rules alone can tell.
    """
    rules = at_level(rules_of(row), row.level)
    if any(isinstance(each.quorum, Stages) for each in rules.demands):
        runtime, actor = request.app.state.runtime, actor_of(caller)
        page = await queries.action_page(runtime, row.id, actor, locale=caller.locale)
        return page.can["approve"] is None
    early = roles_asked(rules)
    if not early.isdisjoint(caller.roles) or caller.subject in people_named(rules):
        return True
    # A role that somebody lent: only the engine knows for what.
    return caller.roles.isdisjoint(row.voter_roles)


async def waiting(state: State, caller: Caller, tab: Tab) -> str:
    """Name what a tab shows, and count what waits for the reader: ``3:`` and a mark."""
    rows = await state.db.read(
        store.MARK_TAB, person=caller.subject, roles=sorted(caller.roles), tab=tab
    )
    return f"{rows[0].turn}:{rows[0].mark}"


async def _lines(
    state: State, rows: Sequence[ActionRow], caller: Caller, language: Language
) -> list[Line]:
    asking = sorted({row.created_by for row in rows})
    rules = await queries.rules_now(state.runtime, rows)
    names = {each.id: each.name for each in await state.db.read(store.LIST_NAMES, ids=asking)}
    return [
        line(
            row,
            language,
            asked_by=names.get(row.created_by),
            needed=needed_by(rules[row.id]),
            seat=next(iter(sorted(caller.roles.intersection(row.voter_roles))), None)
            if row.state in {"pending", "blocked"}
            else None,
        )
        for row in rows
    ]
