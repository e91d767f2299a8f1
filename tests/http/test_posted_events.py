"""POST /api/merchant/events: a batch of a wallet's CloudEvents, all of it or nothing."""

from __future__ import annotations

import json

import httpx2
import pytest
from callers import bearer

from builders import a_merchant
from facts import MERCHANT, an_event, created, drain, look, refund, succeeded
from molam.ledger import queries as ledger
from molam.platform.db import Database
from molam.platform.events.log import EVENT_BYTES_MAX
from molam.simulator.issuer_keys import IssuerKeys

PATH = "/api/merchant/events"
LOG = "select payload #>> '{}' from platform.events order by id"
DEAD = 'select "group", reason from platform.dead_letters'
GOOD = succeeded("tx_good")
BATCH = "application/cloudevents-batch+json"


class Wallet:
    """Posts events as a wallet does."""

    def __init__(self, client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
        self._client = client
        self._headers = headers

    async def post(self, *events: str, media: str = BATCH) -> httpx2.Response:
        return await self.send(f"[{','.join(events)}]".encode(), media=media)

    async def send(self, body: bytes, *, media: str = BATCH) -> httpx2.Response:
        headers = self._headers | {"Content-Type": media}
        return await self._client.post(PATH, content=body, headers=headers)


@pytest.fixture
async def wallet(client: httpx2.AsyncClient, db: Database, keys: IssuerKeys) -> Wallet:
    await a_merchant(db)
    service = bearer(keys, sub="service:wallet", roles=["service"], merchant_id=None)
    return Wallet(client, service)


def changed(**top: object) -> str:
    """A good event with some of its own attributes changed."""
    return json.dumps(json.loads(succeeded("tx_bad")) | top)


# Each is sent behind a good event; what it gets, and a word of the reason.
SHAPELESS = {
    "provider with a line break": (succeeded("tx", provider="wave\n"), "data.provider"),
    "fractional": (succeeded("tx", amount=10.5), "minor units"),
    "whole but with a point": (succeeded("tx", amount=10.0), "minor units"),
    "negative": (succeeded("tx", amount=-1), ">= 0"),
    "huge": (succeeded("tx", amount=2**53), "<= 9007199254740991"),
    "amount in words": (succeeded("tx", amount="100"), "got `str`"),
    "amount true": (succeeded("tx", amount=True), "got `bool`"),
    "no amount": (succeeded("tx", amount=None), "got `null`"),
    "naive": (succeeded("tx", occurred_at="2026-11-16T12:00:00"), "timezone"),
    "seconds since 1970": (succeeded("tx", occurred_at=1763294400), "got `int`"),
    "no day": (succeeded("tx", occurred_at="2026-02-30T12:00:00Z"), "datetime"),
    "unknown field": (succeeded("tx", colour="red"), "colour"),
    "unknown attribute": (changed(colour="red"), "colour"),
    "ledger entry made up": (succeeded("tx", ledger_transfer_id="1"), "ledger_transfer_id"),
    "unknown topic": (an_event("wallet_txn_lost", transaction_id="tx"), "wallet_txn_lost"),
    "other version": (changed(specversion="0.3"), "0.3"),
    "no data": (changed(data=None), "got `null`"),
    "no id": (changed(id=""), "length >= 1"),
    "id too long": (succeeded("x" * 256), "length <= 255"),
    "currency in small letters": (succeeded("tx", currency="xof"), "regex"),
    "currency with a line break": (succeeded("tx", currency="XOF\n"), "length <= 3"),
    "version zero": (succeeded("tx", version=0), ">= 1"),
    "unknown channel": (succeeded("tx", channel="cash"), "cash"),
    "year 1": (changed(time="0001-01-01T00:00:00+14:00"), "1900"),
}
UNACCEPTABLE = {
    "fee above the amount": (succeeded("tx", amount=5, fee_molam=6), "fee"),
    "unknown status": (succeeded("tx", status="refunded"), "status is one of"),
    "payment without id": (an_event("wallet_txn_created"), "data.transaction_id"),
    "refund without id": (an_event("refund_created", transaction_id="tx"), "data.id"),
    "wallet's refund without id": (succeeded("tx", type="refund"), "data.id"),
    "payout without id": (an_event("payout_created", transaction_id="tx"), "data.id"),
    "year 1999": (succeeded("tx", occurred_at="1999-12-31T23:59:59Z"), "2000 to 2099"),
    "year 2100": (succeeded("tx", occurred_at="2100-01-01T00:00:00Z"), "2000 to 2099"),
    "old payout": (
        an_event("payout_created", id="po", occurred_at="1950-01-01T00:00:00Z"),
        "2000 to 2099",
    ),
    "id nobody could ask for": (succeeded("tx\u2028x"), "data.transaction_id"),
    "id that turns the text around": (succeeded("\u202etx"), "data.transaction_id"),
    "endless metadata": (
        succeeded("tx", metadata={"n": 0}).replace('"n": 0', '"n": [1e999999]'),
        "metadata",
    ),
    "too long": (succeeded("tx", metadata={"x": "x" * EVENT_BYTES_MAX}), "bytes"),
}
AMBIGUOUS = {
    "not JSON": b"{",
    "duplicate key": b'[{"id": "a", "id": "b"}]',
    "duplicate key, escaped": b'[{"id": "a", "\\u0069d": "b"}]',
    "NaN": succeeded("tx", metadata={"n": float("nan")}).encode(),
    "Infinity": succeeded("tx", metadata={"n": float("-inf")}).encode(),
    "deep": b"[" * 10_000 + b"]" * 10_000,
    "lone surrogate": b'["\\ud800"]',
    "NUL": b'[{"id": "\\u0000"}]',
    "Latin-1": '[{"id": "é"}]'.encode("latin-1"),
    "number of 5,000 digits": b"[" + b"9" * 5_000 + b"]",
    "byte order mark": b"\xef\xbb\xbf[]",
    "two documents": b"[][]",
    "empty": b"",
}


@pytest.mark.parametrize(
    ("cases", "status", "code"),
    [(SHAPELESS, 400, "body-malformed"), (UNACCEPTABLE, 422, "event-refused")],
    ids=["shapeless", "unacceptable"],
)
async def test_one_bad_event_refuses_the_whole_batch_and_is_named(
    wallet: Wallet, db: Database, cases: dict[str, tuple[str, str]], status: int, code: str
):
    answers = {name: await wallet.post(GOOD, bad) for name, (bad, _) in cases.items()}

    refusals = {name: (each.status_code, each.json()["code"]) for name, each in answers.items()}
    assert refusals == dict.fromkeys(cases, (status, code))
    unexplained = {
        name: answers[name].json()["detail"]
        for name, (_, word) in cases.items()
        if word not in answers[name].json()["detail"] or "1" not in answers[name].json()["detail"]
    }
    assert unexplained == {}
    assert await look(db, LOG) == []


async def test_what_could_be_read_in_two_ways_is_refused(wallet: Wallet, db: Database):
    answers = {name: await wallet.send(body) for name, body in AMBIGUOUS.items()}

    refusals = {name: (each.status_code, each.json()["code"]) for name, each in answers.items()}
    assert refusals == dict.fromkeys(AMBIGUOUS, (400, "json-malformed"))
    assert await look(db, LOG) == []


async def test_a_currency_or_merchant_we_do_not_keep_refuses_the_batch(
    wallet: Wallet, db: Database
):
    yen = await wallet.post(GOOD, succeeded("tx", currency="JPY"))
    stranger = await wallet.post(GOOD, succeeded("tx", merchant_id="merchant-gone"))

    assert (yen.status_code, yen.json()["code"]) == (400, "unknown-currency")
    assert (stranger.status_code, stranger.json()["code"]) == (422, "merchant-unknown")
    assert await look(db, LOG) == []


async def test_a_batch_is_bounded_in_events_and_bytes(wallet: Wallet, db: Database):
    many = await wallet.post(*[GOOD] * 1001)
    long = await wallet.send(b" " * (1024 * 1024 + 1))

    assert (many.status_code, many.json()["code"]) == (422, "event-refused")
    assert (long.status_code, long.json()["code"]) == (413, "body-too-large")
    assert await look(db, LOG) == []
    assert (await wallet.post(*[GOOD] * 1000)).json()["accepted"] == 1000


@pytest.mark.parametrize("media", ["text/plain", "application/cloudevents+json", "application/xml"])
async def test_another_media_type_is_refused(wallet: Wallet, db: Database, media: str):
    answer = await wallet.post(GOOD, media=media)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
    assert await look(db, LOG) == []


@pytest.mark.parametrize("media", [BATCH, "application/json", f"{BATCH}; charset=UTF-8"])
async def test_a_batch_is_accepted_as_cloudevents_or_plain_json(wallet: Wallet, media: str):
    assert (await wallet.post(GOOD, media=media)).json() == {"ok": True, "accepted": 1}


async def test_an_empty_batch_is_accepted_and_nothing(wallet: Wallet, db: Database):
    assert (await wallet.post()).json() == {"ok": True, "accepted": 0}
    assert await look(db, LOG) == []


async def test_a_merchant_may_not_post_events(
    client: httpx2.AsyncClient, db: Database, keys: IssuerKeys
):
    await a_merchant(db)
    admin = Wallet(client, bearer(keys, sub="somebody"))

    answer = await admin.post(GOOD)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert await look(db, LOG) == []


async def test_what_is_accepted_is_stored_as_it_was_meant(
    wallet: Wallet, db: Database, worker_db: Database
):
    metadata = {"rate": 655.957, "n": 10**30, "list": [1, 2.5, None, True], "": "é"}
    await wallet.post(
        succeeded("shop/1", metadata=metadata, occurred_at="2026-11-16T13:59:00+23:59")
    )

    await drain(worker_db)

    assert await look(
        db, "select metadata, occurred_at::text from wallet_transactions where id = 'shop/1'"
    ) == [(metadata, "2026-11-15 14:00:00+00")]
    assert await look(db, DEAD) == []


async def test_no_accepted_event_is_buried(wallet: Wallet, db: Database, worker_db: Database):
    edges = [
        succeeded("zero", amount=0),
        succeeded("most", amount=2**53 - 1, fee_molam=2**53 - 1),
        succeeded("first", occurred_at="2000-01-01T00:00:00Z"),
        succeeded("last", occurred_at="2099-12-31T23:59:59.999999Z"),
        succeeded("x" * 200, version=2**31 - 1, reason="r" * 4000),
        succeeded("shop é 💩/1?#", customer={"name": "<script>", "phone": "0" * 32}),
        succeeded("rf", type="refund", id="rf_1"),
        *(created(f"c_{word}", status=word) for word in ("created", "pending", "failed")),
        *(
            refund(f"r_{word}", "zero", status=word)
            for word in ("pending", "processing", "completed", "failed", "cancelled")
        ),
        *(
            an_event("payout_created", id=f"p_{word}", status=word)
            for word in ("pending", "in_transit", "paid", "failed", "cancelled", "returned")
        ),
        *(
            an_event("dispute_created", id=f"d_{word}", status=word)
            for word in ("open", "under_review", "won", "lost", "accepted", "escalated")
        ),
    ]
    statuses = {event: (await wallet.post(event)).status_code for event in edges}

    await drain(worker_db)

    assert {event for event, status in statuses.items() if status != 202} == set()
    assert await look(db, DEAD) == []


async def test_a_repeated_batch_is_counted_once(
    wallet: Wallet, client: httpx2.AsyncClient, db: Database, worker_db: Database, keys: IssuerKeys
):
    batch = [
        created("tx_1", amount=1000, fee_molam=10),
        succeeded("tx_1", amount=1000, fee_molam=10),
        refund("rf_1", "tx_1", amount=300),
        an_event("dispute_created", id="dp_1", transaction_id="tx_1", amount=100),
        an_event("payout_created", id="po_1", amount=50),
    ]
    await wallet.post(*batch)
    await drain(worker_db)
    await wallet.post(*reversed(batch))
    await wallet.post(*batch, *batch)
    await drain(worker_db, batch_max=3)

    asked = await client.get(
        "/api/merchant/summary?period=custom:2026-11-16:2026-11-16",
        headers=bearer(keys, sub="somebody"),
    )

    figures = {key: each["value"] for key, each in asked.json()["summary"].items()}
    assert (figures["sales"], figures["refunds"], figures["fees"]) == (1000, 300, 10)
    assert (figures["transactions"], figures["payments"], figures["disputes"]) == (1, 1, 100)
    assert (
        len(await look(db, "select 1 from merchant_alerts where alert_type = 'dispute_created'"))
        == 1
    )
    balance = "select balance from ledger.accounts where owner_id = $1"
    assert await look(db, balance, MERCHANT) == [(1000 - 10 - 300 - 100 - 50,)]
    assert await ledger.imbalances(db) == []
