"""Action types that do little, so that tests see only what the engine does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    OutcomeUnknown,
    Plan,
    PreconditionChanged,
    Registry,
    Target,
    TransientFailure,
)
from molam.platform.db import Database, Tx
from molam.platform.db.transaction import assert_no_transaction

TABLE = """
create table public.counters (name text primary key, value bigint not null);
grant select, insert, update on public.counters to molam_ops;
"""
"""To be run by the owner before anything here is used."""


class CounterAbsent(Refusal):
    code = "counter-absent"
    kind = Kind.ABSENT
    title = "No such counter"


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Add to a counter. *strict* insists on the value that the approvers saw."""

    counter: Annotated[str, Meta(min_length=1, max_length=64)]
    by: int = 1
    strict: bool = False
    beneficiary: str | None = None
    reserve: Amount | None = None
    iban: str | None = None


async def _value(tx: Tx, counter: str) -> int:
    found = await tx.connection.fetchval(
        "select value from public.counters where name = $1", counter
    )
    if counter.startswith("absent"):
        raise CounterAbsent("Nobody counts that.")
    return int(found or 0)


async def _plan(tx: Tx, params: Count) -> Plan:
    before = await _value(tx, params.counter)
    return Plan(
        target_name=params.counter.title(),
        changes=(Change("value", before, before + params.by),),
        reversible=True,
        expect={"value": before},
        beneficiary=params.beneficiary,
        amount=params.reserve,
    )


async def _add(tx: Tx, execution: Execution[Count]) -> Outcome:
    params = execution.params
    before = await _value(tx, params.counter)
    if params.strict and before != execution.expect["value"]:
        raise PreconditionChanged(f"It was {execution.expect['value']}, and is {before}.")
    await tx.connection.execute(
        "insert into public.counters values ($1, $2)"
        " on conflict (name) do update set value = counters.value + excluded.value",
        *(params.counter, params.by),
    )
    return Outcome({"counted": params.by}, (Change("value", before, before + params.by),))


def _undo(params: Count, _result: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    return "COUNT", {"counter": params.counter, "by": -params.by}


def _undo_by_call(params: Count, _result: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    return "CALL_NONE", {"counter": f"undo-{params.counter}", "by": -params.by}


def _title(params: Count, locale: str) -> str:
    verb = "Ajouter" if locale == "fr" else "Add"
    return f"{verb} {params.by} : {params.counter}"


def _type(name: str, **changed: Any) -> ActionType[Count]:
    common: dict[str, Any] = {
        "name": name,
        "params": Count,
        "title": _title,
        "target": lambda params: Target("counter", params.counter),
        "plan": _plan,
    }
    return ActionType(**(common | changed))


async def _write_while_planning(tx: Tx, params: Count) -> Plan:
    await tx.connection.execute("insert into public.counters values ('sneaky', 1)")
    return await _plan(tx, params)


async def _refuse(_tx: Tx, _execution: Execution[Count]) -> Outcome:
    raise CounterAbsent("It was there a moment ago.")


Answer = Literal["done", "down", "lost", "silent", "refused"]


@dataclass
class Psp:
    """
    A payment provider that does what its *script* says, call by call, and then works.

    ``down`` had no effect and says so, ``silent`` had none and does not answer,
    ``lost`` had its effect and does not answer, ``refused`` says no.
    """

    script: list[Answer] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    probes_answered: bool = True
    idempotent: bool = False

    async def call(self, _db: Database, execution: Execution[Count]) -> Outcome:
        assert_no_transaction("a call to the provider")
        self.keys.append(execution.key)
        answer = self.script.pop(0) if self.script else "done"
        if answer == "down":
            raise TransientFailure("the provider is down")
        if answer == "refused":
            raise CounterAbsent("The provider says no.")
        if answer == "silent":
            raise OutcomeUnknown("no answer")
        if not (self.idempotent and self.effects[execution.key]):
            self.effects[execution.key] += 1
        if answer == "lost":
            raise TimeoutError("no answer")
        return Outcome({"called": True}, external_refs=(f"psp-{execution.key[:8]}",))

    async def probe(self, _db: Database, execution: Execution[Count]) -> Outcome | None:
        assert_no_transaction("a question to the provider")
        if not self.probes_answered:
            raise TimeoutError("no answer")
        if not self.effects[execution.key]:
            return None
        return Outcome({"called": True, "probed": True})

    async def has_effect(self, _db: Database, _params: Count) -> bool:
        return bool(self.effects)


def registry_of(psp: Psp) -> Registry:
    """The types: those that work in the database, and those that call *psp*."""
    called: dict[str, Any] = {"call": psp.call, "moves_money": False}
    return Registry(
        [
            _type("COUNT", apply=_add, compensate=_undo),
            _type("COUNT_CRITICAL", apply=_add, risk="critical"),
            _type("COUNT_MONEY", apply=_add, moves_money=True),
            _type("PEEK", apply=_add, plan=_write_while_planning),
            _type("REFUSE", apply=_refuse),
            _type("CALL_NATIVE", **called, idempotency="native", attempts_max=3),
            _type("CALL_PROBE", **called, idempotency="probe", probe=psp.probe),
            _type("CALL_NONE", **called, idempotency="none"),
            _type("COUNT_UNDONE_BY_CALL", apply=_add, compensate=_undo_by_call),
            _type(
                "COUNT_VERIFIED",
                apply=_add,
                verify=psp.has_effect,
                verify_after=timedelta(minutes=10),
            ),
        ]
    )
