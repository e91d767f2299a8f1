"""Outages that a bank or an operator announces: believed while they last, and not longer."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from molam.kernel.ids import uuid7
from molam.mesh.runtime import Mesh
from molam.mesh.signals import outage_store, predictions
from molam.mesh.signals.commands import Crossing, ask_to_decide, tell_pages
from molam.mesh.signals.model import DECLARED_P_DOWN, OutageAbsent, OutageMalformed, level
from molam.mesh.signals.outage_store import OutageRow
from molam.payments.banks import queries as banks
from molam.platform.db import Database, Tx
from molam.platform.web.wire import CurrencyCode, Identifier, Moment

NOTE_LENGTH_MAX = 500
TURNS_MAX = 100

Source = Literal["bank", "operator"]
Rail = Annotated[str, Meta(pattern=r"^(bank|wallet:[a-z0-9_]{2,32})\Z", max_length=40)]


class Announced(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An outage as it is announced; of everything the bank serves unless it says less."""

    bank_profile_id: Identifier
    rail: Rail | None = None
    currency: CurrencyCode | None = None
    begins_at: Moment | None = None
    """Left out: now."""
    ends_at: Moment | None = None
    """Left out: until somebody ends it."""
    note: Annotated[str, Meta(max_length=NOTE_LENGTH_MAX)] = ""


async def announce(
    tx: Tx, mesh: Mesh, asked: Announced, *, by: str, source: Source = "operator"
) -> OutageRow:
    """
    Keep an announced outage, and let it be acted on from its beginning.

    Raises:
        BankAbsent: there is no such bank.
        OutageMalformed: it serves no such rail and currency, or the outage ends before it begins.
    """
    await banks.get_bank(tx, asked.bank_profile_id)
    now = mesh.clock.now()
    served = await tx.all(
        outage_store.LIST_SERVED,
        bank_id=asked.bank_profile_id,
        rail=asked.rail,
        currency=asked.currency,
    )
    if not served:
        raise OutageMalformed("The bank does not serve this rail and currency.")
    begins_at = asked.begins_at or now
    if asked.ends_at is not None and asked.ends_at <= max(begins_at, now):
        raise OutageMalformed("It ends before it begins, or has ended already.")
    id_ = uuid7(now)
    await tx.run(
        outage_store.APPEND,
        id=id_,
        bank_profile_id=asked.bank_profile_id,
        rail=asked.rail,
        currency=asked.currency,
        begins_at=asked.begins_at,
        ends_at=asked.ends_at,
        note=asked.note,
        source=source,
        created_by=by,
    )
    await tell_turns(tx, mesh)
    return await get(tx, id_)


async def end(tx: Tx, mesh: Mesh, outage_id: UUID, *, ends_at: Moment | None) -> OutageRow:
    """
    Let an outage end at *ends_at*, or now.

    Raises:
        OutageAbsent: there is none of that id.
        OutageMalformed: it has ended already.
    """
    await get(tx, outage_id)
    try:
        ended = await tx.run(outage_store.SET_END, id=outage_id, ends_at=ends_at)
    except asyncpg.CheckViolationError as error:
        raise OutageMalformed("It cannot end before it begins.") from error
    if not ended:
        raise OutageMalformed("It has ended already.")
    await tell_turns(tx, mesh)
    return await get(tx, outage_id)


async def get(tx: Tx, outage_id: UUID) -> OutageRow:
    """
    Read one announced outage.

    Raises:
        OutageAbsent: there is none of that id.
    """
    row = await tx.one(outage_store.FIND, id=outage_id)
    if row is None:
        raise OutageAbsent("Outages are listed by GET /api/mesh/outages.")
    return row


async def list_of(tx: Tx, *, bank_id: str | None, only_open: bool, limit: int) -> list[OutageRow]:
    """List announced outages, those that begin last first."""
    return await tx.all(outage_store.LIST, bank_id=bank_id, open=only_open, limit=limit)


async def tell_turns(tx: Tx, mesh: Mesh) -> int:
    """Let decisions be made about outages that have begun or ended; return how many."""
    turns = await tx.all(outage_store.TAKE_TURNS, limit=TURNS_MAX)
    crossings = [
        Crossing(row.bank_profile_id, row.rail, row.currency, level(DECLARED_P_DOWN))
        for turn in turns
        for row in await tx.all(
            outage_store.LIST_SERVED,
            bank_id=turn.bank_profile_id,
            rail=turn.rail,
            currency=turn.currency,
        )
    ]
    if crossings:
        await ask_to_decide(tx, crossings)
        keys = {(each.bank_profile_id, each.rail, each.currency) for each in crossings}
        await predictions.refresh(tx, mesh, keys)
        await tell_pages(tx)
    return len(turns)


async def tell_due(db: Database, mesh: Mesh) -> None:
    """Do so for those whose time has come."""
    async with db.transaction("mesh.tell_outages") as tx:
        await tell_turns(tx, mesh)
