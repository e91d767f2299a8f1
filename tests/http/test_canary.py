"""Secrets and account numbers go where they are needed, and not into logs, trails or refusals."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from callers import bearer, in_process
from mesh_site import Site, opened

import paying_out as pay
from builders import a_person
from molam.entrypoints.wiring import merchant_app
from molam.mesh.federation import exchange
from molam.platform.auth import AAL2
from molam.platform.db import Database, Query
from molam.platform.settings import Secret, Settings
from molam.platform.telemetry import configure_logging, log
from molam.simulator.issuer_keys import IssuerKeys

CANARY = "canary4242"
PHONE = "+221774242424"
IBAN = "SN08SN0100152000048500004242"
ACCOUNT = "424242424242"
SEALED = "canary4242-" + "x" * 40


@dataclass(frozen=True)
class IbanRow:
    iban: str | None


DESTINATIONS = Query(
    "/* tests.ibans */ select distinct destination->>'iban' from payments.payouts", row=IbanRow
)


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """All that this process writes into its log, at the most talkative level."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("merchant-dashboard", level="debug", stream=stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
async def shop(
    settings: Settings, db: Database, logs: io.StringIO
) -> AsyncIterator[httpx2.AsyncClient]:
    """A merchant's app whose every secret is a canary."""
    await pay.a_bank(db)
    await pay.a_payee(db)
    await a_person(db)
    configured = replace(
        settings,
        fx_provider="fixer",
        fx_api_key=Secret(SEALED),
        fx_url="http://127.0.0.1:9/fx",
        bank_secrets=Secret(
            json.dumps({"bp_wave": {"api_key": SEALED, "callback_secret": SEALED}})
        ),
        risk_aware_approvals_url="http://127.0.0.1:9",
        approvals_service_token=Secret(SEALED),
        molam_secret_key=Secret(SEALED),
    )
    app = merchant_app(configured)
    async with app.router.lifespan_context(app), in_process(app) as client:
        log.debug("begun", settings=repr(configured))
        yield client


async def _kept(db: Database) -> str:
    """All that trails, notices and what is told to others hold."""
    found = ""
    async with db.transaction("tests.kept") as tx:
        for table in (
            "merchant.merchant_actions_audit",
            "notices.inbox",
            "notices.outbox",
            "platform.events",
            "webhooks.webhook_deliveries",
        ):
            if await tx.connection.fetchval("select to_regclass($1)::text", table) is not None:
                rows = await tx.connection.fetch(f"select t::text from {table} t")
                found += "".join(row[0] for row in rows)
    return found


async def test_no_secret_is_where_it_is_not_needed(
    shop: httpx2.AsyncClient, keys: IssuerKeys, db: Database, logs: io.StringIO
):
    admin = bearer(keys, acr=AAL2)
    wallet = {"type": "wallet", "provider": "wave", "phone": PHONE, "holder": "Awa"}
    account = {"type": "bank_account", "holder": "Awa", "country": "SN"}
    made = await shop.post(
        "/api/merchant/webhooks",
        json={"url": "https://shop.example.com/molam", "events": ["payout.paid"]},
        headers=admin,
    )
    assert made.status_code == 201, made.text
    secret = made.json()["secret"]
    rotated = await shop.post(
        f"/api/merchant/webhooks/{made.json()['webhook']['id']}/secret/rotate", headers=admin
    )
    path = "/api/merchant/settings/payout-destination"
    changed = await shop.put(path, json={"destination": wallet}, headers=admin)
    assert changed.status_code == 200, changed.text
    await pay.an_entry(db, 4_000)
    answers = [changed]
    for destination in (
        {**wallet, "provider": "unheard_of"},
        {**wallet, "phone": PHONE + "\n"},
        {**wallet, "phone": f"{PHONE}{CANARY}"},
        {**account, "iban": IBAN},
        {**account, "iban": f"{IBAN}-{CANARY}"},
        {**account, "account_number": ACCOUNT},
        {**account, "account_number": ACCOUNT, "bic": CANARY},
    ):
        asked = {"destination": destination}
        refused = await shop.put(path, json=asked, headers=admin)
        assert refused.status_code in {400, 422}, refused.text
        answers.append(refused)
    answers += [
        await shop.post("/api/merchant/payouts", json={}, headers=admin),
        await shop.get("/api/merchant/payouts", headers=admin),
        await shop.get(path, headers=admin),
        await shop.get("/api/merchant/audit", headers=admin),
        await shop.get("/api/merchant/rates", headers=admin),
        await shop.get("/api/merchant/webhooks", headers=admin),
        await shop.get(f"/files/{CANARY}", headers=admin),
        await shop.get("/readyz"),
        await shop.get("/openapi.json"),
        await shop.get("/api/merchant/summary", headers={"Authorization": f"Bearer {CANARY}"}),
    ]

    logged = logs.getvalue()
    assert "begun" in logged
    assert '"refused"' in logged
    shown = "".join(answer.text for answer in answers) + logged + await _kept(db)
    hidden = (CANARY, PHONE, IBAN, ACCOUNT, secret, rotated.json()["secret"])
    assert [each for each in hidden if each in shown or each.removeprefix("whsec_") in shown] == []


async def _mesh_kept(db: Database) -> str:
    """All that the mesh holds, has told others, or has put on a trail."""
    found = ""
    async with db.transaction("tests.kept") as tx:
        tables = await tx.connection.fetch(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname in ('mesh', 'audit', 'approvals', 'notices')"
            " union all select 'platform.events'"
        )
        for (table,) in tables:
            rows = await tx.connection.fetch(f"select t::text from {table} t")
            found += "".join(row[0] for row in rows)
    return found


@pytest.fixture
async def sealed_mesh(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Site]:
    """The mesh with canaries for secrets, a peer that never answers, and no SIRA."""
    peers = {"region_eu": {"key": SEALED, "url": "http://127.0.0.1:9"}}
    canaries = {
        "sira_signing_key": Secret(SEALED),
        "mesh_peers": Secret(json.dumps(peers)),
        "sira_api_key": Secret(SEALED),
        "sira_api_url": "http://127.0.0.1:9",
        "molam_secret_key": Secret(SEALED),
        "approvals_service_token": Secret(SEALED),
    }
    async with opened(postgres, _admin, keys, jwks_url, issuer_home, **canaries) as site:
        yield site


async def test_the_mesh_keeps_its_keys_and_whose_accounts_are_paid_to_itself(
    logs: io.StringIO, sealed_mesh: Site
):
    site, client = sealed_mesh, sealed_mesh.client
    mesh, head = site.app.state.mesh, site.headers()
    log.debug("begun", mesh=repr(mesh), settings=repr(site.app.state.settings))
    posts: list[tuple[str, Any]] = [
        ("/api/mesh/predictions/generate", {"bank_profile_id": "bp_123"}),
        ("/api/mesh/proposals/generate", {"mesh_region_id": "CEDEAO", "currency": "XOF"}),
        ("/api/mesh/federation/messages", {"mesh_region_id": "region_eu", "token": "x"}),
    ]
    answers = [await client.post(path, json=body, headers=head) for path, body in posts]
    assert [answer.status_code for answer in answers] == [201, 201, 400]
    made = answers[1].json()["proposal"]["id"]
    tried = await client.post(f"/api/mesh/proposals/{made}/simulate", headers=head)
    assert tried.status_code == 200
    await exchange.tell_all(site.db, mesh)
    pages = [
        site.path(each)
        for each in site.operations
        if each.method == "GET" and not each.path.startswith("/auth")
    ]
    answers += [tried, *[await client.get(path, headers=head) for path in pages]]
    stranger = {"Authorization": f"Bearer {CANARY}"}
    answers.append(await client.get("/api/mesh/regions", headers=stranger))

    assert {each.status_code for each in answers} <= {200, 201, 303, 400, 401, 404}
    shown = "".join(answer.text for answer in answers) + await _mesh_kept(site.db)
    shown += logs.getvalue()
    assert "begun" in shown
    assert "mesh.sira.unheard" in shown
    ibans = {row.iban for row in await site.db.read(DESTINATIONS) if row.iban}
    assert ibans
    assert [each for each in (CANARY, *ibans) if each in shown] == []


async def test_what_is_written_into_the_log_by_name_would_be_seen(logs: io.StringIO):
    log.debug("paying", phone=PHONE)

    assert PHONE in logs.getvalue()
