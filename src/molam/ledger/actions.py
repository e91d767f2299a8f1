"""What operations may do to an agent's float once enough people agree: fill or empty it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.kernel.currency import CURRENCIES
from molam.kernel.ids import uuid8
from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal
from molam.ledger import floats
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.platform.web.l10n import Formats
from molam.tenancy import queries as tenancy
from molam.tenancy import standing
from molam.tenancy.standing_store import AgentRow

_ID_LENGTH_MAX = 255


class AgentNotActive(Refusal):
    code = "agent-not-active"
    kind = Kind.CONFLICT
    title = "The agent is not active"


class AdjustFloat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``top_up`` moves money from the treasury to the agent, ``sweep`` back."""

    agent_id: Annotated[str, Meta(min_length=1, max_length=_ID_LENGTH_MAX)]
    adjustment: Literal["top_up", "sweep"]
    amount: Amount

    def __post_init__(self) -> None:
        if not self.agent_id.isprintable() or self.agent_id != self.agent_id.strip():
            raise ValueError("agent_id is printable text without spaces around it")
        if self.amount.currency not in CURRENCIES:
            raise ValueError(f"amount.currency is one of {', '.join(CURRENCIES)}")
        if not 1 <= self.amount.minor <= MINOR_MAX:
            raise ValueError(f"amount lies between 1 and {MINOR_MAX} minor units")


async def _complete(tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Give a bare amount the currency that stands beside it, or else the agent's own."""
    amount = raw.get("amount")
    if isinstance(amount, dict):
        _check_minor(amount.get("minor"))
        return raw
    _check_minor(amount)
    if not isinstance(amount, int):
        return raw
    rest = {key: value for key, value in raw.items() if key not in {"amount", "currency"}}
    currency = raw.get("currency")
    if currency is None:
        currency = (await tenancy.get_agent(tx, _readable(raw.get("agent_id")))).currency
    return {**rest, "amount": {"currency": currency, "minor": amount}}


def _check_minor(minor: object) -> None:
    if isinstance(minor, Decimal | float | str | bool):
        raise ParamsRefused(
            "An amount counts minor units (francs, cents) and is written as a whole number,"
            " without a decimal point, an exponent or quotes."
        )


def _readable(agent_id: object) -> str:
    if not isinstance(agent_id, str) or not 0 < len(agent_id) <= _ID_LENGTH_MAX:
        raise ParamsRefused("Name the agent in agent_id.")
    if not agent_id.isprintable():
        raise ParamsRefused("agent_id is printable text.")
    return agent_id


async def _plan(tx: Tx, params: AdjustFloat) -> Plan:
    agent = await tenancy.get_agent(tx, params.agent_id)
    _check_agent(agent, params)
    before = await floats.balance_of(tx, agent.id, agent.currency)
    after = floats.balance_after(before, params.adjustment, params.amount.minor)
    return Plan(
        target_name=agent.name,
        changes=(_change(params, before, after),),
        reversible=True,
        # The float itself moves all day, so what it was is shown and not insisted on.
        expect={"agent_status": agent.status, "currency": agent.currency},
        effects=("agent_pays_out_at_once",) if params.adjustment == "top_up" else (),
        amount=params.amount,
        beneficiary=agent.owner_id if params.adjustment == "top_up" else None,
    )


async def _apply(tx: Tx, execution: Execution[AdjustFloat]) -> Outcome:
    params = execution.params
    agent = await standing.lock_agent(tx, params.agent_id)
    found = {"agent_status": agent.status, "currency": agent.currency}
    for name, value in found.items():
        if execution.expect.get(name) != value:
            raise PreconditionChanged(
                f"Approved when {name} was {execution.expect.get(name)}; now it is {value}."
            )
    _check_agent(agent, params)
    moved = await floats.adjust(
        tx,
        floats.Move(
            id=uuid8(f"ADJUST_FLOAT/{execution.key}"),
            agent_id=agent.id,
            adjustment=params.adjustment,
            minor=params.amount.minor,
            currency=agent.currency,
            cause_id=execution.action_id,
            at=execution.at,
        ),
    )
    result: dict[str, object] = {
        "adjusted": True,
        "amount": params.amount.minor,
        "currency": agent.currency,
        "agent_id": agent.id,
    }
    if moved is None:
        return Outcome(result)
    before, after = moved
    result |= {"balance_before": before, "balance_after": after}
    return Outcome(result, (_change(params, before, after),))


def _undo(params: AdjustFloat, _result: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    return "ADJUST_FLOAT", {
        "agent_id": params.agent_id,
        "adjustment": "sweep" if params.adjustment == "top_up" else "top_up",
        "amount": {"currency": params.amount.currency, "minor": params.amount.minor},
    }


def _check_agent(agent: AgentRow, params: AdjustFloat) -> None:
    if agent.status != "active":
        raise AgentNotActive(f"It is {agent.status}.", status=agent.status)
    if agent.currency != params.amount.currency:
        raise ParamsRefused(
            f"The agent's float is in {agent.currency}, not in {params.amount.currency}."
        )


def _change(params: AdjustFloat, before: int, after: int) -> Change:
    currency = params.amount.currency
    return Change(
        "float_balance",
        {"currency": currency, "minor": before},
        {"currency": currency, "minor": after},
    )


def _title(params: AdjustFloat, locale: str) -> str:
    formats = Formats("fr" if locale == "fr" else "en")
    money = formats.money(params.amount.minor, params.amount.currency)
    match locale, params.adjustment:
        case "fr", "top_up":
            return f"Ajouter {money} au float de l'agent {params.agent_id}"
        case "fr", _:
            return f"Retirer {money} du float de l'agent {params.agent_id}"
        case _, "top_up":
            return f"Add {money} to the float of agent {params.agent_id}"
        case _:
            return f"Take {money} from the float of agent {params.agent_id}"


ACTIONS = (
    ActionType(
        name="ADJUST_FLOAT",
        params=AdjustFloat,
        risk="high",
        moves_money=True,
        title=_title,
        target=lambda params: Target("agent", params.agent_id),
        complete=_complete,
        plan=_plan,
        apply=_apply,
        compensate=_undo,
    ),
)
