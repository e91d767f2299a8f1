"""The control room's forms and words: what is refused is marked, and codes are not shown."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from room_console import ADMIN, TREASURER, URL, Room, opened

from mesh_room import ACTION_LOG, APPLIED_PROPOSAL, FAILING, REGION, furnish
from molam.simulator.issuer_keys import IssuerKeys
from rerouting import sql


@pytest.fixture(scope="module")
async def seen(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Room]:
    """The control room after a bad hour; what is sent there is refused."""
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as (room, db):
        await furnish(db)
        yield room


@pytest.fixture
async def room(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Room]:
    """The same, for a test that changes it."""
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as (room, db):
        await furnish(db)
        yield room


@pytest.mark.parametrize(
    ("path", "fields", "wrong"),
    [
        ("/drill", {"minutes": "0", "payouts": "7"}, "minutes"),
        ("/members", {"prefer_order": "-1", "domains": "telecom:sn"}, "prefer_order"),
        ("/proposals", {"least": "abc", "lane": "XOF/bank"}, "least"),
        ("/liquidity", {"name": "", "max_single_draw": "12 000"}, "name"),
        ("/federation/corridors", {"currency": "XOF", "cover": "1 000"}, "net_debit_cap"),
    ],
)
async def test_a_field_that_does_not_fit_is_marked_and_nothing_typed_is_lost(
    seen: Room, path: str, fields: dict[str, str], wrong: str
) -> None:
    answer = await seen.post(path, **fields)

    assert answer.status_code == 422, answer.text
    assert re.search(rf'name="{wrong}"[^>]* aria-invalid="true"', answer.text)
    for value in filter(None, fields.values()):
        assert f'value="{value}"' in answer.text or f">{value}</option>" in answer.text


async def test_what_is_not_there_is_a_page_for_people(seen: Room) -> None:
    for path in ("/members/zz", "/policies/zz", "/liquidity/zz", "/drill/zz", "/nothing"):
        answer = await seen._client.get(path, headers=seen._as(TREASURER) | {"accept": "text/html"})

        assert answer.status_code == 404, path
        assert 'class="card notice"' in answer.text, path


async def test_a_page_after_a_refused_form_leads_back_to_the_form(seen: Room) -> None:
    answer = await seen._client.post(
        "/switches/stop",
        headers=seen._as(TREASURER) | {"referer": f"{URL}/switches"},
        data={"csrf_token": "", "confirmation": "no"},
    )

    assert answer.status_code == 422
    assert 'name="next" value="/switches"' in answer.text


CODE = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b")


def words(page: str) -> str:
    """What a page says, without what it shows as typed by machines."""
    shown = re.sub(r'<(\w+)[^>]*class="[^"]*mono[^"]*"[^>]*>.*?</\1>|<code>.*?</code>', " ", page)
    return html.unescape(re.sub(r"<[^>]+>", "\n", shown))


async def test_pages_in_french_show_no_codes(seen: Room) -> None:
    for path in (
        "/",
        "/banks",
        f"/banks/{FAILING}?hours=6",
        "/members",
        "/members/new",
        "/policies",
        "/switches",
        "/proposals?show=all",
        f"/proposals/{APPLIED_PROPOSAL}",
        "/actions",
        f"/actions/{ACTION_LOG}",
        "/treasury",
        "/liquidity",
        "/federation",
    ):
        assert CODE.findall(words(await seen.page(path, ADMIN, lang="fr"))) == [], path


async def test_what_was_delivered_has_a_french_name_and_what_is_stopped_has_its_own(
    room: Room,
) -> None:
    assert "CEDEAO par défaut" in words(await room.page("/policies", ADMIN, lang="fr"))
    assert "CEDEAO default" in words(await room.page("/policies", ADMIN))
    mine = "update mesh.mesh_policies set name = 'Nuit default' where id = 'policy_cedeao'"
    await sql(room.db, mine)
    assert "Nuit default" in words(await room.page("/policies", ADMIN, lang="fr"))
    ((member, name),) = await sql(
        room.db,
        "select m.id, b.name from mesh.mesh_members as m join payments.bank_profiles as b"
        " on b.id = m.bank_profile_id where m.status = 'active' order by m.id limit 1",
    )
    stopped = await room.post(
        "/switches/stop", scope=f"member:{member}", reason="Essai", confirmation="STOP"
    )
    assert stopped.status_code == 303
    # It was suspended since, and is no choice of the form any more.
    await sql(room.db, "update mesh.mesh_members set status = 'suspended' where id = $1", member)
    shown = words(await room.page("/switches", ADMIN, lang="fr"))
    assert name in shown
    assert member not in shown


def test_a_code_on_a_page_would_be_noticed() -> None:
    assert CODE.findall(words("<p>approval_required</p>")) == ["approval_required"]


async def test_what_was_asked_for_is_shown_by_name_until_others_decide(
    room: Room,
) -> None:
    await room.post("/switches/stop", scope=f"region:{REGION}", reason="Fire", confirmation="STOP")
    stopped = await room.page("/switches")
    await room.post("/switches/release", scope=f"region:{REGION}", reason="It is out")
    asked = await room.page("/switches")

    assert "Region · CEDEAO" in stopped
    assert "Selorm Agbeko" in stopped
    assert REGION not in words(stopped)
    assert "What waits for others?" not in stopped
    assert "Release a mesh switch" in asked
