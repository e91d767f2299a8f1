"""Payouts are picked, asked back and led elsewhere in the control room, by the right people."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from typing import Any

import pytest
from callers import bearer, in_process
from room_console import ADMIN, SECOND, TREASURER, URL, VIEWER, Room

import rerouting
from builders import a_person
from molam.entrypoints.wiring_mesh import mesh_app
from molam.mesh.control import actions, recalling
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.people import PLATFORM_PEOPLE
from rerouting import A, C

WHY = "Partis par la mauvaise banque"


@pytest.fixture
async def room(settings: Settings, db: Database, keys: IssuerKeys) -> AsyncIterator[Room]:
    await rerouting.a_region(db)
    for person in PLATFORM_PEOPLE:
        await a_person(
            db, id_=person.id, name=person.name, roles=tuple(person.roles), merchant_id=None
        )
    app = mesh_app(settings)
    async with app.router.lifespan_context(app), in_process(app, URL) as client:
        yield Room(client, keys, app)


async def _sent(db: Database, count: int) -> list[str]:
    """Payouts that their bank has paid."""
    await rerouting.payouts(db, count, prefix="po_s")
    await rerouting.sql(
        db,
        "update payments.payouts set state = 'paid', attempts = 1, submitted_at = now()"
        " where id like 'po_s%'",
    )
    await rerouting.sql(
        db,
        "insert into payments.bank_attempts (id, kind, object_id, merchant_id, attempt_no,"
        " bank_profile_id, outward_key, wire_key, amount, currency, destination, reference, state,"
        " request_hash, lease_until, next_inquiry_at)"
        " select gen_random_uuid(), 'payout', id, merchant_id, 1, bank_profile_id, 'payout-' || id,"
        " 'payout-' || id, amount, currency, destination, reference_code, 'settled', '', now(), now()"
        " from payments.payouts where id like 'po_s%'",
    )
    rows = await rerouting.sql(
        db, "select id from payments.payouts where id like 'po_s%' order by 1"
    )
    return [id_ for (id_,) in rows]


async def _recalls(db: Database) -> list[tuple[Any, ...]]:
    return await rerouting.sql(
        db, "select payout_id, state, reason_code from payments.recalls order by 1"
    )


async def test_treasury_and_operations_agree_and_then_the_banks_are_asked(room: Room, db: Database):
    first, second = await _sent(db, 2)
    listed = await room.page("/payouts?show=sent")
    assert first in listed
    assert second in listed

    fields = {"show": "sent", "pick_0": first, "reason_code": "DUPL", "reason": WHY}
    looked = await room.post("/payouts/recall", TREASURER, act="look", **fields)
    assert looked.status_code == 200
    assert "Banks are asked for" in html.unescape(looked.text)
    assert await _recalls(db) == []

    asked = await room.post(
        "/payouts/recall", TREASURER, act="ask", **fields | {"pick_0": "", "ids": first}
    )
    assert asked.headers["location"].endswith("said=recall-asked")
    waiting = await room.page("/recalls", ADMIN)
    assert WHY in waiting
    assert await _recalls(db) == []

    action = await rerouting.one(db, "select id::text from approvals.ops_actions")
    done = await room.post(f"/recalls/{action}/approve", ADMIN)
    assert done.headers["location"].endswith("said=recalled"), done.text
    assert await _recalls(db) == [(first, "requested", "DUPL")]
    assert "Will be asked for" in await room.page("/recalls", VIEWER)
    assert "Va être demandé" in await room.page("/recalls", VIEWER, lang="fr")


async def test_two_of_one_side_ask_no_bank(room: Room, db: Database):
    (id_,) = await _sent(db, 1)
    wish = {"show": "sent", "act": "ask", "ids": id_, "reason": WHY}

    await room.post("/payouts/recall", TREASURER, **wish)
    again = await room.post("/payouts/recall", SECOND, **wish)

    assert not again.headers.get("location", "").endswith("said=recalled")
    assert await _recalls(db) == []


async def test_the_same_request_by_a_second_person_is_the_second_vote(
    room: Room, db: Database, keys: IssuerKeys
):
    (id_,) = await _sent(db, 1)
    body = {"payout_ids": [id_], "reason_code": "TECH", "reason": WHY}

    answers = [
        await room._client.post("/api/mesh/recalls", headers=room._as(who), json=body)
        for who in (TREASURER, ADMIN)
    ]

    assert [each.status_code for each in answers] == [202, 200], answers[1].text
    assert answers[1].json()["message"] == "the banks are being asked"
    viewer = bearer(keys, sub="lamine", roles=["mesh_viewer"])
    listed = (await room._client.get("/api/mesh/recalls?limit=1", headers=viewer)).json()
    assert [each["payout_id"] for each in listed["recalls"]] == [id_]
    assert (
        await room._client.post("/api/mesh/recalls", headers=viewer, json=body)
    ).status_code == 403


async def test_what_waits_is_not_asked_of_a_bank(room: Room, db: Database):
    await rerouting.payouts(db, 1)

    refused = await room.post(
        "/payouts/recall", TREASURER, show="sent", act="look", ids="po_0000001", reason=WHY
    )

    assert refused.status_code == 422
    assert await rerouting.one(db, "select count(*) from approvals.ops_actions") == 0


async def test_picked_payouts_are_put_to_others_who_see_exactly_them(room: Room, db: Database):
    await rerouting.payouts(db, 3)
    fields = {"bank": A, "to_bank": C, "reason": WHY, "pick_1": "po_0000002"}

    looked = await room.post("/payouts/override", TREASURER, act="look", **fields)
    assert looked.status_code == 200
    assert "Payouts that move" in html.unescape(looked.text)
    asked = await room.post("/payouts/override", TREASURER, act="ask", **fields)

    assert asked.headers["location"].endswith("said=override-asked"), asked.text
    (params,) = (await rerouting.sql(db, "select params from approvals.ops_actions"))[0]
    assert params["payout_ids"] == ["po_0000002"]
    assert [len(each) for each in params["terms"]] == [32]
    assert await rerouting.where(db) == {A: 3}


async def test_a_viewer_picks_nothing(room: Room, db: Database):
    await _sent(db, 1)

    assert "pick_0" not in await room.page("/payouts?show=sent", VIEWER)
    refused = await room.post("/payouts/recall", VIEWER, show="sent", act="ask", ids="po_s0000001")
    assert refused.status_code == 403


async def test_twin_without_both_sides_two_of_the_treasury_suffice(
    room: Room, db: Database, monkeypatch: pytest.MonkeyPatch
):
    (id_,) = await _sent(db, 1)
    either = actions.ruling("Either", timeout_s=3600)
    monkeypatch.setattr(recalling, "ruling", lambda: either)
    wish = {"show": "sent", "act": "ask", "ids": id_, "reason": WHY}

    await room.post("/payouts/recall", TREASURER, **wish)
    done = await room.post("/payouts/recall", SECOND, **wish)

    assert done.headers["location"].endswith("said=recalled")
    assert len(await _recalls(db)) == 1


async def test_a_rollback_leads_to_the_payouts_that_a_bank_has_already(room: Room, db: Database):
    mesh = room.app.state.mesh
    await rerouting.payouts(db, 2)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.apply(room.db, mesh, proposal)
    await rerouting.sql(
        db, "update payments.payouts set state = 'in_transit', attempts = 1 where id = 'po_0000001'"
    )
    wish = {"reason": WHY, "confirmation": A}
    for who in (TREASURER, ADMIN):
        answer = await room.post(f"/proposals/{proposal.id}/rollback", who, **wish)
    assert answer.headers["location"].endswith("said=rolled-back"), answer.text

    shown = await room.page(f"/proposals/{proposal.id}")

    link = f"/payouts?show=sent&proposal={proposal.id}"
    assert link in shown
    listed = await room.page(link)
    assert "po_0000001" in listed
    assert "po_0000002" not in listed


async def test_a_halted_shift_says_why_and_two_people_let_it_go_on(room: Room, db: Database):
    proposal = await rerouting.a_proposal(db, room.app.state.mesh, status="simulated")
    await rerouting.sql(
        db,
        "update mesh.mesh_routing_proposals set status = 'applied', applied_at = now(),"
        " shift_share = 25 where id = $1",
        proposal.id,
    )
    await rerouting.sql(
        db,
        "insert into mesh.shift_steps (proposal_id, share, ended_at, result, outcomes, failures)"
        " values ($1, 25, now(), 'ill', 30, 6)",
        proposal.id,
    )
    path = f"/proposals/{proposal.id}"
    assert "was halted at 25" in await room.page(path)
    assert "s\u2019est arrêtée à 25" in await room.page(path, lang="fr")

    said = [
        (await room.post(f"{path}/resume", who, reason=WHY)).headers["location"]
        for who in (TREASURER, ADMIN)
    ]

    assert [each.rpartition("=")[2] for each in said] == ["resume-asked", "resumed"]
    assert "was halted" not in await room.page(path)
