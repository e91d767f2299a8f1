"""Each safety that the schedules rely on, taken away: then some schedule must fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import scenarios
from scenarios import Scenario

from molam.ledger import store as ledger_store
from molam.merchant import cache_store, kpi_store, upkeep_store
from molam.payments import store as payments_store
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class Twin:
    """A statement without one of its safeties, and the failure that this must lead to."""

    name: str
    scenario: Scenario
    module: ModuleType
    statement: str
    replaced: dict[str, str]
    says: str

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        original: Query[Any] = getattr(self.module, self.statement)
        sql: Any = original.sql
        for old, new in self.replaced.items():
            assert old in sql, f"{self.name}: {old}"
            sql = sql.replace(old, new)
        setattr(self.module, self.statement, Query(sql, row=original.row, locks=original.locks))
        try:
            yield
        finally:
            setattr(self.module, self.statement, original)


TWINS = (
    Twin(
        "merchants are not locked",
        scenarios.intake,
        payments_store,
        "LOCK_MERCHANTS",
        {"pg_advisory_xact_lock(1886217588, stripe)": "stripe"},
        says="not as one after the other",
    ),
    Twin(
        "a balance is added to as the statement saw it",
        scenarios.intake,
        ledger_store,
        "POST_TRANSFERS",
        {
            "set balance = a.balance +": "set balance ="
            " (select o.balance from ledger.accounts o where o.id = a.id) +"
        },
        says="balances are not the sum of entries",
    ),
    Twin(
        "a transfer is named by the version alone",
        scenarios.intake,
        payments_store,
        "STORE_TRANSACTIONS",
        {"concat_ws('|', version, state, amount, fee_molam, currency)": "version::text"},
        says="not as one after the other",
    ),
    Twin(
        "a head is not locked",
        scenarios.figures,
        kpi_store,
        "TOUCH_HEADS",
        {"do update set version = h.version + 1, changed_at = now()": "do nothing"},
        says="buckets differ from facts|a cached figure claims|never true",
    ),
    Twin(
        "a head is locked and does not count up",
        scenarios.figures,
        kpi_store,
        "TOUCH_HEADS",
        {"set version = h.version + 1, changed_at": "set changed_at"},
        says="a cached figure claims|never true",
    ),
    Twin(
        "a reader trusts every cached figure",
        scenarios.figures,
        cache_store,
        "READ_SUMMARY",
        {" and c.as_of = h.version": ""},
        says="older than the question",
    ),
    Twin(
        "the worker brings every cached figure along",
        scenarios.figures,
        kpi_store,
        "COUNT_FACTS",
        {
            " and c.as_of = h.version - 1": "",
            "as_of = c.as_of + 1": "as_of = (select h.version from merchant.kpi_heads h"
            " where h.merchant_id = c.merchant_id)",
        },
        says="a cached figure claims|never true",
    ),
    Twin(
        "a rebuilding does not lock the head",
        scenarios.repairs,
        upkeep_store,
        "LOCK_HEAD",
        {
            "update merchant.kpi_heads\n       set version = version + 1, changed_at = now()\n": "select version from merchant.kpi_heads\n",
            "    returning version\n": "",
        },
        says="buckets differ from facts|UniqueViolation|a cached figure claims|never true",
    ),
    Twin(
        "a rebuilding finds no head to lock",
        scenarios.repairs,
        upkeep_store,
        "BEGIN_HEAD",
        {"where merchant_id = :merchant_id": "where merchant_id = :merchant_id and false"},
        says="buckets differ from facts|UniqueViolation|deadlock",
    ),
)
