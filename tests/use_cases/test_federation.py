"""Regions tell each other signed things, once each, and decide alone when nobody answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from molam.kernel.clock import Clock, ManualClock, SystemClock
from molam.mesh.federation import commands, exchange, jobs, model, store
from molam.mesh.federation.commands import Message, signed_message
from molam.mesh.federation.peers import Peer, Peers, read_peers
from molam.mesh.runtime import Mesh
from molam.platform.db import Database
from molam.platform.settings import Secret, SettingsRefused
from molam.sira.signing import AdviceRefused
from pooling import a_bank_with_money, a_mesh

EU, US, GLOBAL, OURS = "region_eu", "region_us", "region_global", "region_cedeao"
BANK = "bp_north"
PEERS = Peers(
    {each: Peer(each, Secret(f"{each}-key-".ljust(40, "k"))) for each in (EU, US, GLOBAL)},
    allow_private=True,
)
CLOCK = SystemClock()


def a_prediction(region: str = EU, p_down: float = 0.9, **changed: Any) -> dict[str, Any]:
    return {
        "mesh_region_id": region,
        "bank_profile_id": BANK,
        "rail": "bank",
        "currency": "XOF",
        "p_down": p_down,
        "predicted_score": 10.0,
        "window_minutes": 15,
    } | changed


def a_message(region: str = EU, *, at: Clock | None = None, **changed: Any) -> Message:
    now = CLOCK.now() if at is None else at.now()
    content = a_prediction(region, **changed)
    return signed_message("prediction", content, peers=PEERS, to=region, now=now)


async def _take(db: Database, message: Message) -> str:
    async with db.transaction("tests.take") as tx:
        return await commands.receive(tx, PEERS, message, now=CLOCK.now())


async def test_a_signed_message_is_taken_once(ops_db: Database) -> None:
    message = a_message()
    await _take(ops_db, message)
    with pytest.raises(model.MessageUsed):
        await _take(ops_db, message)
    [row] = await ops_db.read(store.LIST_MESSAGES, region=None, limit=10)
    assert (row.mesh_region_id, row.p_down) == (EU, 0.9)


async def test_the_same_message_sent_at_once_is_taken_once(ops_db: Database) -> None:
    message = a_message()
    results = await asyncio.gather(
        *(_take(ops_db, message) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(each, str) for each in results) == 1
    assert sum(isinstance(each, model.MessageUsed) for each in results) == 4


async def test_what_was_forged_altered_or_is_old_is_refused(ops_db: Database) -> None:
    good = a_message()
    forged = Peers({EU: Peer(EU, Secret("another-key-of-somebody-else-".ljust(40, "x")))})
    stale = a_message(at=ManualClock(CLOCK.now() - timedelta(hours=2)))
    refused: list[Message] = [
        msgspec.structs.replace(good, content=good.content | {"p_down": 0.1}),
        msgspec.structs.replace(good, kind="proposal"),
        msgspec.structs.replace(good, token=good.token[:-4] + "AAAA"),
        signed_message("prediction", a_prediction(), peers=forged, to=EU, now=CLOCK.now()),
        msgspec.structs.replace(good, mesh_region_id=US),
        stale,
    ]
    for message in refused:
        with pytest.raises((AdviceRefused, model.MessageRefused)):
            await _take(ops_db, message)
    with pytest.raises(model.PeerUnknown):
        await _take(ops_db, msgspec.structs.replace(good, mesh_region_id=OURS))
    assert await ops_db.read(store.LIST_MESSAGES, region=None, limit=10) == []


async def test_three_regions_make_an_opinion_and_two_do_not(ops_db: Database) -> None:
    for region, p_down in ((EU, 0.9), (US, 0.8)):
        await _take(ops_db, a_message(region, p_down=p_down))
    asked = {"bank_profile_id": BANK, "rail": "bank", "currency": "XOF"}
    async with ops_db.transaction("tests.opinion") as tx:
        assert await commands.opinion(tx, **asked) is None
    await _take(ops_db, a_message(GLOBAL, p_down=0.05))
    async with ops_db.transaction("tests.opinion") as tx:
        found = await commands.opinion(tx, **asked)
    assert found == pytest.approx(0.8, abs=0.01)


async def test_trust_is_judged_by_what_we_saw_ourselves(
    worker_db: Database, ops_db: Database, db: Database
) -> None:
    await a_bank_with_money(db, BANK)
    for region, p_down in ((EU, 0.95), (US, 0.05)):
        await _take(ops_db, a_message(region, p_down=p_down))
    async with db.transaction("tests.age") as tx:
        await tx.connection.execute(
            "update mesh.foreign_messages set issued_at = now() - interval '20 minutes'"
        )
        await tx.connection.execute(
            "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at,"
            " attempts, failures) values ($1, 'bank', 'XOF',"
            " date_trunc('minute', now() - interval '15 minutes'), 10, 9)",
            BANK,
        )
    await jobs.judge(worker_db)
    await jobs.judge(worker_db)
    rows = {row.mesh_region_id: row for row in await worker_db.read(store.LIST_PEERS)}
    assert (rows[EU].judged, rows[US].judged) == (1, 1)
    assert commands.trust_of(rows[EU]) > commands.trust_of(rows[US])


async def test_our_routes_are_signed_and_stay_while_no_peer_answers(
    ops_db: Database, db: Database
) -> None:
    await a_bank_with_money(db, BANK)
    mesh: Mesh = replace(a_mesh(ops_db), region="CEDEAO")
    async with ops_db.transaction("tests.table") as tx:
        first = await commands.sign_table(tx, mesh)
        again = await commands.sign_table(tx, mesh)
    assert first is not None
    assert again == first
    async with db.transaction("tests.route") as tx:
        await tx.connection.execute(
            "insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)"
            " values ('XOF', 'bank', array[$1], 'tests')",
            BANK,
        )
        row = await commands.propose_corridor(
            tx, ["CEDEAO", "US"], code="USD", limits=(9, 9), by="ana", now=CLOCK.now()
        )
        await commands.approve_corridor(tx, row.id, "CEDEAO", by="ana")
        await commands.approve_corridor(tx, row.id, "US", by="bob")
    deaf = Peers({EU: replace(PEERS.known[EU], url="http://127.0.0.1:9")}, allow_private=True)
    assert await exchange.tell_all(ops_db, replace(mesh, peers=deaf)) == 0
    async with ops_db.transaction("tests.table") as tx:
        newest = await commands.table(tx, OURS)
    assert newest.version == 2
    assert newest.content["routes"] != []
    [peer] = await ops_db.read(store.LIST_PEERS)
    assert peer.last_failure is not None


async def test_a_corridor_carries_once_both_regions_agree_by_different_hands(
    ops_db: Database,
) -> None:
    async with ops_db.transaction("tests.corridor") as tx:
        row = await commands.propose_corridor(
            tx, ["CEDEAO", "EU"], code="EUR", limits=(10_000, 8_000), by="ana", now=CLOCK.now()
        )
        row = await commands.approve_corridor(tx, row.id, "CEDEAO", by="ana")
        assert row.state == "proposed"
    with pytest.raises(model.CorridorRefused):
        async with ops_db.transaction("tests.same_hand") as tx:
            await commands.approve_corridor(tx, row.id, "EU", by="ana")
    with pytest.raises(model.CorridorRefused):
        async with ops_db.transaction("tests.no_end") as tx:
            await commands.approve_corridor(tx, row.id, "US", by="bob")
    proposal = {"mesh_region_id": EU, "currency": "EUR", "corridor_id": row.id}
    message = signed_message("proposal", proposal, peers=PEERS, to=EU, now=CLOCK.now())
    await _take(ops_db, message)
    async with ops_db.transaction("tests.read") as tx:
        agreed = await commands.corridor(tx, row.id)
    assert (agreed.state, agreed.approved_to) == ("active", f"region:{EU}")
    with pytest.raises(model.CorridorRefused):
        async with ops_db.transaction("tests.loop") as tx:
            await commands.propose_corridor(
                tx, ["CEDEAO", "EU", "CEDEAO"], code="EUR", limits=(1, 1), by="ana", now=CLOCK.now()
            )


def test_peers_are_read_strictly_and_keys_never_repeated() -> None:
    key = "k" * 40
    found = read_peers(Secret(f'{{"region_eu": {{"key": "{key}", "url": "https://eu.example/"}}}}'))
    assert found.known[EU].url == "https://eu.example"
    more = f'{{"x": {{"key": "{key}", "more": 1}}}}'
    for bad in ("[]", '{"region_eu": {"key": "short"}}', more):
        with pytest.raises(SettingsRefused) as refused:
            read_peers(Secret(bad))
        assert "short" not in str(refused.value)
        assert key not in str(refused.value)
