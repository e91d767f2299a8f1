"""Files for banks that take files: written after the cut-off, answered by status files."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from molam.kernel.ids import uuid7
from molam.kernel.refusals import Outage
from molam.payments.banks import attempt_store, commands, file_store, hearing, iso20022, store
from molam.payments.banks.hearing import Heard
from molam.payments.banks.model import Report, SurprisingAnswer
from molam.payments.banks.teller import Teller
from molam.platform.db import Database, Tx, assert_no_transaction

log = structlog.get_logger()

OUTBOX = "outbox"
INBOX = "inbox"
STATUS_BYTES_MAX = 20 * 1024 * 1024

_FILES_MAX = 100


@dataclass(frozen=True, slots=True)
class Post:
    """Where files are left and found."""

    teller: Teller
    files: ObjectStore
    debtor_name: str = "Molam Connect"


async def write_files(post: Post, db: Database) -> int:
    """
    Write a file for each bank and currency whose cut-off has passed; return how many.

    What a file holds is decided in a transaction before it is written. A crash between
    the two leaves a file that is written, with the same bytes, the next time.
    """
    for bank in await db.read(store.LIST_FILE_BANKS):
        for waiting in await db.read(file_store.LIST_WAITING, bank_profile_id=bank.id):
            await _assemble(post, db, bank, waiting.currency)
    unwritten = await db.read(file_store.LIST_UNWRITTEN, limit=_FILES_MAX)
    for row in unwritten:
        await _write(post, db, row)
    return len(unwritten)


async def _assemble(post: Post, db: Database, bank: store.BankRow, currency: str) -> None:
    now = post.teller.clock.now()
    id_ = uuid7(now)
    try:
        async with db.transaction("banks.assemble_file") as tx:
            await tx.run(
                file_store.APPEND_FILE,
                id=id_,
                bank_profile_id=bank.id,
                path=f"{OUTBOX}/{bank.id}/{id_.hex}.xml",
                message_id=id_.hex,
                currency=currency,
                created_at=now,
            )
            taken = await tx.one(
                file_store.TAKE_FOR_FILE,
                bank_profile_id=bank.id,
                currency=currency,
                file_id=id_,
                limit=iso20022.TRANSACTIONS_MAX,
            )
            if taken is None or not taken.number:
                raise _NothingYet
    except _NothingYet:
        return


class _NothingYet(Exception):
    """Everything that waits came after the cut-off."""


async def _write(post: Post, db: Database, row: file_store.FileRow) -> None:
    assert_no_transaction("writing a file")
    bank = (await db.read(store.FIND_BANK, id=row.bank_profile_id))[0]
    attempts = await db.read(file_store.LIST_FILED, file_id=row.id, limit=iso20022.TRANSACTIONS_MAX)
    accounts = {
        (each.bank_profile_id, each.currency): each.account_reference
        for each in await db.read(store.LIST_BALANCES, limit=_FILES_MAX)
    }
    account = accounts.get((bank.id, row.currency))
    if account is None:
        log.warning("payments.file.no_account", bank=bank.id, currency=row.currency)
        return
    debtor = iso20022.Debtor(post.debtor_name, account, bank.bic, bank.name)
    orders = [commands.order_of(each) for each in attempts]
    content = iso20022.write_pain001(row.message_id, debtor, orders, created_at=row.created_at)
    try:
        await obstore.put_async(post.files, row.path, content)
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    async with db.transaction("banks.set_written") as tx:
        await tx.run(
            file_store.SET_WRITTEN,
            id=row.id,
            sha256=hashlib.sha256(content).digest(),
            instructions=len(orders),
        )
    log.info("payments.file.written", bank=bank.id, path=row.path, instructions=len(orders))


async def read_files(post: Post, db: Database) -> int:
    """Read the status files that banks have left, each once; return how many were new."""
    count = 0
    for bank in await db.read(store.LIST_FILE_BANKS):
        async for path in unread(post, db, f"{INBOX}/{bank.id}/"):
            await _read(post, db, bank, path)
            count += 1
    return count


async def unread(post: Post, db: Database, prefix: str) -> AsyncIterator[str]:
    """Go through what a bank left under *prefix* and nobody has read yet, in order."""
    for path in await _left(post, prefix):
        known = await db.read(file_store.COUNT_READ, path=path)
        if not known[0].number:
            yield path


async def content_of(post: Post, path: str) -> bytes:
    """
    Raises:
        Outage: the file storage cannot be reached.
    """
    try:
        return bytes(await (await obstore.get_async(post.files, path)).bytes_async())
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error


async def _left(post: Post, prefix: str) -> list[str]:
    try:
        found = await obstore.list_with_delimiter_async(post.files, prefix=prefix)
    except FileNotFoundError:
        return []
    except (BaseError, OSError) as error:
        raise Outage("file storage") from error
    return sorted(
        str(each["path"]) for each in found["objects"] if each["size"] <= STATUS_BYTES_MAX
    )


async def _read(post: Post, db: Database, bank: store.BankRow, path: str) -> None:
    content = await content_of(post, path)
    reason, statuses = None, list[iso20022.Status]()
    try:
        statuses = iso20022.read_pain002(content)
    except SurprisingAnswer as surprise:
        reason = str(surprise)
        log.warning("payments.file.refused", path=path, reason=reason)
    for status in statuses:
        async with db.transaction("banks.record_status") as tx:
            await _hear(tx, post.teller, bank.id, status)
    async with db.transaction("banks.append_read") as tx:
        await tx.run(
            file_store.APPEND_READ,
            id=uuid7(post.teller.clock.now()),
            bank_profile_id=bank.id,
            path=path,
            message_id=hashlib.sha256(path.encode()).hexdigest()[:32],
            state="refused" if reason else "read",
            sha256=hashlib.sha256(content).digest(),
            instructions=len(statuses),
            reason=reason,
            created_at=post.teller.clock.now(),
        )


async def _hear(tx: Tx, teller: Teller, bank_id: str, status: iso20022.Status) -> None:
    found = await tx.one(
        attempt_store.FIND_BY_WIRE,
        bank_profile_id=bank_id,
        wire_key=status.end_to_end_id,
        provider_ref=None,
        notif_token=None,
    )
    if found is None:
        log.warning("payments.file.stranger", bank=bank_id)
        return
    report = Report(status.state, None, status.code, status.reason)
    await hearing.record(tx, teller, found.id, Heard(report, "statement", hearing.DAY_S))
