"""People who answer for the mesh, their votes, and what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

import rerouting
from builders import a_person
from molam.approvals import execution, sweeps, voting
from molam.approvals.model import Actor, VoteRequest
from molam.approvals.store import FIND_ACTION, ActionRow
from molam.mesh.members.trail import By
from molam.mesh.runtime import Mesh
from molam.platform.db import Database

OPS, OPS_TOO, TREASURY, TREASURY_TOO, COMPLIANCE, COMPLIANCE_TOO = (
    "khady.seck",
    "ibrahima.ba",
    "binta.toure",
    "selorm.agbeko",
    "mariama.cisse",
    "chinedu.obi",
)
PEOPLE = {
    OPS: ("ops_admin",),
    OPS_TOO: ("ops_admin",),
    TREASURY: ("treasury_ops",),
    TREASURY_TOO: ("treasury_ops",),
    COMPLIANCE: ("compliance",),
    COMPLIANCE_TOO: ("compliance",),
}


async def seat(db: Database) -> None:
    """Give the region its people."""
    for id_, roles in PEOPLE.items():
        await a_person(db, id_=id_, name=id_, roles=roles, merchant_id=None)


def by(who: str = TREASURY) -> By:
    return By(Actor(who, frozenset(PEOPLE[who])), datetime.now(UTC))


async def row(db: Database, action: ActionRow | UUID) -> ActionRow:
    id_ = action if isinstance(action, UUID) else action.id
    (found,) = await db.read(FIND_ACTION, id=id_)
    return found


async def vote(mesh: Mesh, action: ActionRow, *who: str, word: Any = "approve") -> None:
    for each in who:
        request = VoteRequest(vote=word, comment="Looked at, and discussed this morning.")
        await voting.vote(mesh.approvals, action.id, request, Actor(each, frozenset(PEOPLE[each])))


async def carry_out(mesh: Mesh) -> None:
    """Let what was approved, and carries itself out, be carried out."""
    await sweeps.auto_execute(mesh.approvals)


async def execute(mesh: Mesh, action: ActionRow, who: str = OPS) -> None:
    await execution.execute(mesh.approvals, action.id, Actor(who, frozenset(PEOPLE[who])))


async def tell_end(mesh: Mesh, db: Database, action: ActionRow) -> None:
    """Tell the action's type that it ended, as a worker does."""
    found = await row(db, action)
    type_ = mesh.approvals.registry.find(found.action_type)
    assert type_.ended is not None
    params = msgspec.convert(found.params, type_.params)
    async with db.transaction("tests.tell_end") as tx:
        await type_.ended(tx, params, found.state)


async def a_bank(db: Database, bank: str, *, currencies: Sequence[str] = ("XOF",)) -> None:
    """A bank in use that is a member of nothing."""
    await rerouting.sql(
        db,
        "insert into payments.bank_profiles (id, name, country, currency_codes, rails, provider_type,"
        " status, enabled, connector) values ($1, $1, 'SN', $2, '{bank}', 'bank', 'active', true,"
        " 'http_bank')",
        *(bank, list(currencies)),
    )
