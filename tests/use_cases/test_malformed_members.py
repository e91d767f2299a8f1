"""A member whose capabilities nobody can read: it is left out, and the region goes on."""

from __future__ import annotations

import pytest

import rerouting
from molam.mesh.members import queries
from molam.mesh.routing import commands as routing
from molam.mesh.routing.model import Wanted
from molam.platform.db import Database
from rerouting import A, B, C, one, sql


async def _spoil(db: Database, bank: str) -> None:
    await sql(
        db,
        "update mesh.mesh_members set capabilities = capabilities || $2 where bank_profile_id = $1",
        *(bank, {"max_amount_per_txn": "plenty", "daily_volume_limit": {"XOF": "more"}}),
    )


async def test_a_member_that_cannot_be_read_is_left_out_and_the_others_serve(
    db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    mesh = rerouting.mesh_on(ops_db)
    await _spoil(db, B)
    async with ops_db.transaction("tests.propose") as tx:
        able = await queries.eligible(tx, region_id=rerouting.REGION, currency="XOF", rail="bank")
        row = await routing.propose(
            tx,
            mesh,
            Wanted(mesh_region_id=rerouting.REGION, currency="XOF", kind="override", first=(C,)),
        )
    assert [each.bank_profile_id for each in able] == [A, C]
    assert row.to_bank_id == C
    left_out = {each["bank_profile_id"]: each["why"]["code"] for each in row.proposal["excluded"]}
    assert left_out == {B: "capabilities"}


@pytest.mark.parametrize(
    ("amounts", "is_taken"),
    [("plenty", 0), ({"XOF": "more"}, 0), ({"EUR": 5}, None), (7, 7), ({"XOF": 8}, 8), (1.5, 0)],
)
async def test_a_limit_that_cannot_be_read_takes_nothing(
    db: Database, amounts: object, is_taken: int | None
) -> None:
    assert await one(db, "select mesh.amount_in($1, 'XOF')", amounts) == is_taken
