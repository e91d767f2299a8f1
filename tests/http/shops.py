"""Two shops with one object of every kind, somebody for every role, and how to ask each route."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from callers import bearer, forged

from builders import a_merchant, a_person, a_transaction, an_alert
from disputing import PDF, a_file, report
from export_runs import a_list, asked_for
from molam.payments.disputes import evidence
from molam.payments.payouts import settings as payout_settings
from molam.payments.refunds.moves import By
from molam.platform.auth import AAL1
from molam.platform.db import Database
from molam.platform.web import Operation
from molam.simulator.issuer_keys import IssuerKeys
from paying_out import WALLET, a_bank, an_entry
from paying_out import ask as ask_payout
from receivers import a_publication, an_endpoint
from refunding import Till, a_sale

OWN, OTHER = "merchant-123", "merchant-cocody"
MERCHANT_ROLES = ("merchant_admin", "merchant_accountant", "merchant_support")
PLATFORM_ROLES = (
    "ops_admin",
    "finance_ops",
    "pay_admin",
    "compliance",
    "cfo",
    "auditor",
    "treasury_ops",
    "mesh_viewer",
)

# These never end; HEAD asks the same question and gets only the head of the answer.
STREAMS = frozenset(
    {"/api/merchant/stream", "/live", "/live/transactions", "/live/alerts"}
    | {"/ops/live", "/ops/actions/{id:uuid}/live", "/drill/{id}/live"}
    | {"/dashboard/live", "/alerts/live", "/alerts/{id:uuid}/live"}
)

# What a route needs to be told before its answer is about authorisation.
QUERIES: Mapping[str, str] = {"/live": "period=mtd&currency=XOF"}

# Which kind of object an address names, by the beginning of what follows /api/merchant.
KINDS = {
    "/alerts/": "alert",
    "/disputes/": "dispute",
    "/exports/": "export",
    "/reports/files/": "export",
    "/payouts/": "payout",
    "/refunds/": "refund",
    "/settings/webhooks/deliveries/": "delivery",
    "/settings/webhooks/": "webhook",
    "/team/": "person",
    "/transactions/": "transaction",
    "/webhooks/deliveries/": "delivery",
    "/webhooks/": "webhook",
}

# A body that passes, where authorisation is not the only thing asked.
BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/api/merchant/events"): [
        {
            "specversion": "1.0",
            "id": "e-1",
            "source": "/wallet",
            "type": "wallet_txn_succeeded",
            "data": {
                "merchant_id": OWN,
                "transaction_id": "tx_900",
                "amount": 100,
                "currency": "XOF",
                "status": "succeeded",
                "occurred_at": "2026-11-16T12:00:00Z",
            },
        }
    ],
    ("POST", "/api/mesh/liquidity/plans"): {"days": 0},
    ("POST", "/api/merchant/alerts/{id:uuid}/settle"): {"status": "resolved"},
    ("POST", "/api/merchant/refund"): {
        "txn_id": "tx_own",
        "amount": 1,
        "currency": "XOF",
        "reason": "duplicate_charge",
    },
    ("POST", "/api/merchant/refunds/{id}/details"): {
        "destination": {
            "type": "wallet",
            "provider": "wave",
            "phone": "+221770000123",
            "holder": "A",
        }
    },
    ("POST", "/api/merchant/refunds/{id}/reject"): {"reason": "No."},
    ("PUT", "/api/merchant/disputes/{id:path}/draft"): {"statement": "It was delivered."},
    ("POST", "/api/merchant/disputes/{id:path}/evidence/confirm"): {
        "upload_id": str(UUID(int=7)),
        "sha256": "0" * 64,
    },
    ("PUT", "/api/merchant/team/{person_id}"): {"roles": ["merchant_support"]},
    ("PUT", "/api/merchant/webhooks/{id}"): {"description": "Ours"},
    ("POST", "/api/merchant/webhooks/{id}/replay"): {"since": "2026-11-16T12:00:00Z"},
}

FORMS: Mapping[str, Mapping[str, str]] = {
    # Refused once it is known who asks: making a plan takes seconds.
    "/treasury/plan": {"days": "0"},
    "/alerts/{id:uuid}/settle": {"status": "resolved"},
    "/refunds/{id}/details": {
        "provider": "wave",
        "phone": "+221770000123",
        "holder": "Aminata",
        "idempotency_key": "k-1",
    },
    "/disputes/{id:path}/submit": {"manifest_sha256": "0" * 64, "idempotency_key": "k-2"},
    "/disputes/{id:path}/accept": {"confirmation": "dp", "idempotency_key": "k-3"},
    "/payouts/{id}/cancel": {"idempotency_key": "k-4"},
    "/settings/webhooks/{id}/change": {
        "url": "https://203.0.113.9/hook",
        "merchant.refund.created": "yes",
    },
}
UPLOADS = frozenset({"/api/merchant/disputes/{id:path}/evidence", "/disputes/{id:path}/evidence"})


class World:
    """Two merchants with one object of each kind, and somebody for every role."""

    def __init__(self, keys: IssuerKeys, objects: dict[str, Any]) -> None:
        self._keys = keys
        self.objects = objects

    def objects_called(self, which: str) -> list[str]:
        return [id_ for (_, whose), id_ in self.objects.items() if whose == which]

    def headers(self, caller: str, *, acr: str = AAL1) -> dict[str, str]:
        now = int(datetime.now(UTC).timestamp())
        changed: dict[str, dict[str, object]] = {
            "expired": {"iat": now - 900, "exp": now - 600},
            "revoked": {"sub": "revoked"},
            "homeless": {"sub": "merchant_admin", "merchant_id": None},
            "service": {"sub": "service:wallet", "roles": ["service"], "merchant_id": None},
            **{role: {"sub": role, "roles": [role]} for role in MERCHANT_ROLES},
            **{
                role: {"sub": role, "roles": [role], "merchant_id": None}
                for role in (*PLATFORM_ROLES, "super_admin")
            },
        }
        if caller == "anonymous":
            return {}
        if caller == "forged":
            return forged(self._keys)
        return bearer(self._keys, acr=acr, **changed[caller])

    def path(self, operation: Operation, which: str) -> str:
        place = operation.path.removeprefix("/api/merchant")
        kind = next((held for start, held in KINDS.items() if place.startswith(start)), "")
        named = self.objects.get((kind, which), "")
        return (
            operation.template.replace("{id}", named)
            .replace("{person_id}", named)
            .replace("{file_id}", self.objects.get(("evidence", which), ""))
            .replace("{bank_profile_id}", "bp_absent")
            .replace("{digest}", "0" * 16)
            .replace("{name}", "absent.js")
            .replace("{token}", "made-up")
        )


@pytest.fixture
async def world(db: Database, keys: IssuerKeys) -> World:
    await a_merchant(db, id_=OWN)
    await a_merchant(db, id_=OTHER, name="Cocody")
    for role in MERCHANT_ROLES:
        await a_person(db, id_=role, roles=[role], merchant_id=OWN)
    for role in PLATFORM_ROLES:
        await a_person(db, id_=role, roles=[role], merchant_id=None)
    await a_person(db, id_="revoked", roles=[])
    await a_bank(db)
    return World(
        keys,
        {
            **{(kind, "own"): id_ for kind, id_ in (await everything_of(db, OWN, "own")).items()},
            **{
                (kind, "other"): id_
                for kind, id_ in (await everything_of(db, OTHER, "other")).items()
            },
            **{(kind, "absent"): f"{kind}_absent" for kind in KINDS.values()},
            ("alert", "absent"): str(uuid4()),
            ("delivery", "absent"): str(uuid4()),
            ("evidence", "absent"): str(uuid4()),
        },
    )


async def everything_of(db: Database, merchant_id: str, which: str) -> dict[str, str]:
    """One object of every kind, by its kind."""
    second = By(f"second-{which}", "Second")
    await a_person(db, id_=second.id, merchant_id=merchant_id)
    found = {
        "transaction": await a_transaction(db, id_=f"tx_{which}", merchant_id=merchant_id),
        "alert": await an_alert(db, merchant_id=merchant_id),
        "person": await a_person(
            db, id_=f"colleague-{which}", roles=["merchant_support"], merchant_id=merchant_id
        ),
        "export": (await asked_for(db, a_list(), merchant_id)).id.hex,
    }
    await a_sale(db, f"tx_sold_{which}", 900_000, merchant_id=merchant_id)
    till = Till(db, merchant=merchant_id)
    refund = await till.ask(150_000, by=second, transaction_id=f"tx_sold_{which}")
    found["refund"] = refund.id
    dispute = await report(db, f"dp_{which}", merchant_id=merchant_id)
    found["dispute"] = dispute.id
    async with db.transaction("tests.everything", merchant_id=merchant_id) as tx:
        evidence_row, _ = await evidence.add(
            tx, merchant_id=merchant_id, id_=dispute.id, kept=a_file(which.encode()), by=second.id
        )
    async with db.transaction("tests.everything", merchant_id=merchant_id) as tx:
        await payout_settings.put_destination(
            tx,
            merchant_id=merchant_id,
            currency="XOF",
            written=WALLET,
            by="tests",
            hold_hours=0,
        )
    found["evidence"] = str(evidence_row.id)
    await an_entry(db, 500_000, merchant_id=merchant_id)
    found["payout"] = (await ask_payout(db, merchant_id=merchant_id)).id
    found["webhook"], _ = await an_endpoint(
        db, f"http://127.0.0.1:9/{which}", now=datetime.now(UTC), merchant_id=merchant_id
    )
    await a_publication(db, merchant_id=merchant_id)
    async with db.transaction("tests.everything") as tx:
        found["delivery"] = str(
            await tx.connection.fetchval(
                "select id from webhooks.webhook_deliveries where merchant_id = $1", merchant_id
            )
        )
    return found


async def ask(
    client: httpx2.AsyncClient, operation: Operation, path: str, headers: dict[str, str]
) -> httpx2.Response:
    method = "HEAD" if operation.path in STREAMS else operation.method
    path += f"?{QUERIES[operation.path]}" if operation.path in QUERIES else ""
    if operation.upload:
        file = ("proof.pdf", PDF) if operation.path in UPLOADS else (None, "")
        return await client.request(method, path, headers=headers, files={"file": file})
    if operation.form:
        said = FORMS.get(operation.path, {"x": ""})
        return await client.request(method, path, headers=headers, data=said)
    body = BODIES.get((operation.method, operation.path))
    return await client.request(method, path, headers=headers, json=body)


def objects_of(operation: Operation) -> tuple[str, ...]:
    named = {"id", "person_id"} & {*operation.path_parameters}
    return ("own", "other", "absent") if named else ("-",)
