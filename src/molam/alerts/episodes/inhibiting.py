"""Changing which alerts quiet others: less at once, more once others have agreed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from molam.alerts.episodes import quiet_store, quieting
from molam.alerts.episodes.circles import closes_circle
from molam.alerts.episodes.commands import lock_board
from molam.alerts.episodes.flags import inhibited
from molam.alerts.episodes.model import (
    AlertRow,
    InhibitionAbsent,
    InhibitionMalformed,
    InhibitionRow,
    Matcher,
)
from molam.alerts.episodes.moves import Moves
from molam.alerts.runtime import Watch
from molam.approvals.model import Actor, NewAction
from molam.approvals.store import ActionRow
from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.mesh.members import floors
from molam.platform.db import Database, Tx

CHANGE = "CHANGE_INHIBITION"
"""The action by which others agree that more is kept quiet."""

CHAIN = "alerts"
INHIBITIONS_MAX = 100
_DECIDERS = frozenset({"ops_admin", "finance_ops", "compliance"})
_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")

Label = Literal["alert_type", "metric", "tenant_type", "tenant_id", "currency", "severity"]


class InhibitionChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    While an alert that fits `source` is open, those that fit `target` tell nobody.

    Both agree in all that `equal` names.
    """

    source: Matcher
    target: Matcher
    equal: Annotated[list[Label], Meta(max_length=6)] = []
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a change comes to: *loosened* keeps more quiet, and *quiets* is open now."""

    before: InhibitionRow | None
    after: InhibitionRow
    loosened: tuple[str, ...]
    quiets: tuple[AlertRow, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """The inhibition as it holds now, and the action that waits if it would quiet more."""

    inhibition: InhibitionRow | None
    action: ActionRow | None = None
    loosened: tuple[str, ...] = ()


async def weigh(tx: Tx, id_: str, asked: InhibitionChange) -> Weighed:
    """
    Say what *asked* would change, and change nothing.

    Raises:
        InhibitionMalformed: it names nothing, or alerts could quiet themselves by it.
        UnknownCurrency
    """
    rows = await tx.all(quiet_store.LIST_INHIBITIONS)
    before = next((each for each in rows if each.id == id_), None)
    after = _checked(id_, asked, rows)
    others = [each for each in rows if each.id != id_]
    alerts = await tx.all(quiet_store.LIST_OPEN)
    quiet = inhibited(alerts, rows)
    would_be = inhibited(alerts, sorted([*others, after], key=lambda each: each.id))
    return Weighed(
        before,
        after,
        tuple(loosened(before, after)),
        tuple(each for each in alerts if each.id in would_be and each.id not in quiet),
    )


async def change(
    db: Database, watch: Watch, id_: str, asked: InhibitionChange, *, actor: Actor
) -> Changed:
    """
    Change or make an inhibition: what quiets less holds at once, what quiets more others decide.

    Raises:
        InhibitionMalformed
        TwinOpen: another change of it waits already.
    """
    async with db.transaction("alerts.change_inhibition") as tx:
        weighed = await weigh(tx, id_, asked)
        if weighed.loosened:
            action = await _ask(tx, watch, weighed.after, actor=actor)
            return Changed(weighed.before, action, weighed.loosened)
        written = await write(tx, id_, asked, by=actor)
    return Changed(written)


async def write(
    tx: Tx, id_: str, asked: InhibitionChange, *, by: Actor, may_loosen: bool = False
) -> InhibitionRow:
    """
    Store an inhibition, in the record, and judge by it what is open. It locks: call this last.

    *may_loosen* is for what others have agreed to.

    Raises:
        InhibitionMalformed
    """
    now = await lock_board(tx)
    weighed = await weigh(tx, id_, asked)
    if weighed.loosened and not may_loosen:
        raise InhibitionMalformed("Somebody changed it just now: read it again.")
    if weighed.after == weighed.before:
        return weighed.after
    await tx.run(quiet_store.WRITE_INHIBITION, **told(weighed.after), by=by.id)
    await _judge(tx, now=now)
    await _record(tx, "inhibition.changed", weighed.before, weighed.after, by=by, now=now)
    return weighed.after


async def remove(db: Database, id_: str, *, actor: Actor) -> InhibitionRow:
    """
    Let those speak whom an inhibition kept quiet.

    Raises:
        InhibitionAbsent
    """
    async with db.transaction("alerts.remove_inhibition") as tx:
        now = await lock_board(tx)
        rows = await tx.all(quiet_store.LIST_INHIBITIONS)
        before = next((each for each in rows if each.id == id_), None)
        if before is None:
            raise InhibitionAbsent("Those there are can be listed by GET /api/alerts/inhibitions.")
        await tx.run(quiet_store.REMOVE_INHIBITION, id=id_)
        await _judge(tx, now=now)
        await _record(tx, "inhibition.removed", before, None, by=actor, now=now)
    return before


def loosened(before: InhibitionRow | None, after: InhibitionRow) -> list[str]:
    """Name what keeps more quiet in *after* than in *before*: all that is not plainly less."""
    if not after.enabled:
        return []
    if before is None or not before.enabled:
        return ["enabled"]
    found = {
        "source": not before.source.items() <= after.source.items(),
        "target": not before.target.items() <= after.target.items(),
        "equal": not set(before.equal) <= set(after.equal),
    }
    return [name for name, is_looser in found.items() if is_looser]


def told(row: InhibitionRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("id", "source", "target", "equal", "enabled")}


def _checked(id_: str, asked: InhibitionChange, rows: Sequence[InhibitionRow]) -> InhibitionRow:
    """
    Raises:
        InhibitionMalformed, UnknownCurrency: see `weigh`.
    """
    for matcher in (asked.source, asked.target):
        if matcher.currency is not None:
            currency(matcher.currency)
    if not _ID.fullmatch(id_):
        raise InhibitionMalformed("Its id is of lower-case letters, digits, '.' and '-'.")
    if not asked.source.named() or not asked.target.named():
        raise InhibitionMalformed("Name what quiets, and what is quieted: never everything.")
    equal = sorted(set(asked.equal))
    after = InhibitionRow(
        id_, asked.source.named(), asked.target.named(), list(equal), asked.enabled
    )
    if all(each.id != id_ for each in rows) and len(rows) >= INHIBITIONS_MAX:
        raise InhibitionMalformed(f"There are {INHIBITIONS_MAX} of them; remove one first.")
    if after.enabled and closes_circle(after, rows):
        raise InhibitionMalformed(
            "By it, and those there are, an alert could quiet itself: let them differ in something."
        )
    return after


async def _ask(tx: Tx, watch: Watch, after: InhibitionRow, *, actor: Actor) -> ActionRow:
    params = {**told(after), "inhibition_id": after.id}
    del params["id"]
    return await floors.ask(
        tx,
        watch.approvals,
        NewAction(origin="module", action_type=CHANGE, params=params),
        actor,
        least=floors.any_of(_DECIDERS, 2),
        name="Quieter alerts",
    )


async def _judge(tx: Tx, *, now: Instant) -> None:
    moves = Moves()
    await quieting.reflag(tx, moves, now=now)
    await moves.write(tx)


async def _record(
    tx: Tx,
    event: str,
    before: InhibitionRow | None,
    after: InhibitionRow | None,
    *,
    by: Actor,
    now: Instant,
) -> None:
    data = {
        "before": None if before is None else told(before),
        "after": None if after is None else told(after),
    }
    fact = Fact(event=event, actor_kind=by.kind, actor_id=by.id, data=data)
    await append_to(tx, CHAIN, [fact], at=now)
