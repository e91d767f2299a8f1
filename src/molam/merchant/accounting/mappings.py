"""Reading and changing the accounts that a merchant's books use."""

from __future__ import annotations

from collections.abc import Mapping

from molam.kernel.clock import Instant
from molam.merchant import trail
from molam.merchant.accounting import mapping_store as store
from molam.merchant.accounting.chart import SLOTS, Account, Chart, check
from molam.platform.db import Database, Tx
from molam.platform.web import Caller
from molam.platform.web.l10n import Language
from molam.tenancy.standing import ensure_may_change


async def chart_of(tx: Tx, merchant_id: str, language: Language) -> Chart:
    """Read a merchant's chart, with the defaults named in *language*."""
    rows = await tx.all(store.LIST, merchant_id=merchant_id)
    return Chart.of(((row.slot, row.account, row.label) for row in rows), language)


async def read_chart(db: Database, merchant_id: str, language: Language) -> Chart:
    async with db.transaction("merchant.chart", merchant_id=merchant_id, readonly=True) as tx:
        return await chart_of(tx, merchant_id, language)


async def change(
    db: Database,
    caller: Caller,
    wanted: Mapping[str, Account],
    *,
    language: Language,
    now: Instant,
) -> Chart:
    """
    Use these accounts from the next journal on; what is not named goes back to its default.

    Raises:
        AccountingRefused: an account that cannot be used; nothing is changed.
        MerchantFrozen: nothing may be changed now.
    """
    merchant_id = caller.merchant
    defaults = {slot: each.account(language) for slot, each in SLOTS.items()}
    check({**defaults, **wanted})
    async with db.transaction("merchant.change_accounts", merchant_id=merchant_id) as tx:
        await ensure_may_change(tx, merchant_id, now=now)
        before = await chart_of(tx, merchant_id, language)
        await tx.run(store.CLEAR, merchant_id=merchant_id)
        for slot, account in wanted.items():
            if account != defaults[slot]:
                await tx.run(
                    store.PUT,
                    merchant_id=merchant_id,
                    slot=slot,
                    account=account.code,
                    label=account.label,
                    by=caller.subject,
                )
        after = await chart_of(tx, merchant_id, language)
        changed = [slot for slot in SLOTS if before[slot] != after[slot]]
        if changed:
            await trail.record(
                tx,
                caller,
                action_type="accounting_changed",
                resource_type="settings",
                resource_id=None,
                before={slot: f"{before[slot].code} {before[slot].label}" for slot in changed},
                after={slot: f"{after[slot].code} {after[slot].label}" for slot in changed},
            )
    return after
