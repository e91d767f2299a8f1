"""The page that breaks a simulated bank on purpose, and shows what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Protocol, cast
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Kind, Refusal
from molam.mesh import permissions
from molam.mesh.room import frame
from molam.mesh.room.live import stream_of
from molam.mesh.room.saying import refused_as, said_as, to, whole_number, wrong_number
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said

routes = Routes()

_LISTED_MAX = 10
MINUTES = (1, 60)
PAYOUTS = (1, 200)

StepName = Literal["began", "failed", "detected", "decided", "applied", "reconciled"]


class Drill(Protocol):
    """A drill, as whoever runs drills tells of it."""

    @property
    def id(self) -> str: ...
    @property
    def bank_profile_id(self) -> str: ...
    @property
    def bank_name(self) -> str: ...
    @property
    def severity(self) -> Decimal: ...
    @property
    def minutes(self) -> int: ...
    @property
    def payouts(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def started_by(self) -> str: ...
    @property
    def asked_at(self) -> datetime: ...
    @property
    def began_at(self) -> datetime | None: ...
    @property
    def ends_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime | None: ...


class Progress(Protocol):
    """When each step of a drill happened; None while it has not."""

    @property
    def first_failure_at(self) -> datetime | None: ...
    @property
    def detected_at(self) -> datetime | None: ...
    @property
    def proposal_id(self) -> str | None: ...
    @property
    def proposal_status(self) -> str | None: ...
    @property
    def decided_at(self) -> datetime | None: ...
    @property
    def applied_at(self) -> datetime | None: ...
    @property
    def asks_people(self) -> bool: ...
    @property
    def moved(self) -> int: ...
    @property
    def left_behind(self) -> int: ...
    @property
    def reconciled(self) -> int: ...
    @property
    def reconciled_at(self) -> datetime | None: ...
    @property
    def paid(self) -> int: ...
    @property
    def made(self) -> int: ...


class Drills(Protocol):
    """
    Whoever runs drills: `app.state.drills`, or None where no bank is simulated.

    *start* raises a Refusal for a bank that cannot be broken now.
    """

    async def banks(self) -> Sequence[tuple[str, str]]: ...
    async def start(
        self, bank: str, *, severity: Decimal, minutes: int, payouts: int, by: str
    ) -> str: ...
    async def stop(self, drill_id: str) -> None: ...
    async def find(self, drill_id: str) -> Drill | None: ...
    async def newest(self, limit: int) -> Sequence[Drill]: ...
    async def progress(self, drill_id: str) -> Progress | None: ...


class DrillAbsent(Refusal):
    code = "drill-absent"
    kind = Kind.ABSENT
    title = "There is no such drill"


class DrillsUnavailable(Refusal):
    code = "drills-unavailable"
    kind = Kind.CONFLICT
    title = "Drills cannot be run here"


class DrillQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None
    live: Literal["0"] | None = None


class DrillWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank: Annotated[str, Meta(max_length=64)] = ""
    severity: Literal["0.2", "0.5", "0.95", "1"] = "0.95"
    # As they were typed: what is no number is shown again, with what it should be.
    minutes: Annotated[str, Meta(max_length=16)] = ""
    payouts: Annotated[str, Meta(max_length=16)] = ""


_USUAL = DrillWanted(minutes="5", payouts="40")


class Stopped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A form with nothing to fill in."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A step of a drill: when, how long after the step before, and after the beginning."""

    name: StepName
    at: datetime | None
    after_s: float | None
    since_start_s: float | None


@dataclass(frozen=True, slots=True)
class DrillPage:
    drill: Drill
    progress: Progress
    marks: tuple[Mark, ...]

    @property
    def waits_for_people(self) -> bool:
        return self.progress.applied_at is None and self.progress.asks_people


@routes.get("/drill", needs=permissions.USE_ROOM, page=True, query=DrillQuery)
async def start_page(request: Request, caller: Caller, query: DrillQuery) -> Response:
    """Say what a drill does, and offer one."""
    return await _form(request, caller, _USUAL, said=said_as(query.said))


@routes.post(
    "/drill",
    needs=permissions.DRILL,
    page=True,
    form=True,
    body=DrillWanted,
    refuses=(DrillsUnavailable,),
)
async def start(request: Request, caller: Caller, form: DrillWanted) -> Response:
    """Break the bank, as ``molam drill outage`` does."""
    drills = _drills(request.app.state)
    minutes, payouts = whole_number(form.minutes, MINUTES), whole_number(form.payouts, PAYOUTS)
    if minutes is None or payouts is None:
        wrong = ("minutes", MINUTES) if minutes is None else ("payouts", PAYOUTS)
        said = wrong_number(request, caller, *wrong)
        return await _form(request, caller, form, said=said, status=422)
    try:
        if drills is None:
            raise DrillsUnavailable("No bank is simulated here.")
        drill_id = await drills.start(
            form.bank,
            severity=Decimal(form.severity),
            minutes=minutes,
            payouts=payouts,
            by=caller.subject,
        )
    except Refusal as refusal:
        said = refused_as(request, caller, refusal)
        return await _form(request, caller, form, said=said, status=409)
    return to(f"/drill/{quote(drill_id, safe='')}", "drill-asked")


@routes.get(
    "/drill/{id}",
    needs=permissions.USE_ROOM,
    page=True,
    query=DrillQuery,
    refuses=(DrillAbsent,),
)
async def watch(request: Request, caller: Caller, query: DrillQuery) -> Response:
    """Show a drill while it happens, and afterwards."""
    page = await read_drill(request.app.state, request.path_params["id"])
    return await frame.page(
        request,
        caller,
        "drill_watch.html",
        place="drill",
        live=query.live is None,
        page=page,
        said=said_as(query.said),
        drills=frame.may(caller, permissions.DRILL),
    )


@routes.get("/drill/{id}/live", needs=permissions.USE_ROOM, page=True, refuses=(DrillAbsent,))
async def stream(request: Request, caller: Caller) -> Response:
    """Stream a drill's steps as they happen."""
    state, id_ = request.app.state, request.path_params["id"]
    await read_drill(state, id_)
    return stream_of(
        request, caller, "_drill_live.html", read=lambda: read_drill(state, id_), about=id_
    )


@routes.post(
    "/drill/{id}/stop",
    needs=permissions.DRILL,
    page=True,
    form=True,
    body=Stopped,
    refuses=(DrillAbsent,),
)
async def stop(request: Request, _caller: Caller, _form: Stopped) -> Response:
    """Let the bank answer again before the drill's time is over."""
    state, id_ = request.app.state, request.path_params["id"]
    await read_drill(state, id_)
    drills = _drills(state)
    assert drills is not None
    await drills.stop(id_)
    return to(f"/drill/{quote(id_, safe='')}", "drill-stopped")


async def read_drill(state: State, drill_id: str) -> DrillPage:
    """
    Raises:
        DrillAbsent: there is no such drill.
    """
    drills = _drills(state)
    drill = None if drills is None else await drills.find(drill_id)
    progress = None if drills is None or drill is None else await drills.progress(drill_id)
    if drill is None or progress is None:
        raise DrillAbsent("Check the drill's id.")
    return DrillPage(drill, progress, marks_of(drill, progress))


def marks_of(drill: Drill, progress: Progress) -> tuple[Mark, ...]:
    """Put the steps of a drill in order, each with the time since the one before."""
    is_settled = progress.moved > 0 and progress.reconciled == progress.moved
    moments: list[tuple[StepName, datetime | None]] = [
        ("began", drill.began_at),
        ("failed", progress.first_failure_at),
        ("detected", progress.detected_at),
        ("decided", progress.decided_at),
        ("applied", progress.applied_at),
        ("reconciled", progress.reconciled_at if is_settled else None),
    ]
    found: list[Mark] = []
    before: datetime | None = None
    for name, at in moments:
        since = None if at is None or drill.began_at is None else (at - drill.began_at)
        after = None if at is None or before is None else (at - before)
        found.append(
            Mark(
                name,
                at,
                None if after is None else max(after.total_seconds(), 0.0),
                None if since is None else max(since.total_seconds(), 0.0),
            )
        )
        before = at or before
    return tuple(found)


def _drills(state: State) -> Drills | None:
    return cast("Drills | None", getattr(state, "drills", None))


async def _form(
    request: Request,
    caller: Caller,
    asked: DrillWanted,
    *,
    said: Said | None = None,
    status: int = 200,
) -> Response:
    drills = _drills(request.app.state)
    response = await frame.page(
        request,
        caller,
        "drill.html",
        place="drill",
        asked=asked,
        said=said,
        is_possible=drills is not None,
        banks=[] if drills is None else await drills.banks(),
        past=[] if drills is None else await drills.newest(_LISTED_MAX),
        drills=frame.may(caller, permissions.DRILL),
        bounds={"minutes": MINUTES, "payouts": PAYOUTS},
    )
    response.status_code = status
    return response
