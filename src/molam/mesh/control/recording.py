"""Writing down what was done in the mesh: the log, the record, and whoever listens."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from molam.audit.chain import Fact
from molam.audit.commands import append_to
from molam.kernel.clock import Instant
from molam.kernel.digests import canonical_bytes
from molam.mesh.control import log_store, store
from molam.mesh.control.checks import Wish
from molam.mesh.control.model import Applied, ApplyKeyReused, Inflow
from molam.mesh.control.plan import Band
from molam.mesh.control.sweep_store import SweptRow
from molam.mesh.routing.store import ProposalRow
from molam.mesh.signals.messages import OURS
from molam.platform import events
from molam.platform.db import Tx
from molam.platform.events import Event, cloud_event

TOPIC = "mesh.actions"
WHOLE = 100

Swept = Sequence[tuple[Band, SweptRow]]


@dataclass(slots=True)
class Watch:
    """How long each part took, in milliseconds."""

    began: float = field(default_factory=time.perf_counter)
    last: float = field(default_factory=time.perf_counter)
    parts: dict[str, int] = field(default_factory=dict)

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.parts[name] = self.parts.get(name, 0) + round((now - self.last) * 1000)
        self.last = now

    @property
    def total_ms(self) -> int:
        return round((time.perf_counter() - self.began) * 1000)


def key_of(proposal_id: str, share: int = WHOLE) -> str:
    """Name the one application of a proposal, or of one step of it."""
    return f"apply-routing-{proposal_id}" + ("" if share == WHOLE else f"-{share}")


def payload_hash(row: ProposalRow, share: int, what: str = "apply") -> bytes:
    """Hash what is asked for under a key: this content, moved this far."""
    asked = {"what": what, "proposal": row.id, "token": row.token_id, "share": share}
    return hashlib.sha256(canonical_bytes(asked)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done for a wish, under which key, and how long each part took."""

    wish: Wish
    swept: Swept
    watch: Watch
    key: str
    action_id: str
    at: Instant
    staying: tuple[int, int] = (0, 0)
    """What keeps its bank: how many payouts, of what value."""


async def log_applied(tx: Tx, applied: Applied, done: Done, said: dict[str, Any]) -> None:
    """Add the log's row, the chain's entry and the event of an application; this comes last."""
    wish, row = done.wish, done.wish.row
    facts = {
        "proposal_id": row.id,
        "currency": row.currency,
        "rail": row.rail,
        "kind": row.kind,
        "share": wish.share,
        "payouts": applied.affected_payouts,
        "value": applied.affected_value,
        "remaining_payouts": applied.remaining_payouts,
        "remaining_value": applied.remaining_value,
        "staying_payouts": applied.staying_payouts,
        "staying_value": applied.staying_value,
        "from_bank_id": row.from_bank_id,
        "by_bank": msgspec.to_builtins(applied.by_bank),
    }
    written = await tx.run(
        log_store.APPEND_ACTION,
        id=applied.action_id,
        action_type=action_type(wish),
        region=row.mesh_region_id,
        proposal_id=row.id,
        payload={**facts, **said, "applied": msgspec.to_builtins(applied)},
        payload_hash=payload_hash(row, wish.share),
        actor_type=wish.actor.kind,
        actor_id=wish.actor.id,
        affected=[id_ for _, one in done.swept for id_ in one.ids],
        count=applied.affected_payouts,
        value=applied.affected_value,
        banks=sorted({each.bank_profile_id for each in applied.by_bank} | _named(row)),
        result=applied.result,
        error=None,
        timings=applied.timings_ms,
        started_at=done.at,
        duration_ms=applied.duration_ms,
        key=done.key,
    )
    assert written == 1, "the key was locked"
    await publish(tx, applied.action_id, action_type(wish), wish, result=applied.result, at=done.at)
    await tx.run(store.TELL_PAGES)
    fact = Fact(
        event=f"mesh.{action_type(wish)}",
        actor_kind="user" if wish.actor.kind == "user" else "system",
        actor_id=wish.actor.id,
        data={"action_id": applied.action_id, "key": done.key, **facts},
    )
    await append_to(tx, f"mesh:{row.mesh_region_id}", [fact], at=done.at)


def action_type(wish: Wish) -> str:
    """Name what is done in the log's words."""
    if wish.row.kind == "override":
        return "override"
    if wish.actor.is_automatic:
        return "failover" if wish.row.kind == "failover" else "apply_route"
    return "manual_switch" if wish.row.kind in {"return", "reorder"} else "apply_route"


def _named(row: ProposalRow) -> set[str]:
    return {each for each in (row.from_bank_id, row.to_bank_id) if each is not None}


async def publish(
    tx: Tx, action_id: str, what: str, wish: Wish, *, result: str, at: Instant
) -> None:
    """Tell other systems of something done in a region."""
    region = wish.row.mesh_region_id
    data = {
        "action_id": action_id,
        "action_type": what,
        "mesh_region_id": region,
        "proposal_id": wish.row.id,
        "actor_id": wish.actor.id,
        "result": result,
        "timestamp": at.isoformat(),
    }
    document = cloud_event(
        id_=action_id, source=OURS, type_=TOPIC, subject=region, time=at, data=data
    )
    await events.publish(tx, [Event(TOPIC, region, document)])


def summed(swept: Swept, wish: Wish, action_id: str, watch: Watch) -> Applied:
    by_bank: dict[str, Inflow] = {}
    for band, one in swept:
        for each in inflows(band, one):
            before = by_bank.get(each.bank_profile_id, Inflow(each.bank_profile_id, 0, 0))
            by_bank[each.bank_profile_id] = Inflow(
                each.bank_profile_id, before.payouts + each.payouts, before.value + each.value
            )
    left = sum(one.left_payouts for _, one in swept)
    return Applied(
        action_id=action_id,
        proposal_id=wish.row.id,
        result="partial" if left else "success",
        share=wish.share,
        affected_payouts=sum(one.payouts for _, one in swept),
        affected_value=sum(one.value for _, one in swept),
        currency=wish.row.currency,
        remaining_payouts=left,
        remaining_value=sum(one.left_value for _, one in swept),
        by_bank=tuple(by_bank[bank] for bank in sorted(by_bank)),
        duration_ms=watch.total_ms,
        timings_ms=watch.parts,
    )


def replayed(done: log_store.ActionRow, asked: bytes) -> Applied:
    """
    Return what was done under a key before.

    Raises:
        ApplyKeyReused: it was something else.
    """
    if done.payload_hash != asked:
        raise ApplyKeyReused("Use a new key for something else.", action=done.id)
    before = msgspec.convert(done.payload["applied"], Applied)
    return msgspec.structs.replace(before, replayed=True)


def inflows(band: Band, one: SweptRow) -> list[Inflow]:
    given = (
        (one.first_payouts, one.first_value),
        (one.second_payouts, one.second_value),
        (one.third_payouts, one.third_value),
    )
    return [
        Inflow(target.bank_profile_id, payouts, value)
        for target, (payouts, value) in zip(band.targets, given, strict=False)
        if payouts
    ]
