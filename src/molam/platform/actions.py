"""What can be approved: each domain declares its dangerous commands as action types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.digests import decimal_text
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, Tx

Risk = Literal["low", "medium", "high", "critical"]

ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)


class UnknownActionType(Refusal):
    code = "unknown-action-type"
    kind = Kind.BROKEN_RULE
    title = "There is no such action type"


class ParamsRefused(Refusal):
    code = "action-params-refused"
    kind = Kind.BROKEN_RULE
    title = "The parameters do not fit the action"


class PreconditionChanged(Refusal):
    """The target is no longer what the approvers were shown; the action goes stale."""

    code = "precondition-changed"
    kind = Kind.CONFLICT
    title = "The target has changed since it was approved"


class TransientFailure(Exception):
    """The effect did not happen and may succeed later; the only error that is retried."""


class OutcomeUnknown(Exception):
    """The effect may or may not have happened; only a probe or people can tell."""


class Amount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Money as it stands in a hashed intent."""

    currency: str
    minor: int


@dataclass(frozen=True, slots=True)
class Target:
    """Whom an action is done to: a merchant, an agent, a bank, the platform."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Change:
    """
    One line of what will happen, or has happened.

    *what* is a word of the domain ("float_balance"), which the console translates;
    *before* and *after* are JSON, an amount being ``{"currency", "minor"}``.
    """

    what: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The rehearsal's answer, shown to approvers.

    *target_name* is whom people know the target as. *expect* is what must still
    hold at execution, as the handler wants to compare it then. *amount* is what
    moves, if anything does, *beneficiary* the person who gains by it, and *country* the
    target's, for policies that ask.
    """

    target_name: str
    changes: tuple[Change, ...]
    reversible: bool
    expect: Mapping[str, object] = field(default_factory=dict)
    effects: tuple[str, ...] = ()
    amount: Amount | None = None
    beneficiary: str | None = None
    country: str | None = None
    title: Mapping[str, str] | None = None
    """By locale, where only the rehearsal can say it; None: the type says it of the params."""
    beneficiaries: tuple[str, ...] = ()
    """Those of an action for many targets, beside *beneficiary*; none of them decides it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an execution did. *result* carries the specification's keys for the type."""

    result: Mapping[str, object]
    changes: tuple[Change, ...] = ()
    external_refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Execution(Generic[ParamsT]):
    """
    One run of an approved action.

    *key* is the same for every attempt of the action: whoever is called downstream
    gets it as idempotency key.
    """

    action_id: str
    key: str
    params: ParamsT
    expect: Mapping[str, object]
    executed_by: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionType(Generic[ParamsT]):
    """
    One kind of action, declared by the domain that owns its effect.

    Exactly one of *apply* and *call* is given. *apply* works in PostgreSQL alone:
    effect and result are one transaction, so that it happens once or not at all.
    *call* goes outside, with no transaction open; *idempotency* says what may be
    done when its answer is lost: call again with the same key (``native``), ask
    (``probe``), or nothing, so that people must find out (``none``).
    """

    name: str
    """In capitals, as the specification writes it; never renamed."""
    version: int = 1
    """Raised when the meaning of *params* changes; part of the hashed intent."""
    params: type[ParamsT]
    """A frozen Struct that forbids unknown fields. Decimals and amounts, never floats."""
    context: frozenset[str] = frozenset({"alert_id"})
    """Fields of a request's params that say why, and are not hashed. Besides ``sira_*``."""
    risk: Risk = "medium"
    moves_money: bool = False
    is_asked_by_code: bool = False
    """Another part of the product asks for it; people and services cannot."""
    title: Callable[[ParamsT, str], str]
    """(params, locale) -> one sentence, made by code and never from free text."""
    target: Callable[[ParamsT], Target]
    twin: Callable[[ParamsT], str] | None = None
    """What makes two actions the same; None: the type and the target."""
    complete: Callable[[Tx, dict[str, Any]], Awaitable[dict[str, Any]]] | None = None
    """Completes raw params before validation: a bare amount gets the target's currency."""
    plan: Callable[[Tx, ParamsT], Awaitable[Plan]]
    """Rehearses in a read-only transaction. Refusals are the caller's answer."""
    admit: Callable[[Tx, ParamsT], Awaitable[None]] | None = None
    """Refuses an approval for which something is still missing, such as evidence."""
    apply: Callable[[Tx, Execution[ParamsT]], Awaitable[Outcome]] | None = None
    call: Callable[[Database, Execution[ParamsT]], Awaitable[Outcome]] | None = None
    idempotency: Literal["transaction", "native", "probe", "none"] = "transaction"
    probe: Callable[[Database, Execution[ParamsT]], Awaitable[Outcome | None]] | None = None
    """Whether an attempt had its effect: its outcome, or None if it had none."""
    verify: Callable[[Database, ParamsT], Awaitable[bool]] | None = None
    verify_after: timedelta = timedelta(minutes=10)
    compensate: (
        Callable[[ParamsT, Mapping[str, object]], tuple[str, dict[str, object]] | None] | None
    ) = None
    """(params, result) -> the type and params of the action that undoes it."""
    ended: Callable[[Tx, ParamsT, str], Awaitable[None]] | None = None
    """
    Told, soon afterwards and at least once, that an action ended without its effect.

    The last argument is how: rejected, expired, cancelled, superseded, stale or failed.
    """
    page: Callable[[ParamsT], str] | None = None
    """The merchant app's page where a merchant's own people decide it, and see it."""
    attempts_max: int = 5

    def __post_init__(self) -> None:
        assert (self.apply is None) != (self.call is None), f"{self.name}: apply or call"
        assert (self.apply is not None) == (self.idempotency == "transaction")
        assert (self.probe is not None) == (self.idempotency == "probe")
        config = self.params.__struct_config__
        assert config.forbid_unknown_fields, f"{self.name}: params must forbid unknown fields"
        assert config.frozen, f"{self.name}: params must be frozen"

    @property
    def schema(self) -> str:
        return f"{self.name}/{self.version}"


class Registry:
    """The action types one engine knows; wiring joins what each domain declares."""

    def __init__(self, types: Sequence[ActionType[Any]]) -> None:
        self._types = {each.name: each for each in types}
        assert len(self._types) == len(types), "an action type is declared twice"

    def find(self, name: str) -> ActionType[Any]:
        """
        Raises:
            UnknownActionType: no domain declared it.
        """
        found = self._types.get(name)
        if found is None:
            raise UnknownActionType(f"Nothing here knows how to do {name[:64]!r}.")
        return found

    def __iter__(self) -> Any:
        return iter(self._types.values())

    def __contains__(self, name: str) -> bool:
        return name in self._types


def as_json(params: msgspec.Struct) -> dict[str, object]:
    """
    Write params as they are hashed: decimals as plain strings, nothing left out.

    ``Decimal("3.50")`` becomes ``"3.5"``, so that equal numbers hash equally.
    """
    written = msgspec.to_builtins(params, enc_hook=None, builtin_types=(Decimal,))
    assert isinstance(written, dict)
    return {key: _plain(value) for key, value in written.items()}


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
