"""The team's page: who works here, and adding, changing and removing them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Refusal
from molam.merchant import frame, permissions, proofs, queries, team_commands, team_model
from molam.merchant.proofs import Said
from molam.merchant.team_endpoints import MemberAnswer, member_view
from molam.merchant.team_model import Member, MemberAbsent, NewMember, Role
from molam.platform.auth.step_up import (
    StepUpRequired,
    require_step_up,
    sign_in_address,
    step_up_address,
)
from molam.platform.db import Tx
from molam.platform.web import Caller, Routes, idempotency
from molam.platform.web.wire import BodyMalformed
from molam.tenancy.standing import MerchantFrozen

routes = Routes()

_HERE = "/settings/team"
ROLES: tuple[Role, ...] = ("merchant_admin", "merchant_accountant", "merchant_support")

Typed = Annotated[str, Meta(max_length=255)]


class TeamQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Literal["added", "changed", "removed", "confirm-again"] | None = None


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be done about whom, as it was filled in."""

    step: Literal["add", "change", "remove"]
    email: Typed = ""
    name: Typed = ""
    role: Role | None = None
    person_id: Typed = ""
    admin: Literal["yes"] | None = None
    accountant: Literal["yes"] | None = None
    support: Literal["yes"] | None = None

    def pairs(self) -> dict[str, str]:
        """Return what was typed as pairs for an address or hidden fields."""
        found = msgspec.to_builtins(self)
        assert isinstance(found, dict)
        return {key: str(value) for key, value in found.items() if key != "idempotency_key"}

    @property
    def roles(self) -> frozenset[str]:
        """All that somebody is to be: nothing, when they are removed."""
        if self.step == "remove":
            return frozenset()
        ticked = zip(ROLES, (self.admin, self.accountant, self.support), strict=True)
        return frozenset(role for role, tick in ticked if tick == "yes")


class Confirmed(Form, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The same, after its effect was shown."""

    idempotency_key: Annotated[str, Meta(max_length=64)] = ""


@routes.get(_HERE, needs=permissions.MANAGE_TEAM, page=True, query=TeamQuery)
async def show(request: Request, caller: Caller, query: TeamQuery) -> Response:
    """Show who works here, and how to add somebody."""
    return await _page(request, caller, done=query.said)


@routes.get("/settings/team/review", needs=permissions.MANAGE_TEAM, page=True, query=Form)
async def review(request: Request, caller: Caller, query: Form) -> Response:
    """Show what the change typed would do, and what it takes."""
    team = await _team(request, caller)
    try:
        member = _checked(team, query)
    except Refusal as refusal:
        said = proofs.said(request, caller, refusal)
        return await _page(request, caller, form=query, said=said)
    address = f"{_HERE}/review?{urlencode(query.pairs())}"
    return await frame.page(
        request,
        caller,
        "team_review.html",
        place="settings",
        shop=await queries.settings_of(request.app.state.db, merchant_id=caller.merchant),
        form=query,
        member=member,
        before=sorted(member.roles) if member else [],
        after=sorted(query.roles) if query.step != "add" else [query.role],
        key=proofs.form_key(),
        step_up=step_up_address(request, caller, address),
    )


@routes.post(
    _HERE,
    needs=permissions.MANAGE_TEAM,
    page=True,
    form=True,
    body=Confirmed,
    refuses=(MerchantFrozen,),
)
async def change(request: Request, caller: Caller, form: Confirmed) -> Response:
    """Make the change that was shown."""
    now = request.app.state.clock.now()

    async def work(tx: Tx) -> MemberAnswer:
        if form.step == "add":
            member: Member | None = await team_commands.add(tx, caller, _new(form), now=now)
        else:
            member = await team_commands.set_roles(tx, caller, form.person_id, form.roles, now=now)
        return MemberAnswer(ok=True, member=None if member is None else member_view(member, caller))

    try:
        require_step_up(caller, now=now)
        await idempotency.once_for_form(
            request,
            caller,
            operation=f"POST {_HERE}",
            key=form.idempotency_key or proofs.form_key(),
            asked=form,
            work=work,
        )
    except StepUpRequired:
        return proofs.see(sign_in_address(f"{_HERE}/review?{urlencode(form.pairs())}"))
    except Refusal as refusal:
        said = proofs.said(request, caller, refusal)
        return await _page(request, caller, form=form, said=said)
    words = {"add": "added", "change": "changed", "remove": "removed"}
    return proofs.see(f"{_HERE}?said={words[form.step]}")


def _checked(team: list[Member], form: Form) -> Member | None:
    """
    Find whom *form* is about, and see that it could be done.

    Raises:
        BodyMalformed: it does not say who, or as what.
        MemberAbsent, LastAdmin: it could not.
    """
    if form.step == "add":
        asked = _new(form)
        return next((each for each in team if each.email.lower() == str(asked.email).lower()), None)
    member = team_model.member_of(team, form.person_id)
    if form.step == "change" and not form.roles:
        raise BodyMalformed("Choose at least one role, or remove them.")
    team_model.check_admin_stays(team, form.person_id, form.roles)
    return member


def _new(form: Form) -> NewMember:
    given = {"role": form.role, "email": form.email.strip(), "name": form.name.strip()}
    try:
        return msgspec.convert(given, NewMember)
    except msgspec.ValidationError:
        raise BodyMalformed("Give a name, an e-mail address and a role.") from None


async def _team(request: Request, caller: Caller) -> list[Member]:
    db, merchant_id = request.app.state.db, caller.merchant
    async with db.transaction("merchant.team", merchant_id=merchant_id, readonly=True) as tx:
        return await team_commands.team_of(tx, merchant_id)


async def _page(
    request: Request,
    caller: Caller,
    *,
    done: str | None = None,
    form: Form | None = None,
    said: Said | None = None,
) -> Response:
    team = await _team(request, caller)
    response = await frame.page(
        request,
        caller,
        "team.html",
        place="settings",
        shop=await queries.settings_of(request.app.state.db, merchant_id=caller.merchant),
        team=team,
        only_admin=team_model.admins(team) == {caller.subject},
        roles=ROLES,
        form=form,
        done=done,
        said=said,
    )
    if said is not None:
        absent = said.code == MemberAbsent.code
        response.status_code = HTTPStatus.NOT_FOUND if absent else HTTPStatus.UNPROCESSABLE_ENTITY
    return response
