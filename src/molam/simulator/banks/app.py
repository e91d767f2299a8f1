"""The simulated banks' HTTP servers, all under one root: ``/{bank}/...``."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

import httpx2
import msgspec
import structlog
from obstore.exceptions import BaseError
from obstore.store import ObjectStore
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from molam.kernel.currency import CURRENCIES, currency
from molam.kernel.money import parse_major
from molam.kernel.refusals import Refusal
from molam.payments.banks.secrets import BankSecrets
from molam.simulator.banks import dialects, file_bank, statements
from molam.simulator.banks.books_store import Books, Due, Transfer
from molam.simulator.banks.orders import (
    Draft,
    HttpOrder,
    OrangeOrder,
    OrangeQuestion,
    WaveOrder,
)
from molam.simulator.banks.recalls import RecallDesk
from molam.simulator.banks.temper import Temper, happens, mood
from molam.simulator.banks.trouble import (
    BOOKED_ALL_THE_SAME,
    Cut,
    Refused,
    Silent,
    fail,
    gone,
    refused,
    silent,
)

log = structlog.get_logger()

BODY_BYTES_MAX = 64 * 1024
TRANSFERS_SHOWN_MAX = 200

_TICK_S = 0.2
_FILES_TICK_S = 5.0
_CALLBACKS_AT_ONCE = 50
_CALLBACK_TIMEOUT_S = 5.0
_BANKS_MAX = 500
_HUGE = b"[" * 400_000

StructT = TypeVar("StructT", bound=msgspec.Struct)


class SimulatedBanks:
    """Banks of any id: each has books, a temper and secrets, and calls back by HTTP."""

    def __init__(
        self,
        books: Books,
        secrets: BankSecrets,
        *,
        callbacks_url: str,
        files: ObjectStore | None = None,
    ) -> None:
        self.books = books
        self._secrets = secrets
        self._callbacks_url = callbacks_url
        self._files = files
        self._tempers: dict[str, Temper] = {}
        self.app = Starlette(
            routes=[
                Route("/{bank}/temper", self.temper, methods=["GET", "PUT"]),
                Route("/{bank}/transfers", self.http_order, methods=["POST"]),
                Route("/{bank}/transfers", self.shown, methods=["GET"]),
                *self._recalls(),
                Route("/{bank}/transfers/{key:path}", self.http_inquiry, methods=["GET"]),
                Route("/{bank}/v1/payout", self.wave_order, methods=["POST"]),
                Route("/{bank}/v1/payouts/search", self.wave_inquiry, methods=["GET"]),
                Route("/{bank}/cashin", self.orange_order, methods=["POST"]),
                Route("/{bank}/transactionstatus", self.orange_inquiry, methods=["POST"]),
                Route("/{bank}/statements", self.statement, methods=["GET"]),
                Route("/{bank}/health", self.http_health, methods=["GET"]),
                Route("/{bank}/v1/balance", self.wave_balance, methods=["GET"]),
            ],
            exception_handlers={Refused: refused, Silent: silent, ClientDisconnect: gone},
        )

    def _recalls(self) -> list[Route]:
        desk = RecallDesk(self.books, self._tempers, self._admitted)
        return [
            Route("/{bank}/transfers/{key}/recalls", desk.ask, methods=["POST"]),
            Route("/{bank}/transfers/{key}/recalls/{recall}", desk.inquire, methods=["GET"]),
            Route("/{bank}/v1/payout/{id}/reverse", desk.reverse, methods=["POST"]),
        ]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send callbacks as they fall due."""
        async with httpx2.AsyncClient(timeout=_CALLBACK_TIMEOUT_S, trust_env=False) as client:
            tasks = [asyncio.create_task(self._call_back(client), name="bank callbacks")]
            if self._files is not None:
                tasks.append(asyncio.create_task(self._take_files(self._files), name="bank files"))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def set_temper(self, bank: str, temper: Temper) -> None:
        if len(self._tempers) < _BANKS_MAX or bank in self._tempers:
            self._tempers[bank] = temper

    async def temper(self, request: Request) -> Response:
        """Show or set how a bank behaves from now on."""
        bank = request.path_params["bank"]
        if request.method == "PUT":
            self.set_temper(bank, await _body(request, Temper))
        return _json(self._tempers.get(bank, Temper()))

    async def http_order(self, request: Request) -> Response:
        bank = self._known(request)
        asked = await _body(request, HttpOrder)
        given = asked.beneficiary
        order = self._order(
            bank, "http_bank", key=asked.key, amount=asked.amount, code=asked.currency
        )
        order = msgspec.structs.replace(
            order,
            beneficiary=given.get("iban")
            or given.get("account_number")
            or given.get("phone")
            or "",
            name=given.get("holder") or "",
            reference=asked.reference,
            callback_url=asked.callback_url,
        )
        return await self._carry_out(order, retry_rejected=True)

    async def wave_order(self, request: Request) -> Response:
        bank = self._known(request)
        asked = await _body(request, WaveOrder)
        order = self._order(
            bank,
            "wave",
            key=asked.client_reference,
            amount=asked.receive_amount,
            code=asked.currency,
        )
        order = msgspec.structs.replace(
            order,
            beneficiary=asked.mobile,
            name=asked.name,
            reference=asked.payment_reason,
            callback_url=f"{self._callbacks_url}/{bank}/callbacks",
        )
        return await self._carry_out(order, retry_rejected=False)

    async def orange_order(self, request: Request) -> Response:
        bank = self._known(request)
        asked = await _body(request, OrangeOrder)
        order = self._order(
            bank, "orange_money", key=asked.order_id, amount=asked.amount, code=asked.currency
        )
        order = msgspec.structs.replace(
            order,
            beneficiary=f"+{asked.msisdn}",
            reference=asked.reference,
            callback_url=asked.notif_url,
        )
        if self.books.find(bank, asked.order_id) is not None:
            raise Refused(403, {"code": 403, "message": "order_id already used"})
        return await self._carry_out(order, retry_rejected=False)

    async def http_inquiry(self, request: Request) -> Response:
        bank, key = self._admitted(request), request.path_params["key"]
        found = self.books.find(bank, key)
        if found is None:
            raise Refused(404, {"code": "transfer-unknown", "key": key})
        return _json(dialects.say_http_bank(found, found.status(time.time())))

    async def wave_inquiry(self, request: Request) -> Response:
        bank = self._admitted(request)
        found = self.books.find(bank, request.query_params.get("client_reference", ""))
        result = [] if found is None else [dialects.say_wave(found, found.status(time.time()))]
        return _json({"result": result})

    async def orange_inquiry(self, request: Request) -> Response:
        bank = self._admitted(request)
        asked = await _body(request, OrangeQuestion)
        found = self.books.find(bank, asked.order_id)
        if found is None:
            unknown = {"code": 404, "message": "unknown order_id", "order_id": asked.order_id}
            raise Refused(404, dict(unknown))
        return _json(dialects.say_orange(found, found.status(time.time())))

    async def http_health(self, request: Request) -> Response:
        await self._probed(request)
        return _json({"status": "up"})

    async def wave_balance(self, request: Request) -> Response:
        await self._probed(request)
        return _json({"amount": "1000000", "currency": "XOF"})

    async def _probed(self, request: Request) -> None:
        """Be as slow as to orders, and as silent."""
        temper = self._tempers.get(self._admitted(request), Temper())
        await asyncio.sleep(temper.latency_s)
        if temper.die != "never" and happens(temper.die_rate):
            raise Silent

    async def shown(self, request: Request) -> Response:
        """List what was booked last, for people who look over the bank's shoulder."""
        now = time.time()
        recent = self.books.recent(request.path_params["bank"], limit=TRANSFERS_SHOWN_MAX)
        return _json(
            {"transfers": [dialects.say_http_bank(each, each.status(now)) for each in recent]}
        )

    async def statement(self, request: Request) -> Response:
        """Give the statement of one day (UTC) in one of the formats that banks give."""
        bank = request.path_params["bank"]
        query = request.query_params
        wanted, code = query.get("format", "camt053"), query.get("currency", "XOF")
        try:
            day = date.fromisoformat(query.get("date", ""))
        except ValueError:
            day = datetime.now(UTC).date()
        if wanted not in statements.WRITE or code not in CURRENCIES:
            raise Refused(400, {"code": "unknown-format", "known": sorted(statements.WRITE)})
        content = statements.WRITE[wanted](self._told(bank, code, day))
        name = f"{bank}-{day}.{statements.ENDINGS[wanted]}"
        return Response(
            content,
            media_type=statements.MEDIA[wanted],
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _told(self, bank: str, code: str, day: date) -> statements.Told:
        start = datetime.combine(day, datetime.min.time(), UTC)
        end = start + timedelta(days=1)
        entries = self.books.entries(bank, start.timestamp(), end.timestamp())
        moved = self.books.moved_before(bank, code, start.timestamp())
        now = min(time.time(), end.timestamp())
        return statements.tell(
            bank,
            code,
            day,
            [each for each in entries if each.currency == code],
            moved=moved,
            until=now,
        )

    def _admitted(self, request: Request) -> str:
        bank = self._known(request)
        if happens(self._tempers.get(bank, Temper()).fail_rate):
            fail()
        return bank

    def _known(self, request: Request) -> str:
        bank: str = request.path_params["bank"]
        temper = self._tempers.get(bank, Temper())
        if temper.maintenance:
            raise Refused(503, {"code": "maintenance"})
        secret = self._secrets.of(bank)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if secret is None or not hmac.compare_digest(
            given.encode(), secret.api_key.reveal().encode()
        ):
            raise Refused(401, {"code": "unauthenticated"})
        return bank

    def _order(self, bank: str, dialect: str, *, key: str, amount: str, code: str) -> Draft:
        try:
            money = parse_major(amount, currency(code))
        except Refusal as refusal:
            raise Refused(400, {"code": refusal.code}) from refusal
        if money.minor <= 0:
            raise Refused(400, {"code": "amount-malformed"})
        return Draft(bank, dialect, key, money.minor, code)

    async def _carry_out(self, draft: Draft, *, retry_rejected: bool) -> Response:
        temper = self._tempers.get(draft.bank, Temper())
        exponent = currency(draft.currency).exponent
        temper = mood(temper, draft.amount // 10**exponent)
        dies = temper.die != "never" and happens(temper.die_rate)
        fails = happens(temper.fail_rate)
        if dies and temper.die == "before":
            return Cut()
        if fails and not happens(BOOKED_ALL_THE_SAME):
            fail()
        rejected = happens(temper.reject_rate)
        wanted = draft.transfer(temper, time.time(), rejected=rejected)
        booked, is_new = self.books.book(wanted, retry_rejected=retry_rejected)
        if booked.amount != draft.amount or booked.currency != draft.currency:
            raise Refused(409, {"code": "idempotency-mismatch"})
        if is_new:
            self._plan_callbacks(booked, temper)
        await asyncio.sleep(temper.latency_s)
        if dies or fails:
            return Cut()
        return self._answer(booked, temper)

    def _answer(self, booked: Transfer, temper: Temper) -> Response:
        if temper.answers == "garbage":
            return Response(b"<html>\xff\xfe 200 OK", media_type="text/html")
        if temper.answers == "huge":
            return Response(_HUGE, media_type="application/json")
        status = booked.status(time.time())
        if temper.answers == "wrong_amount":
            booked = replace(booked, amount=booked.amount + 1)
        if booked.dialect == "orange_money":
            return _json(
                {
                    "status": 201,
                    "message": "OK",
                    "order_id": booked.key,
                    "pay_token": f"pay{booked.token}",
                    "notif_token": booked.token,
                },
                HTTPStatus.CREATED,
            )
        is_refusal = status == "rejected" and booked.dialect == "http_bank"
        code = HTTPStatus.UNPROCESSABLE_ENTITY if is_refusal else HTTPStatus.CREATED
        return _json(dialects.SAY[booked.dialect](booked, status), code)

    def _plan_callbacks(self, booked: Transfer, temper: Temper) -> None:
        if temper.callbacks == "lost" or not booked.callback_url:
            return
        end = "rejected" if booked.rejected_code else "settled"
        at = booked.settle_at
        if temper.callbacks == "late":
            at += temper.late_s
        if temper.callbacks == "early":
            at = booked.booked_at
        self.books.plan_callback(booked.id, end, at)
        if temper.callbacks == "twice":
            self.books.plan_callback(booked.id, end, at)
        if temper.callbacks == "reversed":
            self.books.plan_callback(booked.id, "accepted", at + 2 * _TICK_S)
        if booked.return_at is not None:
            self.books.plan_callback(booked.id, "returned", booked.return_at)

    async def _call_back(self, client: httpx2.AsyncClient) -> None:
        while True:
            due = self.books.due_callbacks(time.time(), limit=_CALLBACKS_AT_ONCE)
            await asyncio.gather(*(self._tell(client, each) for each in due))
            await asyncio.sleep(_TICK_S)

    async def _take_files(self, files: ObjectStore) -> None:
        while True:
            try:
                await file_bank.answer_files(files, self.books, self._tempers)
            except (BaseError, OSError) as error:
                log.info("simulator.files.unreachable", reason=repr(error))
            await asyncio.sleep(_FILES_TICK_S)

    async def _tell(self, client: httpx2.AsyncClient, due: Due) -> None:
        """Call back once. A real bank of this kind does not try again, nor does this one."""
        self.books.set_sent(due.id)
        secret = self._secrets.of(due.transfer.bank)
        assert secret is not None
        body, headers = dialects.callback(
            due.transfer,
            due.status,
            event_id=f"EV_{due.transfer.id}_{due.status}",
            secret=secret.callback_secret.reveal(),
            stamp=int(time.time()),
        )
        try:
            await client.post(due.transfer.callback_url, content=body, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            log.info("simulator.callback.lost", bank=due.transfer.bank, reason=type(error).__name__)


async def _body(request: Request, into: type[StructT]) -> StructT:
    content = await request.body()
    if len(content) > BODY_BYTES_MAX:
        raise Refused(413, {"code": "too-large"})
    try:
        return msgspec.json.decode(content, type=into)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Refused(400, {"code": "malformed", "detail": str(error)[:200]}) from error


def _json(content: object, status: int = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
