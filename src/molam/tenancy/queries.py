"""Questions about merchants, people and roles."""

from __future__ import annotations

from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database
from molam.tenancy import store


class MerchantAbsent(Refusal):
    code = "merchant-absent"
    kind = Kind.ABSENT
    title = "No such merchant"


async def roles_of(db: Database, person_id: str, merchant_id: str | None) -> frozenset[str] | None:
    """
    Tell which roles a person holds now: the platform's, and those at *merchant_id*.

    None means that the directory does not know the person at all.
    """
    rows = await db.read(store.LIST_ROLES, person_id=person_id, merchant_id=merchant_id)
    if not rows[0].known:
        return None
    return frozenset(row.role for row in rows if row.role is not None)


async def get_merchant(db: Database, merchant_id: str) -> store.MerchantRow:
    """
    Raises:
        MerchantAbsent: nobody registered this merchant.
    """
    rows = await db.read(store.FIND_MERCHANT, id=merchant_id)
    if not rows:
        raise MerchantAbsent("Check the merchant id.")
    return rows[0]
