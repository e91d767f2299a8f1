"""Asking for an action: a form made from its type, and a rehearsal before anything is asked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.approvals import commands
from molam.approvals.drafts import Asked, Draft, draft_of
from molam.approvals.intents import intent_of, plan_json, rehearse
from molam.approvals.model import Actor, Auth, NewAction, Unsatisfiable
from molam.approvals.policy import rule_words
from molam.approvals.policy.rules import read_rules
from molam.kernel.currency import CURRENCIES, Currency
from molam.kernel.refusals import Kind, Refusal
from molam.ops import forms, permissions
from molam.ops.shell import framed
from molam.ops.views import PlanView, amount_of, plan_view, sentence_of
from molam.platform.actions import ActionType, Amount, UnknownActionType
from molam.platform.db import Database
from molam.platform.web import Caller, Routes, catalogue, wire
from molam.platform.web.csrf import FIELD
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of
from molam.tenancy import queries as tenancy

routes = Routes()

WHY_LENGTH_MAX = 2000
_TEXT_LENGTH_MAX = 500
# Asked for by saving a policy, and by other modules, with what no form can hold.
_NOT_BY_FORM = frozenset({"CHANGE_APPROVAL_POLICY", "RISK_APPROVAL", "LIFT_FREEZE"})
_SHOWN_AS_PAGE = frozenset({Kind.BROKEN_RULE, Kind.CONFLICT, Kind.ABSENT, Kind.MALFORMED})


@dataclass(frozen=True, slots=True)
class Refused:
    """Why asking did not work, in the reader's language, beside the form."""

    message: str
    detail: str
    action_id: str | None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What would happen, and who would have to agree."""

    sentence: str
    target_name: str
    amount: Amount | None
    plan: PlanView
    policy_name: str
    policy_words: str
    people: tuple[str, ...]


def actor_of(caller: Caller) -> Actor:
    """Say who acts, and how they proved who they are, to the engine."""
    return Actor(
        id=caller.subject,
        roles=caller.roles,
        auth=Auth(acr=caller.acr, auth_time=caller.auth_time),
        channel="console",
        ip=caller.ip,
        user_agent=caller.user_agent,
    )


@routes.get("/ops/propose", needs=permissions.PROPOSE, page=True)
async def choose(request: Request, caller: Caller) -> Response:
    """List what can be asked for."""
    known = [
        each
        for each in request.app.state.runtime.registry
        if each.name not in _NOT_BY_FORM and not each.is_asked_by_code
    ]
    types = sorted(known, key=lambda each: each.name)
    return await framed(request, caller, "propose_list.html", place="queue", types=types)


@routes.get(
    "/ops/propose/{type}", needs=permissions.PROPOSE, page=True, refuses=(UnknownActionType,)
)
async def begin(request: Request, caller: Caller) -> Response:
    """Show the form of one action type, filled with what the address says."""
    type_ = _type(request)
    given = {key: value[:_TEXT_LENGTH_MAX] for key, value in request.query_params.items()}
    return await _form(request, caller, type_, given)


@routes.post(
    "/ops/propose/{type}",
    needs=permissions.PROPOSE,
    page=True,
    form=True,
    refuses=(UnknownActionType,),
)
async def propose(request: Request, caller: Caller) -> Response:
    """Rehearse what was typed and show it, or ask for it when that was shown."""
    state = request.app.state
    type_ = _type(request)
    typed = await wire.read_form(request)
    typed.pop(FIELD, None)
    fields = forms.fields_of(type_.params)
    filled = forms.fill(fields, typed, await _unit(state.db, typed))
    if filled.errors:
        return await _form(request, caller, type_, typed, errors=filled.errors)
    asked = _asked(type_, filled.params, caller, typed)
    try:
        if typed.get("step") == "submit":
            return await _submit(request, caller, asked)
        rehearsed = await preview(state, caller, asked, language_of(request, caller))
        return await _form(request, caller, type_, typed, rehearsed=rehearsed)
    except Refusal as refusal:
        if refusal.kind not in _SHOWN_AS_PAGE:
            raise
        shown = refused(refusal, language_of(request, caller))
        return await _form(request, caller, type_, typed, refused=shown)


def _type(request: Request) -> ActionType[Any]:
    name = request.path_params["type"]
    if name in _NOT_BY_FORM:
        raise UnknownActionType("It is not asked for by a form.")
    found: ActionType[Any] = request.app.state.runtime.registry.find(name)
    return found


def _asked(
    type_: ActionType[Any], params: Mapping[str, Any], caller: Caller, typed: Mapping[str, str]
) -> NewAction:
    why = typed.get("why", "").strip()[:WHY_LENGTH_MAX]
    # A name of the form and not of its content: sent twice, it asks once; and the same
    # thing asked for again next week is asked for again.
    key = f"console/{caller.subject}/{typed.get('form_id', '')[:64]}"
    return NewAction(
        origin="ops_ui",
        action_type=type_.name,
        params=dict(params),
        idempotency_key=key,
        context={"note": why} if why else {},
    )


async def _submit(request: Request, caller: Caller, asked: NewAction) -> Response:
    runtime = request.app.state.runtime
    created = await commands.create(runtime, asked, actor_of(caller))
    said = "created" if created.is_new else "replayed"
    return RedirectResponse(
        f"/ops/actions/{created.row.id}?said={said}", status_code=HTTPStatus.SEE_OTHER
    )


async def preview(state: State, caller: Caller, asked: NewAction, language: Language) -> Rehearsed:
    """
    Say what would happen and who would have to agree, and leave no trace.

    Raises: as creating it would.
    """
    async with state.db.transaction("ops.preview", readonly=True) as tx:
        intent = await intent_of(tx, state.runtime.registry, asked)
        plan = await rehearse(tx, intent)
        whole = Asked(intent, plan, intent.request_hash(asked))
        draft: Draft | None = None
        try:
            draft = await draft_of(
                tx, state.runtime.book, asked, actor_of(caller), asked=whole, ruling=None
            )
        except Unsatisfiable:
            # Shown as such, beside what would happen; asking for it would be refused.
            draft = None
    shown = plan_json(intent, plan)
    words = ""
    if draft is not None:
        rules = read_rules(draft.values["policy_snapshot"]["rules"])
        words = rule_words.sentence(rules, language)
    return Rehearsed(
        sentence=sentence_of(shown, language),
        target_name=plan.target_name,
        amount=amount_of(shown),
        plan=plan_view(shown, beneficiary=plan.beneficiary),
        policy_name="" if draft is None else draft.values["policy_name"],
        policy_words=words,
        people=() if draft is None else tuple(each.name for each in draft.electors),
    )


async def _form(
    request: Request, caller: Caller, type_: ActionType[Any], given: Mapping[str, str], **shown: Any
) -> Response:
    fields = forms.fields_of(type_.params)
    known = {each.name for each in fields}
    context = {"errors": {}, "refused": None, "rehearsed": None, **shown}
    return await framed(
        request,
        caller,
        "propose.html",
        place="queue",
        type=type_,
        fields=fields,
        given={key: value for key, value in given.items() if key in known},
        texts=forms.free_texts({each.name: given.get(each.name) for each in fields}),
        why=given.get("why", ""),
        form_id=given.get("form_id") or secrets.token_urlsafe(12),
        **context,
    )


async def _unit(db: Database, typed: Mapping[str, str]) -> Currency | None:
    """Find the currency that a bare amount has: that of whom it is about."""
    code: str | None = None
    try:
        if typed.get("agent_id"):
            async with db.transaction("ops.currency_of", readonly=True) as tx:
                code = (await tenancy.get_agent(tx, typed["agent_id"])).currency
        elif typed.get("merchant_id"):
            code = (await tenancy.get_merchant(db, typed["merchant_id"])).default_currency
    except (tenancy.AgentAbsent, tenancy.MerchantAbsent):
        # The rehearsal says so, in its own words.
        return None
    return None if code is None else CURRENCIES.get(code)


def refused(refusal: Refusal, language: Language) -> Refused:
    """Say a refusal in the reader's language, for a page to show beside its form."""
    cause = str(refusal.facts.get("cause", refusal.code))
    action = refusal.facts.get("action_id")
    return Refused(
        message=catalogue.sentence(cause, fallback=refusal.title, locale=language),
        detail=refusal.detail,
        action_id=None if action is None else str(action),
    )
