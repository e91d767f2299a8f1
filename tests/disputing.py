"""Disputes for tests: what networks report, and the merchant's side of it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from facts import MERCHANT, an_event, look, take_in
from molam.payments.disputes import commands, evidence, queries
from molam.payments.disputes.commands import Answer, By
from molam.payments.disputes.evidence import Kept, Offered
from molam.payments.disputes.evidence_store import EvidenceRow
from molam.payments.disputes.model import Dispute
from molam.platform.db import Database

AVAILABLE = f"merchant:{MERCHANT}:available:XOF"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"


def reported(id_: str = "dp_1", **data: Any) -> str:
    """What the network says of a dispute; its deadline is a week away unless it says one."""
    metadata = {"evidence_due_at": in_hours(7 * 24), **data.pop("metadata", {})}
    return an_event(
        "dispute_created",
        **{"id": id_, "amount": 700, "metadata": metadata, **data},
    )


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


async def report(db: Database, id_: str = "dp_1", **data: Any) -> Dispute:
    """Let intake take in one report, and return the dispute as it then stands."""
    await take_in(db, [reported(id_, **data)])
    return await stands(db, id_, data.get("merchant_id", MERCHANT))


async def stands(db: Database, id_: str = "dp_1", merchant_id: str = MERCHANT) -> Dispute:
    async with db.transaction("tests.dispute", merchant_id=merchant_id) as tx:
        return await queries.get(tx, merchant_id=merchant_id, id_=id_)


async def submit(
    db: Database, id_: str = "dp_1", *, statement: str | None = "It was delivered."
) -> commands.Submitted:
    async with db.transaction("tests.submit", merchant_id=MERCHANT) as tx:
        return await commands.submit(
            tx, merchant_id=MERCHANT, id_=id_, answer=Answer(statement), by=By("awa.diop")
        )


async def accept(db: Database, id_: str = "dp_1") -> Dispute:
    async with db.transaction("tests.accept", merchant_id=MERCHANT) as tx:
        return (await commands.accept(tx, merchant_id=MERCHANT, id_=id_, by="awa.diop"))[0]


def a_file(content: bytes = PDF, *, kind: str = "receipt", name: str = "reçu.pdf") -> Kept:
    """A file as the store has it, without one."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Kept(
        offered=Offered(kind=kind, file_name=name, content=content),
        media_type="application/pdf",
        sha256=sha256,
        path=f"disputes/tests/{sha256}",
    )


async def add(db: Database, kept: Kept, id_: str = "dp_1") -> EvidenceRow:
    async with db.transaction("tests.add", merchant_id=MERCHANT) as tx:
        row, _ = await evidence.add(tx, merchant_id=MERCHANT, id_=id_, kept=kept, by="awa.diop")
    return row


async def late(db: Database, id_: str = "dp_1", *, days: float = 0.001) -> None:
    """Let the deadline of a dispute have passed so long ago."""
    async with db.transaction("tests.late") as tx:
        await tx.connection.execute(
            "update payments.disputes set evidence_due_at = now() - make_interval(secs => $2)"
            " where id = $1",
            *(id_, days * 86_400),
        )


async def balances(db: Database) -> dict[str, int]:
    return dict(await look(db, "select id, balance from ledger.accounts where balance <> 0"))


async def entries(db: Database, id_: str = "dp_1") -> list[tuple[str, int]]:
    """What the merchant's balance was given and lost by a dispute, in order."""
    return await look(
        db,
        "select cause, amount from ledger.entries where account_id = $1 and cause_id = $2"
        " order by posted_at, amount",
        AVAILABLE,
        id_,
    )
