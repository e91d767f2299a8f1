"""What changes the directory."""

from __future__ import annotations

from molam.platform.db import Tx
from molam.tenancy import store


async def register_merchant(tx: Tx, merchant: store.MerchantRow) -> bool:
    """Add a merchant; False when the id was taken already."""
    written = await tx.run(
        store.PUT_MERCHANT,
        id=merchant.id,
        name=merchant.name,
        city=merchant.city,
        country=merchant.country,
        default_currency=merchant.default_currency,
    )
    return written == 1


async def register_person(tx: Tx, person: store.PersonRow) -> bool:
    """Add a person; False when the id was taken already."""
    written = await tx.run(
        store.PUT_PERSON,
        id=person.id,
        name=person.name,
        email=person.email,
        locale=person.locale,
    )
    return written == 1


async def grant_role(tx: Tx, grant: store.GrantRow, *, granted_by: str) -> bool:
    """Grant a role from its instant on; False when the person holds it already."""
    written = await tx.run(
        store.PUT_GRANT,
        id=grant.id,
        person_id=grant.person_id,
        role=grant.role,
        merchant_id=grant.merchant_id,
        granted_at=grant.granted_at,
        granted_by=granted_by,
    )
    return written == 1


async def revoke_role(tx: Tx, *, person_id: str, role: str, merchant_id: str | None) -> bool:
    """End a grant as of now; every process hears of it at commit."""
    written = await tx.run(store.END_GRANT, person_id=person_id, role=role, merchant_id=merchant_id)
    return written == 1


async def add_alias(tx: Tx, *, alias: str, person_id: str) -> bool:
    """Let *alias* stand for a person; False when it stands for somebody already."""
    return await tx.run(store.PUT_ALIAS, alias=alias, person_id=person_id) == 1


async def make_service(tx: Tx, person_id: str, *, owner_id: str | None) -> None:
    """Say that an account is a program's, which never votes, and who answers for it."""
    await tx.run(store.SET_SERVICE, id=person_id, owner_id=owner_id)


async def deactivate_person(tx: Tx, person_id: str) -> bool:
    """Let a person leave as of now; what they decided keeps their name."""
    return await tx.run(store.SET_DEACTIVATED, id=person_id) == 1
