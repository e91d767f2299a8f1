"""The treasury's day: what is where, what will be needed, what to move, and statements."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.approvals.model import TwinOpen, Unsatisfiable
from molam.kernel.refusals import Outage, Refusal
from molam.mesh.liquidity import endpoints, model, planning, plans, queries, transfers
from molam.mesh.liquidity.flow_store import ForecastRow
from molam.mesh.liquidity.looking import reach_of
from molam.mesh.liquidity.plan_store import PlanRow, StepRow, TransferRow
from molam.mesh.liquidity.pool_store import PoolRow
from molam.mesh.liquidity.queries import Position
from molam.mesh.liquidity.reasons import why
from molam.mesh.permissions import ADD_STATEMENTS, DRAW, USE_ROOM
from molam.mesh.room import frame
from molam.mesh.room.ballots import Ballot, ballot_of
from molam.mesh.room.needs import Needs, needs_of
from molam.mesh.room.saying import refused_as, said_as, to
from molam.payments.statements import commands
from molam.payments.statements import model as statements
from molam.payments.statements.commands import Preview, Sent
from molam.payments.statements.endpoints import BODY_BYTES_MAX, FILE_REFUSALS
from molam.payments.statements.formats.files import clean_name
from molam.platform.actions import UnknownActionType
from molam.platform.web import Caller, Routes
from molam.platform.web.framing import Said
from molam.platform.web.templating import language_of
from molam.platform.web.uploads import Upload
from molam.platform.web.wire import CurrencyCode, Identifier

routes = Routes()

_TRANSFERS_MAX = 20
_FILE_TIME_LIMIT_S = 60.0


class TreasuryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Annotated[str, Meta(max_length=32)] | None = None
    bank: Annotated[str, Meta(max_length=64)] | None = None
    currency: CurrencyCode | None = None


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class StatementForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bank: Identifier
    currency: CurrencyCode = "XOF"
    act: Literal["look", "keep"] = "look"


@dataclass(frozen=True, slots=True)
class Account:
    """One account's position, and what it needs until tomorrow night."""

    position: Position
    today: ForecastRow | None
    peak: ForecastRow | None

    @property
    def needed(self) -> int:
        """What must lie there: the floor, and what today may take beyond what waits."""
        reach = reach_of(self.today, self.peak)
        return self.position.row.minimum_float + max(0, reach - self.position.row.waiting)

    @property
    def spare(self) -> int:
        return self.position.after_waiting - self.needed


@dataclass(frozen=True, slots=True)
class Sum:
    """All accounts of one currency."""

    currency: str
    held: int
    in_flight: int
    waiting: int
    arriving: int
    pooled: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The newest plan, and the accounts whose days it changes."""

    row: PlanRow
    steps: list[StepRow]
    why: dict[int, str]
    effects: list[dict[str, object]]
    ballot: Ballot | None = None
    """Who has agreed to it, and who could; None while nobody has been asked."""

    @property
    def today(self) -> list[StepRow]:
        return [step for step in self.steps if step.day <= self.row.first_day]


@dataclass(frozen=True, slots=True)
class TreasuryPage:
    accounts: list[Account]
    sums: list[Sum]
    chosen: Account | None
    needs: Needs | None
    plan: Planned | None
    moving: list[TransferRow]
    pools: list[PoolRow]

    @property
    def short(self) -> list[Account]:
        return [each for each in self.accounts if each.spare < 0]


@routes.get("/treasury", needs=USE_ROOM, page=True, query=TreasuryQuery)
async def treasury(request: Request, caller: Caller, query: TreasuryQuery) -> Response:
    """Show the treasury's day."""
    return await _page(request, caller, query, said=said_as(query.said))


@routes.post(
    "/treasury/plan",
    needs=DRAW,
    page=True,
    form=True,
    body=NoFields,
    time_limit_s=endpoints.TIME_LIMIT_S,
)
async def plan_anew(request: Request, caller: Caller, _form: NoFields) -> Response:
    """Plan anew from what is known now; nothing moves yet."""
    state = request.app.state
    try:
        await planning.make(
            state.db,
            region=None,
            days=planning.DAYS,
            by=caller.subject,
            now=state.mesh.clock.now(),
        )
    except Outage:
        return to("/treasury", "plan-failed")
    return to("/treasury", "planned")


@routes.post(
    "/treasury/plan/{id}/execute",
    needs=DRAW,
    page=True,
    form=True,
    body=NoFields,
    refuses=(*plans.REFUSES, Unsatisfiable, TwinOpen, UnknownActionType),
)
async def ask_for_plan(request: Request, caller: Caller, _form: NoFields) -> Response:
    """Ask for the plan to be carried out; others must agree."""
    try:
        await endpoints.ask(request, caller, request.path_params["id"])
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    return to("/treasury", "plan-asked")


@routes.post(
    "/treasury/transfers/{id}/receive",
    needs=DRAW,
    page=True,
    form=True,
    body=NoFields,
    refuses=(model.TransferAbsent,),
)
async def receive(request: Request, caller: Caller, _form: NoFields) -> Response:
    """Say that a transfer has arrived."""
    state = request.app.state
    async with state.db.transaction("mesh.receive_transfer") as tx:
        await transfers.receive(
            tx, request.path_params["id"], by=caller.subject, at=state.mesh.clock.now()
        )
    return to("/treasury", "received")


@routes.post(
    "/treasury/statements",
    needs=ADD_STATEMENTS,
    page=True,
    form=True,
    upload=True,
    body=StatementForm,
    body_bytes_max=BODY_BYTES_MAX,
    time_limit_s=_FILE_TIME_LIMIT_S,
    refuses=FILE_REFUSALS,
)
async def add_statement(
    request: Request, caller: Caller, form: StatementForm, sent: Upload | None
) -> Response:
    """Read a statement and show what it would bring, or take it in."""
    state = request.app.state
    try:
        if sent is None:
            raise statements.StatementMalformed("Choose a file.")
        file = Sent(
            bank_profile_id=form.bank,
            content=sent.content,
            file_name=clean_name(sent.file_name),
            default_currency=form.currency,
        )
        if form.act == "look":
            found = await commands.preview(state.db, file)
            return await _page(request, caller, TreasuryQuery(), found=found, file=form)
        now = state.mesh.clock.now()
        done = await commands.import_statement(state.db, file, by=caller.subject, now=now)
    except Refusal as refusal:
        return await _refused(request, caller, refusal)
    if done.is_new:
        await transfers.confirm_by_statements(state.db, now=now)
    return to("/treasury", "statement-imported" if done.is_new else "statement-known")


async def _refused(request: Request, caller: Caller, refusal: Refusal) -> Response:
    said = refused_as(request, caller, refusal)
    answer = await _page(request, caller, TreasuryQuery(), said=said)
    answer.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    return answer


async def _page(
    request: Request,
    caller: Caller,
    query: TreasuryQuery,
    *,
    said: Said | None = None,
    found: Sequence[Preview] = (),
    file: StatementForm | None = None,
) -> Response:
    db = request.app.state.db
    return await frame.page(
        request,
        caller,
        "treasury.html",
        place="treasury",
        page=await _read(request, caller, query),
        acts=frame.may(caller, DRAW),
        ops_url=getattr(request.app.state, "ops_url", None),
        adds_statements=frame.may(caller, ADD_STATEMENTS),
        banks=await queries.banks(db),
        found=found,
        file=file,
        megabytes=statements.FILE_BYTES_MAX // 1024**2,
        said=said,
    )


async def _read(request: Request, caller: Caller, query: TreasuryQuery) -> TreasuryPage:
    db = request.app.state.db
    positions, ahead, pools, newest, moving = await asyncio.gather(
        queries.positions(db),
        queries.forecasts(db),
        queries.pools(db),
        queries.newest_plan(db),
        queries.transfers(db, limit=_TRANSFERS_MAX),
    )
    by_account: dict[tuple[str, str], list[ForecastRow]] = defaultdict(list)
    peaks: dict[tuple[str, str], ForecastRow] = {}
    for row in ahead:
        account = (row.bank_profile_id, row.currency)
        if row.measure == "net_outflow":
            by_account[account].append(row)
        else:
            peaks.setdefault(account, row)
    accounts = []
    for each in positions:
        account = (each.row.bank_profile_id, each.row.currency)
        first = next(iter(by_account[account]), None)
        accounts.append(Account(each, first, peaks.get(account)))
    chosen = _chosen(accounts, query)
    needs = None
    if chosen is not None:
        account = (chosen.position.row.bank_profile_id, chosen.position.row.currency)
        past = await queries.flows(db, *account, days=40)
        needs = needs_of(past, by_account[account])
    planned = None
    if newest is not None:
        steps = await queries.steps(db, newest.id)
        language = language_of(request, caller)
        said = {step.step_no: why(step, language) for step in steps}
        ballot = None
        if newest.state == "waiting":
            runtime = request.app.state.runtime
            ballot = await ballot_of(runtime, newest.ops_action_id, caller, locale=language)
        planned = Planned(newest, steps, said, _touched(newest, steps), ballot)
    return TreasuryPage(accounts, _sums(accounts, pools), chosen, needs, planned, moving, pools)


def _chosen(accounts: Sequence[Account], query: TreasuryQuery) -> Account | None:
    """Choose the account asked for, or else the one that most is missing from."""
    for each in accounts:
        if (each.position.row.bank_profile_id, each.position.row.currency) == (
            query.bank,
            query.currency,
        ):
            return each
    known = [each for each in accounts if each.today is not None]
    return min(known or accounts, key=lambda each: each.spare, default=None)


def _sums(accounts: Sequence[Account], pools: Sequence[PoolRow]) -> list[Sum]:
    codes = dict.fromkeys(each.position.row.currency for each in accounts)
    found = []
    for code in codes:
        mine = [each.position for each in accounts if each.position.row.currency == code]
        found.append(
            Sum(
                code,
                held=sum(each.row.balance for each in mine),
                in_flight=sum(each.row.in_flight for each in mine),
                waiting=sum(each.row.waiting for each in mine),
                arriving=sum(each.row.arriving for each in mine),
                pooled=sum(pool.total_available for pool in pools if pool.currency == code),
            )
        )
    return found


def _touched(plan: PlanRow, steps: Sequence[StepRow]) -> list[dict[str, object]]:
    """Leave out the accounts that a plan does nothing with."""
    touched = {(step.to_bank_id, step.to_currency) for step in steps}
    touched |= {(step.from_bank_id or "", step.currency) for step in steps}
    touched |= {(str(each["bank_profile_id"]), str(each["currency"])) for each in plan.shortages}
    names = {step.to_bank_id: step.to_bank for step in steps}
    names |= {step.from_bank_id or "": step.from_bank or "" for step in steps}
    return [
        each | {"bank": names.get(str(each["bank_profile_id"]), str(each["bank_profile_id"]))}
        for each in plan.effects
        if (str(each["bank_profile_id"]), str(each["currency"])) in touched
    ]
