"""Rows as the console shows them: an action on one line, a plan in its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from molam.approvals.policy.quorum import quorum_json
from molam.approvals.policy.rules import Rules
from molam.platform.actions import Amount, Change
from molam.platform.web.l10n import Language

OPEN = frozenset({"pending", "blocked"})
# Nothing more can be done to these on their own page. An executed action may be
# undone, but by an action of its own.
OVER = frozenset(
    {
        "executed",
        "verified",
        "ineffective",
        "rejected",
        "expired",
        "cancelled",
        "superseded",
        "stale",
        "executing",
        "execution_unknown",
        "compensating",
        "compensated",
        "compensation_failed",
    }
)


class Action(Protocol):
    """What a line needs to know of an action, whichever statement read it."""

    @property
    def id(self) -> UUID: ...
    @property
    def action_type(self) -> str: ...
    @property
    def plan(self) -> dict[str, Any]: ...
    @property
    def target_tenant_type(self) -> str: ...
    @property
    def target_tenant_id(self) -> str: ...
    @property
    def risk_level(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def level(self) -> int: ...
    @property
    def votes_approve(self) -> int: ...
    @property
    def votes_reject(self) -> int: ...
    @property
    def required_quorum(self) -> dict[str, Any]: ...
    @property
    def created_by(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def decided_at(self) -> datetime | None: ...
    @property
    def executed_at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One action in a list. *seat* is the role with which the reader's vote would count."""

    id: UUID
    sentence: str
    type: str
    target_type: str
    target_id: str
    target_name: str
    amount: Amount | None
    asked_by: str
    risk: str
    state: str
    level: int
    approvals: int
    needed: int
    rejections: int
    created_at: datetime
    deadline: datetime | None
    moved_at: datetime
    seat: str | None = None

    @property
    def beside(self) -> str:
        """Whom it is about, by name, where the sentence does not say so itself."""
        told = self.target_name == self.target_id or self.target_name in self.sentence
        return "" if told else self.target_name

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def is_over(self) -> bool:
        return self.state in OVER


@dataclass(frozen=True, slots=True)
class PlanView:
    """What the rehearsal said, as it is stored with the action."""

    changes: tuple[Change, ...]
    effects: tuple[str, ...]
    reversible: bool
    beneficiary: str | None


def line(
    row: Action,
    language: Language,
    *,
    asked_by: str | None = None,
    seat: str | None = None,
    needed: int | None = None,
) -> Line:
    """Write an action on one line. Nothing of it is free text: the plan's title is code's."""
    plan = row.plan
    return Line(
        id=row.id,
        sentence=sentence_of(plan, language) or f"{row.action_type} {row.target_tenant_id}",
        type=row.action_type,
        target_type=row.target_tenant_type,
        target_id=row.target_tenant_id,
        target_name=str(plan.get("target_name") or row.target_tenant_id),
        amount=amount_of(plan),
        asked_by=asked_by or row.created_by,
        risk=row.risk_level,
        state=row.state,
        level=row.level,
        approvals=row.votes_approve,
        needed=approvals_needed(row.required_quorum) if needed is None else needed,
        rejections=row.votes_reject,
        created_at=row.created_at,
        deadline=row.expires_at if row.state in OPEN else None,
        moved_at=row.executed_at or row.decided_at or row.created_at,
        seat=seat,
    )


def sentence_of(plan: dict[str, Any], language: Language) -> str:
    title = plan.get("title")
    return str(title.get(language, "")) if isinstance(title, dict) else ""


def amount_of(plan: dict[str, Any]) -> Amount | None:
    amount = plan.get("amount")
    if not isinstance(amount, dict):
        return None
    return Amount(currency=amount["currency"], minor=amount["minor"])


def plan_view(plan: dict[str, Any], *, beneficiary: str | None = None) -> PlanView:
    return PlanView(
        changes=changes_of(plan.get("changes")),
        effects=tuple(plan.get("effects", ())),
        reversible=bool(plan.get("reversible")),
        beneficiary=beneficiary,
    )


def changes_of(given: object) -> tuple[Change, ...]:
    if not isinstance(given, list):
        return ()
    return tuple(Change(each["what"], each.get("before"), each.get("after")) for each in given)


def approvals_needed(quorum: dict[str, Any]) -> int:
    """Tell how many people must agree at least, by a quorum in the specification's shape."""
    value = quorum.get("value")
    match quorum.get("type"):
        case "role" if isinstance(value, dict):
            return int(value.get("min_votes", 1))
        case "specific_users" if isinstance(value, dict):
            return int(value.get("min_votes", len(value.get("users", ()))))
        case "percentage" if isinstance(value, dict):
            return _share(value)
        case "all_of" | "stages" if isinstance(value, list):
            return sum(approvals_needed(part) for part in value)
        case "any_of" if isinstance(value, list):
            return min((approvals_needed(part) for part in value), default=1)
        case _:
            return 1


def needed_by(rules: Rules) -> int:
    """Tell how many people must agree at least before all that *rules* demand is met."""
    return max(approvals_needed(quorum_json(each.quorum)) for each in rules.demands)


def _share(value: dict[str, Any]) -> int:
    base = int(value.get("base") or len(value.get("pool", ())) or 1)
    above, _, below = str(value.get("percentage", "1")).partition("/")
    if below:
        return max(1, -(-base * int(above) // int(below)))
    tenths = round(float(above) * 10_000)
    return max(1, -(-base * tenths // 10_000))


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Name what changed between two views of one action, change by change of their plans."""
    shown = {each.what: each for each in changes_of(before.get("changes"))}
    now = {each.what: each for each in changes_of(after.get("changes"))}
    found = [
        Change(
            what,
            shown[what].after if what in shown else None,
            now[what].after if what in now else None,
        )
        for what in dict.fromkeys([*shown, *now])
        if shown.get(what) != now.get(what)
    ]
    return found + [
        Change(name, before.get(name), after.get(name))
        for name in ("amount", "policy", "deadline", "level")
        if before.get(name) != after.get(name)
    ]


def names_of(people: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(names.get(each, each) for each in people)
