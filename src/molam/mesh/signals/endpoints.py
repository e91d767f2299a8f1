"""Posting what is seen of banks, announcing outages, and asking what SIRA predicts."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request

from molam.kernel import canonical
from molam.kernel.ids import uuid7
from molam.mesh.members import regions
from molam.mesh.members.model import RegionAbsent
from molam.mesh.permissions import POST_HEALTH, PREDICT, SERVICE, VIEW
from molam.mesh.signals import messages, outages, predictions, queries, remote, views
from molam.mesh.signals.messages import HEALTH, HealthReport
from molam.mesh.signals.model import (
    HealthMalformed,
    MissingBank,
    NoHealthData,
    OutageAbsent,
    OutageMalformed,
    PredictionUnavailable,
)
from molam.mesh.signals.outages import Announced, Rail, Source
from molam.payments.banks import queries as banks
from molam.payments.banks.model import BankAbsent
from molam.platform.db import Tx
from molam.platform.events import Event, cloud_event, publish
from molam.platform.web import Caller, Routes
from molam.platform.web.rate_limits import MESH_PREDICT, RateLimited, take
from molam.platform.web.wire import CurrencyCode, Identifier, Moment

routes = Routes()

_Limit = Annotated[int, Meta(ge=1, le=100)]


class Generate(msgspec.Struct, forbid_unknown_fields=True):
    """Which bank to look at; without rail and currency, what most is heard of."""

    bank_profile_id: Identifier | None = None
    mesh_region_id: Identifier | None = None
    rail: Rail | None = None
    currency: CurrencyCode | None = None


class PredictionsAsked(msgspec.Struct, forbid_unknown_fields=True):
    mesh_region_id: Identifier | None = None
    bank_profile_id: Identifier | None = None
    limit: _Limit = 100


class HealthAsked(msgspec.Struct, forbid_unknown_fields=True):
    bank_profile_id: Identifier | None = None
    rail: Rail | None = None
    currency: CurrencyCode | None = None


class OutagesAsked(msgspec.Struct, forbid_unknown_fields=True):
    bank_profile_id: Identifier | None = None
    state: Literal["open", "all"] = "open"
    limit: _Limit = 100


class EndOfOutage(msgspec.Struct, forbid_unknown_fields=True):
    ends_at: Moment


class PredictionAnswer(msgspec.Struct, frozen=True):
    prediction: views.Prediction
    ok: bool = True


class PredictionList(msgspec.Struct, frozen=True):
    predictions: list[views.Prediction]
    ok: bool = True


class HealthList(msgspec.Struct, frozen=True):
    health: list[views.Health]
    ok: bool = True


class OutageAnswer(msgspec.Struct, frozen=True):
    outage: views.Outage
    ok: bool = True


class OutageList(msgspec.Struct, frozen=True):
    outages: list[views.Outage]
    ok: bool = True


class Taken(msgspec.Struct, frozen=True):
    event_id: str
    ok: bool = True


@routes.post(
    "/api/mesh/predictions/generate",
    needs=PREDICT,
    body=Generate,
    answers=PredictionAnswer,
    status=201,
    refuses=(
        canonical.JsonMalformed,
        MissingBank,
        NoHealthData,
        RegionAbsent,
        PredictionUnavailable,
        RateLimited,
    ),
    time_limit_s=30.0,
)
async def generate(request: Request, caller: Caller, body: Generate) -> PredictionAnswer:
    """Let SIRA predict the next hour of a bank. The prediction is signed, and holds 10 minutes."""
    if not body.bank_profile_id:
        raise MissingBank("Name the bank by bank_profile_id.")
    db, mesh = request.app.state.db, request.app.state.mesh
    await take(db, MESH_PREDICT, caller)
    async with db.transaction("mesh.generate_prediction") as tx:
        about = await _about(tx, body.bank_profile_id, body)
        if not mesh.sira_url:
            row = await predictions.predict(
                tx,
                mesh,
                bank_profile_id=about.bank_profile_id,
                mesh_region_id=about.mesh_region_id,
                rail=about.rail,
                currency=about.currency,
            )
            return PredictionAnswer(views.prediction(row))
    return PredictionAnswer(views.prediction(await remote.predict(db, mesh, about)))


async def _about(tx: Tx, bank_id: str, asked: Generate) -> predictions.About:
    region_id = None
    if asked.mesh_region_id is not None:
        region_id = (await regions.get(tx, asked.mesh_region_id)).id
    rail, currency = await predictions.main_of(
        tx, bank_id, rail=asked.rail, currency=asked.currency
    )
    return predictions.About(bank_id, region_id, rail, currency)


@routes.get("/api/mesh/predictions", needs=VIEW, query=PredictionsAsked, answers=PredictionList)
async def list_predictions(
    request: Request, _caller: Caller, query: PredictionsAsked
) -> PredictionList:
    """List predictions, newest first."""
    async with request.app.state.db.transaction("mesh.list_predictions", readonly=True) as tx:
        rows = await predictions.newest(
            tx, region=query.mesh_region_id, bank_id=query.bank_profile_id, limit=query.limit
        )
    return PredictionList([views.prediction(row) for row in rows])


@routes.get("/api/mesh/health", needs=VIEW, query=HealthAsked, answers=HealthList)
async def list_health(request: Request, _caller: Caller, query: HealthAsked) -> HealthList:
    """List what is believed of banks now, for each rail and currency."""
    async with request.app.state.db.transaction("mesh.list_health", readonly=True) as tx:
        rows = await queries.health_of(
            tx,
            currency=query.currency,
            rail=query.rail,
            bank_ids=None if query.bank_profile_id is None else [query.bank_profile_id],
        )
    return HealthList([views.health(row) for row in rows])


@routes.post(
    "/api/mesh/health",
    needs=POST_HEALTH,
    body=HealthReport,
    answers=Taken,
    status=202,
    refuses=(canonical.JsonMalformed, HealthMalformed, BankAbsent),
)
async def post_health(request: Request, caller: Caller, body: HealthReport) -> Taken:
    """
    Report how a bank is doing, as an event of the topic mesh.health would.

    It counts as one thing seen, however many payments it speaks of; one report about a
    bank counts in each ten seconds.
    """
    now = request.app.state.mesh.clock.now()
    if messages.posted(body, now=now) is None:
        raise HealthMalformed("It is more than eight days old, and says nothing of now.")
    event_id = str(uuid7(now))
    event = cloud_event(
        id_=event_id,
        source=f"molam/api/{caller.subject}",
        type_=HEALTH,
        subject=body.bank_profile_id,
        time=now,
        data=msgspec.to_builtins(body),
    )
    async with request.app.state.db.transaction("mesh.post_health") as tx:
        await banks.get_bank(tx, body.bank_profile_id)
        await publish(tx, [Event(HEALTH, body.bank_profile_id, event)])
    return Taken(event_id)


@routes.post(
    "/api/mesh/outages",
    needs=POST_HEALTH,
    body=Announced,
    answers=OutageAnswer,
    status=201,
    refuses=(canonical.JsonMalformed, BankAbsent, OutageMalformed),
)
async def announce_outage(request: Request, caller: Caller, body: Announced) -> OutageAnswer:
    """Announce that a bank is down, or will be. It counts until it ends, or somebody ends it."""
    mesh = request.app.state.mesh
    async with request.app.state.db.transaction("mesh.announce_outage") as tx:
        # Who speaks for a bank is a service that was given a token for it, and nobody else.
        source: Source = "bank" if SERVICE in caller.roles else "operator"
        row = await outages.announce(tx, mesh, body, by=caller.subject, source=source)
    return OutageAnswer(views.outage(row))


@routes.get("/api/mesh/outages", needs=VIEW, query=OutagesAsked, answers=OutageList)
async def list_outages(request: Request, _caller: Caller, query: OutagesAsked) -> OutageList:
    """List announced outages: those that have not ended, or all."""
    async with request.app.state.db.transaction("mesh.list_outages", readonly=True) as tx:
        rows = await outages.list_of(
            tx, bank_id=query.bank_profile_id, only_open=query.state == "open", limit=query.limit
        )
    return OutageList([views.outage(row) for row in rows])


@routes.put(
    "/api/mesh/outages/{outage_id}",
    needs=POST_HEALTH,
    body=EndOfOutage,
    answers=OutageAnswer,
    refuses=(canonical.JsonMalformed, OutageAbsent, OutageMalformed),
)
async def move_end(request: Request, _caller: Caller, body: EndOfOutage) -> OutageAnswer:
    """Say when an announced outage ends."""
    return await _end(request, body.ends_at)


@routes.delete(
    "/api/mesh/outages/{outage_id}",
    needs=POST_HEALTH,
    answers=OutageAnswer,
    refuses=(OutageAbsent, OutageMalformed),
)
async def end_outage(request: Request, _caller: Caller) -> OutageAnswer:
    """End an announced outage now."""
    return await _end(request, None)


async def _end(request: Request, ends_at: Moment | None) -> OutageAnswer:
    try:
        outage_id = UUID(request.path_params["outage_id"])
    except ValueError:
        raise OutageAbsent("Outages are listed by GET /api/mesh/outages.") from None
    mesh = request.app.state.mesh
    async with request.app.state.db.transaction("mesh.end_outage") as tx:
        return OutageAnswer(views.outage(await outages.end(tx, mesh, outage_id, ends_at=ends_at)))
