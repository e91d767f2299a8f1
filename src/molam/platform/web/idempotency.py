"""Requests that move or promise money are carried out once and answered alike each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.digests import digest
from molam.kernel.refusals import Kind, Refusal
from molam.platform.db import Database, Query, Rank, Tx
from molam.platform.db.transaction import Nothing
from molam.platform.jobs import Cron
from molam.platform.web.caller import Caller

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
WEAKER = "Idempotency"
"""``absent``: no key was sent, so a repetition would be a second request."""
KEPT_HOURS = 72
"""Mobile networks retry late."""

_KEY_LENGTH_MAX = 255
_PURPOSE = "molam.idempotency/1"
_RETRY_AFTER_S = 2

# Note [The key's row decides]
#
# The key is inserted first, in the transaction that has the effect. Of several equal
# requests one inserts it; the others wait in the unique index until that one commits,
# and then read its answer. If it is refused or dies, its row was never there, and the
# next one goes on in its place. So there is no state between "not done" and "done".

encode = msgspec.json.Encoder(decimal_format="number").encode


class IdempotencyKeyMalformed(Refusal):
    code = "idempotency-key-malformed"
    kind = Kind.MALFORMED
    title = "This idempotency key cannot be used"


class IdempotencyKeyReused(Refusal):
    code = "idempotency-key-reused"
    kind = Kind.BROKEN_RULE
    title = "This idempotency key belongs to another request"


class IdempotencyInProgress(Refusal):
    code = "idempotency-in-progress"
    kind = Kind.CONFLICT
    title = "The same request is being carried out"


REFUSES: tuple[type[Refusal], ...] = (
    IdempotencyKeyMalformed,
    IdempotencyKeyReused,
    IdempotencyInProgress,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What *work* answers where the status depends on what happened."""

    view: msgspec.Struct
    status: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer as it is kept: equal requests get these very bytes."""

    status: int
    body: bytes
    replayed: bool


@dataclass(frozen=True, slots=True)
class _KeyRow:
    fingerprint: bytes
    status: int | None
    body: bytes | None


Work = Callable[[Tx], Awaitable[msgspec.Struct | Answer]]

_CLAIM = Query(
    """
    /* idempotency.claim */
    insert into platform.idempotency_keys (merchant_id, operation, key, fingerprint)
    values (:merchant_id, :operation, :key, :fingerprint)
        on conflict do nothing
    """,
    row=Nothing,
    locks=Rank.IDEMPOTENCY_KEY,
)

_FIND = Query(
    """
    /* idempotency.find */
    select fingerprint, status::int, body
      from platform.idempotency_keys
     where merchant_id = :merchant_id and operation = :operation and key = :key
    """,
    row=_KeyRow,
)

_SET_ANSWER = Query(
    """
    /* idempotency.set_answer */
    update platform.idempotency_keys
       set status = :status, body = :body
     where merchant_id = :merchant_id and operation = :operation and key = :key
    """,
    row=Nothing,
)

_PURGE = Query(
    """
    /* idempotency.purge */
    delete from platform.idempotency_keys
     where created_at < now() - make_interval(hours => :hours)
    """,
    row=Nothing,
)


async def once(
    request: Request,
    caller: Caller,
    *,
    operation: str,
    asked: msgspec.Struct | None,
    work: Work,
    status: int = 200,
) -> Response:
    """
    Do *work* in one transaction of the caller's merchant, once per key of the header.

    *operation* is the method and route template. Refusals undo everything, and are not kept.

    Raises:
        IdempotencyKeyMalformed, IdempotencyKeyReused, IdempotencyInProgress
    """
    key = request.headers.get(HEADER)
    stored = await _once(
        request, caller, operation=operation, key=key, asked=asked, work=_with(work, status)
    )
    headers = {}
    if key is None:
        headers[WEAKER] = "absent"
    elif stored.replayed:
        headers[REPLAYED] = "true"
    return Response(stored.body, stored.status, headers, media_type="application/json")


async def once_for_form(
    request: Request,
    caller: Caller,
    *,
    operation: str,
    key: str,
    asked: msgspec.Struct,
    work: Work,
) -> dict[str, Any]:
    """Do the same for a page's form, which carries its key in a hidden field."""
    stored = await _once(
        request, caller, operation=operation, key=key, asked=asked, work=_with(work, 200)
    )
    answer = msgspec.json.decode(stored.body)
    assert isinstance(answer, dict)
    return answer


async def _once(
    request: Request,
    caller: Caller,
    *,
    operation: str,
    key: str | None,
    asked: msgspec.Struct | None,
    work: Callable[[Tx], Awaitable[Answer]],
) -> Stored:
    db: Database = request.app.state.money
    merchant_id = caller.merchant
    if key is None:
        async with db.transaction(operation, merchant_id=merchant_id) as tx:
            answer = await work(tx)
            return Stored(answer.status, encode(answer.view), replayed=False)
    check_key(key)
    row = {"merchant_id": merchant_id, "operation": operation, "key": key}
    fingerprint = _fingerprint(request, merchant_id, operation, asked)
    async with db.transaction(operation, merchant_id=merchant_id) as tx:
        try:
            claimed = await tx.run(_CLAIM, **row, fingerprint=fingerprint)
        except asyncpg.LockNotAvailableError:
            raise _in_progress() from None
        if not claimed:
            kept = await tx.one(_FIND, **row)
            return _replay(kept, fingerprint)
        answer = await work(tx)
        body = encode(answer.view)
        await tx.run(_SET_ANSWER, **row, status=answer.status, body=body)
        return Stored(answer.status, body, replayed=False)


def _with(work: Work, status: int) -> Callable[[Tx], Awaitable[Answer]]:
    async def answering(tx: Tx) -> Answer:
        view = await work(tx)
        return view if isinstance(view, Answer) else Answer(view, status)

    return answering


def _replay(row: _KeyRow | None, fingerprint: bytes) -> Stored:
    if row is None or row.status is None or row.body is None:
        # It was forgotten in this moment, or it is of a transaction we cannot see yet.
        raise _in_progress()
    if row.fingerprint != fingerprint:
        raise IdempotencyKeyReused("Use a new key for a new request.")
    return Stored(row.status, row.body, replayed=True)


def _in_progress() -> IdempotencyInProgress:
    return IdempotencyInProgress(
        "Repeat it in a moment with the same key.", retry_after_s=_RETRY_AFTER_S
    )


def check_key(key: str) -> None:
    """
    Raises:
        IdempotencyKeyMalformed: it is no printable ASCII, or too long.
    """
    if not 1 <= len(key) <= _KEY_LENGTH_MAX or not key.isascii() or not key.isprintable():
        raise IdempotencyKeyMalformed(f"Send 1 to {_KEY_LENGTH_MAX} printable ASCII characters.")


def _fingerprint(
    request: Request, merchant_id: str, operation: str, asked: msgspec.Struct | None
) -> bytes:
    """Hash what is asked for: of whom, by which route, with which path and body; not by whom."""
    body: Mapping[str, Any] = {} if asked is None else _without_key(asked)
    path = {name: str(value) for name, value in request.path_params.items()}
    return digest(
        _PURPOSE, {"merchant": merchant_id, "operation": operation, "path": path, "body": body}
    )


def _without_key(asked: msgspec.Struct) -> dict[str, Any]:
    said = msgspec.to_builtins(asked)
    assert isinstance(said, dict)
    return {name: value for name, value in said.items() if name not in _FORM_FIELDS}


_FORM_FIELDS = frozenset({"idempotency_key", "csrf_token"})


async def _purge(db: Database) -> None:
    async with db.transaction("idempotency.purge") as tx:
        await tx.run(_PURGE, hours=KEPT_HOURS)


CRONS = [Cron("platform.purge_idempotency_keys", "29 * * * *", _purge)]
