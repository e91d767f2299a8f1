"""Taking in what other regions say, signing our routes, and corridors that both sides agree to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import structlog

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.ids import show, uuid7
from molam.mesh.federation import model, store
from molam.mesh.federation.model import (
    MessageKind,
    Observation,
    PredictionContent,
    ProposalContent,
    QuoteContent,
)
from molam.mesh.federation.peers import Peer, Peers
from molam.mesh.federation.store import CorridorRow, PeerRow, TableRow
from molam.mesh.members import regions
from molam.mesh.runtime import Mesh
from molam.platform.db import Tx
from molam.sira.content import Claims, sign_content, verify_content

log = structlog.get_logger()

BYTES_MAX = 32 * 1024
AGE_MAX_S = 3600
TABLE_TTL_S = 24 * 3600


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
        PeerUnknown: the region has no key here.
        AdviceRefused: unsigned, altered, of another kind, expired, or not valid yet.
        MessageRefused: of another shape, of another region, or too old.
    """
    peer = peers.known.get(message.mesh_region_id)
    if peer is None:
        raise model.PeerUnknown("This region has no key here.")
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
        PeerUnknown, AdviceRefused, MessageRefused: as `believe`.
        MessageUsed: it was taken before.
    """
    found = believe(peers, message, now=now)
    peer, claims, content = found.peer, found.claims, found.content
    await regions.get(tx, peer.region_id)
    token_id = f"peer/{peer.region_id}/{claims.jti}"
    if not await tx.run(store.USE_TOKEN, token_id=token_id, used_for=f"federation/{message.kind}"):
        raise model.MessageUsed("Send something newer.")
    prediction = content if isinstance(content, PredictionContent) else None
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
        await approve_corridor(
            tx, content.corridor_id, peer.region_id, by=f"region:{peer.region_id}"
        )
    await tx.run(store.HEARD, mesh_region_id=peer.region_id, url=peer.url)
    await tx.run(store.NOTIFY_PAGES)
    return token_id


def _as_signed(value: object) -> object:
    """Read numbers as the peer had them: ours come from JSON as decimals, which sign as text."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _as_signed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_signed(each) for each in value]
    return value


async def opinion(tx: Tx, *, bank_profile_id: str, rail: str, currency: str) -> float | None:
    """Say how likely other regions hold it that a bank is down; None when too few say anything."""
    rows = await tx.all(
        store.LIST_OBSERVATIONS, bank_profile_id=bank_profile_id, rail=rail, currency=currency
    )
    trusts = {row.mesh_region_id: trust_of(row) for row in await tx.all(store.LIST_PEERS)}
    return model.opinion(
        Observation(
            row.mesh_region_id,
            row.p_down,
            row.age_s,
            trusts.get(row.mesh_region_id, model.TRUST_UNKNOWN),
        )
        for row in rows
    )


def trust_of(row: PeerRow) -> float:
    return model.trust(row.squared_error, row.squared_error_climatology, row.judged)


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


async def propose_corridor(
    tx: Tx,
    path: Sequence[str],
    *,
    code: str,
    limits: tuple[int, int],
    by: str,
    now: Instant,
) -> CorridorRow:
    """
    Propose that money may go from region to region along *path*, up to cover and net debit cap.

    Raises:
        RegionAbsent: one of them is none.
        CorridorRefused: it loops, is too long, or is there already.
    """
    currency(code)
    ids = [(await regions.get(tx, each)).id for each in path]
    model.check_path(ids, ids[0], ids[-1])
    id_ = show("cor", uuid7(now))
    made = await tx.run(
        store.INSERT_CORRIDOR,
        id=id_,
        from_region_id=ids[0],
        to_region_id=ids[-1],
        currency=code,
        path=ids,
        cover=limits[0],
        net_debit_cap=limits[1],
        by=by,
    )
    if not made:
        raise model.CorridorRefused("There is one along this path already.")
    await tx.run(store.NOTIFY_PAGES)
    return await corridor(tx, id_)


async def approve_corridor(tx: Tx, corridor_id: str, region: str, *, by: str) -> CorridorRow:
    """
    Agree to a corridor for one of its two ends; it is active once both have.

    Raises:
        CorridorAbsent: there is none.
        CorridorRefused: it is decided, the region is no end of it, or the other end was
            agreed to by the same hand.
    """
    await tx.run(store.LOCK_CORRIDOR, id=corridor_id)
    row = await corridor(tx, corridor_id)
    end = (await regions.get(tx, region)).id
    if end not in {row.from_region_id, row.to_region_id}:
        raise model.CorridorRefused("The region is neither end of it.")
    first, last = row.approved_from, row.approved_to
    if end == row.from_region_id:
        first = first or by
    else:
        last = last or by
    if first == last:
        raise model.CorridorRefused("Each end is agreed to by somebody else.")
    if row.state == "active":
        return row
    if row.state != "proposed":
        raise model.CorridorRefused(f"It is {row.state}.")
    state = "active" if first is not None and last is not None else "proposed"
    return await _set(tx, row, state, (first, last))


async def reject_corridor(tx: Tx, corridor_id: str) -> CorridorRow:
    """
    Say no to a corridor, or close one.

    Raises:
        CorridorAbsent: there is none.
    """
    await tx.run(store.LOCK_CORRIDOR, id=corridor_id)
    row = await corridor(tx, corridor_id)
    state = {"proposed": "rejected", "active": "closed"}.get(row.state, row.state)
    return await _set(tx, row, state, (row.approved_from, row.approved_to))


async def corridor(tx: Tx, corridor_id: str) -> CorridorRow:
    """
    Raises:
        CorridorAbsent: there is none.
    """
    row = await tx.one(store.FIND_CORRIDOR, id=corridor_id)
    if row is None:
        raise model.CorridorAbsent("Corridors are listed by GET /api/mesh/corridors.")
    return row


async def _set(
    tx: Tx, row: CorridorRow, state: str, approved: tuple[str | None, str | None]
) -> CorridorRow:
    await tx.run(
        store.SET_CORRIDOR,
        id=row.id,
        state=state,
        approved_from=approved[0],
        approved_to=approved[1],
    )
    await tx.run(store.NOTIFY_PAGES)
    log.info("federation.corridor.changed", corridor=row.id, state=state)
    return await corridor(tx, row.id)


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
