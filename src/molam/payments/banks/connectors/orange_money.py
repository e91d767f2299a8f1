"""Orange Money: no keys, an order_id that is taken once, and callbacks nobody signed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.payments.banks.connectors.interface import Bank, major, minor, read
from molam.payments.banks.http import Answer, BankHttp
from molam.payments.banks.model import (
    CallbackKey,
    CallbackSaid,
    Order,
    OutcomeState,
    RecallAnswer,
    RecallRequest,
    Report,
    SurprisingAnswer,
    Wallet,
)

_Short = Annotated[str, Meta(min_length=1, max_length=128)]
_CREATED = frozenset({200, 201})
_TAKEN = 403
_ABSENT = 404
NEVER_SEEN = "unknown order_id"
PROBE_ORDER = "probe-0"
_STATES: Mapping[str, OutcomeState] = {
    "INITIATED": "accepted",
    "PENDING": "accepted",
    "SUCCESS": "settled",
    "FAILED": "rejected",
    "EXPIRED": "rejected",
    "REVERSED": "returned",
}

# Note [A hint, not a fact]
#
# Orange Money tells us once, unsigned, by a token that it gave us with the answer.
# Whoever saw that token could say the same. So a notification never changes anything:
# it makes us ask, and what is answered to us counts. One that is lost costs a wait.


class Started(msgspec.Struct, frozen=True):
    status: int
    message: Annotated[str, Meta(max_length=300)]
    order_id: Annotated[str, Meta(max_length=70)]
    pay_token: _Short
    notif_token: _Short


class Standing(msgspec.Struct, frozen=True):
    status: Literal["INITIATED", "PENDING", "SUCCESS", "FAILED", "EXPIRED", "REVERSED"]
    order_id: Annotated[str, Meta(max_length=70)]
    amount: Annotated[str, Meta(max_length=24)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    txnid: _Short | None = None
    notif_token: _Short | None = None
    message: Annotated[str, Meta(max_length=300)] | None = None


class Refused(msgspec.Struct, frozen=True):
    code: int
    message: Annotated[str, Meta(max_length=300)]
    order_id: Annotated[str, Meta(max_length=70)] = ""


class Notification(msgspec.Struct, frozen=True):
    notif_token: _Short
    status: Annotated[str, Meta(max_length=32)]
    txnid: _Short | None = None


class OrangeMoney:
    kind = "orange_money"
    can_ask = True
    can_probe = True
    can_recall = False
    calls_back = True
    watches_s = 3 * 86_400.0

    def __init__(self, http: BankHttp) -> None:
        self._http = http

    def wire_key(self, outward_key: str, attempt_no: int) -> str:
        """Orange Money takes an order_id once, and never again even after refusing it."""
        return outward_key if attempt_no == 1 else f"{outward_key}.{attempt_no}"

    async def send(self, bank: Bank, order: Order) -> Report:
        destination = order.destination
        if not isinstance(destination, Wallet):
            return Report("rejected", None, "not-a-wallet", "Orange Money pays into wallets only.")
        body = {
            "order_id": order.wire_key,
            "amount": major(order.amount, order.currency),
            "currency": order.currency,
            "msisdn": destination.phone.removeprefix("+"),
            "reference": order.reference,
            "notif_url": bank.callback_url,
        }
        answer = await self._post(bank, "/cashin", body)
        if answer.status in _CREATED:
            started = read(answer, Started)
            if started.order_id != order.wire_key:
                raise SurprisingAnswer("the answer is about another order")
            tokens = {"pay_token": started.pay_token, "notif_token": started.notif_token}
            return Report("accepted", tokens=tokens)
        if answer.status == _TAKEN:
            # It has this order from a request whose answer we never saw. Which one of
            # our orders that is, and how it ended, only the inquiry tells.
            raise SurprisingAnswer("the order_id is taken")
        raise SurprisingAnswer(f"Orange Money answered {answer.status}")

    async def inquire(self, bank: Bank, order: Order) -> Report | None:
        body = {
            "order_id": order.wire_key,
            "amount": major(order.amount, order.currency),
            "pay_token": order.tokens.get("pay_token", ""),
        }
        answer = await self._post(bank, "/transactionstatus", body)
        if answer.status in _CREATED:
            standing = read(answer, Standing)
            if standing.order_id != order.wire_key:
                raise SurprisingAnswer("the answer is about another order")
            return _report(standing)
        if answer.status == _ABSENT:
            refused = read(answer, Refused)
            if refused.message == NEVER_SEEN and refused.order_id == order.wire_key:
                return None
        raise SurprisingAnswer(f"Orange Money answered {answer.status}")

    async def recall(self, bank: Bank, order: Order, wish: RecallRequest) -> RecallAnswer:
        del bank, order, wish
        raise SurprisingAnswer("Orange Money takes nothing back on request")

    async def inquire_recall(
        self, bank: Bank, order: Order, wish: RecallRequest
    ) -> RecallAnswer | None:
        del bank, order, wish
        raise SurprisingAnswer("Orange Money takes nothing back on request")

    async def probe(self, bank: Bank) -> None:
        """Ask about an order that was never given: a bank that is well says that it knows none."""
        body = {"order_id": PROBE_ORDER, "amount": "1", "pay_token": ""}
        answer = await self._post(bank, "/transactionstatus", body)
        if answer.status != _ABSENT or read(answer, Refused).message != NEVER_SEEN:
            raise SurprisingAnswer(f"Orange Money answered {answer.status}")

    def check_callback(
        self, bank: Bank, headers: Mapping[str, str], body: bytes, now: Instant
    ) -> CallbackKey:
        del bank, headers, now
        return CallbackKey(hashlib.sha256(body).hexdigest(), is_signed=False)

    def read_callback(self, body: bytes) -> CallbackSaid:
        told = read(body, Notification)
        return CallbackSaid("", told.txnid, told.notif_token, None)

    async def _post(self, bank: Bank, path: str, body: dict[str, str]) -> Answer:
        headers = {
            "Authorization": f"Bearer {bank.secret.api_key.reveal()}",
            "Content-Type": "application/json",
        }
        return await self._http.request(
            "POST", bank.url + path, headers=headers, body=msgspec.json.encode(body)
        )


def _report(told: Standing) -> Report:
    tokens = {"notif_token": told.notif_token} if told.notif_token else {}
    state = _STATES[told.status]
    code = told.status.lower() if state == "rejected" else None
    return Report(
        state,
        told.txnid,
        code,
        told.message,
        minor(told.amount, told.currency),
        told.currency,
        tokens,
    )
