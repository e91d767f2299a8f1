"""Objects tests begin with: valid by default, everything named, inserted by SQL of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from molam.platform.db import Database, Tx

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
"""A Monday at noon in Dakar; tests that do not care about the day use it."""


async def a_merchant(
    db: Database,
    *,
    id_: str = "merchant-123",
    name: str = "Boutique Sandaga",
    currency: str = "XOF",
    country: str = "SN",
    timezone: str = "Africa/Dakar",
    locale: str = "fr",
    config: Mapping[str, object] | None = None,
) -> str:
    """A merchant with its dashboard settings; returns its id."""
    async with db.transaction("tests.a_merchant") as tx:
        await tx.connection.execute(
            "insert into tenancy.merchants (id, name, city, country, default_currency)"
            " values ($1, $2, 'Dakar', $3, $4)",
            *(id_, name, country, currency),
        )
        await tx.connection.execute(
            "insert into merchant.merchant_dashboards (merchant_id, default_currency, timezone,"
            " locale) values ($1, $2, $3, $4)",
            *(id_, currency, timezone, locale),
        )
        if config is not None:
            await tx.connection.execute(
                "update merchant.merchant_dashboards set dashboard_config = dashboard_config || $2"
                " where merchant_id = $1",
                *(id_, dict(config)),
            )
    return id_


async def a_person(
    db: Database,
    *,
    id_: str = "awa.diop",
    name: str = "Awa Diop",
    locale: str = "fr",
    roles: Sequence[str] = ("merchant_admin",),
    merchant_id: str | None = "merchant-123",
    granted_at: datetime = NOW - timedelta(days=30),
) -> str:
    """A person holding *roles*, those of merchants at *merchant_id*; returns the id."""
    async with db.transaction("tests.a_person") as tx:
        await tx.connection.execute(
            "insert into tenancy.people (id, name, email, locale) values ($1, $2, $3, $4)",
            *(id_, name, f"{id_}@example.com", locale),
        )
        for role in roles:
            await tx.connection.execute(
                "insert into tenancy.role_grants (id, person_id, role, merchant_id, granted_at,"
                " granted_by) values ($1, $2, $3, $4, $5, 'tests')",
                *(uuid4(), id_, role, merchant_id if role.startswith("merchant_") else None),
                granted_at,
            )
    return id_


async def an_agent(
    db: Database,
    *,
    id_: str = "agent-123",
    name: str = "Kiosque Médina",
    currency: str = "XOF",
    country: str = "SN",
    status: str = "active",
    owner_id: str | None = None,
    balance: int = 0,
) -> str:
    """An agent, and its float if it has one; returns its id."""
    async with db.transaction("tests.an_agent") as tx:
        await tx.connection.execute(
            "insert into tenancy.agents (id, name, city, country, currency, status, owner_id)"
            " values ($1, $2, 'Dakar', $3, $4, $5, $6)",
            *(id_, name, country, currency, status, owner_id),
        )
        if balance:
            await _fund(tx, id_, currency, balance)
    return id_


async def _fund(tx: Tx, agent_id: str, currency: str, balance: int) -> None:
    account, treasury = f"agent:{agent_id}:float:{currency}", f"treasury:float:{currency}"
    await tx.connection.execute(
        "insert into ledger.accounts (id, kind, currency, balance, floor) values"
        " ($1, 'agent_float', $3, $4, 0), ($2, 'treasury_float', $3, -$4, null)"
        " on conflict (id) do update set balance = accounts.balance + excluded.balance",
        *(account, treasury, currency, balance),
    )
    await tx.connection.execute(
        "insert into ledger.transfers (id, source, target, amount, currency, agent_id, cause,"
        " cause_id, occurred_at) values ($1, $2, $3, $4, $5, $6, 'tests', 'tests', $7)",
        *(uuid4(), treasury, account, balance, currency, agent_id, NOW),
    )


async def a_transaction(
    db: Database,
    *,
    id_: str = "tx_123",
    merchant_id: str = "merchant-123",
    amount: int = 75_000,
    currency: str = "XOF",
    state: str = "succeeded",
    occurred_at: datetime = NOW - timedelta(hours=3),
) -> str:
    """A stored payment, as intake leaves it; returns its id."""
    async with db.transaction("tests.a_transaction") as tx:
        await tx.connection.execute(
            "insert into payments.wallet_transactions (merchant_id, id, type, state, amount,"
            " currency, occurred_at, version) values ($1, $2, 'payment', $3, $4, $5, $6, 2)",
            *(merchant_id, id_, state, amount, currency, occurred_at),
        )
    return id_


async def an_alert(
    db: Database,
    *,
    merchant_id: str = "merchant-123",
    alert_type: str = "threshold_breach",
    episode: str = "2026-11-16",
) -> str:
    """An active alert; returns its id."""
    id_ = uuid4()
    async with db.transaction("tests.an_alert") as tx:
        await tx.connection.execute(
            "insert into merchant.merchant_alerts (id, merchant_id, alert_type, severity, title,"
            " description, episode) values ($1, $2, $3, 'warning', 'Title', 'Why', $4)",
            *(id_, merchant_id, alert_type, episode),
        )
    return str(id_)


OPERATIONS = {
    "ops-admin-1": ("ops_admin",),
    "ops-admin-2": ("ops_admin",),
    "ops-admin-3": ("ops_admin",),
    "finance-user-1": ("finance_ops",),
    "finance-user-2": ("finance_ops",),
    "finance-user-3": ("finance_ops",),
    "pay-admin-1": ("pay_admin",),
    "pay-admin-2": ("pay_admin",),
    "pay-admin-3": ("pay_admin",),
    "compliance-1": ("compliance",),
    "cfo-1": ("cfo",),
    "super-admin-1": ("super_admin",),
}


async def operations(db: Database) -> None:
    """Whoever operates the platform, in roles they have held for a month."""
    for id_, roles in OPERATIONS.items():
        await a_person(db, id_=id_, name=id_.title(), roles=roles, merchant_id=None)


async def balance_of(db: Database, account: str) -> int:
    """What a ledger account holds, in minor units."""
    async with db.transaction("tests.balance_of") as tx:
        found = await tx.connection.fetchval(
            "select balance from ledger.accounts where id = $1", account
        )
    return int(found or 0)


FLOAT_POLICY: Mapping[str, object] = {
    "required_quorum": {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}},
    "required_ratio": "3/4",
    "timeout_seconds": 7200,
    "escalation_role": "cfo",
    "auto_execute": False,
}


async def a_policy(
    db: Database,
    *,
    name: str = "Float Top-up",
    criteria: Mapping[str, object] | None = None,
    policy: Mapping[str, object] = FLOAT_POLICY,
    priority: int = 90,
    baseline: bool = False,
) -> UUID:
    """A policy in force, by default the one that asks two finance_ops about floats."""
    id_ = uuid4()
    async with db.transaction("tests.a_policy") as tx:
        await tx.connection.execute(
            "insert into approvals.approval_policies (id, name, criteria, policy, priority,"
            " baseline, hash, created_by, updated_by, created_at, updated_at)"
            " values ($1, $2, $3, $4, $5, $6, $7, 'tests', 'tests', $8, clock_timestamp())",
            *(id_, name, dict(criteria or {"action_type": "ADJUST_FLOAT"}), dict(policy)),
            *(priority, baseline, bytes(32), NOW),
        )
    return id_
