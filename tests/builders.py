"""Objects tests begin with: valid by default, everything named, inserted by SQL of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from molam.platform.db import Database

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
