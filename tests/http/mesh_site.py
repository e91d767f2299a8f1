"""The mesh app over the demo with one object of every kind, and somebody for every role."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from callers import ISSUER, bearer, in_process
from fastapi import FastAPI
from room_console import URL

import builders
from databases import fresh_database
from mesh_room import ACTION_LOG, BETTER, OPEN_PROPOSAL, REGION, furnish
from molam.entrypoints.wiring_mesh import mesh_app
from molam.ledger import commands as ledger
from molam.mesh.federation import exchange
from molam.mesh.federation.peers import read_peers
from molam.platform.auth import AAL2
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import Secret, Settings
from molam.platform.web import Operation
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.mesh_demo import seed_mesh
from molam.simulator.seed import seed_demo
from pooling import opening

PEER_KEY = "a-key-that-two-regions-share-0123456789"
PEERS = Secret(f'{{"region_eu": {{"key": "{PEER_KEY}"}}}}')
EU_PEER = read_peers(PEERS)
ROLES = (
    "ops_admin",
    "treasury_ops",
    "compliance",
    "finance_ops",
    "cfo",
    "auditor",
    "super_admin",
    "mesh_viewer",
    "pay_admin",
)


class Site:
    """The app, a client of it, and its database as the owner sees it."""

    def __init__(
        self,
        app: FastAPI,
        client: httpx2.AsyncClient,
        db: Database,
        keys: IssuerKeys,
        database_url: Secret,
    ) -> None:
        self.app = app
        self.client = client
        self.db = db
        self.database_url = database_url
        self._keys = keys
        self.objects: dict[str, str] = {}

    def headers(self, role: str = "treasury_ops", **changed: object) -> dict[str, str]:
        claims: dict[str, object] = {
            "sub": "service:mesh" if role == "service" else role,
            "roles": [role],
            "merchant_id": None,
            "acr": AAL2,
            "lang": "en",
        }
        return bearer(self._keys, **{**claims, **changed})

    def path(self, operation: Operation, id_: str | None = None) -> str:
        """Write the address of a route, with our objects in it or with *id_*."""
        template = operation.template

        def named(match: re.Match[str]) -> str:
            if id_ is not None and match[1] != "act":
                return id_
            return self._named(template, match[1])

        return re.sub(r"\{(\w+)\}", named, template)

    def _named(self, template: str, parameter: str) -> str:
        if parameter == "act":
            return "draw"
        if parameter == "region":
            return REGION
        if parameter in {"digest", "name", "draw_id", "outage_id"}:
            return self.objects.get(parameter, "absent")
        kind = template.removeprefix("/api/mesh/liquidity").removeprefix("/api/mesh").lstrip("/")
        return self.objects.get(kind.split("/")[0], "absent")

    @property
    def of_the_api(self) -> list[Operation]:
        return [each for each in self.operations if each.path.startswith("/api/")]

    @property
    def pages(self) -> list[Operation]:
        return [each for each in self.operations if each.page]

    @property
    def operations(self) -> list[Operation]:
        """Every route but streams, which never end."""
        return [each for each in self.app.state.operations if not each.path.endswith("live")]


@contextlib.asynccontextmanager
async def opened(
    server: Any, admin: Any, keys: IssuerKeys, url: str, home: Path, **changed: Any
) -> AsyncIterator[Site]:
    """Open the mesh over a database of its own; *changed* are settings that differ."""
    async with fresh_database(server, admin) as dsn:
        settings = replace(
            Settings(
                database_url=Secret(dsn),
                molam_home=home,
                jwt_issuer=ISSUER,
                jwt_public_key_url=url,
                molam_db_connections_max=4,
                mesh_peers=PEERS,
            ),
            **changed,
        )
        db = await open_database(settings.database_dsn, ProcessRole.OWNER, application="tests")
        try:
            await furnished(db)
            app = mesh_app(settings)
            async with app.router.lifespan_context(app), in_process(app, URL) as client:
                site = Site(app, client, db, keys, settings.database_url)
                await one_of_everything(site)
                yield site
        finally:
            await db.close()


async def furnished(db: Database) -> None:
    """The demo, a bad hour, and somebody for every role."""
    now = datetime.now(UTC)
    await seed_demo(db, now)
    await furnish(db)
    await seed_mesh(db, now)
    for role in ROLES:
        await builders.a_person(db, id_=role, name=role, roles=[role], merchant_id=None)
    await builders.a_person(db, id_="merchant_admin", roles=["merchant_admin"])
    await builders.a_person(db, id_="revoked", roles=[], merchant_id=None)


async def one_of_everything(site: Site) -> None:
    """Make what the demo leaves out, through the API itself."""
    head = site.headers()
    async with site.db.transaction("tests.money") as tx:
        await ledger.post(tx, [opening(bank, "XOF", 10**11) for bank in (BETTER, "bp_123")])
    pool = {
        "id": "pool_own",
        "mesh_region_id": REGION,
        "name": "Own",
        "currency": "XOF",
        "participant_bank_profiles": [BETTER, "bp_123"],
    }
    corridor = {"path": ["CEDEAO", "EU"], "currency": "XOF", "cover": 1000, "net_debit_cap": 1000}
    made = [
        await site.client.post("/api/mesh/pools", json=pool, headers=head),
        await site.client.post("/api/mesh/corridors", json=corridor, headers=head),
        await site.client.post(
            "/api/mesh/outages", json={"bank_profile_id": "bp_lagune"}, headers=head
        ),
    ]
    assert [each.status_code for each in made] == [201, 201, 201], [each.text for each in made]
    member = await site.client.get("/api/mesh/members?limit=1", headers=head)
    policy = await site.client.get("/api/mesh/policies", headers=head)
    await exchange.tell_all(site.app.state.db, site.app.state.mesh)
    corridor_id = made[1].json()["corridor"]["id"]
    site.objects = {
        "pools": "pool_own",
        "corridors": corridor_id,
        "federation": corridor_id,
        "outage_id": made[2].json()["outage"]["id"],
        "proposals": OPEN_PROPOSAL,
        "actions": ACTION_LOG,
        "banks": "bp_123",
        "liquidity": "pool_own",
        "members": member.json()["members"][0]["id"],
        "policies": policy.json()["policies"][0]["id"],
    }
