"""Keeping more alerts quiet by others, once two people agree."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from molam.alerts.episodes import inhibiting, sentences
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
from molam.platform.web.l10n import LANGUAGES, Language
from molam.platform.web.wire import Identifier

_WORDS = MappingProxyType(
    {
        "en": {
            "critical": "critical",
            "warning": "warning",
            "info": "note",
            "agent": "agents",
            "merchant": "merchants",
            "bank": "banks",
            "region": "regions",
            "platform": "the platform",
            "alert_type": "kind of alert",
            "metric": "what is measured",
            "tenant_type": "kind of tenant",
            "tenant_id": "tenant",
            "currency": "currency",
            "severity": "severity",
        },
        "fr": {
            "critical": "critique",
            "warning": "avertissement",
            "info": "note",
            "agent": "agents",
            "merchant": "marchands",
            "bank": "banques",
            "region": "régions",
            "platform": "la plateforme",
            "alert_type": "type d'alerte",
            "metric": "ce qui est mesuré",
            "tenant_type": "type de titulaire",
            "tenant_id": "titulaire",
            "currency": "devise",
            "severity": "gravité",
        },
    }
)


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
        "source": {each: _scope(row.source, each) for each in LANGUAGES},
        "target": {each: _scope(row.target, each) for each in LANGUAGES},
        "equal": {
            each: ", ".join(_WORDS[each].get(label, label) for label in row.equal)
            for each in LANGUAGES
        },
        "enabled": row.enabled,
    }


def _scope(matcher: Mapping[str, str], language: Language) -> str:
    """Say which alerts *matcher* names: ``Low float, critical``."""
    return ", ".join(
        sentences.type_word(said, language)
        if label == "alert_type"
        else _WORDS[language].get(said, said)
        if label in {"severity", "tenant_type"}
        else said
        for label, said in matcher.items()
    )


def _title(params: ChangeInhibition, locale: str) -> str:
    language: Language = "fr" if locale == "fr" else "en"
    source, target = (_scope(each.named(), language) for each in (params.source, params.target))
    if language == "fr":
        return f"Taire «\u00a0{target}\u00a0» tant que «\u00a0{source}\u00a0» est ouverte"
    return f"Keep “{target}” quiet while “{source}” is open"


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
