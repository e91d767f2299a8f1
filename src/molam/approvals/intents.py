"""From a request to an intent: validated, completed, rehearsed, and bound to a target."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from molam.approvals import binding
from molam.approvals.model import FieldsRefused, NewAction, TargetMismatch, parsed
from molam.kernel.digests import digest
from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import ActionType, ParamsRefused, Plan, Registry, as_json
from molam.platform.db import Tx

REQUEST = "molam.request/1"
_TEXT_LENGTH_MAX = 4000
_INTEGER_MAX = 2**53 - 1


class PlanRefused(Refusal):
    code = "action-plan-refused"
    kind = Kind.BROKEN_RULE
    title = "The rehearsal says that this cannot be done"


@dataclass(frozen=True, slots=True)
class Intent:
    """What will run, and beside it what was said about why."""

    type: ActionType[Any]
    params: msgspec.Struct
    document: dict[str, object]
    hash: bytes
    context: dict[str, Any]
    target: tuple[str, str]
    twin: str

    @property
    def params_json(self) -> dict[str, Any]:
        params = self.document["params"]
        assert isinstance(params, dict)
        return params

    def request_hash(self, request: NewAction) -> bytes:
        """Hash all that a repetition of *request* under the same key must repeat."""
        asked = {key: str(value) for key, value in request.tightening().items()}
        return digest(REQUEST, {"intent": self.hash.hex(), "asked": asked})


async def intent_of(tx: Tx, registry: Registry, request: NewAction) -> Intent:
    """
    Validate what is asked, and separate what will run from why.

    Raises:
        UnknownActionType: nobody declared the type; there is no default for it.
        ParamsRefused: says which parameter, and why.
        TargetMismatch: the target given is not the one the parameters act upon.
    """
    type_ = registry.find(request.action_type)
    raw, why = _split(type_, parsed(request.params))
    if type_.complete is not None:
        raw = await type_.complete(tx, raw)
    params = read_params(type_, raw)
    target = type_.target(params)
    given = (request.target_tenant_type, request.target_tenant_id)
    if given not in {(None, None), (target.type, target.id)}:
        raise TargetMismatch(
            f"The parameters act upon {target.type} {target.id}.",
            target=f"{target.type}/{target.id}",
        )
    document = binding.intent_of(
        action_type=type_.name,
        schema=type_.schema,
        params=as_json(params),
        target=(target.type, target.id),
    )
    twin = f"{target.type}/{target.id}" if type_.twin is None else type_.twin(params)
    return Intent(
        type=type_,
        params=params,
        document=document,
        hash=binding.intent_hash(document),
        context=_bounded({**why, **parsed(request.context)}),
        target=(target.type, target.id),
        twin=f"{type_.name}|{twin}",
    )


def read_params(type_: ActionType[Any], raw: object) -> msgspec.Struct:
    """
    Read params as their type has them.

    Raises:
        ParamsRefused: says which one, and why.
    """
    _check_spelling(raw)
    try:
        params = msgspec.convert(raw, type_.params, strict=True)
    except msgspec.ValidationError as error:
        raise ParamsRefused(_sentence(error), action_type=type_.name) from None
    assert isinstance(params, msgspec.Struct)
    return params


async def rehearse(tx: Tx, intent: Intent) -> Plan:
    """
    Ask the domain what would happen; *tx* is read-only, so that nothing can.

    Raises:
        PlanRefused: the domain says that it cannot be done, and why.
    """
    try:
        return await intent.type.plan(tx, intent.params)
    except Refusal as refusal:
        raise PlanRefused(refusal.detail, cause=refusal.code, **refusal.facts) from refusal


def plan_json(intent: Intent, plan: Plan) -> dict[str, Any]:
    """Write the plan as it is stored, shown, and hashed into the view."""
    written = {
        "target_name": plan.target_name,
        "title": plan.title
        or {locale: intent.type.title(intent.params, locale) for locale in binding.LOCALES},
        "changes": [
            {"what": each.what, "before": _plain(each.before), "after": _plain(each.after)}
            for each in plan.changes
        ],
        "effects": list(plan.effects),
        "reversible": plan.reversible,
        "amount": None if plan.amount is None else msgspec.to_builtins(plan.amount),
        "moves_money": intent.type.moves_money,
        "country": plan.country,
    }
    if intent.type.ended is not None:
        # Whoever ends the action has this row in hand, and not its type.
        written["tells_end"] = True
    if intent.type.page is not None:
        written["page"] = intent.type.page(intent.params)
    return written


def facts_of(
    *,
    origin: str,
    risk: str,
    intent: Mapping[str, Any],
    plan: Mapping[str, Any],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """Put together what policies may ask about an action; see `criteria.evaluate`."""
    tenant = intent["tenant"]
    facts: dict[str, Any] = {
        "action_type": intent["action_type"],
        "origin": origin,
        "risk_level": risk,
        "target_tenant_type": tenant["type"],
        "target_tenant_id": tenant["id"],
        "tenant": tenant,
        "params": intent["params"],
        "history": {},
    }
    if plan["amount"] is not None:
        facts["amount"] = plan["amount"]
    if plan["country"] is not None:
        facts["country"] = plan["country"]
    if "sira_confidence" in context:
        facts["context"] = {"confidence": context["sira_confidence"]}
    return facts


def _split(
    type_: ActionType[Any], params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Move what says why out of the params: the type's schema decides, nothing is guessed."""
    why = {
        key: value
        for key, value in params.items()
        if key in type_.context or key.startswith("sira_")
    }
    return {key: value for key, value in params.items() if key not in why}, why


def _bounded(context: dict[str, Any]) -> dict[str, Any]:
    """Make the context plain JSON of a bounded size."""
    plain = msgspec.to_builtins(context)
    if len(msgspec.json.encode(plain)) > 16 * 1024:
        raise FieldsRefused("The context has at most 16 KiB.")
    assert isinstance(plain, dict)
    return plain


def _check_spelling(value: object) -> None:
    """Refuse what has two spellings: what is approved and what runs must look the same."""
    match value:
        case str():
            _check_text(value)
        case int() if abs(value) > _INTEGER_MAX:
            # It has no single canonical form, so it cannot be hashed.
            raise ParamsRefused(f"A whole number is at most {_INTEGER_MAX}.")
        case dict():
            for key, each in value.items():
                _check_spelling(key)
                _check_spelling(each)
        case list():
            for each in value:
                _check_spelling(each)


def _check_text(text: str) -> None:
    if len(text) > _TEXT_LENGTH_MAX:
        raise ParamsRefused("A text is too long.")
    if not unicodedata.is_normalized("NFC", text):
        raise ParamsRefused("Text must be in Unicode's composed form (NFC).")
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in text):
        raise ParamsRefused("Text must not hold control or direction characters.")


def _plain(value: object) -> object:
    return as_json(value) if isinstance(value, msgspec.Struct) else msgspec.to_builtins(value)


def _sentence(error: msgspec.ValidationError) -> str:
    said = str(error)
    if "`int`" in said and ("decimal" in said or "float" in said):
        said += "; amounts are whole numbers of minor units, without point or exponent"
    return f"{said[:300]}."
