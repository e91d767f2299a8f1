"""Fills an empty database with the demo: merchants, people, and weeks of trade."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7, uuid8
from molam.ledger import floats
from molam.platform.db import Database, Tx
from molam.platform.events import Event, cloud_event, publish
from molam.simulator import store
from molam.simulator.agents import AGENTS, FEES_BASIS_POINTS, FEES_SINCE, Agent
from molam.simulator.people import DEMO_PEOPLE, SERVICES, Person, admin_of
from molam.simulator.profiles import DRILLED, HISTORY_DAYS, PROFILES, SANDAGA, Profile
from molam.simulator.traffic import Happening, transactions
from molam.tenancy import commands as tenancy
from molam.tenancy import standing, standing_store
from molam.tenancy.store import GrantRow, MerchantRow, PersonRow

SEED = 20_260
"""The demo's traffic; another number is another year in the same shops."""
BATCH = 500
SOURCE = "/molam/simulator"
_EXAMPLES = "/molam/examples"

GRANTED_BEFORE = timedelta(days=30)
# Before this much history a payout would pay out what nobody saw coming in.
_PAYOUTS_AFTER = timedelta(days=8)
# History holds whole payouts only. Those that would still be under way now, and all later
# ones, are not the wallets' to report: our own run makes them.
PAYOUT = "payout_created"
PAYOUT_LASTS_MAX = timedelta(hours=31)

EXAMPLE_TRANSACTION = "tx_123"
_EXAMPLE_AMOUNT = 75_000
_EXAMPLE_FEE = 750


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a run added; all zero when the demo was there already."""

    merchants: int
    people: int
    grants: int
    agents: int


async def seed_demo(db: Database, now: Instant) -> Seeded:
    """
    Add the demo's merchants, people, roles, agents and ``tx_123``; safe to repeat.

    What exists is left as it is, so renamed merchants and revoked roles stay so.
    """
    async with db.transaction("simulator.seed_demo") as tx:
        merchants = [
            profile for profile in (*PROFILES, DRILLED) if await _put_merchant(tx, profile)
        ]
        people = [person for person in DEMO_PEOPLE if await _put_person(tx, person)]
        grants = 0
        for person in people:
            grants += await _grant(tx, person, now)
        for service in SERVICES:
            if await _put_person(tx, service):
                await tenancy.make_service(tx, service.id, owner_id=None)
        for profile in PROFILES:
            await _agree_fee(tx, profile.merchant_id, now)
        agents = [agent for agent in AGENTS if await _put_agent(tx, agent, now)]
        for agent in AGENTS:
            await tx.run(
                store.PUT_PLACE,
                agent_id=agent.id,
                latitude=agent.latitude,
                longitude=agent.longitude,
                country=agent.country,
                city=agent.city,
            )
        if SANDAGA in merchants:
            example = _example(now - timedelta(hours=20))
            await publish(tx, [envelope(made, source=_EXAMPLES) for made in example])
    return Seeded(len(merchants), len(people), grants, len(agents))


async def backfill(
    db: Database,
    now: Instant,
    *,
    days: int = HISTORY_DAYS,
    seed: int = SEED,
    profiles: Sequence[Profile] = PROFILES,
    progress: Callable[[float], None] = lambda _share: None,
) -> int:
    """
    Publish the last *days* of trade, oldest first; return how many events.

    Does nothing once there is traffic in the log: `live.run` goes on from there.
    A killed backfill leaves the rest to `live.run` as well. *progress* is told
    the share of the time that is done.
    """
    if (await db.read(store.FIND_TRAFFIC, source=SOURCE))[0].last_at is not None:
        return 0
    start = now - timedelta(days=days)
    history = (
        happening
        for happening in transactions(seed, profiles, start, now, since=start)
        if happening.topic != PAYOUT or _is_reported(happening, start, now)
    )
    count = 0
    while batch := list(islice(history, BATCH)):
        await send(db, batch)
        count += len(batch)
        progress((batch[-1].at - start) / (now - start))
    progress(1.0)
    return count


def _is_reported(payout: Happening, start: Instant, now: Instant) -> bool:
    began_at = datetime.fromisoformat(str(payout.data["occurred_at"]))
    return payout.began_at >= start + _PAYOUTS_AFTER and began_at < now - PAYOUT_LASTS_MAX


async def send(db: Database, happenings: Iterable[Happening]) -> None:
    """Publish what wallets say, in one transaction."""
    async with db.transaction("simulator.send") as tx:
        await publish(tx, [envelope(happening) for happening in happenings])


def envelope(happening: Happening, *, source: str = SOURCE) -> Event:
    """Wrap what a wallet says in a CloudEvent, keyed by its merchant."""
    return Event(
        happening.topic,
        happening.merchant_id,
        cloud_event(
            id_=f"{happening.id}/{happening.version}",
            source=source,
            type_=happening.topic,
            subject=happening.id,
            time=happening.at,
            data=happening.data,
        ),
    )


async def _put_merchant(tx: Tx, profile: Profile) -> bool:
    added = await tenancy.register_merchant(
        tx,
        MerchantRow(
            profile.merchant_id,
            profile.name,
            profile.city,
            profile.country,
            profile.currency,
            "active",
        ),
    )
    await tx.run(
        store.PUT_DASHBOARD,
        merchant_id=profile.merchant_id,
        currency=profile.currency,
        timezone=profile.timezone,
        locale=profile.locale,
    )
    return added


async def _put_person(tx: Tx, person: Person) -> bool:
    return await tenancy.register_person(
        tx, PersonRow(person.id, person.name, person.email, person.locale)
    )


async def _grant(tx: Tx, person: Person, now: Instant) -> int:
    since = now - GRANTED_BEFORE
    granted = 0
    for role in person.roles:
        grant = GrantRow(uuid7(since), person.id, role, person.merchant_id, since)
        granted += await tenancy.grant_role(tx, grant, granted_by=_granter_of(person))
    return granted


def _granter_of(person: Person) -> str:
    return "demo" if person.merchant_id is None else admin_of(person.merchant_id)


async def _agree_fee(tx: Tx, merchant_id: str, now: Instant) -> None:
    await tx.run(
        standing_store.APPEND_FEE,
        id=uuid8(f"demo/fee/{merchant_id}"),
        merchant_id=merchant_id,
        basis_points=FEES_BASIS_POINTS[merchant_id],
        effective_date=FEES_SINCE,
        set_by="demo",
        set_at=now - GRANTED_BEFORE,
        action_id=None,
    )


async def _put_agent(tx: Tx, agent: Agent, now: Instant) -> bool:
    """Add an agent and fund its float, which happens once even if it is added anew."""
    added = await standing.register_agent(
        tx,
        standing_store.AgentRow(
            id=agent.id,
            name=agent.name,
            city=agent.city,
            country=agent.country,
            currency=agent.currency,
            status="active",
            owner_id=agent.owner_id,
            created_at=now,
        ),
    )
    if added:
        funding = floats.Move(
            id=uuid8(f"demo/float/{agent.id}"),
            agent_id=agent.id,
            adjustment="top_up",
            minor=agent.float_minor,
            currency=agent.currency,
            cause_id="demo",
            at=now,
        )
        await floats.adjust(tx, funding)
    return added


def _example(at: Instant) -> Iterable[Happening]:
    """Make the payment that the specification's examples refund."""
    for version, (topic, status, seconds) in enumerate(
        [("wallet_txn_created", "pending", 0), ("wallet_txn_succeeded", "succeeded", 4)], start=1
    ):
        yield Happening(
            at=at + timedelta(seconds=seconds),
            id=EXAMPLE_TRANSACTION,
            version=version,
            topic=topic,
            merchant_id=SANDAGA.merchant_id,
            began_at=at,
            data={
                "id": EXAMPLE_TRANSACTION,
                "transaction_id": EXAMPLE_TRANSACTION,
                "merchant_id": SANDAGA.merchant_id,
                "type": "payment",
                "amount": _EXAMPLE_AMOUNT,
                "currency": SANDAGA.currency,
                "status": status,
                "version": version,
                "occurred_at": at.isoformat(),
                "fee_molam": _EXAMPLE_FEE,
                "channel": "wallet",
                "provider": "wave",
                "reference_code": "SAN-EXEMPLE",
                "customer": {
                    "name": "Aminata Diallo",
                    "email": "aminata.diallo@example.com",
                    "phone": "+221770000123",
                },
                "metadata": {"country": SANDAGA.country},
            },
        )
