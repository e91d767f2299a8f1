"""Questions about merchants, people and roles."""

from __future__ import annotations

from collections.abc import Sequence

from molam.kernel import searches
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, Tx
from molam.tenancy import standing_store, store


class MerchantAbsent(Refusal):
    code = "merchant-absent"
    kind = Kind.ABSENT
    title = "No such merchant"


class AgentAbsent(Refusal):
    code = "agent-absent"
    kind = Kind.ABSENT
    title = "No such agent"


async def roles_of(db: Database, person_id: str, merchant_id: str | None) -> frozenset[str] | None:
    """
    Tell which roles a person holds now: the platform's, and those at *merchant_id*.

    None means that the directory does not know the person, or that it is a service,
    whose token alone says what it may do.
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


async def electors_of(
    tx: Tx, roles: Sequence[str], people: Sequence[str] = ()
) -> list[store.HolderRow]:
    """
    List who holds one of *roles* on the platform now, one row for each role held.

    *people* are listed too, whatever they hold, with the role ``""``. Who has left
    and who is a service is never listed.
    """
    return await tx.all(store.LIST_HOLDERS, roles=list(roles), people=list(people))


async def platform_people(tx: Tx, ids: Sequence[str]) -> frozenset[str]:
    """Tell which of *ids* work on the platform, and not only for a merchant."""
    rows = await tx.all(store.LIST_PLATFORM_PEOPLE, people=sorted(set(ids)))
    return frozenset(row.person_id for row in rows)


async def principals_of(tx: Tx, ids: Sequence[str]) -> dict[str, str]:
    """Tell which person each of *ids* is; one that nobody knows stands for itself."""
    rows = await tx.all(store.LIST_PRINCIPALS, ids=sorted(set(ids)))
    return {row.alias: row.person_id for row in rows}


async def find_person(tx: Tx, person_id: str) -> store.KnownPersonRow | None:
    """Find a person or service, gone or not; aliases are not looked at."""
    return await tx.one(store.LIST_PEOPLE, ids=[person_id])


async def people_of(tx: Tx, ids: Sequence[str]) -> dict[str, store.KnownPersonRow]:
    """Look up those of *ids* that the directory knows, gone or not."""
    rows = await tx.all(store.LIST_PEOPLE, ids=sorted(set(ids)))
    return {row.id: row for row in rows}


async def search_people(tx: Tx, text: str, *, limit: int) -> list[store.KnownPersonRow]:
    """Find people whose name, address or id begins with *text*."""
    return await tx.all(
        store.SEARCH_PEOPLE, exact=text.strip(), prefix=searches.prefix_pattern(text), limit=limit
    )


async def owner_of_agent(tx: Tx, agent_id: str) -> str | None:
    """Tell who gains when an agent's float grows; None when nobody is known to."""
    row = await tx.one(store.FIND_AGENT_OWNER, id=agent_id)
    return None if row is None else row.owner_id


async def get_agent(tx: Tx, agent_id: str) -> standing_store.AgentRow:
    """
    Raises:
        AgentAbsent: there is no such agent.
    """
    row = await tx.one(standing_store.FIND_AGENT, id=agent_id)
    if row is None:
        raise AgentAbsent("Check the agent id.")
    return row


async def search_merchants(
    tx: Tx, text: str, *, limit: int
) -> list[standing_store.FoundMerchantRow]:
    """Find merchants whose id, or a word of whose name, begins with *text*."""
    exact = text.strip()
    if not exact:
        return []
    return await tx.all(
        standing_store.SEARCH_MERCHANTS,
        exact=exact,
        prefix=searches.prefix_pattern(text),
        limit=limit,
    )


async def search_agents(tx: Tx, text: str, *, limit: int) -> list[standing_store.AgentRow]:
    """Find agents whose id, or a word of whose name, begins with *text*."""
    exact = text.strip()
    if not exact:
        return []
    return await tx.all(
        standing_store.SEARCH_AGENTS, exact=exact, prefix=searches.prefix_pattern(text), limit=limit
    )
