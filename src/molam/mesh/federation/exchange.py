"""Telling the other regions what we expect and what we would carry."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog

from molam.kernel.refusals import Outage
from molam.mesh.federation import commands, model, store
from molam.mesh.federation.commands import Message
from molam.mesh.federation.model import MessageKind
from molam.mesh.federation.peers import Peer
from molam.mesh.members import regions
from molam.mesh.runtime import Mesh
from molam.platform.db import Database, Tx
from molam.platform.egress import AddressRefused, Egress

log = structlog.get_logger()

MESSAGES_MAX = 50
QUOTE_COST_BPS = 10.0
PATH = "/api/mesh/federation/messages"
_TAKEN = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT})
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
        contents = [] if region is None else await _contents(tx, region.id)
    told = 0
    peers = [each for each in mesh.peers.known.values() if each.url]
    if not peers or region is None or not contents:
        return 0
    async with Egress(allow_private=mesh.peers.allow_private, timeout_s=TIMEOUT_S) as egress:
        for peer in peers:
            if peer.region_id == region.id:
                continue
            failure = await _tell(egress, mesh, peer, contents)
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
    """Send a peer every message; return why that went wrong, or None."""
    for kind, content in contents:
        message = commands.signed_message(
            kind, content, peers=mesh.peers, to=peer.region_id, now=mesh.clock.now()
        )
        failure = await _send(egress, peer, message)
        if failure is not None:
            log.info("federation.peer.failed", region=peer.region_id, reason=failure)
            return failure
    return None


async def _send(egress: Egress, peer: Peer, message: Message) -> str | None:
    try:
        answer = await egress.post(
            f"{peer.url}{PATH}",
            body=msgspec.json.encode(message),
            headers={"Content-Type": "application/json"},
        )
    except (Outage, AddressRefused) as error:
        return f"no answer: {type(error).__name__}"
    if answer.status not in _TAKEN:
        return f"it answered {answer.status}"
    return None


async def _contents(tx: Tx, region_id: str) -> list[tuple[MessageKind, dict[str, Any]]]:
    """Write what there is to tell, each thing once."""
    found: list[tuple[MessageKind, dict[str, Any]]] = [
        (
            "prediction",
            msgspec.to_builtins(
                model.PredictionContent(
                    mesh_region_id=region_id,
                    bank_profile_id=row.bank_profile_id,
                    rail=row.rail,
                    currency=row.currency,
                    p_down=row.p_down,
                    predicted_score=row.predicted_score,
                    window_minutes=row.window_minutes,
                )
            ),
        )
        for row in await tx.all(store.LIST_OWN_PREDICTIONS, region=region_id, limit=MESSAGES_MAX)
    ]
    for row in await tx.all(store.LIST_QUOTES, region=region_id):
        quote = model.QuoteContent(
            mesh_region_id=region_id,
            to_region_id=row.to_region_id,
            currency=row.currency,
            available=max(0, row.available),
            cost_bps=QUOTE_COST_BPS,
            path=row.path,
        )
        found.append(("quote", msgspec.to_builtins(quote)))
    return found
