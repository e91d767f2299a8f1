"""What banks tell us unasked: recorded at once, and given its effect by a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from molam.kernel.clock import Instant
from molam.payments.banks import attempt_store, hearing, inquiries, metrics, queries, store
from molam.payments.banks.connectors.interface import Bank, Connector
from molam.payments.banks.hearing import Heard
from molam.payments.banks.model import (
    BankAbsent,
    CallbackKey,
    CallbackRefused,
    CallbackSaid,
    SurprisingAnswer,
)
from molam.payments.banks.secrets import BankSecrets
from molam.payments.banks.teller import Teller
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue
from molam.platform.web.limits import Limiter

TAKE = "payments.take_callback"
BYTES_MAX = 16 * 1024
KEPT_DAYS = 90

_PURGED_AT_ONCE = 5000
_PURGE_ROUNDS_MAX = 200


class TakeCallback(msgspec.Struct, frozen=True):
    """Arguments of the job `TAKE`."""

    callback_id: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class Ear:
    """What hearing a callback needs; telling what it means needs a `Teller`."""

    connectors: Mapping[str, Connector]
    secrets: BankSecrets
    # What nobody signed, anybody may send.
    unsigned: Limiter = field(default_factory=lambda: Limiter(burst=120, per_minute=600))


async def receive(
    ear: Ear,
    db: Database,
    bank_profile_id: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    now: Instant,
) -> bool:
    """
    Record a callback if it is from the bank; return whether it was new.

    Raises:
        BankAbsent: no such bank.
        CallbackRefused: it proves nothing. Nothing of it is kept.
        TooManyAttempts: of those that nobody signed.
    """
    async with db.transaction("banks.find_for_callback", readonly=True) as tx:
        row = await queries.get_bank(tx, bank_profile_id)
    secret = ear.secrets.of(row.id)
    if secret is None:
        raise BankAbsent("No bank calls back here.", bank_profile_id=bank_profile_id)
    bank = Bank(row.id, row.endpoint_url, secret, "")
    try:
        key = ear.connectors[row.connector].check_callback(bank, headers, body, now)
    except CallbackRefused:
        metrics.CALLBACKS.labels(row.id, "refused").inc()
        raise
    if not key.is_signed:
        ear.unsigned.take(bank.id)
    async with db.transaction("banks.receive_callback") as tx:
        is_new = await _keep(tx, row.id, key, body)
    metrics.CALLBACKS.labels(row.id, "new" if is_new else "repeated").inc()
    return is_new


async def _keep(tx: Tx, bank_profile_id: str, key: CallbackKey, body: bytes) -> bool:
    kept = await tx.one(
        store.APPEND_CALLBACK,
        bank_profile_id=bank_profile_id,
        dedupe_key=key.dedupe_key,
        is_signed=key.is_signed,
        body=body,
    )
    if kept is None:
        return False
    await enqueue(tx, TAKE, TakeCallback(kept.id))
    return True


async def take(teller: Teller, db: Database, callback_id: int) -> None:
    """Let a callback have its effect, once: a signed one is believed, others make us ask."""
    rows = await db.read(store.FIND_CALLBACK, id=callback_id)
    if not rows or rows[0].state != "new":
        return
    callback = rows[0]
    bank = (await db.read(store.FIND_BANK, id=callback.bank_profile_id))[0]
    try:
        said = teller.connectors[bank.connector].read_callback(callback.body)
    except SurprisingAnswer:
        said = None
    async with db.transaction("banks.take_callback") as tx:
        attempt_id, state = await _effect(tx, teller, callback, said)
        await tx.run(store.SET_CALLBACK, id=callback.id, state=state, attempt_id=attempt_id)
    metrics.CALLBACKS.labels(bank.id, state).inc()


async def _effect(
    tx: Tx, teller: Teller, callback: store.CallbackRow, said: CallbackSaid | None
) -> tuple[UUID | None, str]:
    if said is None:
        return None, "unreadable"
    found = await tx.one(
        attempt_store.FIND_BY_WIRE,
        bank_profile_id=callback.bank_profile_id,
        wire_key=said.wire_key,
        provider_ref=said.provider_ref,
        notif_token=said.notif_token,
    )
    if found is None:
        return None, "unmatched"
    if said.report is None or not callback.is_signed:
        await inquiries.enqueue_inquiry(tx, found.id, hinted=True)
        return found.id, "asked"
    verdict = await hearing.record(tx, teller, found.id, Heard(said.report, "callback"))
    if verdict.contradicts:
        return found.id, "contradicts"
    return found.id, "applied" if verdict.changes else "late"


async def purge(db: Database) -> None:
    """Forget callbacks that are old; what they did stays with the attempts."""
    for _ in range(_PURGE_ROUNDS_MAX):
        async with db.transaction("banks.purge_callbacks") as tx:
            if not await tx.run(store.PURGE_CALLBACKS, days=KEPT_DAYS, limit=_PURGED_AT_ONCE):
                return
