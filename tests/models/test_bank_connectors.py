"""What connectors say on the wire, and that no answer is believed which is not one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.payments.banks.connectors.assembly import connectors_of
from molam.payments.banks.connectors.interface import Bank, Connector
from molam.payments.banks.http import Answer
from molam.payments.banks.model import BankAccount, Order, Report, SurprisingAnswer, Wallet
from molam.payments.banks.secrets import BankSecret
from molam.platform.settings import Secret

BANK = Bank("bp_1", "http://bank", BankSecret(Secret("k" * 16), Secret("s" * 16)), "http://us")
WALLET = Wallet("wave", "+221771234567", "Awa Diop")
ORDER = Order("payout-po_1", "payout-po_1", 75_000, "XOF", WALLET, "PAYOUT-20261116-0001")
ASKING = ("http_bank", "wave", "orange_money")


@dataclass
class Wire:
    """Answers whatever it is told to, and keeps what it was sent."""

    answer: Answer
    sent: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def request(self, _method: str, _url: str, *, headers: Any, body: bytes = b"") -> Answer:
        self.headers = dict(headers)
        if body:
            self.sent.append(msgspec.json.decode(body))
        return self.answer


def a_connector(kind: str, status: int = 200, body: bytes = b"{}") -> tuple[Connector, Wire]:
    wire = Wire(Answer(status, body, is_whole=True))
    return connectors_of(wire)[kind], wire


def heard(kind: str, how: str, status: int, body: bytes) -> Report | str | None:
    """What a connector makes of an answer to sending or to asking."""
    connector, _ = a_connector(kind, status, body)
    try:
        return asyncio.run(getattr(connector, how)(BANK, ORDER))
    except SurprisingAnswer:
        return "surprise"


@pytest.mark.parametrize("kind", ASKING)
@pytest.mark.parametrize(
    ("amount", "code", "text"), [(75_000, "XOF", "75000"), (1250, "EUR", "12.50")]
)
async def test_amount_goes_out_exactly_in_the_banks_units(kind, amount, code, text):
    connector, wire = a_connector(kind)

    with pytest.raises(SurprisingAnswer):
        await connector.send(BANK, _order(amount, code))

    sent = wire.sent[0]
    assert sent.get("amount", sent.get("receive_amount")) == text


def _order(amount: int, code: str) -> Order:
    return Order("payout-po_1", "payout-po_1", amount, code, WALLET, "PAYOUT-1")


@pytest.mark.parametrize(
    ("kind", "header"), [("http_bank", "Idempotency-Key"), ("wave", "idempotency-key")]
)
async def test_key_is_in_the_header(kind: str, header: str):
    connector, wire = a_connector(kind)

    with pytest.raises(SurprisingAnswer):
        await connector.send(BANK, ORDER)

    assert wire.headers[header] == "payout-po_1"


@pytest.mark.parametrize("kind", ASKING)
@pytest.mark.parametrize("how", ["send", "inquire"])
@given(
    status=st.sampled_from([200, 201, 202, 204, 301, 400, 401, 403, 404, 409, 422, 429, 500, 503]),
    body=st.binary(max_size=200),
)
def test_arbitrary_bytes_are_a_surprise(kind: str, how: str, status: int, body: bytes):
    assert heard(kind, how, status, body) == "surprise"


GOOD: dict[str, dict[str, Any]] = {
    "http_bank": {
        "key": "payout-po_1",
        "id": "T1",
        "status": "settled",
        "amount": "75000",
        "currency": "XOF",
        "code": None,
        "reason": None,
    },
    "wave": {
        "result": [
            {
                "id": "pt-1",
                "currency": "XOF",
                "receive_amount": "75000",
                "status": "succeeded",
                "client_reference": "payout-po_1",
            }
        ]
    },
    "orange_money": {
        "status": "SUCCESS",
        "order_id": "payout-po_1",
        "amount": "75000",
        "currency": "XOF",
        "txnid": "MP1",
    },
}


@pytest.mark.parametrize("kind", ASKING)
def test_right_answer_settles(kind: str):
    report = heard(kind, "inquire", 200, msgspec.json.encode(GOOD[kind]))

    assert isinstance(report, Report)
    assert (report.state, report.amount, report.currency) == ("settled", 75_000, "XOF")


WRONG = [75000, 75000.0, "75000.5", "7.5e4", "-75000 ", "", None, True, "9" * 40, "\u0667\u0665"]


@pytest.mark.parametrize("kind", ASKING)
@pytest.mark.parametrize("amount", WRONG)
def test_amount_of_another_shape_is_a_surprise(kind: str, amount: object):
    answer = msgspec.json.decode(msgspec.json.encode(GOOD[kind]))
    inner = answer["result"][0] if kind == "wave" else answer
    inner["receive_amount" if kind == "wave" else "amount"] = amount

    report = heard(kind, "inquire", 200, msgspec.json.encode(answer))

    assert report == "surprise" or (isinstance(report, Report) and report.amount != ORDER.amount)


@pytest.mark.parametrize("kind", ASKING)
def test_answer_about_another_payment_is_a_surprise(kind: str):
    other = msgspec.json.encode(GOOD[kind]).replace(b"payout-po_1", b"payout-po_2")

    assert heard(kind, "inquire", 200, other) == "surprise"


NEVER = {
    "http_bank": (404, b'{"code": "transfer-unknown", "key": "payout-po_1"}'),
    "wave": (200, b'{"result": []}'),
    "orange_money": (
        404,
        b'{"code": 404, "message": "unknown order_id", "order_id": "payout-po_1"}',
    ),
}


@pytest.mark.parametrize("kind", ASKING)
def test_never_seen_is_the_banks_own_word(kind: str):
    assert heard(kind, "inquire", *NEVER[kind]) is None


@pytest.mark.parametrize("kind", ["http_bank", "orange_money"])
@pytest.mark.parametrize("body", [b"", b"<html>404</html>", b"{}", b'{"code": "not-found"}'])
def test_absence_told_by_whatever_stands_before_the_bank_means_nothing(kind: str, body: bytes):
    assert heard(kind, "inquire", 404, body) == "surprise"


@pytest.mark.parametrize("kind", ["wave", "orange_money"])
async def test_wallets_take_no_accounts(kind: str):
    connector, wire = a_connector(kind)
    account = BankAccount("Awa Diop", "SN", iban="SN08SN0100152000048500003035")
    order = Order("k", "k", 1, "XOF", account, "r")

    report = await connector.send(BANK, order)

    assert (report.state, wire.sent) == ("rejected", [])


@pytest.mark.parametrize("kind", ASKING)
@given(body=st.binary(max_size=300))
def test_arbitrary_callbacks_are_a_surprise(kind: str, body: bytes):
    connector, _ = a_connector(kind)

    with pytest.raises(SurprisingAnswer):
        connector.read_callback(body)


@pytest.mark.parametrize("kind", ["http_bank", "pain001"])
def test_every_attempt_keeps_the_key_where_keys_are_taken_twice(kind: str):
    connector, _ = a_connector(kind)

    keys = {connector.wire_key("payout-po_1", number) for number in (1, 2, 3)}

    assert len(keys) == (1 if kind == "http_bank" else 3)
