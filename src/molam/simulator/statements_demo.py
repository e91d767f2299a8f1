"""What the demo's banks have said of the last days, so that there is something to reconcile."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

from molam.kernel.clock import Instant
from molam.payments.statements import commands
from molam.payments.statements.commands import Rules, Sent
from molam.platform.db import Database

BANK, WALLET = "bp_123", "bp_wave_sn"
BY = "ousmane.sow"
_COLUMNS = ("booked_on", "value_on", "amount", "currency", "bank_ref", "counterparty", "text")


async def seed_statements(db: Database, now: Instant) -> int:
    """
    Import two days of two accounts once; return how many files were new.

    A charge, a credit nobody knows and a debit without a counterpart: one is booked by
    itself, the others wait for somebody.
    """
    first = now.date() - timedelta(days=3)
    if not (await commands.rules_of(db, WALLET)).collects:
        await commands.set_rules(db, WALLET, Rules(collects=["wave"]), by=BY)
    new = 0
    # Once, whatever day it is: tomorrow's file would be another one.
    for bank, content in ((BANK, _bank(first)), (WALLET, _wallet(first))):
        if await commands.has_statements(db, bank):
            continue
        sent = Sent(bank_profile_id=bank, content=content, file_name=f"releve-{first}.csv")
        done = await commands.import_statement(db, sent, by=BY, now=now)
        new += done.is_new
    return new


def _bank(first: date) -> bytes:
    second = first + timedelta(days=1)
    return _csv(
        [
            (first, first, -3_500, "XOF", "BPL-88110", "", "FRAIS DE TENUE DE COMPTE"),
            (first, first, 250_000, "XOF", "BPL-88114", "ETS NDIAYE ET FRERES", "VIREMENT RECU"),
            (second, second, -18_000, "XOF", "BPL-88131", "SENELEC", "PRELEVEMENT"),
        ],
        _COLUMNS,
    )


def _wallet(first: date) -> bytes:
    return _csv(
        [
            ("TX-DEMO-1", 12_500, 125, f"{first}T09:12:00Z", "+221770000001"),
            ("TX-DEMO-2", 40_000, 400, f"{first}T17:40:00Z", "+221770000002"),
        ],
        ("transaction_id", "amount", "fee", "timestamp", "phone"),
    )


def _csv(rows: list[tuple[object, ...]], columns: tuple[str, ...]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()
