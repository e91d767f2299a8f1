"""How simulated banks treat requests to give money back: camt.056 and camt.029 in their words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import currency
from molam.simulator.banks.books_store import Books, Recall, Transfer
from molam.simulator.banks.temper import Temper, happens, mood
from molam.simulator.banks.trouble import Refused, Silent

GIVEN_BACK_WITHIN_S = 300.0
"""So long after it was paid, a beneficiary's bank usually finds the money still there."""
RETURNS_AFTER_S = 1.0
_NEVER_S = 10 * 365 * 86_400.0
_SAID = {
    "already-settled": "Settled, and drawn by the beneficiary.",
    "already-returned": "The money has gone back already.",
    "beneficiary-refuses": "The beneficiary does not agree.",
    "not-carried-out": "The transfer was rejected.",
}


class Wanted(msgspec.Struct, frozen=True):
    key: Annotated[str, Meta(min_length=1, max_length=70)]
    reason_code: Annotated[str, Meta(min_length=1, max_length=8)]
    reason: Annotated[str, Meta(max_length=500)] | None = None


def keep(
    books: Books, transfer: Transfer, key: str, temper: Temper, *, at_once: bool = False
) -> Recall:
    """Decide about a request, and keep that; one that is known already is decided as it was."""
    now = time.time()
    status = transfer.status(now)
    code = _refusal(transfer, temper, status, now)
    waits = status == "settled" and not at_once
    answer_at = now + (temper.recall_after_s if waits else 0.0)
    if temper.recalls == "silent":
        answer_at = now + _NEVER_S
    granted = code is None and temper.recalls != "silent"
    return_at = answer_at + (RETURNS_AFTER_S if waits else 0.0)
    recall = Recall(transfer.bank, key, transfer.id, code, answer_at)
    return books.keep_recall(recall, return_at=return_at if granted else None)


def _refusal(transfer: Transfer, temper: Temper, status: str, now: float) -> str | None:
    """Say why the money is not given back; None: it is."""
    if status == "rejected":
        return "not-carried-out"
    if transfer.return_at is not None:
        return "already-returned"
    if temper.recalls == "reject":
        return temper.recall_code
    is_old = status == "settled" and now - transfer.settle_at > GIVEN_BACK_WITHIN_S
    return "already-settled" if is_old and temper.recalls == "by_age" else None


class RecallDesk:
    """Takes requests for money that was sent. A key is taken once, and answered alike for ever."""

    def __init__(
        self,
        books: Books,
        tempers: Mapping[str, Temper],
        admitted: Callable[[Request], str],
    ) -> None:
        self._books = books
        self._tempers = tempers
        self._admitted = admitted

    async def ask(self, request: Request) -> Response:
        """Take a request in the words of banks with a JSON API."""
        bank, key = self._admitted(request), request.path_params["key"]
        try:
            wanted = msgspec.json.decode(await request.body(), type=Wanted)
        except msgspec.MsgspecError as error:
            raise Refused(400, {"code": "malformed", "detail": str(error)[:200]}) from error
        transfer = self._books.find(bank, key)
        if transfer is None:
            raise Refused(404, {"code": "transfer-unknown", "key": key})
        kept = self._keep(transfer, wanted.key)
        await self._behave(bank)
        return _json(self._say(kept, transfer), HTTPStatus.CREATED)

    async def inquire(self, request: Request) -> Response:
        """Say how a request stands."""
        bank, key = self._admitted(request), request.path_params["recall"]
        found = self._books.find_recall(bank, key)
        if found is None:
            raise Refused(404, {"code": "recall-unknown", "key": key})
        return _json(self._say(found, self._books.get(found.transfer_id)))

    async def reverse(self, request: Request) -> Response:
        """Reverse a payout at once, as wallets do, or say why not; twice is as good as once."""
        bank = self._admitted(request)
        transfer = self._books.find_by_id(bank, request.path_params["id"])
        if transfer is None:
            raise Refused(404, {"code": "payout-not-found", "message": "There is no such payout."})
        key = request.headers.get("idempotency-key") or f"reverse-{transfer.id}"
        kept = self._keep(transfer, key, at_once=True)
        await self._behave(bank)
        if self._books.get(transfer.id).status(time.time()) == "returned":
            return _json({})
        if kept.code is None:
            raise Silent
        raise Refused(422, {"code": kept.code, "message": _SAID.get(kept.code, "")})

    def _keep(self, transfer: Transfer, key: str, *, at_once: bool = False) -> Recall:
        return keep(self._books, transfer, key, self._temper(transfer), at_once=at_once)

    def _temper(self, transfer: Transfer) -> Temper:
        exponent = currency(transfer.currency).exponent
        temper = self._tempers.get(transfer.bank, Temper())
        return mood(temper, transfer.amount // 10**exponent)

    async def _behave(self, bank: str) -> None:
        """Be as slow as to orders, and hang up as often; what was asked is kept all the same."""
        temper = self._tempers.get(bank, Temper())
        await asyncio.sleep(temper.latency_s)
        if temper.die == "after" and happens(temper.die_rate):
            raise Silent

    def _say(self, recall: Recall, transfer: Transfer) -> dict[str, object]:
        status = recall.status(time.time())
        code = recall.code if status == "rejected" else None
        return {
            "key": recall.key,
            "transfer_key": transfer.key,
            "status": status,
            "code": code,
            "reason": _SAID.get(code or ""),
        }


def _json(content: object, status: int = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
