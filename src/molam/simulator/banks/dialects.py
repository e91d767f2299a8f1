"""The same books told in each bank's own words."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from molam.kernel.currency import currency
from molam.kernel.money import Money
from molam.simulator.banks.books_store import Transfer

_WAVE = {
    "accepted": "processing",
    "settled": "succeeded",
    "rejected": "failed",
    "returned": "reversed",
}
_ORANGE = {
    "accepted": "PENDING",
    "settled": "SUCCESS",
    "rejected": "FAILED",
    "returned": "REVERSED",
}
_WAVE_CODES = {"account-closed": "recipient-account-inactive"}
_WORDS = {
    "account-closed": "The account is closed.",
    "limit-exceeded": "The amount is over the limit.",
}


def amount_text(transfer: Transfer) -> str:
    return f"{Money(transfer.amount, currency(transfer.currency)).decimal():f}"


def say_http_bank(transfer: Transfer, status: str) -> dict[str, object]:
    code = transfer.rejected_code if status == "rejected" else None
    if status == "returned":
        code = "returned-by-beneficiary-bank"
    return {
        "key": transfer.key,
        "id": transfer.id,
        "status": status,
        "amount": amount_text(transfer),
        "currency": transfer.currency,
        "code": code,
        "reason": _WORDS.get(code or ""),
    }


def say_wave(transfer: Transfer, status: str) -> dict[str, object]:
    said: dict[str, object] = {
        "id": transfer.id,
        "currency": transfer.currency,
        "receive_amount": amount_text(transfer),
        "fee": "0",
        "mobile": transfer.beneficiary,
        "name": transfer.name,
        "client_reference": transfer.key,
        "status": _WAVE[status],
    }
    if status == "rejected":
        code = transfer.rejected_code or ""
        said["payout_error"] = {
            "error_code": _WAVE_CODES.get(code, code),
            "error_message": _WORDS.get(code, ""),
        }
    return said


def say_orange(transfer: Transfer, status: str) -> dict[str, object]:
    return {
        "status": _ORANGE[status],
        "order_id": transfer.key,
        "amount": amount_text(transfer),
        "currency": transfer.currency,
        "txnid": transfer.id,
        "notif_token": transfer.token,
        "message": _WORDS.get(transfer.rejected_code or ""),
    }


SAY: Mapping[str, Callable[[Transfer, str], dict[str, object]]] = MappingProxyType(
    {"http_bank": say_http_bank, "wave": say_wave, "orange_money": say_orange}
)


def callback(
    transfer: Transfer, status: str, *, event_id: str, secret: str, stamp: int
) -> tuple[bytes, dict[str, str]]:
    """Write a callback's body and headers as the bank would."""
    headers = {"Content-Type": "application/json"}
    if transfer.dialect == "orange_money":
        body = msgspec.json.encode(
            {"status": _ORANGE[status], "notif_token": transfer.token, "txnid": transfer.id}
        )
        return body, headers
    if transfer.dialect == "wave":
        body = msgspec.json.encode(
            {"id": event_id, "type": "b2c.payout", "data": say_wave(transfer, status)}
        )
        headers["Wave-Signature"] = signature(body, secret, stamp, separator=b"")
        return body, headers
    body = msgspec.json.encode({"event_id": event_id, "transfer": say_http_bank(transfer, status)})
    headers["Bank-Signature"] = signature(body, secret, stamp, separator=b".")
    return body, headers


def signature(body: bytes, secret: str, stamp: int, *, separator: bytes) -> str:
    mac = hmac.new(secret.encode(), f"{stamp}".encode() + separator + body, hashlib.sha256)
    return f"t={stamp},v1={mac.hexdigest()}"
