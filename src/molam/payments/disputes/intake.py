"""What networks report of disputes becomes where they stand, and moves their money once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from molam.ledger.commands import Transfer
from molam.payments.disputes import folding, model, store
from molam.payments.disputes.recording import Act, Change, write
from molam.payments.disputes.settling import settle
from molam.platform.db import Tx


@dataclass(frozen=True, slots=True)
class Taken:
    """Whose disputes a batch changed, and the money that the caller has yet to move for it."""

    merchants: list[str]
    transfers: list[Transfer]


async def take_in(tx: Tx, events: str) -> Taken:
    """
    Store the reports of a JSON array of events.

    The caller holds the stripes of the merchants (payments.LOCK_MERCHANTS), and posts the
    transfers. Order, repetition and batch boundaries do not matter.
    """
    names = await tx.all(store.STORE_REPORTS, events=events)
    if not names:
        return Taken([], [])
    asked = json.dumps([{"merchant_id": each.merchant_id, "id": each.id} for each in names])
    known = {
        (row.merchant_id, row.id): row.dispute
        for row in await tx.all(store.LOCK_REPORTED, names=asked)
    }
    reports: dict[tuple[str, str], list[model.Report]] = defaultdict(list)
    for row in await tx.all(store.LIST_REPORTS, names=asked):
        reports[row.merchant_id, row.dispute_id].append(row.report)
    changes: list[Change] = []
    for name in names:
        key = (name.merchant_id, name.id)
        changes += _changes(*key, reports[key], known.get(key))
    _, transfers = await write(tx, changes)
    return Taken(sorted({change.after.merchant_id for change in changes}), transfers)


def _changes(
    merchant_id: str, id_: str, reports: Sequence[model.Report], before: model.Dispute | None
) -> list[Change]:
    after = folding.read(merchant_id, id_, reports, before)
    last = folding.fold(reports)[0]
    if before == after:
        return []
    found = []
    if before is not None and before.currency != after.currency and before.posted_amount:
        # A correction of the currency: what moved in the old one goes back first.
        nothing = replace(before, state=model.State.PREVENTED)
        found.append(Change(before, nothing, Act("reported", "network")))
        booked, _ = settle(before, nothing, posts=False)
        before = replace(booked, currency=after.currency, state=before.state)
        after = replace(after, posted_amount=0, held_amount=0, posted_fee=0, moves=booked.moves)
    elif before is not None:
        before = replace(before, currency=after.currency)
    kind = "opened" if before is None else "reported"
    if before is not None and after.stage > before.stage:
        kind = "escalated"
    details = {"word": last.word, "version": last.version, "stage": after.stage_name}
    act = Act(kind, "network", details=details)
    return [*found, Change(before, after, act, posts=last.posts)]
