"""Keeping more alerts quiet by others, once two people agree."""

from __future__ import annotations

from molam.alerts.episodes import inhibiting
from molam.alerts.episodes.inhibiting import InhibitionChange
from molam.alerts.episodes.model import InhibitionMalformed, InhibitionRow
from molam.approvals.model import Actor
from molam.platform.actions import (
    ActionType,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.platform.web.wire import Identifier


class ChangeInhibition(InhibitionChange, frozen=True, forbid_unknown_fields=True, kw_only=True):
    inhibition_id: Identifier


async def _plan(tx: Tx, params: ChangeInhibition) -> Plan:
    weighed = await _weighed(tx, params)
    before, after = weighed.before, weighed.after
    old = {} if before is None else _shown(before)
    return Plan(
        target_name=after.id,
        changes=(
            *(
                Change(f"inhibition.{name}", old.get(name), new)
                for name, new in _shown(after).items()
                if old.get(name) != new
            ),
            Change("open_alerts_quieted", 0, len(weighed.quiets)),
        ),
        reversible=True,
        expect={"before": None if before is None else inhibiting.told(before)},
        effects=("fewer_are_told",),
    )


async def _apply(tx: Tx, execution: Execution[ChangeInhibition]) -> Outcome:
    params = execution.params
    before = (await _weighed(tx, params)).before
    if execution.expect.get("before") != (None if before is None else inhibiting.told(before)):
        raise PreconditionChanged("It was changed since.")
    after = await inhibiting.write(
        tx, params.inhibition_id, params, by=Actor(execution.executed_by), may_loosen=True
    )
    return Outcome({"updated": True, "inhibition_id": after.id})


async def _weighed(tx: Tx, params: ChangeInhibition) -> inhibiting.Weighed:
    try:
        return await inhibiting.weigh(tx, params.inhibition_id, params)
    except InhibitionMalformed as refusal:
        raise ParamsRefused(refusal.detail) from refusal


def _shown(row: InhibitionRow) -> dict[str, object]:
    return {
        "source": " / ".join(row.source.values()),
        "target": " / ".join(row.target.values()),
        "equal": " / ".join(row.equal),
        "enabled": row.enabled,
    }


def _title(params: ChangeInhibition, locale: str) -> str:
    source, target = (" / ".join(each.named().values()) for each in (params.source, params.target))
    if locale == "fr":
        return f"Taire les alertes {target} tant que {source} est ouverte"
    return f"Keep {target} alerts quiet while {source} is open"


ACTIONS = (
    ActionType(
        name=inhibiting.CHANGE,
        params=ChangeInhibition,
        risk="high",
        is_asked_by_code=True,
        title=_title,
        target=lambda params: Target("inhibition", params.inhibition_id),
        plan=_plan,
        apply=_apply,
    ),
)
