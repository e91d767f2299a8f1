"""What a merchant sees and may do while its account is frozen."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import pytest
from callers import bearer

from builders import a_merchant, a_person, an_alert
from carrying_out import do
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from molam.tenancy.actions import ACTIONS

TYPES = Registry(ACTIONS)
SENTENCES = {
    "fr": ("Ce compte est gelé", "Motif indiqué\u00a0: Fraude probable"),
    "en": ("This account is frozen", "Reason given: Fraude probable"),
}


@pytest.fixture
async def merchant(db: Database) -> None:
    await a_merchant(db)
    await a_person(db)


async def freeze(db: Database, **params: str) -> None:
    raw = {"merchant_id": "merchant-123", "reason": "Fraude probable", **params}
    await do(db, TYPES.find("FREEZE_MERCHANT"), raw, at=datetime.now(UTC))


async def page(client: httpx2.AsyncClient, keys: IssuerKeys, path: str, locale: str) -> str:
    headers = {**bearer(keys, lang=locale), "Accept": "text/html"}
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.usefixtures("merchant")
@pytest.mark.parametrize("locale", SENTENCES)
@pytest.mark.parametrize("path", ["/", "/transactions", "/alerts"])
async def test_every_page_says_that_the_account_is_frozen_and_why(
    client: httpx2.AsyncClient, keys: IssuerKeys, ops_db: Database, locale: str, path: str
) -> None:
    assert SENTENCES[locale][0] not in await page(client, keys, path, locale)

    await freeze(ops_db)

    shown = await page(client, keys, path, locale)
    for sentence in SENTENCES[locale]:
        assert sentence in shown


@pytest.mark.usefixtures("merchant")
async def test_page_says_when_the_freeze_ends(
    client: httpx2.AsyncClient, keys: IssuerKeys, ops_db: Database
) -> None:
    await freeze(ops_db, duration="12h")

    assert "It ends on" in await page(client, keys, "/", "en")


@pytest.mark.usefixtures("merchant")
async def test_reason_is_text_and_never_markup(
    client: httpx2.AsyncClient, keys: IssuerKeys, ops_db: Database
) -> None:
    await freeze(ops_db, reason="<script>alert(1)</script>")

    assert "<script>alert(1)" not in await page(client, keys, "/", "fr")


@pytest.mark.usefixtures("merchant")
async def test_frozen_merchant_still_reads_its_figures(
    client: httpx2.AsyncClient, keys: IssuerKeys, ops_db: Database
) -> None:
    await freeze(ops_db)

    answer = await client.get("/api/merchant/summary?period=mtd", headers=bearer(keys))

    assert answer.status_code == 200


@pytest.mark.usefixtures("merchant")
async def test_frozen_merchant_still_acknowledges_alerts(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database, ops_db: Database
) -> None:
    alert = await an_alert(db)
    await freeze(ops_db)

    answer = await client.post(f"/api/merchant/alerts/{alert}/acknowledge", headers=bearer(keys))

    assert answer.status_code == 200
