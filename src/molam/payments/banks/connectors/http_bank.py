"""Banks with a JSON API that knows keys: POST /transfers, GET /transfers/{key}."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import quote

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
)
from molam.payments.banks.secrets import check_timed_signature

SIGNATURE = "bank-signature"
NEVER_SEEN = "transfer-unknown"
NEVER_ASKED = "recall-unknown"
NO_ORIGINAL = "NOOR"
"""ISO 20022: the original payment was never received."""

_Short = Annotated[str, Meta(min_length=1, max_length=128)]
_Long = Annotated[str, Meta(max_length=300)]
_OK = 200
_CREATED = frozenset({200, 201, 202})
_REFUSED = 422
_ABSENT = 404
# What the beneficiary's side can mend by giving other details.
_DETAILS = frozenset({"account-closed", "account-unknown", "name-mismatch"})


class Transfer(msgspec.Struct, frozen=True):
    """A transfer as the bank's books have it."""

    key: Annotated[str, Meta(min_length=1, max_length=70)]
    id: _Short
    status: Literal["accepted", "settled", "rejected", "returned"]
    amount: Annotated[str, Meta(max_length=24)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    code: Annotated[str, Meta(max_length=64)] | None = None
    reason: _Long | None = None


class Absent(msgspec.Struct, frozen=True):
    code: Annotated[str, Meta(max_length=64)]
    key: Annotated[str, Meta(max_length=70)]


class Recall(msgspec.Struct, frozen=True):
    """A request to give a transfer's money back, as the bank keeps it."""

    key: Annotated[str, Meta(min_length=1, max_length=70)]
    transfer_key: Annotated[str, Meta(min_length=1, max_length=70)]
    status: Literal["pending", "accepted", "rejected"]
    code: Annotated[str, Meta(max_length=64)] | None = None
    reason: _Long | None = None


class Health(msgspec.Struct, frozen=True):
    status: Annotated[str, Meta(max_length=32)]


class Event(msgspec.Struct, frozen=True):
    event_id: _Short
    transfer: Transfer


class HttpBank:
    kind = "http_bank"
    can_ask = True
    can_probe = True
    can_recall = True
    calls_back = True
    watches_s = 0.0

    def __init__(self, http: BankHttp) -> None:
        self._http = http

    def wire_key(self, outward_key: str, attempt_no: int) -> str:
        del attempt_no  # A key that was rejected may be tried anew: nothing was booked under it.
        return outward_key

    async def send(self, bank: Bank, order: Order) -> Report:
        body = {
            "key": order.wire_key,
            "amount": major(order.amount, order.currency),
            "currency": order.currency,
            "beneficiary": msgspec.to_builtins(order.destination),
            "reference": order.reference,
            "callback_url": bank.callback_url,
        }
        answer = await self._http.request(
            "POST",
            f"{bank.url}/transfers",
            headers={
                **_authorization(bank),
                "Content-Type": "application/json",
                "Idempotency-Key": order.wire_key,
            },
            body=msgspec.json.encode(body),
        )
        if answer.status in _CREATED or answer.status == _REFUSED:
            return _report(_about(read(answer, Transfer), order))
        raise SurprisingAnswer(f"the bank answered {answer.status}")

    async def inquire(self, bank: Bank, order: Order) -> Report | None:
        answer = await self._http.request(
            "GET",
            _url(bank, order),
            headers=_authorization(bank),
        )
        if answer.status in _CREATED:
            return _report(_about(read(answer, Transfer), order))
        if answer.status == _ABSENT and _says_never(answer, order):
            return None
        raise SurprisingAnswer(f"the bank answered {answer.status}")

    async def recall(self, bank: Bank, order: Order, wish: RecallRequest) -> RecallAnswer:
        body = {"key": wish.key, "reason_code": wish.code, "reason": wish.reason}
        answer = await self._http.request(
            "POST",
            f"{_url(bank, order)}/recalls",
            headers={
                **_authorization(bank),
                "Content-Type": "application/json",
                "Idempotency-Key": wish.key,
            },
            body=msgspec.json.encode(body),
        )
        if answer.status in _CREATED:
            return _recalled(answer, order, wish)
        if answer.status == _ABSENT and _says_never(answer, order):
            return RecallAnswer("rejected", NO_ORIGINAL, "The bank has no such transfer.")
        raise SurprisingAnswer(f"the bank answered {answer.status}")

    async def inquire_recall(
        self, bank: Bank, order: Order, wish: RecallRequest
    ) -> RecallAnswer | None:
        answer = await self._http.request(
            "GET",
            f"{_url(bank, order)}/recalls/{quote(wish.key, safe='')}",
            headers=_authorization(bank),
        )
        if answer.status in _CREATED:
            return _recalled(answer, order, wish)
        if answer.status == _ABSENT and read(answer, Absent) == Absent(NEVER_ASKED, wish.key):
            return None
        raise SurprisingAnswer(f"the bank answered {answer.status}")

    async def probe(self, bank: Bank) -> None:
        answer = await self._http.request("GET", f"{bank.url}/health", headers=_authorization(bank))
        if answer.status != _OK or read(answer, Health).status != "up":
            raise SurprisingAnswer(f"the bank answered {answer.status}")

    def check_callback(
        self, bank: Bank, headers: Mapping[str, str], body: bytes, now: Instant
    ) -> CallbackKey:
        secret = bank.secret.callback_secret
        check_timed_signature(headers.get(SIGNATURE, ""), body, secret, now, separator=b".")
        return CallbackKey(hashlib.sha256(body).hexdigest(), is_signed=True)

    def read_callback(self, body: bytes) -> CallbackSaid:
        told = read(body, Event).transfer
        return CallbackSaid(told.key, told.id, None, _report(told))


def _url(bank: Bank, order: Order) -> str:
    return f"{bank.url}/transfers/{quote(order.wire_key, safe='')}"


def _recalled(answer: Answer, order: Order, wish: RecallRequest) -> RecallAnswer:
    told = read(answer, Recall)
    if (told.key, told.transfer_key) != (wish.key, order.wire_key):
        raise SurprisingAnswer("the answer is about another request")
    return RecallAnswer(told.status, told.code, told.reason)


def _authorization(bank: Bank) -> dict[str, str]:
    return {"Authorization": f"Bearer {bank.secret.api_key.reveal()}"}


def _about(told: Transfer, order: Order) -> Transfer:
    if told.key != order.wire_key:
        raise SurprisingAnswer("the answer is about another transfer")
    return told


def _says_never(answer: Answer, order: Order) -> bool:
    """Tell the bank's own "never seen" from the 404 of whatever stands before it."""
    absent = read(answer, Absent)
    return absent.code == NEVER_SEEN and absent.key == order.wire_key


def _report(told: Transfer) -> Report:
    state: OutcomeState = told.status
    if state == "rejected" and told.code in _DETAILS:
        state = "needs_details"
    return Report(
        state,
        told.id,
        told.code,
        told.reason,
        minor(told.amount, told.currency),
        told.currency,
    )
