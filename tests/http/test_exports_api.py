"""GET /api/merchant/export and what comes of it, over HTTP and on the pages."""

from __future__ import annotations

import asyncio
import hashlib
import html
import re
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest
from callers import bearer
from fastapi import FastAPI

from builders import a_merchant, a_person, a_transaction
from export_runs import found, rows_of, written
from molam.merchant import report_endpoints
from molam.merchant.report_model import Asked
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

EXPORT = "/api/merchant/export"


@pytest.fixture(autouse=True)
async def shop(db: Database) -> None:
    await a_merchant(db)
    await a_person(db)


async def _ask(client: httpx2.AsyncClient, keys: IssuerKeys, query: str = "") -> httpx2.Response:
    return await client.get(f"{EXPORT}?{query}", headers=bearer(keys))


async def _asked(db: Database) -> Asked:
    async with db.transaction("tests.asked") as tx:
        return msgspec.convert(
            await tx.connection.fetchval("select asked from merchant.exports"), Asked
        )


async def test_file_that_is_not_ready_says_where_to_look(
    client: httpx2.AsyncClient, keys: IssuerKeys
):
    answer = await _ask(client, keys)

    assert answer.status_code == 202
    assert answer.json()["export_url"] is None
    look = await client.get(answer.headers["location"], headers=bearer(keys))
    assert (look.status_code, look.json()["export"]["state"]) == (200, "queued")


async def test_file_that_is_ready_in_time_is_answered_with_its_link(
    app: FastAPI,
    client: httpx2.AsyncClient,
    keys: IssuerKeys,
    db: Database,
    worker_db: Database,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(report_endpoints, "WAITED_S", 5.0)
    await a_transaction(db, id_="tx_123")

    async def work() -> None:
        while True:
            await asyncio.sleep(0.05)
            async with db.transaction("tests.work") as tx:
                row = await tx.connection.fetchrow("select id, merchant_id from merchant.exports")
            if row is not None:
                export = await found(worker_db, row["merchant_id"], row["id"])
                await written(worker_db, export, app.state.files)
                return

    answer, _ = await asyncio.gather(_ask(client, keys, "format=csv&lang=en"), work())

    assert answer.status_code == 200
    body = answer.json()
    assert body["expires_in"] == 3600
    parts = urlsplit(body["export_url"])
    content = (await client.get(f"{parts.path}?{parts.query}")).content
    assert rows_of(content)[0]["Transaction"] == "tx_123"
    assert hashlib.sha256(content).hexdigest() == body["export"]["sha256"]


async def test_every_filter_of_the_list_arrives(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await _ask(
        client,
        keys,
        "type=transactions&format=xlsx&lang=en&status=succeeded&txn_type=payment&channel=wallet"
        "&currency=XOF&amount_min=1&amount_max=9&from=2026-11-01&to=2026-11-15&q=awa",
    )

    asked = await _asked(db)
    assert (asked.kind, asked.format, asked.language) == ("transactions", "xlsx", "en")
    assert (asked.status, asked.type, asked.channel) == ("succeeded", "payment", "wallet")
    assert (asked.currency, asked.amount_min, asked.amount_max) == ("XOF", 1, 9)
    assert str(asked.from_at) == "2026-11-01 00:00:00+00:00"
    assert str(asked.to_at) == "2026-11-16 00:00:00+00:00"
    assert asked.search == "awa"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("format=docx", "query-malformed"),
        ("type=secrets", "query-malformed"),
        ("format=pdf&type=journal", "export-refused"),
        ("type=payouts&q=awa", "export-refused"),
        ("type=statement&format=pdf", "export-refused"),
        ("type=statement&format=pdf&month=2026-13", "query-malformed"),
        ("period=mtd&from=2026-01-01", "export-refused"),
        ("period=never", "period-malformed"),
        ("from=2026-02-01&to=2026-01-01", "date-range-malformed"),
        ("amount_min=2&amount_max=1", "amount-range-malformed"),
        ("currency=ZZZ", "unknown-currency"),
        ("q=%00%00", "query-malformed"),
        ("limit=5", "query-malformed"),
    ],
)
async def test_what_cannot_be_written_is_refused_with_400(
    client: httpx2.AsyncClient, keys: IssuerKeys, query: str, code: str
):
    answer = await _ask(client, keys, query)

    assert answer.status_code in {400, 422}
    assert answer.json()["code"] == code


async def test_repeated_request_is_about_the_same_file(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    answers = await asyncio.gather(*(_ask(client, keys, "lang=en") for _ in range(5)))

    assert len({answer.json()["export"]["id"] for answer in answers}) == 1
    async with db.transaction("tests.count") as tx:
        assert await tx.connection.fetchval("select count(*) from merchant.exports") == 1
        audited = await tx.connection.fetchrow(
            "select action_type, resource_type from merchant.merchant_actions_audit"
        )
    assert tuple(audited) == ("export_csv", "transaction")


async def test_other_merchants_files_are_absent(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await a_merchant(db, id_="merchant-999", name="Autre")
    await a_person(db, id_="other", merchant_id="merchant-999")
    location = (await _ask(client, keys)).headers["location"]
    stranger = bearer(keys, sub="other", merchant_id="merchant-999")

    theirs = await client.get(location, headers=stranger)
    nobodys = await client.get("/api/merchant/exports/nothing", headers=stranger)

    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json()["detail"] == nobodys.json()["detail"]
    listed = await client.get("/api/merchant/exports", headers=stranger)
    assert listed.json()["rows"] == []


async def test_support_may_not_take_the_books_away(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await a_person(db, id_="support", roles=["merchant_support"])

    answer = await client.get(EXPORT, headers=bearer(keys, sub="support"))

    assert answer.status_code == 403


async def test_accounts_can_be_changed_and_taken_back(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    path = "/api/merchant/settings/accounting"
    body = {"accounts": {"sales": {"account": "7011", "label": "Ventes boutique"}}}

    changed = await client.put(path, json=body, headers=bearer(keys))
    shown = await client.get(path, headers=bearer(keys))
    back = await client.put(path, json={"accounts": {}}, headers=bearer(keys))

    assert changed.json()["accounts"]["sales"]["account"] == "7011"
    assert shown.json() == changed.json()
    assert back.json()["accounts"]["sales"]["account"] == "701"
    async with db.transaction("tests.audit") as tx:
        changes = await tx.connection.fetch(
            "select changes from merchant.merchant_actions_audit"
            " where action_type = 'accounting_changed' order by created_at"
        )
    assert len(changes) == 2
    assert changes[0]["changes"]["after"] == {"sales": "7011 Ventes boutique"}


@pytest.mark.parametrize(
    "account",
    [
        {"account": "70a", "label": "x"},
        {"account": "7" * 13, "label": "x"},
        {"account": "411", "label": "Clients"},
        {"account": "7011", "label": "a\u0000b"},
    ],
    ids=str,
)
async def test_account_that_cannot_be_booked_on_is_refused(
    client: httpx2.AsyncClient, keys: IssuerKeys, account: dict[str, str]
):
    answer = await client.put(
        "/api/merchant/settings/accounting",
        json={"accounts": {"sales": account}},
        headers=bearer(keys),
    )

    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("path", ["/reports", "/reports/files", "/settings/accounting"])
@pytest.mark.parametrize("language", ["fr", "en"])
async def test_pages_are_shown_empty_and_full(
    client: httpx2.AsyncClient, keys: IssuerKeys, path: str, language: str
):
    headers = bearer(keys) | {"Accept-Language": language, "Cookie": f"molam_lang={language}"}

    empty = await client.get(path, headers=headers)
    await _ask(client, keys)
    full = await client.get(path, headers=headers)

    assert empty.status_code == full.status_code == 200
    assert (full.text != empty.text) == (path != "/settings/accounting")


async def test_page_asks_for_a_file_and_shows_how_far_it_is(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    form = {"kind": "transactions", "format": "csv", "period": "mtd", "amount_min": "1 000"}

    answer = await client.post("/reports", data=form, headers=bearer(keys))
    page = await client.get("/reports", headers=bearer(keys))

    assert answer.status_code == 303
    assert (await _asked(db)).amount_min == 1000
    assert 'hx-get="/reports/files"' in page.text


async def test_page_says_what_to_mend(client: httpx2.AsyncClient, keys: IssuerKeys):
    form = {"kind": "journal", "format": "pdf"}

    answer = await client.post("/reports", data=form, headers=bearer(keys))

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


async def test_download_leads_to_a_link_that_was_just_signed(
    app: FastAPI, client: httpx2.AsyncClient, keys: IssuerKeys, worker_db: Database
):
    id_ = (await _ask(client, keys)).json()["export"]["id"]
    before = await client.get(f"/reports/files/{id_}", headers=bearer(keys))
    await written(
        worker_db,
        await found(worker_db, "merchant-123", msgspec.convert(id_, report_endpoints.UUID)),
        app.state.files,
    )

    after = await client.get(f"/reports/files/{id_}", headers=bearer(keys))

    assert before.status_code == 404
    assert after.status_code == 303
    assert "/files/" in after.headers["location"]


async def test_list_of_transactions_leads_to_a_file_of_the_same_rows(
    client: httpx2.AsyncClient, keys: IssuerKeys, db: Database
):
    await a_transaction(db)
    page = await client.get("/transactions?status=succeeded&amount_min=1+000", headers=bearer(keys))
    address = html.unescape(re.search(r'href="(/reports\?[^"]*)"', page.text)[1])

    form = await client.get(address, headers=bearer(keys))

    assert address == "/reports?period=all&status=succeeded&amount_min=1+000"
    assert 'name="status" value="succeeded"' in form.text
    assert 'name="amount_min" value="1 000"' in form.text
