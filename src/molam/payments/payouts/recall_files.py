"""Recalls for banks that take files: camt.056 goes out, and camt.029 comes back."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET  # For writing only; reading is defusedxml's.
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import defusedxml.ElementTree as DefusedET
import obstore
import structlog
from defusedxml.common import DefusedXmlException
from obstore.exceptions import BaseError

from molam.kernel.currency import currency
from molam.kernel.ids import uuid7
from molam.kernel.money import Money
from molam.kernel.refusals import Outage
from molam.payments.banks import file_store
from molam.payments.banks import store as bank_store
from molam.payments.banks.files import INBOX, OUTBOX, Post, content_of, unread
from molam.payments.banks.iso20022 import local_name, put
from molam.payments.banks.model import RecallAnswer, SurprisingAnswer
from molam.payments.payouts import recall_store, recalls
from molam.payments.payouts.recall_store import UnfiledRow
from molam.platform.db import Database, assert_no_transaction

log = structlog.get_logger()

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.056.001.08"
FOLDER = "recalls"
_FILES_MAX = 200
_IN_FILE = "in-file"
_STATES: dict[str, Literal["accepted", "rejected", "pending"]] = {
    "ACCR": "accepted",
    "CNCL": "accepted",
    "RJCR": "rejected",
    "PDCR": "pending",
}


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a camt.029 says of one request."""

    recall_id: UUID
    answer: RecallAnswer


async def exchange(post: Post, db: Database) -> None:
    """Write a file for each request that waits for one, and read what banks have answered."""
    await write_files(post, db)
    await read_files(post, db)


async def write_files(post: Post, db: Database) -> int:
    """Write the requests that wait; a crash writes the same file, with the same bytes, again."""
    waiting = await db.read(recall_store.LIST_UNFILED, limit=_FILES_MAX)
    for row in waiting:
        assert_no_transaction("writing a file")
        path = f"{OUTBOX}/{row.bank_profile_id}/{FOLDER}/{row.id.hex}.xml"
        try:
            await obstore.put_async(post.files, path, write_camt056(row, post.debtor_name))
        except (BaseError, OSError) as error:
            raise Outage("file storage") from error
        async with db.transaction("payouts.set_recall_filed") as tx:
            await tx.run(recall_store.SET_FILED, id=row.id, code=_IN_FILE)
        log.info("payouts.recall.written", bank=row.bank_profile_id, path=path)
    return len(waiting)


def write_camt056(row: UnfiledRow, assigner: str) -> bytes:
    """Write one request to cancel a payment. The same row gives the same bytes."""
    root = ET.Element("Document", xmlns=NAMESPACE)
    request = ET.SubElement(root, "FIToFIPmtCxlReq")
    head = ET.SubElement(request, "Assgnmt")
    put(head, "Id", row.id.hex)
    party = ET.SubElement(ET.SubElement(head, "Assgnr"), "Pty")
    put(party, "Nm", assigner)
    agent = ET.SubElement(ET.SubElement(ET.SubElement(head, "Assgne"), "Agt"), "FinInstnId")
    put(agent, "Nm", row.bank_name)
    put(head, "CreDtTm", row.requested_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    each = ET.SubElement(ET.SubElement(request, "Undrlyg"), "TxInf")
    put(each, "CxlId", row.id.hex)
    put(each, "OrgnlEndToEndId", row.wire_key)
    amount = ET.SubElement(each, "OrgnlIntrBkSttlmAmt", Ccy=row.currency)
    amount.text = f"{Money(row.amount, currency(row.currency)).decimal():f}"
    reason = ET.SubElement(each, "CxlRsnInf")
    put(ET.SubElement(reason, "Rsn"), "Cd", row.reason_code)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


async def read_files(post: Post, db: Database) -> int:
    """Read the answers that banks have left, each once; return how many were new."""
    count = 0
    for bank in await db.read(bank_store.LIST_FILE_BANKS):
        async for path in unread(post, db, f"{INBOX}/{bank.id}/{FOLDER}/"):
            await _read(post, db, bank.id, path)
            count += 1
    return count


async def _read(post: Post, db: Database, bank_id: str, path: str) -> None:
    content = await content_of(post, path)
    reason, found = None, list[Resolution]()
    try:
        found = read_camt029(content)
    except SurprisingAnswer as surprise:
        reason = str(surprise)
        log.warning("payouts.recall.file_refused", path=path, reason=reason)
    now = post.teller.clock.now()
    async with db.transaction("payouts.hear_recall_file") as tx:
        for each in found:
            known = await tx.one(
                recall_store.FIND_OF_BANK, id=each.recall_id, bank_profile_id=bank_id
            )
            if known is not None:
                await recalls.hear(tx, post.teller, each.recall_id, each.answer)
        await tx.run(
            file_store.APPEND_READ,
            id=uuid7(now),
            bank_profile_id=bank_id,
            path=path,
            message_id=hashlib.sha256(path.encode()).hexdigest()[:32],
            state="refused" if reason else "read",
            sha256=hashlib.sha256(content).digest(),
            instructions=len(found),
            reason=reason,
            created_at=now,
        )


def read_camt029(content: bytes) -> list[Resolution]:
    """
    Read how a bank resolved requests to cancel, of any version.

    Raises:
        SurprisingAnswer: not XML that is safe to read, or not such an answer.
    """
    try:
        root = DefusedET.fromstring(content, forbid_dtd=True)
    except (ET.ParseError, DefusedXmlException, ValueError) as error:
        raise SurprisingAnswer("not XML that may be read") from error
    found = [each for each in root.iter() if local_name(each) == "TxInfAndSts"]
    if not found:
        raise SurprisingAnswer("no TxInfAndSts in it")
    return sorted((_resolution(each) for each in found[:_FILES_MAX]), key=lambda r: r.recall_id)


def _resolution(each: ET.Element) -> Resolution:
    told = {local_name(part): (part.text or "").strip() for part in each.iter()}
    try:
        recall_id, state = UUID(told.get("CxlStsId", "")), _STATES[told.get("TxCxlSts", "")]
    except (ValueError, KeyError) as error:
        raise SurprisingAnswer("a resolution without its request, or an unknown one") from error
    refusal = told.get("AddtlInf") or None if state == "rejected" else None
    return Resolution(recall_id, RecallAnswer(state, told.get("Cd"), refusal))
