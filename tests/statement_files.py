"""Statement files as banks write them, made from lines, by writers of the tests' own."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from xml.sax.saxutils import escape

import xlsxwriter

from molam.kernel.currency import currency
from molam.payments.statements.model import StatementLine


def a_line(**changed: object) -> StatementLine:
    fields: dict[str, object] = {
        "line_no": 1,
        "booked_on": date(2026, 11, 16),
        "value_on": date(2026, 11, 16),
        "amount": -75_000,
        "currency": "XOF",
        "bank_ref": "BK1",
    }
    return StatementLine(**(fields | changed))  # type: ignore[arg-type]


def major(minor: int, code: str) -> str:
    exponent = currency(code).exponent
    return f"{Decimal(abs(minor)).scaleb(-exponent):.{exponent}f}"


def camt053(
    lines: Sequence[StatementLine],
    *,
    code: str = "XOF",
    opening: int = 0,
    closing: int | None = None,
    version: str = "08",
    account: str = "SN08SN0100152000048500003035",
) -> bytes:
    closing = opening + sum(each.net for each in lines) if closing is None else closing
    first = min((each.booked_on for each in lines), default=date(2026, 11, 16))
    last = max((each.booked_on for each in lines), default=date(2026, 11, 16))
    entries = "".join(_entry(each, version) for each in lines)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        "<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-11-17T06:00:00Z</CreDtTm></GrpHdr><Stmt>"
        f"<Id>S1</Id><CreDtTm>2026-11-17T06:00:00Z</CreDtTm><Acct><Id><IBAN>{account}</IBAN></Id>"
        f"<Ccy>{code}</Ccy></Acct>{_balance('OPBD', opening, code, first)}"
        f"{_balance('CLBD', closing, code, last)}"
        f"<TxsSummry><TtlNtries><NbOfNtries>{len(lines)}</NbOfNtries></TtlNtries></TxsSummry>"
        f"{entries}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def _balance(kind: str, minor: int, code: str, on: date) -> str:
    side = "DBIT" if minor < 0 else "CRDT"
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{code}">{major(minor, code)}</Amt>'
        f"<CdtDbtInd>{side}</CdtDbtInd><Dt><Dt>{on.isoformat()}</Dt></Dt></Bal>"
    )


def _entry(line: StatementLine, version: str) -> str:
    side, party = ("CRDT", "Dbtr") if line.amount > 0 else ("DBIT", "Cdtr")
    status = "BOOK" if version < "08" else "<Cd>BOOK</Cd>"
    name = f"<Nm>{escape(line.counterparty)}</Nm>"
    name = name if version < "08" else f"<Pty>{name}</Pty>"
    back = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>" if line.is_return else ""
    return (
        f'<Ntry><Amt Ccy="{line.currency}">{major(line.amount, line.currency)}</Amt>'
        f"<CdtDbtInd>{side}</CdtDbtInd><Sts>{status}</Sts>"
        f"<BookgDt><Dt>{line.booked_on.isoformat()}</Dt></BookgDt>"
        f"<ValDt><Dt>{line.value_on.isoformat()}</Dt></ValDt>"
        f"<AcctSvcrRef>{escape(line.bank_ref)}</AcctSvcrRef><NtryDtls><TxDtls>"
        f"<Refs><EndToEndId>{escape(line.end_to_end_id or 'NOTPROVIDED')}</EndToEndId></Refs>"
        f"<RltdPties><{party}>{name}</{party}></RltdPties>"
        f"<RmtInf><Ustrd>{escape(line.text)}</Ustrd></RmtInf>{back}</TxDtls></NtryDtls></Ntry>"
    )


def mt940(
    lines: Sequence[StatementLine],
    *,
    code: str = "XOF",
    opening: int = 0,
    closing: int | None = None,
    first: date = date(2026, 11, 16),
) -> bytes:
    closing = opening + sum(each.net for each in lines) if closing is None else closing
    last = max((each.booked_on for each in lines), default=first)
    out = [":20:S1", ":25:SN0100152000048500003035", ":28C:1/1"]
    out.append(f":60F:{_mt_balance(opening, code, first)}")
    for line in lines:
        mark = ("RD" if line.is_return else "C") if line.amount > 0 else "D"
        out.append(
            f":61:{line.value_on:%y%m%d}{line.booked_on:%m%d}{mark}{_mt(line.amount, code)}"
            f"NTRFNONREF//{line.bank_ref}"
        )
        field = f"/EREF/{line.end_to_end_id}" if line.end_to_end_id else ""
        field += f"/NAME/{line.counterparty}" if line.counterparty else ""
        field += f"/REMI/{line.text}" if line.text else ""
        pieces = [field[at : at + 65] for at in range(0, len(field), 65)]
        if pieces:
            out.append(":86:" + "\n".join(pieces))
    out.append(f":62F:{_mt_balance(closing, code, last)}")
    return "\r\n".join([*out, "-", ""]).encode("ascii", "replace")


def _mt(minor: int, code: str) -> str:
    text = major(minor, code).replace(".", ",")
    return text if "," in text else f"{text},"


def _mt_balance(minor: int, code: str, on: date) -> str:
    return f"{'D' if minor < 0 else 'C'}{on:%y%m%d}{code}{_mt(minor, code)}"


COLUMNS = (
    "booked_on",
    "value_on",
    "amount",
    "currency",
    "bank_ref",
    "end_to_end_id",
    "counterparty",
    "text",
    "fee",
)


def delimited(lines: Sequence[StatementLine], *, delimiter: str = ",") -> bytes:
    """Our own columns: minor units."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(COLUMNS)
    for line in lines:
        writer.writerow([getattr(line, name) for name in COLUMNS])
    return out.getvalue().encode()


def wave(rows: Sequence[tuple[str, int, int, str, str]]) -> bytes:
    """Rows of transaction_id, amount, fee, timestamp, phone."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("transaction_id", "amount", "fee", "timestamp", "phone"))
    writer.writerows(rows)
    return out.getvalue().encode()


def workbook(
    rows: Sequence[Sequence[object]], *, header: Sequence[str] = COLUMNS, sheet: str = "Sheet1"
) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        page = book.add_worksheet(sheet)
        days = book.add_format({"num_format": "yyyy-mm-dd"})
        page.write_row(0, 0, header)
        for at, row in enumerate(rows, start=1):
            for column, cell in enumerate(row):
                if isinstance(cell, date):
                    page.write_datetime(at, column, cell, days)  # type: ignore[arg-type]
                else:
                    page.write(at, column, cell)
    return out.getvalue()


def orange(rows: Sequence[tuple[str, int, int, str, str]]) -> bytes:
    """Rows of ref_operation, montant, commission, date_heure, numero."""
    header = ("ref_operation", "montant", "commission", "date_heure", "numero")
    return workbook(rows, header=header)
