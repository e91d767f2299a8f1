"""Taking in what other regions say, and signing our routes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import structlog

from molam.kernel.clock import Instant
from molam.mesh.federation import corridors, model, store
from molam.mesh.federation.model import (
    MessageKind,
    PredictionContent,
    ProposalContent,
    QuoteContent,
)
from molam.mesh.federation.peers import Peer, Peers
from molam.mesh.federation.store import PeerRow, TableRow
from molam.mesh.members import regions
from molam.mesh.runtime import Mesh
from molam.mesh.signals import opinions
from molam.mesh.signals import queries as signals
from molam.mesh.signals.commands import Crossing, ask_to_decide
from molam.mesh.signals.model import crosses, level
from molam.platform.db import Tx
from molam.platform.settings import Secret
from molam.sira.content import Claims, sign_content, verify_content

log = structlog.get_logger()

BYTES_MAX = 32 * 1024
AGE_MAX_S = 3600
TABLE_TTL_S = 24 * 3600

# Whoever has no key here is refused like one whose signature is wrong, after as much work:
# a stranger does not learn which regions we speak with.
_NOBODY = Secret(secrets.token_hex(32))


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one region tells another, under a signature by the key that the two share."""

    mesh_region_id: model.Name
    kind: MessageKind
    content: dict[str, Any]
    token: str


@dataclass(frozen=True, slots=True)
class Believed:
    """A message that its peer signed, and what it says."""

    peer: Peer
    said: dict[str, Any]
    content: model.Content
    claims: Claims


def believe(peers: Peers, message: Message, *, now: Instant) -> Believed:
    """
    Check a message by what it bears alone, before it costs anything.

    Raises:
        AdviceRefused: unsigned, altered, of another kind, expired, or not valid yet; or the
            region has no key here.
        MessageRefused: of another shape, of another region, or too old.
    """
    peer = peers.known.get(message.mesh_region_id, Peer(message.mesh_region_id, _NOBODY))
    said = {name: _as_signed(each) for name, each in message.content.items()}
    claims = verify_content(message.token, message.kind, said, key=peer.key, now=now)
    content = model.read_content(message.kind, said, peer.region_id)
    if now.timestamp() - claims.iat > AGE_MAX_S:
        raise model.MessageRefused("It is more than an hour old.")
    return Believed(peer, said, content, claims)


async def receive(tx: Tx, peers: Peers, message: Message, *, now: Instant) -> str:
    """
    Check a message and keep it, once; return the id of its token.

    Raises:
        AdviceRefused, MessageRefused: as `believe`.
        MessageUsed: it was taken before.
    """
    found = believe(peers, message, now=now)
    peer, claims, content = found.peer, found.claims, found.content
    await regions.get(tx, peer.region_id)
    token_id = f"peer/{peer.region_id}/{claims.jti}"
    if not await tx.run(store.USE_TOKEN, token_id=token_id, used_for=f"federation/{message.kind}"):
        raise model.MessageUsed("Send something newer.")
    prediction = content if isinstance(content, PredictionContent) else None
    before = await _p_down(tx, prediction)
    await tx.run(
        store.INSERT_MESSAGE,
        token_id=token_id,
        mesh_region_id=peer.region_id,
        kind=message.kind,
        subject=None if prediction is None else prediction.bank_profile_id,
        rail=None if isinstance(content, QuoteContent) else content.rail,
        currency=content.currency,
        p_down=None if prediction is None else prediction.p_down,
        content=found.said,
        token=message.token,
        issued_at=datetime.fromtimestamp(claims.iat, UTC),
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
    )
    if isinstance(content, ProposalContent) and content.corridor_id is not None:
        await corridors.hear(tx, peer.region_id, content)
    await _decide(tx, prediction, before)
    await tx.run(store.HEARD, mesh_region_id=peer.region_id, url=peer.url)
    await tx.run(store.NOTIFY_PAGES)
    return token_id


async def _p_down(tx: Tx, said: PredictionContent | None) -> float | None:
    """Return how far we hold the bank that *said* is about to be down, all considered."""
    if said is None:
        return None
    rows = await signals.health_of(
        tx, currency=said.currency, rail=said.rail, bank_ids=[said.bank_profile_id]
    )
    return rows[0].p_down if rows else None


async def _decide(tx: Tx, said: PredictionContent | None, before: float | None) -> None:
    """Wake the controller where what was said makes us doubt a bank by one more level."""
    after = await _p_down(tx, said)
    if said is None or before is None or after is None or not crosses(before, after):
        return
    log.info("federation.doubt", bank=said.bank_profile_id, before=before, p_down=after)
    key = said.bank_profile_id, said.rail, said.currency
    await ask_to_decide(tx, [Crossing(*key, level(after))])


def _as_signed(value: object) -> object:
    """Read numbers as the peer had them: ours come from JSON as decimals, which sign as text."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _as_signed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_signed(each) for each in value]
    return value


def trust_of(row: PeerRow) -> float:
    return opinions.trust(row.squared_error, row.squared_error_climatology, row.judged)


async def sign_table(tx: Tx, mesh: Mesh) -> TableRow | None:
    """
    Sign our region's routes anew when they changed, or when the signature has grown old.

    They are in force whether or not anybody is told: a region that no other can reach
    decides by this table and goes on.
    """
    region = await regions.find(tx, mesh.region)
    if region is None:
        return None
    routes = msgspec.to_builtins(await tx.all(store.LIST_ROUTES))
    last = await tx.one(store.FIND_TABLE, region=region.id)
    if last is not None and last.is_fresh and last.content.get("routes") == routes:
        return last
    version = 1 if last is None else last.version + 1
    content = {"mesh_region_id": region.id, "version": version, "routes": routes}
    signed = sign_content(
        "proposal", content, key=mesh.signing_key, now=mesh.clock.now(), ttl_s=TABLE_TTL_S
    )
    await tx.run(
        store.INSERT_TABLE,
        region=region.id,
        version=version,
        content=content,
        token=signed.token,
        token_id=signed.token_id,
    )
    return await tx.one(store.FIND_TABLE, region=region.id)


async def table(tx: Tx, region: str) -> TableRow:
    """
    Return the routes as last signed.

    Raises:
        RegionAbsent, TableAbsent
    """
    found = await regions.get(tx, region)
    row = await tx.one(store.FIND_TABLE, region=found.id)
    if row is None:
        raise model.TableAbsent("They are signed with the first exchange.")
    return row


def signed_message(
    kind: MessageKind, content: Mapping[str, object], *, peers: Peers, to: str, now: Instant
) -> Message:
    """Write a message to a peer, valid for an hour at most."""
    ttl_s = 600 if kind == "prediction" else AGE_MAX_S
    signed = sign_content(kind, content, key=peers.known[to].key, now=now, ttl_s=ttl_s)
    return Message(
        mesh_region_id=str(content["mesh_region_id"]),
        kind=kind,
        content=dict(content),
        token=signed.token,
    )
