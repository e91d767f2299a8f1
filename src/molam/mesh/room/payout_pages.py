"""The page where people pick payouts: to lead them to another bank, or to ask for them back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals import commands as engine
from molam.approvals.model import REASON_LENGTH_MIN, NewAction
from molam.kernel.refusals import Refusal
from molam.mesh import permissions
from molam.mesh.control import recalling
from molam.mesh.control.override_actions import OVERRIDE, PAYOUTS_MAX
from molam.mesh.room import frame, payout_store, proposal_store
from molam.mesh.room.ballots import actor_of
from molam.mesh.room.payout_store import PayoutRow
from molam.mesh.room.saying import refused_as, said_as, sign_in_again, to
from molam.payments.payouts.recall_actions import RECALL_PAYOUTS, RecallPayouts
from molam.payments.payouts.recall_model import ReasonCode
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said

routes = Routes()

PICKS_MAX = 40
"""So many rows a page has; a form takes 64 fields."""
_BANKS_MAX = 500
_BODY_BYTES_MAX = 256 * 1024
_END = datetime(9999, 1, 1, tzinfo=UTC)

Word = Annotated[str, Meta(max_length=255)]
Show = Literal["waiting", "sent"]


class PayoutsShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    show: Show = "waiting"
    bank: Word = ""
    currency: Annotated[str, Meta(max_length=3)] = ""
    proposal: Word = ""
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    said: Annotated[str, Meta(max_length=32)] | None = None


class PayoutsWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done with which payouts; rows that were ticked are fields of their own."""

    act: Literal["look", "ask"] = "look"
    show: Show = "waiting"
    bank: Word = ""
    currency: Annotated[str, Meta(max_length=3)] = ""
    proposal: Word = ""
    every: Literal["", "yes"] = ""
    """All that the filters find, up to a thousand."""
    ids: Annotated[str, Meta(max_length=200_000)] = ""
    to_bank: Word = ""
    reason_code: ReasonCode = "TECH"
    reason: Annotated[str, Meta(max_length=500)] = ""


_Picks = msgspec.defstruct(
    "PayoutPicks",
    [(f"pick_{number}", Word, "") for number in range(PICKS_MAX)],
    bases=(PayoutsWanted,),
    frozen=True,
    forbid_unknown_fields=True,
)


class Position(msgspec.Struct, frozen=True, array_like=True):
    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would happen to the payouts that were picked; nothing has yet."""

    ids: tuple[str, ...]
    changes: Sequence[dict[str, Any]]
    amount: dict[str, Any] | None
    to_bank: str | None


@routes.get("/payouts", needs=permissions.USE_ROOM, page=True, query=PayoutsShown)
async def listed(request: Request, caller: Caller, query: PayoutsShown) -> Response:
    """List payouts that wait, or that banks have, newest first."""
    return await _page(request, caller, query, said=said_as(query.said))


@routes.post(
    "/payouts/override",
    needs=permissions.ROLL_BACK,
    page=True,
    form=True,
    body=_Picks,
    body_bytes_max=_BODY_BYTES_MAX,
)
async def override(request: Request, caller: Caller, form: PayoutsWanted) -> Response:
    """Show what leading the picked payouts elsewhere would do, or ask others for it."""
    ids = await _picked(request, form)
    asked = NewAction(
        origin="ops_ui",
        action_type=OVERRIDE,
        params={
            "bank_profile_id": form.to_bank,
            "payout_ids": list(ids),
            **({"from_bank_profile_id": form.bank} if form.bank else {}),
            **({"reason": form.reason.strip()} if form.reason.strip() else {}),
        },
    )
    try:
        if form.act == "look":
            return await _look(request, caller, form, asked, ids=ids)
        await engine.create(request.app.state.runtime, asked, actor_of(caller))
    except Refusal as refusal:
        return await _refused(request, caller, form, refusal)
    return to(f"/payouts?{urlencode(_filters(form))}", "override-asked")


@routes.post(
    "/payouts/recall",
    needs=permissions.ROLL_BACK,
    page=True,
    form=True,
    body=_Picks,
    body_bytes_max=_BODY_BYTES_MAX,
)
async def recall(request: Request, caller: Caller, form: PayoutsWanted) -> Response:
    """Show whose banks would be asked to give the picked payouts back, or ask for that."""
    ids, state = await _picked(request, form), request.app.state
    reason = form.reason.strip()
    if form.act == "ask" and len(reason) < REASON_LENGTH_MIN:
        return await _page(request, caller, _shown(form), said=said_as("reason-short"), form=form)
    params: dict[str, Any] = {
        "payout_ids": list(ids),
        "reason_code": form.reason_code,
        "reason": reason or "-",
        **({"proposal_id": form.proposal} if form.proposal else {}),
    }
    try:
        if form.act == "look":
            asked = NewAction(origin="ops_ui", action_type=RECALL_PAYOUTS, params=params)
            return await _look(request, caller, form, asked, ids=ids)
        wish = msgspec.convert(params, RecallPayouts)
        done = await recalling.recall(state.mesh, wish, actor_of(caller))
    except StepUpRequired as refusal:
        return sign_in_again("/recalls", refusal)
    except Refusal as refusal:
        return await _refused(request, caller, form, refusal)
    return to("/recalls", "recalled" if done.is_done else "recall-asked")


async def _look(
    request: Request,
    caller: Caller,
    form: PayoutsWanted,
    asked: NewAction,
    *,
    ids: tuple[str, ...],
) -> Response:
    runtime = request.app.state.runtime
    _, plan = await engine.rehearse_only(runtime.db, runtime.registry, asked)
    found = Rehearsal(ids, plan["changes"], plan.get("amount"), form.to_bank or None)
    return await _page(request, caller, _shown(form), found=found, form=form)


async def _picked(request: Request, form: PayoutsWanted) -> tuple[str, ...]:
    """Name the payouts that were ticked, written down, or are all that the filters find."""
    fields = msgspec.structs.asdict(form)
    ticked = [str(fields.get(f"pick_{number}", "")) for number in range(PICKS_MAX)]
    found = [each for each in (*ticked, *form.ids.split()) if each]
    if form.every:
        rows = await _rows(request, _shown(form), Position(_END, ""), limit=PAYOUTS_MAX)
        found += [row.id for row in rows]
    return tuple(dict.fromkeys(found))


async def _rows(
    request: Request, query: PayoutsShown, begins: Position, *, limit: int
) -> list[PayoutRow]:
    found: list[PayoutRow] = await request.app.state.db.read(
        payout_store.LIST_PAYOUTS,
        show=query.show,
        bank=query.bank or None,
        currency=query.currency or None,
        proposal=query.proposal or None,
        at=begins.at,
        id=begins.id,
        limit=limit,
    )
    return found


def _shown(form: PayoutsWanted) -> PayoutsShown:
    return PayoutsShown(form.show, form.bank, form.currency, form.proposal)


def _filters(query: PayoutsShown | PayoutsWanted) -> dict[str, str]:
    said = {"bank": query.bank, "currency": query.currency, "proposal": query.proposal}
    return {"show": query.show, **{name: value for name, value in said.items() if value}}


async def _refused(
    request: Request, caller: Caller, form: PayoutsWanted, refusal: Refusal
) -> Response:
    if isinstance(refusal, StepUpRequired):
        return sign_in_again(f"/payouts?{urlencode(_filters(form))}", refusal)
    said = refused_as(request, caller, refusal, names_others=True)
    return await _page(request, caller, _shown(form), said=said, form=form)


async def _page(
    request: Request,
    caller: Caller,
    query: PayoutsShown,
    *,
    said: Said | None = None,
    found: Rehearsal | None = None,
    form: PayoutsWanted | None = None,
) -> Response:
    state, filters = request.app.state, _filters(query)
    begins = Position(_END, "")
    if query.cursor is not None:
        begins = state.mesh_cursors.open(query.cursor, Position, filters=["payouts", filters])
    rows, banks = await asyncio.gather(
        _rows(request, query, begins, limit=PICKS_MAX + 1),
        state.db.read(proposal_store.LIST_ALL_BANKS, limit=_BANKS_MAX),
    )
    shown, older = rows[:PICKS_MAX], None
    if len(rows) > PICKS_MAX:
        last = shown[-1]
        ends = Position(last.scheduled_for, last.id)
        sealed = state.mesh_cursors.seal(ends, filters=["payouts", filters])
        older = "/payouts?" + urlencode(filters | {"cursor": sealed})
    response = await frame.page(
        request,
        caller,
        "payouts.html",
        place="payouts",
        rows=shown,
        asked=query,
        filters=urlencode({name: value for name, value in filters.items() if name != "show"}),
        banks=banks,
        names={each.id: each.name for each in banks},
        found=found,
        form=form or PayoutsWanted(),
        older=older,
        first=None if query.cursor is None else "/payouts?" + urlencode(filters),
        acts=frame.may(caller, permissions.ROLL_BACK),
        most=PAYOUTS_MAX,
        proposal=quote(query.proposal, safe=""),
        said=said,
    )
    if said is not None and said.hue != "green":
        response.status_code = 422
    return response
