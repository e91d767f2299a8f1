"""Proposing routes, and trying them out on the payouts that are waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from molam.kernel.currency import currency as known_currency
from molam.kernel.ids import show, uuid7
from molam.mesh.routing import content, queries, replaying, store
from molam.mesh.routing.gathering import gather
from molam.mesh.routing.model import (
    SIMULABLE,
    TTL_S,
    BoundsMalformed,
    ProposalExpired,
    ProposalNotInState,
    Simulation,
    Wanted,
)
from molam.mesh.routing.proposing import Draft, draft
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.mesh.signals.messages import OURS
from molam.payments.banks.queries import get_bank
from molam.platform.db import Tx
from molam.platform.events import Event, cloud_event, publish
from molam.sira.content import sign_content, verify_content

TOPIC = "mesh.proposals"

_encode = msgspec.json.Encoder(decimal_format="number").encode


async def propose(tx: Tx, mesh: Mesh, wanted: Wanted) -> ProposalRow:
    """
    Score, put in order, sign, store and publish a route.

    Raises:
        RegionAbsent: there is no such region.
        UnknownCurrency: the product keeps no money in it.
        BoundsMalformed: no amount is between the bounds.
        BankAbsent: there is no bank of *from_bank_id*.
        NoRoute: nobody may carry these payouts, or nobody better than now.
    """
    await _check(tx, wanted)
    world = await gather(tx, mesh, wanted)
    made = draft(world)
    at = world.at
    # As whole seconds: so are the signature's own.
    expires = datetime.fromtimestamp(int(at.timestamp()), UTC) + timedelta(seconds=TTL_S)
    head: dict[str, Any] = {
        "id": show("mrp", uuid7(at)),
        "mesh_region_id": world.region.id,
        "currency": wanted.currency,
        "rail": wanted.rail,
        "kind": made.kind,
        "from_bank_id": made.from_bank_id,
        "to_bank_id": made.to_bank_id,
        "policy_id": world.policy.id,
        "policy_version": world.policy.version,
        "confidence": f"{made.confidence:.4f}",
        "p_down": made.p_down,
        "created_by": wanted.created_by,
    }
    signed = sign_content(
        "proposal",
        content.written(
            head=head,
            bounds=(wanted.min_amount, wanted.max_amount),
            proposal=made.document,
            expires_at=expires,
        ),
        key=mesh.signing_key,
        now=at,
        ttl_s=TTL_S,
    )
    row = await tx.one(
        store.INSERT_PROPOSAL,
        **head,
        min_amount=wanted.min_amount,
        max_amount=wanted.max_amount,
        proposal=made.document,
        sira_signature=signed.token,
        token_id=signed.token_id,
        created_at=at,
        expires_at=expires,
    )
    assert row is not None
    await _tell(tx, row, made)
    return row


async def _check(tx: Tx, wanted: Wanted) -> None:
    known_currency(wanted.currency)
    if wanted.max_amount is not None and wanted.max_amount < wanted.min_amount:
        raise BoundsMalformed("max_amount is below min_amount.")
    if wanted.from_bank_id is not None:
        await get_bank(tx, wanted.from_bank_id)


async def simulate(tx: Tx, mesh: Mesh, proposal_id: str) -> Simulation:
    """
    Replay a proposal on the payouts that are waiting, and keep what was found with it.

    Raises:
        ProposalAbsent: no proposal has this id.
        ProposalNotInState: it was decided already.
        ProposalExpired: it was not decided in time.
        AdviceRefused: it is not what was signed.
    """
    row = await queries.get(tx, proposal_id)
    if row.status not in SIMULABLE:
        raise ProposalNotInState(
            f"It is {row.status.replace('_', ' ')}; only what is undecided can be simulated.",
            status=row.status,
        )
    at = await queries.now(tx)
    if at >= row.expires_at:
        raise ProposalExpired("Ask for a new one: what it stands on is an hour old.")
    verify_content(
        row.sira_signature, "proposal", content.content_of(row), key=mesh.signing_key, now=at
    )
    found = await replaying.replay(tx, mesh, row)
    kept = await tx.run(
        store.SET_SIMULATION, id=row.id, results=msgspec.json.decode(_encode(found))
    )
    if not kept:
        raise ProposalNotInState("It was decided meanwhile.")
    await tx.run(store.TELL_PAGES)
    return found


async def _tell(tx: Tx, row: ProposalRow, made: Draft) -> None:
    data = {
        "proposal_id": row.id,
        "mesh_region_id": row.mesh_region_id,
        "currency": row.currency,
        "rail": row.rail,
        "min_amount": row.min_amount,
        "max_amount": row.max_amount,
        "proposal": made.document,
        "created_by": row.created_by,
        "sira_signature": row.sira_signature,
        "timestamp": row.created_at,
    }
    payload = cloud_event(
        id_=row.id,
        source=OURS,
        type_=TOPIC,
        subject=row.id,
        time=row.created_at,
        data=data,
    )
    await publish(tx, [Event(TOPIC, row.mesh_region_id, payload)])
    await tx.run(store.TELL_PAGES)
