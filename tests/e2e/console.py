"""What the browser tests do at the operations' desk."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

import pyotp
from playwright.async_api import Page
from shop import Product

from molam.approvals import aftermath, execution
from molam.approvals.engine import Engine
from molam.approvals.model import Actor
from molam.approvals.risk import commands
from molam.entrypoints.registry import registry
from molam.simulator.people import DEMO_PEOPLE
from risk import SERVICE, a_desk, asked

BREAKER = "alioune.sy"
ASKER, VOTER, OTHER_VOTER = "ibrahima.ba", "khady.seck", "esi.boateng"

_SECRETS = {person.id: person.totp_secret for person in DEMO_PEOPLE}


def engine(console: Product) -> Engine:
    return Engine.of(console.db, registry(), worker="e2e")


async def a_freeze(console: Product, merchant: str = "merchant-123", **fields: Any) -> str:
    """Ask for a freeze, which two operations administrators decide; return the action's id."""
    created = await engine(console).create_ops_action(
        origin="ops_ui",
        action_type="FREEZE_MERCHANT",
        params={"merchant_id": merchant, "reason": "refunds", "duration": "24h"},
        created_by=ASKER,
        context={"note": "Twenty refunds within an hour."},
        **fields,
    )
    return str(created["id"])


async def an_emergency(console: Product) -> str:
    """Have one person decide something risky alone; return the action's id."""
    id_ = await a_risk(console)
    runtime, breaker = engine(console).runtime, Actor(BREAKER, roles=frozenset({"super_admin"}))
    why = "Refunds were leaving by the minute."
    await aftermath.break_glass(runtime.db, UUID(id_), breaker, reason=why)
    await execution.execute(runtime, UUID(id_), breaker)
    return id_


async def a_risk(console: Product) -> str:
    """Ask for an approval of high risk, as a module would; return the action's id."""
    desk = a_desk(console.db, console.settings.molam_home / "files")
    about = f"order-{secrets.token_hex(4)}"
    opened = await commands.create(desk, asked("three", origin_entity_id=about), SERVICE)
    return str(opened.row.ops_action_id)


async def clear(console: Product) -> None:
    """End whatever is open or frozen: nothing can be asked for twice at once."""
    async with console.db.transaction("e2e.clear") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set state = 'cancelled'"
            " where state in ('pending', 'blocked', 'approved', 'failed')"
        )
        await tx.connection.execute(
            "update tenancy.merchant_freezes set ended_at = now(), ended_by = 'e2e'"
            " where ended_at is null"
        )
        await tx.connection.execute(
            "update tenancy.merchants set status = 'active' where status = 'frozen'"
        )


async def prove_identity(page: Page, who: str) -> None:
    """Type the one-time code that the issuer asks for of somebody who is signed in."""
    await page.locator("#otp").fill(pyotp.TOTP(_SECRETS[who]).now())
    await page.locator("main form button").click()
