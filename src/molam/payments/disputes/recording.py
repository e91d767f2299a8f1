"""Writing down what happened to disputes, whoever did it, with the money it moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.ledger import commands as ledger
from molam.ledger.commands import Transfer
from molam.payments.disputes import store
from molam.payments.disputes.model import TAKEN, Dispute
from molam.payments.disputes.settling import Movement, settle
from molam.payments.disputes.telling import publish
from molam.platform.db import Tx

HELD = "disputes:held"
CUSTOMERS = "customers:wallet"
FEES = "molam:fees"


@dataclass(frozen=True, slots=True)
class Act:
    """What was done, and by whom: the network, a person, the clock or a policy."""

    kind: str
    actor_kind: str
    actor: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    before: Dispute | None
    after: Dispute
    act: Act
    posts: bool = True
    """False where whoever reports it has moved the money."""


async def record(tx: Tx, changes: Sequence[Change]) -> list[Dispute]:
    """
    Write *changes* with their money and their history, and tell those who subscribed.

    The disputes are locked by the caller, or new and in nobody else's sight.
    """
    written, transfers = await write(tx, changes)
    await ledger.post(tx, transfers)
    return written


async def write(tx: Tx, changes: Sequence[Change]) -> tuple[list[Dispute], list[Transfer]]:
    """
    Do the same, but leave the transfers to be posted by the caller.

    Whoever moves other money in the same transaction posts all of it at once: accounts
    are locked in order within one posting, and not from one to the next.
    """
    if not changes:
        return [], []
    now = await _now(tx)
    transfers: list[Transfer] = []
    written: list[Dispute] = []
    for change in changes:
        posts = change.posts and not _is_posted_elsewhere(change)
        moved, movements = settle(change.before, change.after, posts=posts)
        if change.before is not None:
            moved = replace(moved, revision=change.before.revision + 1)
        written.append(moved)
        # What the network reports happened when it says; what we do happens now.
        at = moved.occurred_at if change.act.actor_kind == "network" else now
        transfers += [_transfer(moved, movement, at) for movement in movements]
    # Of two changes of one dispute in one batch, the later row is what stands.
    rows = {(each.merchant_id, each.id): each for each in written}
    await tx.run(store.PUT, disputes=_json([_row(each) for each in rows.values()]))
    before = [change.before for change in changes]
    await append(tx, list(zip(before, written, strict=True)), changes)
    new = {
        (change.after.merchant_id, change.after.id) for change in changes if change.before is None
    }
    await publish(tx, [(each, key in new) for key, each in rows.items()])
    return written, transfers


def _is_posted_elsewhere(change: Change) -> bool:
    """Tell whether somebody acts on a dispute whose reporter moves the money."""
    before = change.before
    by_network = change.act.actor_kind == "network"
    return (
        not by_network
        and before is not None
        and before.state in TAKEN
        and before.posted_amount == 0
    )


async def append(
    tx: Tx, pairs: Sequence[tuple[Dispute | None, Dispute]], changes: Sequence[Change]
) -> None:
    """Add to the timeline of each dispute what was done to it."""
    now = await _now(tx)
    events = [
        {
            "id": uuid7(now),
            "merchant_id": after.merchant_id,
            "dispute_id": after.id,
            "kind": change.act.kind,
            "stage": after.stage,
            "old_state": None if before is None else before.state.value,
            "new_state": after.state.value,
            "actor_kind": change.act.actor_kind,
            "actor": change.act.actor,
            "details": dict(change.act.details),
        }
        for (before, after), change in zip(pairs, changes, strict=True)
    ]
    await tx.run(store.APPEND_EVENTS, events=_json(events))


async def note(tx: Tx, dispute: Dispute, act: Act) -> None:
    """Add to the timeline something that changes nothing else."""
    await append(tx, [(dispute, dispute)], [Change(dispute, dispute, act)])


async def touch(tx: Tx, dispute: Dispute, act: Act) -> None:
    """Add to the timeline, and tell subscribers as well; nothing else changes."""
    await record(tx, [Change(dispute, dispute, act)])


async def _now(tx: Tx) -> Instant:
    row = await tx.one(store.NOW)
    assert row is not None
    return row.now


def _transfer(dispute: Dispute, movement: Movement, at: Instant) -> Transfer:
    accounts = {
        "amount": (ledger.available(dispute.merchant_id), HELD, "dispute"),
        "paid": (HELD, CUSTOMERS, "dispute_settled"),
        "fee": (ledger.available(dispute.merchant_id), FEES, "dispute_fee"),
    }
    source, target, cause = accounts[movement.leg]
    if movement.amount < 0:
        source, target = target, source
    return Transfer(
        id=movement.id,
        source=source,
        target=target,
        amount=abs(movement.amount),
        currency=dispute.currency,
        merchant_id=dispute.merchant_id,
        cause=cause,
        cause_id=dispute.id,
        occurred_at=at,
    )


def _row(dispute: Dispute) -> dict[str, object]:
    return {each.name: getattr(dispute, each.name) for each in fields(dispute)}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
