"""Putting back what nobody could handle, once enough people agree."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from molam.kernel.refusals import Kind, Refusal
from molam.platform.actions import ActionType, Change, Execution, Outcome, Plan, Target
from molam.platform.db import Tx
from molam.platform.events import dead_letters

_ITEMS_MAX = 1_000


class NoDeadLetters(Refusal):
    code = "no-dead-letters"
    kind = Kind.CONFLICT
    title = "No dead letter waits"


class RequeueDlq(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The oldest dead letters, of one consumer *group* or of all."""

    max_items: Annotated[int, Meta(ge=1, le=_ITEMS_MAX)]
    group: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9_.-]+\Z")] | None = (
        None
    )


async def _plan(tx: Tx, params: RequeueDlq) -> Plan:
    waiting = await dead_letters.count_waiting(tx, group=params.group)
    if not waiting:
        raise NoDeadLetters("There is nothing to put back.")
    return Plan(
        target_name=params.group or "dead letters",
        changes=(
            Change("dead_letters_waiting", waiting, max(0, waiting - params.max_items)),
            Change("events_published_again", 0, min(waiting, params.max_items)),
        ),
        reversible=False,
        effects=("consumers_see_them_again", "known_facts_change_nothing"),
    )


async def _apply(tx: Tx, execution: Execution[RequeueDlq]) -> Outcome:
    params = execution.params
    done = await dead_letters.requeue_oldest(
        tx, group=params.group, items_max=params.max_items, by=execution.key
    )
    return Outcome(
        {"requeued": True, "count": done.count, "unreadable": done.unreadable},
        (Change("events_published_again", 0, done.count),),
    )


def _title(params: RequeueDlq, locale: str) -> str:
    count = params.max_items
    if locale == "fr":
        whose = f" de {params.group}" if params.group else ""
        what = "la plus ancienne lettre morte" if count == 1 else f"{count} lettres mortes au plus"
        return f"Remettre en file {what}{whose}"
    whose = f" of {params.group}" if params.group else ""
    what = "the oldest dead letter" if count == 1 else f"at most {count} dead letters"
    return f"Put back {what}{whose}"


ACTIONS = (
    ActionType(
        name="REQUEUE_DLQ",
        params=RequeueDlq,
        risk="medium",
        title=_title,
        target=lambda _params: Target("platform", "dead-letters"),
        plan=_plan,
        apply=_apply,
    ),
)
