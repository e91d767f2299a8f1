"""What the browser tests do at the operations' desk."""

from __future__ import annotations

from typing import Any

import pyotp
from playwright.async_api import Page
from shop import Product

from molam.approvals.engine import Engine
from molam.entrypoints.registry import registry
from molam.simulator.people import DEMO_PEOPLE

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


async def clear(console: Product) -> None:
    """End whatever is open: nothing can be asked for twice at once."""
    async with console.db.transaction("e2e.clear") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set state = 'cancelled'"
            " where state in ('pending', 'blocked', 'approved', 'failed')"
        )


async def prove_identity(page: Page, who: str) -> None:
    """Type the one-time code that the issuer asks for of somebody who is signed in."""
    await page.locator("#otp").fill(pyotp.TOTP(_SECRETS[who]).now())
    await page.locator("main form button").click()
