"""The pages about banks: all of them, and one through time with what is believed of it and why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.kernel.clock import Instant
from molam.mesh import permissions
from molam.mesh.control import practice_store
from molam.mesh.room import bank_store, doubting, frame, overview_store
from molam.mesh.room.overview_pages import ROUTES_MAX, STANDINGS_MAX
from molam.mesh.room.saying import said_as
from molam.mesh.room.standing import Level, Standing, standings
from molam.mesh.room.timeline import Past, Window, past_of
from molam.mesh.runtime import Mesh
from molam.mesh.signals import predictions
from molam.mesh.signals.model import NoHealthData
from molam.mesh.signals.prediction_store import PredictionRow
from molam.payments.banks.model import BankAbsent
from molam.platform.db import Database
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of
from molam.sira.health_sentences import explain_stored

routes = Routes()

_PREDICTIONS_MAX = 100
_SHOWN_PREDICTIONS = 12
_OUTAGES_MAX = 20
_PRACTICES_MAX = 5
_DONE_MAX = 20
_GUESSES_MAX = 400
_STEPS_MAX = 400
# How much of the past is shown, and in steps of how many seconds.
_STEPS_S = {"1": 60, "6": 300, "24": 900, "168": 7200}

Word = Annotated[str, Meta(max_length=64)]


class BanksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    show: Literal["all", "trouble"] = "all"
    q: Annotated[str, Meta(max_length=64)] | None = None


class BankQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rail: Word | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None
    hours: Literal["1", "6", "24", "168"] = "6"
    said: Annotated[str, Meta(max_length=32)] | None = None
    live: Literal["0"] | None = None


class PredictNow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rail: Word
    currency: Annotated[str, Meta(max_length=3)]


@dataclass(frozen=True, slots=True)
class Told:
    """A prediction in the reader's language, and what its signature is worth now."""

    row: PredictionRow
    sentence: str
    signature: Literal["valid", "expired", "refused"]
    parts: tuple[tuple[str, float], ...]

    @property
    def heaviest(self) -> float:
        return max((abs(odds) for _, odds in self.parts), default=1.0) or 1.0


@dataclass(frozen=True, slots=True)
class BankPage:
    profile: bank_store.ProfileRow
    places: tuple[Standing, ...]
    chosen: Standing
    past: Past
    steps: list[bank_store.StepRow]
    outages: list[bank_store.OutageRow]
    done: list[bank_store.DoneRow]
    told: list[Told]
    kept: bank_store.KeptRow
    practices: list[practice_store.RunRow]


@routes.get("/banks", needs=permissions.USE_ROOM, page=True, query=BanksQuery)
async def banks(request: Request, caller: Caller, query: BanksQuery) -> Response:
    """Show all banks, those that need somebody first."""
    db = request.app.state.db
    rows, in_force = await asyncio.gather(
        doubting.standings(db, bank=None, limit=STANDINGS_MAX),
        db.read(overview_store.LIST_ROUTES, limit=ROUTES_MAX),
    )
    found = standings(rows, in_force)
    quiet: frozenset[Level] = frozenset({"well", "unknown"})
    wanted = (query.q or "").strip().casefold()
    shown = [
        each
        for each in found
        if (query.show == "all" or each.level not in quiet)
        and (wanted in f"{each.row.bank_name} {each.row.bank_profile_id}".casefold())
    ]
    return await frame.page(
        request,
        caller,
        "banks.html",
        place="banks",
        rows=shown,
        asked=query,
        troubles=sum(each.level not in quiet for each in found),
        is_cut=len(rows) == STANDINGS_MAX,
    )


@routes.get(
    "/banks/{id}",
    needs=permissions.USE_ROOM,
    page=True,
    query=BankQuery,
    refuses=(BankAbsent,),
)
async def bank(request: Request, caller: Caller, query: BankQuery) -> Response:
    """Show how a bank has been, what is expected of it and why, and what was done about it."""
    page = await _read(request, caller, query)
    return await frame.page(
        request,
        caller,
        "bank.html",
        place="banks",
        page=page,
        asked=query,
        said=said_as(query.said),
        predicts=frame.may(caller, permissions.PREDICT) and page.chosen.row.is_member,
        proposes=frame.may(caller, permissions.PROPOSE) and page.chosen.row.is_member,
    )


@routes.post(
    "/banks/{id}/predict",
    needs=permissions.PREDICT,
    page=True,
    form=True,
    body=PredictNow,
    refuses=(BankAbsent, NoHealthData),
)
async def predict(request: Request, _caller: Caller, form: PredictNow) -> Response:
    """Ask SIRA now, instead of waiting for the next time."""
    state, id_ = request.app.state, request.path_params["id"]
    async with state.db.transaction("mesh.predict_now") as tx:
        if not await predictions.refresh(tx, state.mesh, {(id_, form.rail, form.currency)}):
            raise NoHealthData("No member of the mesh serves this.")
    asked = {"rail": form.rail, "currency": form.currency, "said": "predicted"}
    return RedirectResponse(
        f"/banks/{quote(id_, safe='')}?{urlencode(asked)}", status_code=HTTPStatus.SEE_OTHER
    )


async def _read(request: Request, caller: Caller, query: BankQuery) -> BankPage:
    state, id_ = request.app.state, request.path_params["id"]
    db = state.db
    profiles, rows, in_force = await asyncio.gather(
        db.read(bank_store.FIND_PROFILE, id=id_),
        doubting.standings(db, bank=id_, limit=STANDINGS_MAX),
        db.read(overview_store.LIST_ROUTES, limit=ROUTES_MAX),
    )
    places = standings(rows, in_force)
    if not profiles or not places:
        raise BankAbsent("No bank profile has this id.", bank_profile_id=id_)
    chosen = _chosen(places, query)
    now = state.clock.now()
    step = timedelta(seconds=_STEPS_S[query.hours])
    window = Window(now - timedelta(hours=int(query.hours)), now, step)
    at = {"bank": id_, "since": window.since}
    lane = {"rail": chosen.row.rail, "currency": chosen.row.currency}
    where = at | lane
    steps, guesses, outages, done, kept, practices, told = await asyncio.gather(
        db.read(bank_store.LIST_STEPS, step_s=step.total_seconds(), limit=_STEPS_MAX, **where),
        db.read(bank_store.LIST_GUESSES, limit=_GUESSES_MAX, **where),
        db.read(bank_store.LIST_OUTAGES, limit=_OUTAGES_MAX, **where),
        db.read(bank_store.LIST_DONE, limit=_DONE_MAX, **at),
        db.read(bank_store.FIND_KEPT, bank=id_, **lane),
        db.read(practice_store.LIST_RUNS, region=None, bank=id_, limit=_PRACTICES_MAX),
        _told(state.db, state.mesh, chosen, now=now, language=language_of(request, caller)),
    )
    return BankPage(
        profile=profiles[0],
        places=places,
        chosen=chosen,
        past=past_of(window, steps=steps, guesses=guesses, outages=outages, done=done),
        steps=list(reversed(steps)),
        outages=outages,
        done=done,
        told=told,
        kept=kept[0],
        practices=practices,
    )


def _chosen(places: tuple[Standing, ...], query: BankQuery) -> Standing:
    for each in places:
        if (query.rail or each.row.rail) == each.row.rail and (
            query.currency or each.row.currency
        ) == each.row.currency:
            return each
    return places[0]


async def _told(
    db: Database, mesh: Mesh, chosen: Standing, *, now: Instant, language: Language
) -> list[Told]:
    row = chosen.row
    async with db.transaction("mesh.predictions_of_bank", readonly=True) as tx:
        rows = await predictions.newest(
            tx, region=None, bank_id=row.bank_profile_id, limit=_PREDICTIONS_MAX
        )
    about = [each for each in rows if (each.rail, each.currency) == (row.rail, row.currency)]
    return [_tell(each, mesh, now, language) for each in about[:_SHOWN_PREDICTIONS]]


def _tell(row: PredictionRow, mesh: Mesh, now: Instant, language: Language) -> Told:
    signature: Literal["valid", "expired", "refused"] = "expired"
    if row.valid_until > now:
        signature = "valid" if predictions.is_signed(row, mesh, now) else "refused"
    given: Mapping[str, object] = {
        **row.sira_confidence_intervals,
        **row.explanation,
        "predicted_score": row.predicted_score,
        "p_down": row.p_down,
        "window_minutes": row.prediction_window_minutes,
        "recommended_action": row.recommended_action,
        "served_by": row.served_by,
    }
    sentence = explain_stored(given, language) or row.prediction_reason
    return Told(row, sentence, signature, _parts(row.explanation.get("contributions")))


def _parts(stored: object) -> tuple[tuple[str, float], ...]:
    """Read what moved the odds, the heaviest first."""
    if not isinstance(stored, list):
        return ()
    found = [
        (str(each["name"]), float(Decimal(str(each["log_odds"]))))
        for each in stored
        if isinstance(each, dict) and {"name", "log_odds"} <= each.keys()
    ]
    return tuple(sorted(found, key=lambda part: -abs(part[1])))
