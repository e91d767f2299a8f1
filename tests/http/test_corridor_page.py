"""A corridor's page: a settlement shows what it would do, takes two people, and counts once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from room_console import ADMIN, SECOND, TREASURER, VIEWER, Room, opened

from molam.simulator.issuer_keys import IssuerKeys
from rerouting import sql

CORRIDOR = "cor_paris"
PAGE = f"/federation/corridors/{CORRIDOR}"


@pytest.fixture
async def room(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Room]:
    """The control room, with a corridor that has carried 60,000 and reserves 30,000 more."""
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as (room, db):
        await sql(
            db,
            "insert into mesh.corridors (id, from_region_id, to_region_id, currency, path, cover,"
            " net_debit_cap, position, reserved, state, approved_from, approved_to, created_by)"
            " values ($1, 'region_cedeao', 'region_eu', 'XOF', '{region_cedeao,region_eu}', 100000,"
            " 200000, 60000, 30000, 'active', $2, $3, $2)",
            *(CORRIDOR, TREASURER, ADMIN),
        )
        yield room


async def _position(room: Room) -> int:
    rows = await sql(room.db, "select position::bigint from mesh.corridors")
    return int(rows[0][0])


async def test_a_settlement_is_seen_first_noted_by_one_and_confirmed_by_another(room: Room) -> None:
    assert f'href="{PAGE}"' in await room.page("/federation")
    shown = await room.page(f"{PAGE}?amount=50000&reference=TARGET-7")
    assert re.search(r"10,000.* remain to be settled instead of .*60,000", shown)
    assert re.search(r"can take .*60,000.* instead of .*10,000", shown)
    assert await sql(room.db, "select id from mesh.corridor_settlements") == []

    for _ in range(2):
        answer = await room.post(f"{PAGE}/settlements", amount="50000", reference="TARGET-7")
        assert answer.headers["location"] == f"{PAGE}?said=settlement-noted"
    ((id_,),) = await sql(room.db, "select id from mesh.corridor_settlements")
    assert await _position(room) == 60_000
    assert f"{PAGE}/settlements/{id_}/confirm" not in await room.page(PAGE)
    own = await room.post(f"{PAGE}/settlements/{id_}/confirm")
    assert own.status_code == 422
    assert await _position(room) == 60_000

    assert f"{PAGE}/settlements/{id_}/confirm" in await room.page(PAGE, SECOND)
    for _ in range(2):
        answer = await room.post(f"{PAGE}/settlements/{id_}/confirm", SECOND)
        assert answer.headers["location"] == f"{PAGE}?said=settlement-confirmed"
    assert await _position(room) == 10_000


async def test_what_does_not_fit_is_said_where_it_was_typed_and_nothing_is_lost(
    room: Room,
) -> None:
    for typed, wrong in ((("abc", "TARGET-8"), "amount"), (("50000", " "), "reference")):
        amount, reference = typed
        answer = await room.post(f"{PAGE}/settlements", amount=amount, reference=reference)
        assert answer.status_code == 422
        assert re.search(rf'name="{wrong}"[^>]* aria-invalid="true"', answer.text)
        assert f'value="{amount}"' in answer.text
    much = await room.page(f"{PAGE}?amount=60001&reference=TARGET-9")
    assert "more than the corridor has carried" in much
    assert f'action="{PAGE}/settlements"' not in much
    await room.post(f"{PAGE}/settlements", amount="10", reference="TARGET-9")
    other = await room.post(f"{PAGE}/settlements", amount="11", reference="TARGET-9")
    assert other.status_code == 422
    assert "another amount" in other.text


async def test_who_only_looks_sees_it_in_french_and_settles_nothing(room: Room) -> None:
    await sql(
        room.db,
        "insert into mesh.corridor_settlements (id, corridor_id, amount, reference, created_by)"
        " values ('cst_1', $1, 1000, 'TARGET-1', $2)",
        *(CORRIDOR, TREASURER),
    )
    page = await room.page(PAGE, VIEWER, lang="fr")
    assert "être confirmé." in page
    assert "Payé et non réglé" in page
    for path in ("settlements", "settlements/cst_1/confirm"):
        refused = await room.post(f"{PAGE}/{path}", VIEWER, amount="5", reference="x")
        assert refused.status_code == 403
    missing = await room._client.get(
        "/federation/corridors/zz", headers=room._as(VIEWER) | {"accept": "text/html"}
    )
    assert missing.status_code == 404
