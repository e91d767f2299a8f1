"""What tests of risk-aware approvals begin with: a desk, and requests of known risk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from obstore.store import LocalStore

from molam.approvals.model import Actor, Auth
from molam.approvals.policy.book import PolicyBook
from molam.approvals.risk.commands import Desk, NewApproval, Opened, create
from molam.approvals.risk.decisions import Decided
from molam.approvals.risk.links import Decision, Links
from molam.approvals.risk.scoring import Scorer
from molam.approvals.runtime import Runtime
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.ledger.francs import Francs
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.platform.settings import Secret

SERVICE = Actor("service:wallet", frozenset({"service"}), kind="service")
SIGNING_KEY = Secret("s" * 32)

# Scores: 0, 40, 65 and 85.
PAYLOADS: dict[str, dict[str, Any]] = {
    "none": {"amount": 5_000, "currency": "XOF"},
    "one": {"amount": 250_000, "currency": "XOF"},
    "two": {
        "amount": 250_000,
        "currency": "XOF",
        "historical_risk_score": 1,
    },
    "three": {"amount": 2_500_000, "currency": "XOF", "historical_risk_score": 1},
}
EVIDENCE = b"%PDF-1.7 invoice"


def a_desk(db: Database, files: Path, **scorer: Any) -> Desk:
    known = registry()
    clock = SystemClock()
    return Desk(
        runtime=Runtime(db, known, PolicyBook(known), "tests"),
        scorer=replace(
            Scorer(clock=clock, francs=Francs(clock), signing_key=SIGNING_KEY), **scorer
        ),
        links=Links(Secret("k" * 32), 600),
        files=LocalStore(prefix=files, mkdir=True),
    )


def asked(people: str = "one", **changed: Any) -> NewApproval:
    """A request that takes as many *people* as the word says, under the seeded policy."""
    given: dict[str, Any] = {
        "action_type": "refund.large",
        "origin_module": "wallet",
        "payload": PAYLOADS[people],
        **changed,
    }
    return NewApproval(**given)


async def an_approval(
    desk: Desk, people: str = "one", *, by: Actor = SERVICE, **changed: Any
) -> Opened:
    return await create(desk, asked(people, **changed), by)


async def link_of(desk: Desk, approval_id: UUID, approver: str, decision: Decision) -> str:
    """The link that this approver was sent."""
    async with desk.runtime.db.transaction("tests.link_of") as tx:
        row = await tx.connection.fetchrow(
            "select id, created_at from approvals.approvals_tokens"
            " where approval_id = $1 and approver_id = $2 and decision = $3",
            *(approval_id, approver, decision),
        )
    assert row is not None, f"{approver} was sent no link"
    return desk.links.raw(
        id_=row["id"],
        approval_id=approval_id,
        approver_id=approver,
        decision=decision,
        at=row["created_at"],
    )


def signed(person: str, acr: str = AAL2, **changed: Any) -> Decided:
    """What comes with a link whose holder has signed in besides, with a second factor."""
    return Decided(signed_in=Actor(person, auth=Auth(acr, SystemClock().now())), **changed)


async def events_of(db: Database, approval_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    """Topic and data of what was published about an approval, in order."""
    async with db.transaction("tests.events_of") as tx:
        rows = await tx.connection.fetch(
            "select topic, payload::jsonb -> 'data' as data from platform.events"
            " where key = $1 order by id",
            str(approval_id),
        )
    return [(row["topic"], row["data"]) for row in rows]
