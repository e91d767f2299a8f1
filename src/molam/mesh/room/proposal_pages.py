"""The pages about proposed routes: all of them, and one with its reasons, trial and votes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.mesh import permissions
from molam.mesh.control import log_store, rollback, shift_store
from molam.mesh.control.model import RolledBack
from molam.mesh.members import policies
from molam.mesh.room import frame, overview_store, proposal_store
from molam.mesh.room.ballots import Ballot, ballot_of
from molam.mesh.room.saying import said_as
from molam.mesh.routing import queries as proposals
from molam.mesh.routing import reasons
from molam.mesh.routing.content import content_of
from molam.mesh.routing.model import UNDECIDED, ProposalAbsent
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of
from molam.sira.content import verify_content
from molam.sira.signing import AdviceRefused

routes = Routes()

_PAGE_ROWS = 30
_REGIONS_MAX = 100
_LOG_MAX = 20
_END = datetime(9999, 1, 1, tzinfo=UTC)

Show = Literal["open", "applied", "rejected", "rolled_back", "expired", "all"]


class ProposalsShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    show: Show = "open"
    region: Annotated[str, Meta(max_length=255)] | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    said: Annotated[str, Meta(max_length=32)] | None = None


class Position(msgspec.Struct, frozen=True, array_like=True):
    at: datetime
    id: str


class ProposalShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A bank in the order that is proposed, or one that is not in it, and why."""

    id: str
    name: str
    role: str
    score: Decimal | None
    cost: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """A proposal as one reader sees it."""

    row: ProposalRow
    region: str
    from_name: str | None
    to_name: str | None
    created_by: str
    reviewed_by: str | None
    reason: str
    steps: tuple[Step, ...]
    excluded: tuple[Step, ...]
    bands: tuple[tuple[int, int | None, tuple[str, ...]], ...]
    is_expired: bool
    signature: Literal["valid", "expired", "refused"]
    ballot: Ballot | None
    undo_ballot: Ballot | None
    restorable: proposal_store.RestorableRow | None
    undo_hours: int
    rolled_back: RolledBack | None
    halted: shift_store.ShiftRow | None
    log: tuple[log_store.ActionShownRow, ...]
    names: Mapping[str, str]

    @property
    def is_open(self) -> bool:
        return self.row.status in UNDECIDED and not self.is_expired

    @property
    def typed(self) -> str:
        """What approving or taking back asks to be typed."""
        return self.to_name or self.row.to_bank_id or self.row.id

    @property
    def typed_undo(self) -> str:
        return self.from_name or self.row.from_bank_id or self.row.id


@routes.get("/proposals", needs=permissions.USE_ROOM, page=True, query=ProposalsShown)
async def listed(request: Request, caller: Caller, query: ProposalsShown) -> Response:
    """Show proposals, newest first; at first those that can still be decided."""
    state = request.app.state
    filters = {"show": query.show, "region": query.region, "currency": query.currency}
    begins = Position(_END, "")
    if query.cursor is not None:
        begins = state.mesh_cursors.open(query.cursor, Position, filters=filters)
    rows, regions, lanes = await asyncio.gather(
        state.db.read(
            overview_store.LIST_PROPOSALS,
            **filters,
            at=begins.at,
            id=begins.id,
            limit=_PAGE_ROWS + 1,
        ),
        state.db.read(proposal_store.LIST_REGION_NAMES, limit=_REGIONS_MAX),
        state.db.read(proposal_store.LIST_LANES, limit=_REGIONS_MAX),
    )
    older = None
    shown = rows[:_PAGE_ROWS]
    chosen = {key: value for key, value in filters.items() if value}
    if len(rows) > _PAGE_ROWS:
        ends = Position(shown[-1].created_at, shown[-1].id)
        cursor = state.mesh_cursors.seal(ends, filters=filters)
        older = "/proposals?" + urlencode(chosen | {"cursor": cursor})
    return await frame.page(
        request,
        caller,
        "proposals.html",
        place="proposals",
        rows=shown,
        asked=query,
        regions=regions,
        currencies=sorted({lane.currency for lane in lanes}),
        older=older,
        first=None if query.cursor is None else "/proposals?" + urlencode(chosen),
        said=said_as(query.said),
        proposes=frame.may(caller, permissions.PROPOSE),
    )


@routes.get(
    "/proposals/{id}",
    needs=permissions.USE_ROOM,
    page=True,
    query=ProposalShown,
    refuses=(ProposalAbsent,),
)
async def one(request: Request, caller: Caller, query: ProposalShown) -> Response:
    """Show what is proposed and why, what it would do, and who agreed."""
    return await show(request, caller, said=said_as(query.said))


async def show(
    request: Request,
    caller: Caller,
    *,
    said: Said | None = None,
    panel: str | None = None,
    reason: str = "",
) -> Response:
    """Show a proposal; *panel* is the form that is open, *reason* what was written there."""
    page = await read_page(request, caller)
    response = await frame.page(
        request,
        caller,
        "proposal.html",
        place="proposals",
        page=page,
        said=said,
        open_panel=panel,
        reason=reason,
        tries=frame.may(caller, permissions.SIMULATE),
        votes=frame.may(caller, permissions.VOTE),
        undoes=frame.may(caller, permissions.ROLL_BACK),
    )
    if said is not None and said.hue != "green" and request.method == "POST":
        response.status_code = 409
    return response


async def read_page(request: Request, caller: Caller) -> Page:
    state, id_ = request.app.state, request.path_params["id"]
    language, now = language_of(request, caller), state.clock.now()
    async with state.db.transaction("mesh.proposal_page", readonly=True) as tx:
        row = await proposals.get(tx, id_)
        policy = await policies.effective(tx, row.mesh_region_id, state.mesh)
        undone = await tx.one(log_store.FIND_ACTION, key=f"rollback-routing-{row.id}")
        log = await tx.all(
            log_store.LIST_ACTIONS,
            region=None,
            action_type=None,
            proposal_id=row.id,
            at=_END,
            id="",
            limit=_LOG_MAX,
        )
        regions = await tx.all(proposal_store.LIST_REGION_NAMES, limit=_REGIONS_MAX)
        banks = await tx.all(proposal_store.LIST_BANK_NAMES, ids=_banks_in(row))
        people = await tx.all(
            proposal_store.LIST_PEOPLE_NAMES,
            ids=sorted({row.created_by, row.reviewed_by or "", *(each.actor_id for each in log)}),
        )
        halted = await tx.one(shift_store.FIND_HALTED, id=row.id)
        restorable = None
        if row.status == "applied":
            restorable = await tx.one(proposal_store.COUNT_RESTORABLE, proposal_id=row.id)
    names = {each.id: each.name for each in (*banks, *people)}
    ballot, undo_ballot = [
        await ballot_of(state.runtime, action_id, caller, locale=language)
        for action_id in (row.ops_action_id, row.rollback_action_id)
    ]
    document = row.proposal
    return Page(
        row=row,
        region=next((each.name for each in regions if each.id == row.mesh_region_id), ""),
        from_name=names.get(row.from_bank_id or ""),
        to_name=names.get(row.to_bank_id or ""),
        created_by=names.get(row.created_by, row.created_by),
        reviewed_by=row.reviewed_by and names.get(row.reviewed_by, row.reviewed_by),
        reason=_asked_because(document),
        steps=tuple(_steps(document.get("sequence"), row.currency, language)),
        excluded=tuple(_steps(document.get("excluded"), row.currency, language)),
        bands=tuple(_bands(document.get("bands"), names)),
        is_expired=row.status in UNDECIDED and row.expires_at <= now,
        signature=_signature(row, state.mesh),
        ballot=ballot,
        undo_ballot=undo_ballot,
        restorable=restorable,
        undo_hours=policy.rules.rollback_window_hours,
        rolled_back=None if undone is None else rollback.read(undone),
        halted=halted,
        log=tuple(log),
        names=names,
    )


def _signature(row: ProposalRow, mesh: Mesh) -> Literal["valid", "expired", "refused"]:
    now = mesh.clock.now()
    if row.expires_at <= now:
        return "expired"
    try:
        claims = verify_content(
            row.sira_signature, "proposal", content_of(row), key=mesh.signing_key, now=now
        )
    except AdviceRefused:
        return "refused"
    return "valid" if claims.jti == row.token_id else "refused"


def _banks_in(row: ProposalRow) -> list[str]:
    found = {row.from_bank_id or "", row.to_bank_id or ""}
    for band in _dicts(row.proposal.get("bands")):
        found.update(map(str, band.get("bank_profile_ids") or ()))
    for name in ("sequence", "excluded"):
        found.update(str(e.get("bank_profile_id")) for e in _dicts(row.proposal.get(name)))
    return sorted(found)


def _asked_because(document: Mapping[str, object]) -> str:
    """Read why somebody asked for it; what SIRA says is said with the first bank."""
    first = next(iter(_dicts(document.get("sequence"))), {})
    reason = str(document.get("reason") or "")
    return "" if reason == first.get("reason") else reason


def _dicts(stored: object) -> Iterable[dict[str, Any]]:
    return [each for each in stored if isinstance(each, dict)] if isinstance(stored, list) else []


def _steps(stored: object, currency: str, language: Language) -> Iterable[Step]:
    """Read banks as a proposal names them, each reason in the reader's language."""
    for each in _dicts(stored):
        why = reasons.read(each.get("why"))
        score = each.get("score")
        yield Step(
            id=str(each.get("bank_profile_id")),
            name=str(each.get("bank_name")),
            role=str(each.get("role") or ""),
            score=None if score is None else Decimal(str(score)),
            cost=each.get("estimated_cost"),
            reason=str(each.get("reason") or "")
            if why is None
            else reasons.sentence(why, language, currency=currency),
        )


def _bands(
    stored: object, names: Mapping[str, str]
) -> Iterable[tuple[int, int | None, tuple[str, ...]]]:
    for each in _dicts(stored):
        banks = tuple(names.get(str(id_), str(id_)) for id_ in each.get("bank_profile_ids") or ())
        yield int(each.get("min_amount") or 0), each.get("max_amount"), banks
