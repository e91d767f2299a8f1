"""GET /api/merchant/transactions: filters, search, offset and the detail of one."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from callers import bearer
from fastapi import FastAPI

from builders import NOW, a_merchant, a_transaction
from facts import an_event, both, created, refund, succeeded
from molam.kernel.clock import ManualClock
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

SHOP = [
    succeeded(
        "tx_wave",
        amount=1000,
        fee_molam=10,
        provider="wave",
        reference_code="SAN-0001",
        occurred_at="2026-11-16T08:00:00Z",
        customer={"name": "Élodie Ndiaye", "email": "elodie@example.com", "phone": "+221770001"},
        metadata={"country": "SN", "rate": 1.5},
    ),
    succeeded(
        "tx_card",
        amount=2000,
        channel="card",
        provider="visa",
        reference_code="SAN-0002",
        occurred_at="2026-11-15T08:00:00Z",
        customer={"name": "Moussa Fall", "phone": "+221780002"},
    ),
    succeeded("tx_cedi", amount=500, currency="GHS", occurred_at="2026-11-14T08:00:00Z"),
    created("tx_open", amount=3000, occurred_at="2026-11-13T08:00:00Z"),
    created("tx_failed", amount=4000, status="failed", occurred_at="2026-11-12T08:00:00Z"),
    refund("rf_all", "tx_wave", amount=1000, occurred_at="2026-11-16T09:00:00Z"),
]
NEWEST_FIRST = ["rf_all", "tx_wave", "tx_card", "tx_cedi", "tx_open", "tx_failed"]

FILTERED: dict[str, list[str]] = {
    "": NEWEST_FIRST,
    "status=succeeded&currency=XOF&limit=50&offset=0": ["rf_all", "tx_card"],
    "status=refunded": ["tx_wave"],
    "status=pending": ["tx_open"],
    "status=failed": ["tx_failed"],
    "type=refund": ["rf_all"],
    "type=payment&status=succeeded": ["tx_card", "tx_cedi"],
    "channel=card": ["tx_card"],
    "channel=bank_transfer": [],
    "currency=GHS": ["tx_cedi"],
    "amount_min=3000": ["tx_open", "tx_failed"],
    "amount_max=500": ["tx_cedi"],
    "amount_min=1000&amount_max=1000": ["rf_all", "tx_wave"],
    "amount_min=0&amount_max=9007199254740991": NEWEST_FIRST,
    "from=2026-11-14&to=2026-11-15": ["tx_card", "tx_cedi"],
    "from=2026-11-16": ["rf_all", "tx_wave"],
    "to=2026-11-12": ["tx_failed"],
    "from=2026-11-15T08:00:00Z&to=2026-11-16T08:00:00Z": ["tx_card"],
    "from=2026-11-15T09:00:00%2B01:00&to=2026-11-16T08:00:00Z": ["tx_card"],
    "currency=XOF&type=payment&amount_min=1500&from=2026-11-13": ["tx_card", "tx_open"],
    "status=&q=&currency=": NEWEST_FIRST,
}
SEARCHED: dict[str, list[str]] = {
    "SAN-0001": ["tx_wave"],
    "san-00": ["tx_wave", "tx_card"],
    "élodie": ["tx_wave"],
    "ÉLODIE N": ["tx_wave"],
    "elodie@example": ["tx_wave"],
    "+22178": ["tx_card"],
    "tx_cedi": ["tx_cedi"],
    "rf_all": ["rf_all"],
    "  moussa  ": ["tx_card"],
    "tx_ced": [],
    "__": [],
    "%%": [],
    "'; drop table": [],
    "a\ud7ff": [],
    "a\U0010ffff": [],
    "\U0010ffff\U0010ffff": [],
    "İ" * 100: [],
}

REFUSED = {
    "limit=0": "query-malformed",
    "limit=201": "query-malformed",
    "limit=-1": "query-malformed",
    "limit=1e1": "query-malformed",
    "limit=ten": "query-malformed",
    "limit=%31%00": "query-malformed",
    "offset=-1": "query-malformed",
    "offset=10001": "query-malformed",
    "offset=99999999999999999999": "query-malformed",
    "status=won": "query-malformed",
    "type=payout": "query-malformed",
    "channel=Card": "query-malformed",
    "amount_min=-1": "query-malformed",
    "amount_min=1.5": "query-malformed",
    "amount_max=9007199254740992": "query-malformed",
    "q=a": "query-malformed",
    f"q={'x' * 101}": "query-malformed",
    "limit=5&limit=6": "query-malformed",
    "nonsense=1": "query-malformed",
    "page=2": "query-malformed",
    "q=%25": "query-malformed",
    "amount_min=2&amount_max=1": "amount-range-malformed",
    "from=2026-11-16&to=2026-11-15": "date-range-malformed",
    "from=2026-02-30": "date-range-malformed",
    "from=2026-11-16T08:00:00": "date-range-malformed",
    "from=1763280000": "date-range-malformed",
    "to=9999-12-31": "date-range-malformed",
    "from=yesterday": "date-range-malformed",
    "currency=ZZZ": "unknown-currency",
    "cursor=made-up": "cursor-refused",
}


@pytest.fixture
async def ask(
    app: FastAPI, client: httpx2.AsyncClient, db: Database, worker_db: Database, keys: IssuerKeys
) -> Any:
    """Ask a path under /api/merchant of a shop with six transactions."""
    app.state.clock = ManualClock(NOW)
    await a_merchant(db)
    await both(worker_db, SHOP)

    async def ask(path: str, **caller: object) -> httpx2.Response:
        return await client.get(
            f"/api/merchant/{path}", headers=bearer(keys, sub="somebody", **caller)
        )

    return ask


async def ids(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["rows"]]


async def test_a_row_has_the_specifications_fields(ask: Any):
    row = (await ask("transactions?q=SAN-0001")).json()["rows"][0]

    assert row == {
        "id": "tx_wave",
        "type": "payment",
        "amount": 1000,
        "currency": "XOF",
        "fee_molam": 10,
        "status": "refunded",
        "state": "succeeded",
        "reference_code": "SAN-0001",
        "channel": "wallet",
        "provider": "wave",
        "occurred_at": "2026-11-16T08:00:00Z",
        "customer_name": "Élodie Ndiaye",
        "customer_email": "elodie@example.com",
        "customer_phone": "+221770001",
        "refunded_amount": 1000,
        "imported": False,
        "metadata": {"country": "SN", "rate": 1.5},
    }


async def test_filters_narrow_alone_and_together(ask: Any):
    found = {query: await ids(await ask(f"transactions?{query}")) for query in FILTERED}

    assert found == FILTERED


async def test_search_finds_beginnings_and_takes_nothing_for_a_pattern(ask: Any):
    found = {
        search: await ids(await ask(f"transactions?{httpx2.QueryParams({'q': search})}"))
        for search in SEARCHED
    }

    assert found == SEARCHED


async def test_a_blank_search_is_none(ask: Any):
    assert await ids(await ask("transactions?q=%20%20")) == NEWEST_FIRST


async def test_search_and_filters_hold_together(ask: Any):
    assert await ids(await ask("transactions?q=san&channel=card&status=succeeded")) == ["tx_card"]
    assert await ids(await ask("transactions?q=san&status=failed")) == []


async def test_limit_and_offset_cut_a_page_out(ask: Any):
    answer = await ask("transactions?limit=2&offset=1")

    assert await ids(answer) == NEWEST_FIRST[1:3]
    page = answer.json()
    assert (page["limit"], page["offset"], page["has_more"]) == (2, 1, True)
    assert not (await ask("transactions?limit=2&offset=4")).json()["has_more"]
    assert await ids(await ask("transactions?offset=10000&limit=200")) == []


async def test_what_is_out_of_bounds_is_refused(ask: Any):
    answers = {query: await ask(f"transactions?{query}") for query in REFUSED}

    assert {query: answer.json()["code"] for query, answer in answers.items()} == REFUSED
    assert {answer.status_code for answer in answers.values()} == {400}


async def test_days_are_the_merchants_own(
    app: FastAPI, client: httpx2.AsyncClient, db: Database, worker_db: Database, keys: IssuerKeys
):
    await a_merchant(db, id_="merchant-lagos", currency="NGN", timezone="Africa/Lagos")
    await both(
        worker_db,
        [
            succeeded(
                f"tx_{at}", merchant_id="merchant-lagos", occurred_at=f"2026-11-15T{at}:59:59Z"
            )
            for at in (22, 23)
        ],
    )
    headers = bearer(keys, sub="x", merchant_id="merchant-lagos")

    answer = await client.get("/api/merchant/transactions?from=2026-11-16", headers=headers)

    assert await ids(answer) == ["tx_23"]


async def test_the_detail_tells_what_became_of_a_payment_and_where_the_money_went(
    ask: Any, worker_db: Database
):
    await both(
        worker_db,
        [an_event("dispute_created", id="dp_1", transaction_id="tx_wave", reason="not received")],
    )

    detail = (await ask("transactions/tx_wave")).json()

    assert detail["transaction"]["id"] == "tx_wave"
    assert [row["id"] for row in detail["refunds"]] == ["rf_all"]
    assert [(row["id"], row["reason"]) for row in detail["disputes"]] == [("dp_1", "not received")]
    moved = {(each["account"].split(":")[0], each["amount"]) for each in detail["entries"]}
    assert {("customers", -1000), ("merchant", 1000), ("merchant", -10), ("molam", 10)} <= moved
    assert sum(each["amount"] for each in detail["entries"]) == 0


async def test_a_refund_names_its_payment(ask: Any):
    detail = (await ask("transactions/rf_all")).json()

    assert (detail["original_id"], detail["transaction"]["type"]) == ("tx_wave", "refund")


async def test_an_id_with_slashes_is_found(ask: Any, db: Database):
    await a_transaction(db, id_="shop/2026/0001 é", currency="XOF")

    detail = (await ask("transactions/shop%2F2026%2F0001%20%C3%A9")).json()

    assert detail["transaction"]["id"] == "shop/2026/0001 é"


@pytest.mark.parametrize("path", ["transactions/tx_foreign", "transactions?q=tx_foreign"])
async def test_another_merchants_transaction_is_not_there(ask: Any, db: Database, path: str):
    await a_merchant(db, id_="merchant-other")
    await a_transaction(db, id_="tx_foreign", merchant_id="merchant-other")

    foreign = await ask(path)
    absent = await ask(path.replace("foreign", "absent"))

    assert foreign.status_code == absent.status_code
    assert _without_request_id(foreign) == _without_request_id(absent)
    assert "tx_foreign" in (await ask("transactions", merchant_id="merchant-other")).text


def _without_request_id(answer: httpx2.Response) -> str:
    return answer.text.replace(answer.headers["x-request-id"], "")


async def test_numbers_too_long_for_anybody_do_not_hide_the_list(ask: Any, worker_db: Database):
    # Over HTTP such a number is refused; from Kafka it arrives as it is.
    await both(worker_db, [succeeded("tx_long", metadata={"digits": 10**4200, "n": 1})])
    async with worker_db.transaction("tests.longer") as tx:
        await tx.connection.execute(
            "update payments.wallet_transactions set metadata = ('{\"n\": 1' || repeat('0', 9000)"
            " || '}')::jsonb where id = 'tx_card'"
        )

    answer = await ask("transactions")

    assert set(await ids(answer)) == {*NEWEST_FIRST, "tx_long"}
