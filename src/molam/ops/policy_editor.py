"""Writing a policy: tried against what is in force and what was asked for, then saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from molam.approvals.policy import criteria, policies, rule_words
from molam.approvals.policy.document import document_of, document_of_row, read_draft
from molam.approvals.policy.templates import TEMPLATES, Template
from molam.approvals.policy.trials import Backtest, backtest
from molam.kernel import canonical
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Kind, Refusal
from molam.ops import permissions
from molam.ops.policy_pages import as_text
from molam.ops.propose_pages import actor_of, refused
from molam.ops.shell import framed
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Language
from molam.platform.web.templating import language_of

routes = Routes()

_AT = re.compile(r"at character ([0-9]+)")
_SHOWN_ON_PAGE = frozenset({Kind.BROKEN_RULE, Kind.CONFLICT, Kind.MALFORMED})

Text = Annotated[str, Meta(max_length=20_000)]


class NewQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    template: Annotated[str, Meta(max_length=64)] | None = None


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the form says; the two long fields are JSON."""

    name: Annotated[str, Meta(max_length=255)] = ""
    description: Annotated[str, Meta(max_length=4000)] = ""
    priority: Annotated[str, Meta(max_length=16)] = "100"
    enabled: Literal["yes", "no"] = "yes"
    baseline: Literal["yes", "no"] = "no"
    criteria: Text = "{}"
    policy: Text = "{}"
    version: Annotated[str, Meta(max_length=16)] = "0"
    step: Literal["try", "save"] = "try"


class FieldMalformed(Exception):
    """One of the form's long fields is not JSON; *field* says which, *line* where."""

    def __init__(self, detail: str, **facts: str | int) -> None:
        super().__init__(detail)
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Remark:
    level: Literal["error", "warning"]
    path: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What saving would mean: in words, beside the others, and for past actions."""

    when: str
    then: str
    remarks: tuple[Remark, ...]
    at_once: bool
    past: Backtest

    @property
    def may_save(self) -> bool:
        return all(each.level != "error" for each in self.remarks)


@routes.get("/ops/policies/new", needs=permissions.CHANGE_POLICIES, page=True, query=NewQuery)
async def new(request: Request, caller: Caller, query: NewQuery) -> Response:
    """Begin a policy, from nothing or from an example."""
    language = language_of(request, caller)
    template = next((each for each in TEMPLATES if each.key == query.template), None)
    form = Written() if template is None else _from_template(template, language)
    return await _editor(request, caller, form, policy_id=None)


@routes.get(
    "/ops/policies/{id:uuid}/edit",
    needs=permissions.CHANGE_POLICIES,
    page=True,
    refuses=(policies.PolicyAbsent,),
)
async def edit(request: Request, caller: Caller) -> Response:
    """Change a policy."""
    row = await policies.find_policy(request.app.state.db, request.path_params["id"])
    form = Written(
        name=row.name,
        description=row.description,
        priority=str(row.priority),
        enabled="yes" if row.enabled else "no",
        baseline="yes" if row.baseline else "no",
        criteria=as_text(row.criteria),
        policy=as_text(row.policy),
        version=str(row.version),
    )
    return await _editor(request, caller, form, policy_id=row.id)


@routes.post(
    "/ops/policies/new",
    needs=permissions.CHANGE_POLICIES,
    page=True,
    form=True,
    body=Written,
)
async def create(request: Request, caller: Caller, form: Written) -> Response:
    """Try a new policy, or save it."""
    return await _written(request, caller, form, None)


@routes.post(
    "/ops/policies/{id:uuid}/edit",
    needs=permissions.CHANGE_POLICIES,
    page=True,
    form=True,
    body=Written,
    refuses=(policies.PolicyAbsent,),
)
async def change(request: Request, caller: Caller, form: Written) -> Response:
    """Try a changed policy, or save it."""
    return await _written(request, caller, form, request.path_params["id"])


@routes.post(
    "/ops/policies/{id:uuid}/delete",
    needs=permissions.CHANGE_POLICIES,
    page=True,
    form=True,
    refuses=(policies.PolicyAbsent,),
)
async def delete(request: Request, caller: Caller) -> Response:
    """End a policy; others must agree if that lets more through."""
    changed = await policies.delete_policy(
        request.app.state.runtime, request.path_params["id"], actor_of(caller)
    )
    if changed.action is not None:
        return _to(f"/ops/actions/{changed.action.id}?said=policy-proposed")
    return _to("/ops/policies?said=policy-deleted")


async def _written(
    request: Request, caller: Caller, form: Written, policy_id: UUID | None
) -> Response:
    language = language_of(request, caller)
    state = request.app.state
    try:
        fields = _fields(form)
        if form.step == "save":
            return await _save(state, caller, fields, policy_id=policy_id, form=form)
        tried = await _try(state, fields, policy_id, form, language=language)
    except FieldMalformed as wrong:
        return await _editor(request, caller, form, policy_id=policy_id, wrong=wrong.facts)
    except Refusal as refusal:
        if refusal.kind not in _SHOWN_ON_PAGE:
            raise
        shown = refused(refusal, language)
        return await _editor(request, caller, form, policy_id=policy_id, refused=shown)
    return await _editor(request, caller, form, policy_id=policy_id, tried=tried)


async def _save(
    state: State,
    caller: Caller,
    fields: Mapping[str, object],
    *,
    policy_id: UUID | None,
    form: Written,
) -> Response:
    runtime, actor = state.runtime, actor_of(caller)
    if policy_id is None:
        changed = await policies.create_policy(runtime, fields, actor)
    else:
        changed = await policies.update_policy(
            runtime, policy_id, fields, actor, version=_number(form.version)
        )
    if changed.action is not None:
        return _to(f"/ops/actions/{changed.action.id}?said=policy-proposed")
    assert changed.policy is not None
    return _to(f"/ops/policies/{changed.policy.id}?said=policy-saved")


async def _try(
    state: State,
    fields: Mapping[str, object],
    policy_id: UUID | None,
    form: Written,
    *,
    language: Language,
) -> Tried:
    """
    Say what saving would mean, and save nothing.

    Raises: as saving it would.
    """
    runtime = state.runtime
    old: dict[str, object] = {}
    if policy_id is not None:
        old = document_of_row(await policies.find_policy(runtime.db, policy_id))
    draft = read_draft({**old, **fields}, runtime.registry)
    wanted = policies.Wanted(
        policy_id=policy_id or uuid7(state.clock.now()),
        version=0 if policy_id is None else _number(form.version),
        document=document_of(draft),
    )
    async with runtime.db.transaction("ops.try_policy", readonly=True) as tx:
        weighed = await policies.weigh(tx, runtime.registry, wanted)
        past = await backtest(tx, (weighed.before, weighed.after), types=draft.criteria.types)
    return Tried(
        when=criteria.sentence(draft.criteria, language),
        then=rule_words.sentence(draft.rules, language),
        remarks=tuple(
            Remark(
                each.level, each.path, each.sentence_fr if language == "fr" else each.sentence_en
            )
            for each in weighed.findings
        ),
        at_once=weighed.tightens,
        past=past,
    )


def _fields(form: Written) -> dict[str, object]:
    """
    Read the form as the API reads a body.

    Raises:
        FieldMalformed: one of the two long fields is not JSON.
    """
    return {
        "name": form.name.strip(),
        "description": form.description.strip(),
        "priority": _number(form.priority),
        "enabled": form.enabled == "yes",
        "baseline": form.baseline == "yes",
        "criteria": _document("criteria", form.criteria),
        "policy": _document("policy", form.policy),
    }


def _document(field: str, text: str) -> canonical.Json:
    try:
        return canonical.parse(text.encode())
    except canonical.JsonMalformed as error:
        found = _AT.search(error.detail)
        # Zero where the fault is of the whole, such as its depth.
        line = text.count("\n", 0, int(found[1])) + 1 if found else 0
        raise FieldMalformed(error.detail, field=field, line=line) from error


def _number(text: str) -> int:
    digits = text.strip()
    # No policy has this priority or version, so whoever reads it says what is wrong.
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _from_template(template: Template, language: Language) -> Written:
    french = language == "fr"
    return Written(
        name=template.name[french],
        description=template.description[french],
        priority=str(template.priority),
        criteria=as_text(template.criteria),
        policy=as_text(template.policy),
    )


def _offers(request: Request, language: Language) -> list[dict[str, Any]]:
    registry = request.app.state.runtime.registry
    french = language == "fr"
    return [
        {"key": each.key, "name": each.name[french], "description": each.description[french]}
        for each in TEMPLATES
        if all(type_ in registry for type_ in each.action_types)
    ]


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)


async def _editor(
    request: Request,
    caller: Caller,
    form: Written,
    *,
    policy_id: UUID | None,
    **shown: object,
) -> Response:
    return await framed(
        request,
        caller,
        "policy_edit.html",
        place="policies",
        form=form,
        policy_id=policy_id,
        offers=_offers(request, language_of(request, caller)) if policy_id is None else [],
        tried=shown.get("tried"),
        refused=shown.get("refused"),
        wrong=shown.get("wrong"),
    )
