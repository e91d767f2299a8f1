"""The pages of webhooks: what they show, what they say before and after, and what they hide."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from callers import bearer

from builders import NOW, a_merchant, a_person
from molam.merchant.webhook_snippets import SNIPPETS
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys
from receivers import a_publication, an_endpoint

ROOT = "/settings/webhooks"
FORM = {
    "url": "https://shop.example.com/molam",
    "retry_schedule": "long",
    "merchant.refund.created": "yes",
    "payout.paid": "yes",
}


@pytest.fixture
async def admin(db: Database, keys: IssuerKeys) -> dict[str, str]:
    await a_merchant(db)
    await a_person(db)
    return bearer(keys, acr=AAL2, lang="en") | {"Accept-Language": "en"}


async def page(
    client: httpx2.AsyncClient, admin: dict[str, str], path: str, **asked: Any
) -> httpx2.Response:
    method = "POST" if "data" in asked else "GET"
    if "data" in asked:
        # A form always sends something: its token.
        asked["data"] = {"csrf_token": "of a session", **asked["data"]}
    return await client.request(method, path, headers=admin, **asked)


async def test_an_empty_list_says_what_to_do_next(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    shown = await page(client, admin, ROOT)

    assert shown.status_code == 200
    assert "No endpoint yet" in shown.text
    assert 'name="transaction.succeeded"' in shown.text


async def test_an_added_endpoint_shows_its_secret_once_and_is_not_kept_by_the_browser(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    made = await page(client, admin, ROOT, data=FORM)
    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", made.text))
    listed = await page(client, admin, ROOT)
    (address,) = set(re.findall(r"/settings/webhooks/we_[0-9a-f]+(?=\")", listed.text))
    again = await page(client, admin, address)

    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    assert secret not in listed.text + again.text
    assert again.text.count(" checked") == 2
    assert '<option value="long" selected>' in again.text


async def test_a_refused_endpoint_keeps_what_was_typed(
    client: httpx2.AsyncClient, admin: dict[str, str]
):
    shown = await page(
        client, admin, ROOT, data={**FORM, "url": "ftp://shop.example.com/", "description": "Till"}
    )

    assert shown.status_code == 409
    assert 'value="ftp://shop.example.com/"' in shown.text
    assert 'value="Till"' in shown.text
    assert 'role="alert"' in shown.text


async def test_without_events_nothing_is_added(client: httpx2.AsyncClient, admin: dict[str, str]):
    shown = await page(client, admin, ROOT, data={"url": FORM["url"]})

    assert shown.status_code == 409
    assert "no such event" in shown.text


async def test_without_a_second_factor_one_is_led_to_confirm_and_back(
    client: httpx2.AsyncClient, db: Database, keys: IssuerKeys
):
    await a_merchant(db)
    await a_person(db)
    weak = bearer(keys)
    shown = await page(client, weak, ROOT)
    sent = await page(client, weak, ROOT, data=FORM)

    assert "acr_values=" in shown.text
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/sign-in?next=%2Fsettings%2Fwebhooks")


async def test_a_whole_life_by_forms(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database
):
    id_, _ = await an_endpoint(db, "https://shop.example.com/", now=NOW)
    await a_publication(db)
    here = f"{ROOT}/{id_}"

    tested = await page(client, admin, f"{here}/test", data={})
    assert tested.status_code == 303
    shown = await page(client, admin, tested.headers["location"].partition("#")[0])
    assert 'id="tested" hx-get=' in shown.text
    changed = await page(client, admin, f"{here}/change", data=FORM)
    assert changed.headers["location"] == f"{here}?said=changed"
    assert "was changed" in (await page(client, admin, changed.headers["location"])).text
    rotated = await page(client, admin, f"{here}/rotate", data={})
    assert "whsec_" in rotated.text
    assert "24 hours" in rotated.text
    before = await page(client, admin, here)
    assert "2 events that wait are skipped" in before.text
    off = await page(client, admin, f"{here}/disable", data={})
    assert off.headers["location"] == f"{here}?said=disabled"
    on = await page(client, admin, f"{here}/enable", data={})
    assert on.headers["location"] == f"{here}?said=enabled"
    again = await page(client, admin, f"{here}/replay", data={"since": "everything"})
    assert again.headers["location"] == f"{here}?said=replayed"
    gone = await page(client, admin, f"{here}/delete", data={})
    assert gone.headers["location"] == f"{ROOT}?said=deleted"
    assert (await page(client, admin, here)).status_code == 404


async def test_a_delivery_shows_what_was_sent_and_each_attempt(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database
):
    id_, _ = await an_endpoint(db, "https://shop.example.com/", now=NOW)
    await a_publication(db, data={"id": "re_1", "note": "<script>alert(1)</script>"})
    async with db.transaction("tests.ended") as tx:
        delivery = await tx.connection.fetchval(
            "update webhooks.webhook_deliveries set state = 'dead', ended_at = now(), attempts = 1,"
            " last_error = 'timeout' returning id"
        )
        await tx.connection.execute(
            "insert into webhooks.webhook_attempts (delivery_id, merchant_id, number, error,"
            " latency_ms) values ($1, 'merchant-123', 1, 'timeout', 10000)",
            delivery,
        )
    listed = await page(client, admin, f"{ROOT}/{id_}?state=dead")
    shown = await page(client, admin, f"{ROOT}/deliveries/{delivery}")
    again = await page(client, admin, f"{ROOT}/deliveries/{delivery}/replay", data={})

    assert f"/settings/webhooks/deliveries/{delivery}" in listed.text
    assert "No answer within 10 seconds" in shown.text
    assert "&lt;script&gt;" in shown.text
    assert "<script>alert" not in shown.text
    assert again.status_code == 303


@pytest.mark.parametrize("path", [ROOT, f"{ROOT}/we_nobody"])
async def test_the_pages_are_for_admins(
    client: httpx2.AsyncClient, db: Database, keys: IssuerKeys, path: str
):
    await a_merchant(db)
    await a_person(db, roles=["merchant_accountant"])
    other = bearer(keys, roles=["merchant_accountant"])

    assert (await page(client, other, path)).status_code == 403


async def test_anothers_endpoint_looks_absent_on_pages(
    client: httpx2.AsyncClient, admin: dict[str, str], db: Database
):
    await a_merchant(db, id_="merchant-2")
    id_, _ = await an_endpoint(db, "https://theirs.example.com/", now=NOW, merchant_id="merchant-2")

    assert (await page(client, admin, f"{ROOT}/{id_}")).status_code == 404
    assert (await page(client, admin, f"{ROOT}/{id_}/delete", data={})).status_code == 404


def test_the_python_example_says_what_it_must():
    assert "standardwebhooks" in SNIPPETS["Python"]
    compile(SNIPPETS["Python"], "snippet", "exec")
    compile(SNIPPETS["X-Molam-Signature"], "snippet", "exec")
