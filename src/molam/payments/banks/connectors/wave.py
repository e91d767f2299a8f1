"""Wave's payout API: amounts are strings, keys are in a header, callbacks are signed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.payments.banks.connectors.interface import Bank, major, minor, read
from molam.payments.banks.http import BankHttp
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
from molam.payments.banks.secrets import check_timed_signature

SIGNATURE = "wave-signature"
REASON_LENGTH_MAX = 40

_Short = Annotated[str, Meta(min_length=1, max_length=128)]
_CREATED = frozenset({200, 201})
_REFUSED = frozenset({404, 409, 422})
_STATES: Mapping[str, OutcomeState] = {
    "processing": "accepted",
    "succeeded": "settled",
    "failed": "rejected",
    "reversed": "returned",
}
_DETAILS = frozenset({"recipient-account-inactive", "recipient-unknown", "name-mismatch"})


class PayoutError(msgspec.Struct, frozen=True):
    error_code: Annotated[str, Meta(max_length=64)]
    error_message: Annotated[str, Meta(max_length=300)] = ""


class Payout(msgspec.Struct, frozen=True):
    """A payout as Wave shows it."""

    id: _Short
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    receive_amount: Annotated[str, Meta(max_length=24)]
    status: Literal["processing", "succeeded", "failed", "reversed"]
    client_reference: Annotated[str, Meta(min_length=1, max_length=255)]
    payout_error: PayoutError | None = None


class Refused(msgspec.Struct, frozen=True):
    code: Annotated[str, Meta(min_length=1, max_length=64)]
    message: Annotated[str, Meta(max_length=300)] = ""


class Found(msgspec.Struct, frozen=True):
    result: Annotated[list[Payout], Meta(max_length=50)]


class Balance(msgspec.Struct, frozen=True):
    amount: Annotated[str, Meta(max_length=24)]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class Event(msgspec.Struct, frozen=True):
    id: _Short
    type: Annotated[str, Meta(max_length=64)]
    data: Payout


class Wave:
    kind = "wave"
    can_ask = True
    can_probe = True
    can_recall = True
    calls_back = True
    watches_s = 3 * 86_400.0

    def __init__(self, http: BankHttp) -> None:
        self._http = http

    def wire_key(self, outward_key: str, attempt_no: int) -> str:
        """Wave repeats the answer of a failed payout for its key, so each attempt has its own."""
        return outward_key if attempt_no == 1 else f"{outward_key}.{attempt_no}"

    async def send(self, bank: Bank, order: Order) -> Report:
        destination = order.destination
        if not isinstance(destination, Wallet):
            return Report("rejected", None, "not-a-wallet", "Wave pays into wallets only.")
        body = {
            "currency": order.currency,
            "receive_amount": major(order.amount, order.currency),
            "mobile": destination.phone,
            "name": destination.holder,
            "client_reference": order.wire_key,
            "payment_reason": order.reference[:REASON_LENGTH_MAX],
        }
        answer = await self._http.request(
            "POST",
            f"{bank.url}/v1/payout",
            headers={
                **_authorization(bank),
                "Content-Type": "application/json",
                "idempotency-key": order.wire_key,
            },
            body=msgspec.json.encode(body),
        )
        if answer.status not in _CREATED:
            raise SurprisingAnswer(f"Wave answered {answer.status}")
        return _report(_about(read(answer, Payout), order))

    async def inquire(self, bank: Bank, order: Order) -> Report | None:
        wanted = quote(order.wire_key, safe="")
        answer = await self._http.request(
            "GET",
            f"{bank.url}/v1/payouts/search?client_reference={wanted}",
            headers=_authorization(bank),
        )
        if answer.status not in _CREATED:
            raise SurprisingAnswer(f"Wave answered {answer.status}")
        found = read(answer, Found).result
        if not found:
            return None
        return _report(_about(found[0], order))

    async def recall(self, bank: Bank, order: Order, wish: RecallRequest) -> RecallAnswer:
        """Wave reverses a payout at once or not at all, and one that is reversed stays so."""
        if order.provider_ref is None:
            raise SurprisingAnswer("Wave reverses by its own id, and has told none")
        answer = await self._http.request(
            "POST",
            f"{bank.url}/v1/payout/{quote(order.provider_ref, safe='')}/reverse",
            headers={**_authorization(bank), "idempotency-key": wish.key},
        )
        if answer.status in _CREATED:
            return RecallAnswer("accepted")
        if answer.status in _REFUSED:
            error = read(answer, Refused)
            return RecallAnswer("rejected", error.code, error.message)
        raise SurprisingAnswer(f"Wave answered {answer.status}")

    async def inquire_recall(
        self, bank: Bank, order: Order, wish: RecallRequest
    ) -> RecallAnswer | None:
        """Wave keeps no requests: a payout is reversed, or asking again is safe."""
        del wish
        told = await self.inquire(bank, order)
        is_back = told is not None and told.state == "returned"
        return RecallAnswer("accepted") if is_back else None

    async def probe(self, bank: Bank) -> None:
        answer = await self._http.request(
            "GET", f"{bank.url}/v1/balance", headers=_authorization(bank)
        )
        if answer.status not in _CREATED:
            raise SurprisingAnswer(f"Wave answered {answer.status}")
        read(answer, Balance)

    def check_callback(
        self, bank: Bank, headers: Mapping[str, str], body: bytes, now: Instant
    ) -> CallbackKey:
        secret = bank.secret.callback_secret
        check_timed_signature(headers.get(SIGNATURE, ""), body, secret, now, separator=b"")
        return CallbackKey(hashlib.sha256(body).hexdigest(), is_signed=True)

    def read_callback(self, body: bytes) -> CallbackSaid:
        told = read(body, Event).data
        return CallbackSaid(told.client_reference, told.id, None, _report(told))


def _authorization(bank: Bank) -> dict[str, str]:
    return {"Authorization": f"Bearer {bank.secret.api_key.reveal()}"}


def _about(told: Payout, order: Order) -> Payout:
    if told.client_reference != order.wire_key:
        raise SurprisingAnswer("the answer is about another payout")
    return told


def _report(told: Payout) -> Report:
    error = told.payout_error
    state = _STATES[told.status]
    if state == "rejected" and error is not None and error.error_code in _DETAILS:
        state = "needs_details"
    return Report(
        state,
        told.id,
        error.error_code if error else None,
        error.error_message if error else None,
        minor(told.receive_amount, told.currency),
        told.currency,
    )
