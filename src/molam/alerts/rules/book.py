"""The rules in force, read once for each edition."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from molam.alerts.rules import store
from molam.alerts.rules.model import Escalation, Family, Key, Rule, Unit, fingerprint
from molam.platform.db import Tx

_REMEMBERED_MAX = 100_000

Judging = tuple[tuple[Rule, bytes], ...]
"""Each rule that judges one measurement, and the fingerprint of the series it keeps."""


class Rules:
    """One edition of the rules."""

    def __init__(self, rules: list[Rule]) -> None:
        self.all = rules
        self.units: dict[str, Unit] = {rule.metric: rule.unit for rule in rules}
        self._by_id = {rule.id: rule for rule in rules}
        self._families: defaultdict[tuple[str, str], dict[Family, dict[_Scope, Rule]]]
        self._families = defaultdict(dict)
        for rule in rules:
            if rule.enabled:
                families = self._families[rule.metric, rule.tenant_type]
                families.setdefault(rule.family, {})[rule.tenant_id, rule.currency] = rule
        self._remembered: dict[Key, Judging] = {}

    def judging(self, key: Key) -> Judging:
        """Find, in each family that judges *key*, the most specific rule."""
        known = self._remembered.get(key)
        if known is None:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            known = self._remembered[key] = self._find(key)
        return known

    def _find(self, key: Key) -> Judging:
        metric, tenant_type, tenant_id, currency = key
        families = self._families.get((metric, tenant_type), {})
        found = (
            (family, _most_specific(scopes, tenant_id, currency))
            for family, scopes in families.items()
        )
        return tuple(
            (rule, fingerprint(family[0], metric, tenant_type, tenant_id, currency=currency))
            for family, rule in found
            if rule is not None
        )

    def judge_of(self, family: Family, tenant_id: str | None, currency: str | None) -> Rule | None:
        alert_type, metric, tenant_type = family
        judging = self.judging((metric, tenant_type, tenant_id, currency))
        return next((rule for rule, _ in judging if rule.alert_type == alert_type), None)

    def by_id(self, rule_id: str) -> Rule | None:
        return self._by_id.get(rule_id)


_Scope = tuple[str | None, str | None]


def _most_specific(
    scopes: dict[_Scope, Rule], tenant_id: str | None, currency: str | None
) -> Rule | None:
    """A tenant's own rule comes before its currency's, and that before the general one."""
    for scope in ((tenant_id, currency), (tenant_id, None), (None, currency), (None, None)):
        if scope in scopes:
            return scopes[scope]
    return None


class RuleBook:
    """Reads rules in the caller's transaction, anew only when one has changed."""

    def __init__(self) -> None:
        self._edition: store.EditionRow | None = None
        self._rules = Rules([])

    async def current(self, tx: Tx) -> Rules:
        edition = await tx.one(store.EDITION)
        if edition != self._edition:
            rows = await tx.all(store.LIST_RULES)
            self._rules = Rules([rule_of(row) for row in rows])
            self._edition = edition
        return self._rules


def rule_of(row: store.RuleRow) -> Rule:
    return Rule(
        id=row.id,
        alert_type=row.alert_type,
        metric=row.metric,
        comparison=row.comparison,
        tenant_type=row.tenant_type,
        tenant_id=row.tenant_id,
        currency=row.currency,
        unit=row.unit,
        fire_at=row.fire_at,
        clear_at=row.clear_at,
        critical_at=row.critical_at,
        for_s=row.for_s,
        keep_firing_s=row.keep_firing_s,
        no_data_s=row.no_data_s,
        severity=row.severity,
        notify_roles=tuple(row.notify_roles),
        escalation=tuple(msgspec.convert(row.escalation, list[Escalation])),
        enabled=row.enabled,
        version=row.version,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )
