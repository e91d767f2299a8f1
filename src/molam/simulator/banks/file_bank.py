"""A simulated bank that takes pain.001 and camt.056 files, and answers by files."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET  # For writing only; reading is defusedxml's.
from dataclasses import dataclass

import defusedxml.ElementTree as DefusedET
import obstore
import structlog
from defusedxml.common import DefusedXmlException
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from molam.kernel.currency import currency
from molam.kernel.money import parse_major
from molam.kernel.refusals import Refusal
from molam.simulator.banks import recalls
from molam.simulator.banks.books_store import Books, Transfer
from molam.simulator.banks.orders import Draft
from molam.simulator.banks.temper import Temper, happens, mood

log = structlog.get_logger()

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"

RECALLS = "recalls"
"""The folder of camt.056 beside a bank's orders, and of camt.029 beside its answers."""
_REFUSALS = {
    "already-settled": "AM04",
    "already-returned": "ARDT",
    "beneficiary-refuses": "CUST",
    "not-carried-out": "NOOR",
    "NOOR": "NOOR",
}
_REASONS = {"account-closed": "AC04", "limit-exceeded": "AM02"}


@dataclass(frozen=True, slots=True)
class Line:
    """One order of a file, as far as a bank has to read it."""

    end_to_end_id: str
    amount: int
    currency: str
    account: str
    name: str
    reference: str


async def answer_files(files: ObjectStore, books: Books, tempers: dict[str, Temper]) -> int:
    """Book every file that is new and leave a status file for it; return how many that was."""
    count = 0
    for path in await _listed(files, "outbox"):
        bank = path.split("/")[1]
        if not books.take_file(path):
            continue
        if f"/{RECALLS}/" in path:
            await _answer_recall(files, books, path, tempers.get(bank, Temper()))
            count += 1
            continue
        try:
            content = bytes(await (await obstore.get_async(files, path)).bytes_async())
            lines = read_pain001(content)
        except (BaseError, OSError, Unreadable) as error:
            log.info("simulator.file.unreadable", path=path, reason=repr(error))
            continue
        booked = [_book(books, bank, line, tempers.get(bank, Temper())) for line in lines]
        name = path.rpartition("/")[2].removesuffix(".xml")
        answer = write_pain002(name, booked)
        await obstore.put_async(files, f"inbox/{bank}/{name}.status.xml", answer)
        count += 1
    return count


async def _answer_recall(files: ObjectStore, books: Books, path: str, temper: Temper) -> None:
    """Decide about a camt.056 and answer by a camt.029; a bank that stays silent writes none."""
    try:
        content = bytes(await (await obstore.get_async(files, path)).bytes_async())
        root = DefusedET.fromstring(content, forbid_dtd=True)
    except (BaseError, OSError, ET.ParseError, DefusedXmlException) as error:
        log.info("simulator.file.unreadable", path=path, reason=repr(error))
        return
    bank = path.split("/")[1]
    case, order = _find(root, "CxlId") or "", _find(root, "OrgnlEndToEndId") or ""
    transfer = books.find(bank, order)
    code: str | None = "NOOR"
    if transfer is not None:
        temper = mood(temper, transfer.amount // 10 ** currency(transfer.currency).exponent)
        kept = recalls.keep(books, transfer, case, temper, at_once=True)
        if kept.status(time.time()) == "pending":
            return
        code = kept.code
    answer = write_camt029(case, order, code)
    name = path.rpartition("/")[2].removesuffix(".xml")
    await obstore.put_async(files, f"inbox/{bank}/{RECALLS}/{name}.answer.xml", answer)


def write_camt029(case: str, order: str, code: str | None) -> bytes:
    """Write how a request to cancel was resolved; no *code*: it is granted."""
    root = ET.Element("Document", xmlns="urn:iso:std:iso:20022:tech:xsd:camt.029.001.09")
    result = ET.SubElement(root, "RsltnOfInvstgtn")
    head = ET.SubElement(result, "Assgnmt")
    _put(head, "Id", f"A{case}"[:35])
    _put(head, "CreDtTm", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    _put(ET.SubElement(result, "Sts"), "Conf", "RJCR" if code else "CNCL")
    each = ET.SubElement(ET.SubElement(result, "CxlDtls"), "TxInfAndSts")
    _put(each, "CxlStsId", case)
    _put(each, "OrgnlEndToEndId", order)
    _put(each, "TxCxlSts", "RJCR" if code else "ACCR")
    if code:
        reason = ET.SubElement(each, "CxlStsRsnInf")
        _put(ET.SubElement(reason, "Rsn"), "Cd", _REFUSALS.get(code, "NARR"))
        _put(reason, "AddtlInf", code)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


class Unreadable(Exception):
    """Not a pain.001 that this bank can read."""


def read_pain001(content: bytes) -> list[Line]:
    """
    Read a file of payment orders.

    Raises:
        Unreadable: it is not one, or does not add up.
    """
    try:
        root = DefusedET.fromstring(content, forbid_dtd=True)
        lines = [_line(each) for each in root.iter() if _name(each) == "CdtTrfTxInf"]
        told = int(_find(root, "NbOfTxs") or "0")
    except (ET.ParseError, DefusedXmlException, Refusal, ValueError) as error:
        raise Unreadable(str(error)) from error
    if not lines or told != len(lines):
        raise Unreadable(f"{told} orders announced, {len(lines)} found")
    return lines


def _line(each: ET.Element) -> Line:
    amount = next(found for found in each.iter() if _name(found) == "InstdAmt")
    code = amount.get("Ccy", "")
    holder = next(found for found in each.iter() if _name(found) == "Cdtr")
    account = next(found for found in each.iter() if _name(found) == "CdtrAcct")
    return Line(
        end_to_end_id=_find(each, "EndToEndId") or "",
        amount=parse_major(amount.text or "", currency(code)).minor,
        currency=code,
        account=_find(account, "IBAN") or _find(account, "Id", leaf=True) or "",
        name=_find(holder, "Nm") or "",
        reference=_find(each, "Ustrd") or "",
    )


def _book(books: Books, bank: str, line: Line, temper: Temper) -> Transfer:
    temper = mood(temper, line.amount // 10 ** currency(line.currency).exponent)
    draft = Draft(
        bank,
        "pain001",
        line.end_to_end_id,
        line.amount,
        line.currency,
        line.account,
        line.name,
        line.reference,
    )
    wanted = draft.transfer(temper, time.time(), rejected=happens(temper.reject_rate))
    booked, _ = books.book(wanted, retry_rejected=False)
    return booked


def write_pain002(original_id: str, booked: list[Transfer]) -> bytes:
    root = ET.Element("Document", xmlns=NAMESPACE)
    report = ET.SubElement(root, "CstmrPmtStsRpt")
    header = ET.SubElement(report, "GrpHdr")
    _put(header, "MsgId", f"S{original_id}"[:35])
    _put(header, "CreDtTm", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    group = ET.SubElement(report, "OrgnlGrpInfAndSts")
    _put(group, "OrgnlMsgId", original_id)
    _put(group, "OrgnlMsgNmId", "pain.001.001.09")
    info = ET.SubElement(report, "OrgnlPmtInfAndSts")
    _put(info, "OrgnlPmtInfId", original_id)
    for transfer in booked:
        each = ET.SubElement(info, "TxInfAndSts")
        _put(each, "OrgnlEndToEndId", transfer.key)
        _put(each, "TxSts", "RJCT" if transfer.rejected_code else "ACSC")
        if transfer.rejected_code:
            reason = ET.SubElement(each, "StsRsnInf")
            code = _REASONS.get(transfer.rejected_code, "NARR")
            _put(ET.SubElement(reason, "Rsn"), "Cd", code)
            _put(reason, "AddtlInf", transfer.rejected_code)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


async def _listed(files: ObjectStore, folder: str) -> list[str]:
    found: list[str] = []
    try:
        async for chunk in obstore.list(files, prefix=f"{folder}/"):
            found += [str(each["path"]) for each in chunk]
    except FileNotFoundError:
        return []
    return sorted(path for path in found if path.endswith(".xml"))


def _find(parent: ET.Element, name: str, *, leaf: bool = False) -> str | None:
    for each in parent.iter():
        if _name(each) == name and each.text and (not leaf or not len(each)):
            text = each.text.strip()
            if text:
                return text
    return None


def _name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _put(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
