"""The demo's disputes, and a network that decides them some time after they are answered."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from molam.kernel.clock import Clock, Instant, SystemClock
from molam.platform.db import Database, Query
from molam.platform.events import Event, cloud_event, publish
from molam.simulator.profiles import SANDAGA
from molam.simulator.seed import SEED

SOURCE = "/molam/examples/disputes"
PATIENCE = timedelta(minutes=3)
"""How long the demo's network reads an answer; real ones take weeks."""
WON_SHARE = 0.5
WON_PER_FILE = 0.12
_EACH_S = 20.0
_BATCH_MAX = 50


@dataclass(frozen=True, slots=True)
class KnownRow:
    known: bool


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    merchant_id: str
    id: str
    transaction_id: str | None
    amount: int
    fee: int
    currency: str
    version: int
    stage: int
    occurred_at: datetime
    files: int


# Of a dispute that has been purged from the log the table still knows, and of one that
# nobody has taken in yet the log does.
_FIND_KNOWN = Query(
    """
    /* simulator.find_demo_disputes */
    select exists (select from payments.dispute_reports
                    where merchant_id = :merchant_id and dispute_id = :id)
        or exists (select from platform.events where payload ->> 'source' = :source) as known
    """,
    row=KnownRow,
)

_LIST_ANSWERED = Query(
    """
    /* simulator.list_answered_disputes */
    select d.merchant_id, d.id, d.transaction_id, d.amount, d.fee, d.currency, d.version, d.stage,
           d.occurred_at,
           (select count(*)::int from payments.dispute_evidence e
             where e.merchant_id = d.merchant_id and e.dispute_id = d.id and e.stage = d.stage
               and e.removed_at is null) as files
      from payments.disputes d
     where d.state = 'under_review' and d.response = 'submitted'
       and d.submitted_at <= :before
     order by d.submitted_at
     limit :limit
    """,
    row=AnsweredRow,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One dispute of the demo. Times are hours before and after the seeding."""

    id: str
    amount: int
    customer: str
    phone: str
    reason: str
    provider: str
    sold_h: int
    opened_h: int
    due_h: int
    words: tuple[str, ...] = ("open",)
    stage: str = "dispute"
    code: str | None = None
    sale: dict[str, str] | None = None


_CASES = (
    _Case(
        id="livraison",
        amount=42_500,
        customer="Mariama Ba",
        phone="+221776410233",
        reason="not_received",
        provider="wave",
        sold_h=80,
        opened_h=8,
        due_h=40,
        sale={
            "carrier": "Tiak-Tiak Express",
            "tracking_number": "TTX-58213",
            "delivered_at": "2026-11-18T16:20:00Z",
            "delivery_phone": "+221776410233",
        },
    ),
    _Case(
        id="urgent",
        amount=18_000,
        customer="Ousmane Sy",
        phone="+221781902255",
        reason="unrecognised",
        provider="orange_money",
        sold_h=70,
        opened_h=38,
        due_h=10,
    ),
    _Case(
        id="carte",
        amount=96_000,
        customer="Claire Mendy",
        phone="+221770118890",
        reason="Le sac n'est pas celui de la photo.",
        provider="visa",
        sold_h=400,
        opened_h=190,
        due_h=290,
        code="13.3",
    ),
    _Case(
        id="alerte",
        amount=31_000,
        customer="Ibrahima Fall",
        phone="+221765523410",
        reason="fraudulent",
        provider="visa",
        sold_h=60,
        opened_h=6,
        due_h=66,
        stage="pre_dispute",
        code="10.4",
    ),
    _Case(
        id="gagne",
        amount=25_000,
        customer="Aïda Kane",
        phone="+221770334412",
        reason="duplicate",
        provider="wave",
        sold_h=600,
        opened_h=500,
        due_h=-452,
        words=("open", "under_review", "won"),
    ),
    _Case(
        id="appel",
        amount=54_000,
        customer="Lamine Diallo",
        phone="+221783320011",
        reason="not_as_described",
        provider="mastercard",
        sold_h=900,
        opened_h=700,
        due_h=120,
        words=("open", "under_review", "won", "escalated"),
        code="4853",
    ),
)


async def seed_disputes(db: Database, now: Instant) -> int:
    """Add disputes of every kind to the demo's first shop; safe to repeat."""
    merchant_id = SANDAGA.merchant_id
    async with db.transaction("simulator.seed_disputes") as tx:
        found = await tx.one(_FIND_KNOWN, merchant_id=merchant_id, id=_id(_CASES[0]), source=SOURCE)
        assert found is not None
        if found.known:
            return 0
        events = [event for case in _CASES for event in _told(case, merchant_id, now)]
        await publish(tx, events)
    return len(_CASES)


async def decide(db: Database, now: Instant, *, seed: int = SEED) -> int:
    """
    Let the network decide what was answered long enough ago; return how many disputes.

    The same seed decides the same dispute the same way, so saying it twice is saying it
    once. Files help.
    """
    rows = await db.read(_LIST_ANSWERED, before=now - PATIENCE, limit=_BATCH_MAX)
    events = [_decided(row, now, seed) for row in rows]
    if events:
        async with db.transaction("simulator.decide_disputes") as tx:
            await publish(tx, events)
    return len(events)


async def run_network(
    db: Database, *, stop: asyncio.Event, seed: int = SEED, clock: Clock | None = None
) -> None:
    """Decide disputes until *stop* is set."""
    clock = clock or SystemClock()
    while not stop.is_set():
        await decide(db, clock.now(), seed=seed)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=_EACH_S)


def _id(case: _Case) -> str:
    return f"dp_demo_{case.id}"


def _told(case: _Case, merchant_id: str, now: Instant) -> Iterator[Event]:
    sold_at = now - timedelta(hours=case.sold_h)
    opened_at = now - timedelta(hours=case.opened_h)
    payment = f"tx_demo_{case.id}"
    common = {"merchant_id": merchant_id, "amount": case.amount, "currency": "XOF"}
    sale = {
        **common,
        "transaction_id": payment,
        "status": "succeeded",
        "version": 2,
        "fee_molam": case.amount // 100,
        "occurred_at": sold_at.isoformat(),
        "channel": "card" if case.code else "wallet",
        "provider": case.provider,
        "reference_code": f"SAN-{case.id.upper()}",
        "customer": {"name": case.customer, "phone": case.phone},
        "metadata": case.sale or {},
    }
    yield _event("wallet_txn_succeeded", payment, sale, sold_at)
    for number, word in enumerate(case.words):
        metadata = {"stage": case.stage} if number == 0 else {}
        metadata["network_case_id"] = f"{case.provider.upper()}-{case.id.upper()}"
        if case.code:
            metadata["network_reason_code"] = case.code
        if number in {0, len(case.words) - 1}:
            due_at = now + timedelta(hours=case.due_h)
            metadata["evidence_due_at"] = due_at.isoformat()
        at = opened_at + timedelta(hours=number)
        yield _event(
            "dispute_created",
            f"{_id(case)}/{number}",
            {
                **common,
                "id": _id(case),
                "transaction_id": payment,
                "status": word,
                "version": number + 1,
                "reason": case.reason,
                "provider": case.provider,
                "occurred_at": opened_at.isoformat(),
                "metadata": metadata,
            },
            at,
        )


def _decided(row: AnsweredRow, now: Instant, seed: int) -> Event:
    drawn = hashlib.sha256(f"{seed}/{row.merchant_id}/{row.id}/{row.stage}".encode()).digest()
    won = drawn[0] / 256 < WON_SHARE + WON_PER_FILE * row.files
    data: dict[str, object] = {
        "id": row.id,
        "merchant_id": row.merchant_id,
        "transaction_id": row.transaction_id,
        "amount": row.amount,
        "fee_molam": row.fee,
        "currency": row.currency,
        "status": "won" if won else "lost",
        "version": row.version + 1,
        "occurred_at": row.occurred_at.isoformat(),
    }
    return _event("dispute_created", f"{row.id}/decided/{row.stage}", data, now)


def _event(topic: str, id_: str, data: dict[str, object], at: Instant) -> Event:
    merchant_id = str(data["merchant_id"])
    payload = cloud_event(
        id_=id_, source=SOURCE, type_=topic, subject=merchant_id, time=at, data=data
    )
    return Event(topic, merchant_id, payload)
