"""Telling the other regions what we expect and what we would carry."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog

from molam.kernel.refusals import Outage
from molam.mesh.federation import commands, corridor_store, corridors, model, store
from molam.mesh.federation.commands import Message
from molam.mesh.federation.model import MessageKind
from molam.mesh.federation.peers import Peer
from molam.mesh.members import queries as members
from molam.mesh.members import regions
from molam.mesh.runtime import Mesh
from molam.mesh.signals import queries as signals
from molam.mesh.signals.model import DECLARED_P_DOWN
from molam.platform.db import Database, Tx
from molam.platform.egress import AddressRefused, Egress
from molam.sira import health_filter as filter_

log = structlog.get_logger()

MESSAGES_MAX = 50
SEEN_WITHIN_S = 600.0
HORIZON_MINUTES = 60
PATH = "/api/mesh/federation/messages"
_TAKEN = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT})
_REFUSED_ALONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})
TIMEOUT_S = 5.0


async def tell_all(db: Database, mesh: Mesh) -> int:
    """
    Sign our routes, and tell each peer that has an address what is new; return how many heard.

    A peer that does not answer is told again the next time. Nothing here waits for it:
    our own routes are in force all the same.
    """
    async with db.transaction("federation.write") as tx:
        await commands.sign_table(tx, mesh)
        region = await regions.find(tx, mesh.region)
        peers = [
            each
            for each in mesh.peers.known.values()
            if each.url and region is not None and each.region_id != region.id
        ]
        if not peers or region is None:
            return 0
        common = await _contents(tx, mesh, region.id)
        contents = {each.region_id: await _to(tx, region.id, each) + common for each in peers}
    told = 0
    async with Egress(allow_private=mesh.peers.allow_private, timeout_s=TIMEOUT_S) as egress:
        for peer in peers:
            failure = await _tell(egress, mesh, peer, contents[peer.region_id])
            async with db.transaction("federation.told") as tx:
                if await regions.find(tx, peer.region_id) is not None:
                    await tx.run(
                        store.TOLD,
                        mesh_region_id=peer.region_id,
                        url=peer.url,
                        failure=failure,
                    )
            told += failure is None
    return told


async def _tell(
    egress: Egress, mesh: Mesh, peer: Peer, contents: Sequence[tuple[MessageKind, dict[str, Any]]]
) -> str | None:
    """
    Send a peer every message; return why that went wrong, or None.

    One that it refuses says nothing against the others; one that it does not answer does.
    """
    refused = None
    for kind, content in contents:
        message = commands.signed_message(
            kind, content, peers=mesh.peers, to=peer.region_id, now=mesh.clock.now()
        )
        status, failure = await _send(egress, peer, message)
        if failure is None:
            continue
        log.info("federation.peer.failed", region=peer.region_id, kind=kind, reason=failure)
        if status not in _REFUSED_ALONE:
            return failure
        refused = failure
    return refused


async def _send(egress: Egress, peer: Peer, message: Message) -> tuple[int | None, str | None]:
    try:
        answer = await egress.post(
            f"{peer.url}{PATH}",
            body=msgspec.json.encode(message),
            headers={"Content-Type": "application/json"},
        )
    except (Outage, AddressRefused) as error:
        return None, f"no answer: {type(error).__name__}"
    if answer.status in _TAKEN:
        return answer.status, None
    return answer.status, f"it answered {answer.status}"


async def _to(tx: Tx, ours: str, peer: Peer) -> list[tuple[MessageKind, dict[str, Any]]]:
    """Write what one peer alone is told: of the corridors between it and us."""
    found = await corridors.to_tell(tx, ours, peer.region_id)
    return [("proposal", msgspec.to_builtins(each)) for each in found]


async def _contents(tx: Tx, mesh: Mesh, region_id: str) -> list[tuple[MessageKind, dict[str, Any]]]:
    """Write what there is to tell everybody, each thing once."""
    found: list[tuple[MessageKind, dict[str, Any]]] = [
        ("prediction", msgspec.to_builtins(each)) for each in await seen_here(tx, mesh, region_id)
    ]
    for row in await tx.all(corridor_store.LIST_QUOTES, region=region_id):
        quote = model.QuoteContent(
            mesh_region_id=region_id,
            to_region_id=region_id,
            currency=row.currency,
            available=max(0, row.available),
            cost_bps=corridors.STEP_COST_BPS * (len(row.path) - 1),
            path=row.path,
        )
        found.append(("quote", msgspec.to_builtins(quote)))
    return found


async def seen_here(tx: Tx, mesh: Mesh, region_id: str) -> list[model.PredictionContent]:
    """
    Predict what becomes of our banks by what we saw of them ourselves in the last minutes.

    See Note [Doubt, and never trust]: what others said is not said again.
    """
    now = mesh.clock.now()
    banks = await members.members_of(tx, region=region_id, status="active", limit=MESSAGES_MAX)
    rows = await signals.health_of(tx, bank_ids=[each.bank_profile_id for each in banks])
    found = []
    for row in rows:
        if row.last_signal_at is None or (now - row.last_signal_at).total_seconds() > SEEN_WITHIN_S:
            continue
        belief = filter_.advance(row.seen, now.timestamp())
        announced = DECLARED_P_DOWN if row.is_announced_down else 0.0
        lost = max(filter_.expected_failure(belief, HORIZON_MINUTES * 60), announced)
        found.append(
            model.PredictionContent(
                mesh_region_id=region_id,
                bank_profile_id=row.bank_profile_id,
                rail=row.rail,
                currency=row.currency,
                p_down=round(max(filter_.p_down(belief), announced), 6),
                predicted_score=round(100 * (1 - lost), 2),
                window_minutes=HORIZON_MINUTES,
            )
        )
    return found[:MESSAGES_MAX]
