"""Regions tell each other signed things, once each, and decide alone when nobody answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from molam.kernel.clock import Clock, ManualClock, SystemClock
from molam.mesh.federation import commands, corridors, exchange, jobs, model, store
from molam.mesh.federation.commands import Message, signed_message
from molam.mesh.federation.peers import Peer, Peers, read_peers
from molam.mesh.runtime import Mesh
from molam.mesh.signals import predictions
from molam.mesh.signals import queries as signals
from molam.mesh.signals.model import HealthRow
from molam.platform.db import Database
from molam.platform.settings import Secret, SettingsRefused
from molam.sira import health_filter as filter_
from molam.sira.health_sentences import explain_stored
from molam.sira.signing import AdviceRefused
from pooling import a_bank_with_money, a_mesh
from route_world import believed

EU, US, GLOBAL, OURS = "region_eu", "region_us", "region_global", "region_cedeao"
BANK = "bp_north"
PEERS = Peers(
    {each: Peer(each, Secret(f"{each}-key-".ljust(40, "k"))) for each in (EU, US, GLOBAL)},
    allow_private=True,
)
NOBODY = Peers()
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
    stranger = msgspec.structs.replace(good, mesh_region_id="region_nobody")
    with pytest.raises(AdviceRefused) as unknown:
        await _take(ops_db, stranger)
    with pytest.raises(AdviceRefused) as wrong:
        await _take(ops_db, msgspec.structs.replace(good, token=good.token[:-4] + "AAAA"))
    # Who asks does not learn with whom we share a key.
    assert str(unknown.value) == str(wrong.value)
    assert await ops_db.read(store.LIST_MESSAGES, region=None, limit=10) == []


async def _health(db: Database) -> HealthRow:
    async with db.transaction("tests.health") as tx:
        [row] = await signals.health_of(tx, currency="XOF", rail="bank", bank_ids=[BANK])
    return row


async def a_bank_we_see(db: Database, *, failures: int = 0) -> None:
    """A bank of which we have seen five hours, the last tries failing."""
    await a_bank_with_money(db, BANK)
    await believed(db, BANK, failures=failures)
    async with db.transaction("tests.seen") as tx:
        await tx.connection.execute("update mesh.member_health set last_signal_at = now()")


async def trusted(db: Database, *regions: str) -> None:
    async with db.transaction("tests.trusted") as tx:
        for region in regions:
            await tx.connection.execute(
                "insert into mesh.peers (mesh_region_id, squared_error, squared_error_climatology,"
                " judged) values ($1, 0.1, 10, 5000) on conflict (mesh_region_id) do update"
                " set squared_error = 0.1, squared_error_climatology = 10, judged = 5000",
                region,
            )


async def test_regions_that_were_right_make_us_doubt_a_bank(ops_db: Database, db: Database) -> None:
    await a_bank_we_see(db)
    await trusted(db, EU, US)
    await _take(ops_db, a_message(EU, p_down=0.9))
    assert (await _health(ops_db)).doubted_by == ()  # One and we are two.
    await _take(ops_db, a_message(US, p_down=0.85))
    row = await _health(ops_db)
    assert row.doubted_by == ("EU", "US")
    assert row.p_down == pytest.approx(0.85, abs=0.01)
    assert filter_.p_down(row.belief) == pytest.approx(row.p_down)
    assert filter_.p_down(row.seen) < 0.05
    async with db.transaction("tests.jobs") as tx:
        asked = await tx.connection.fetchval(
            "select count(*) from jobs.pgqueuer where entrypoint = 'mesh.decide'"
        )
    assert asked == 1


async def test_regions_that_were_never_right_do_not(ops_db: Database, db: Database) -> None:
    await a_bank_we_see(db)
    for region in (EU, US):
        await _take(ops_db, a_message(region, p_down=0.9))
    assert (await _health(ops_db)).doubted_by == ()


async def test_nobody_makes_us_trust_a_bank_that_we_see_down(
    ops_db: Database, db: Database
) -> None:
    await a_bank_we_see(db, failures=6)
    before = await _health(ops_db)
    assert before.p_down > 0.9
    await trusted(db, EU, US, GLOBAL)
    for region in (EU, US, GLOBAL):
        await _take(ops_db, a_message(region, p_down=0.001))
    after = await _health(ops_db)
    assert (after.p_down, after.belief) == (before.p_down, before.belief)


async def test_a_prediction_says_which_regions_moved_it_and_peers_hear_only_what_we_saw(
    ops_db: Database, db: Database
) -> None:
    await a_bank_we_see(db)
    await trusted(db, EU, US)
    for region in (EU, US):
        await _take(ops_db, a_message(region, p_down=0.9))
    mesh: Mesh = replace(a_mesh(ops_db), region="CEDEAO")
    async with db.transaction("tests.member") as tx:
        await tx.connection.execute(
            "insert into mesh.mesh_members (id, mesh_region_id, bank_profile_id, status,"
            " capabilities, kyc_verified, contract_signed, compliance_status)"
            " values ('mm', $1, $2, 'active', '{}', true, true, 'approved')"
            " on conflict do nothing",
            *(OURS, BANK),
        )
    async with ops_db.transaction("tests.predict") as tx:
        made = await predictions.predict(
            tx, mesh, bank_profile_id=BANK, mesh_region_id=None, rail="bank", currency="XOF"
        )
        told = await exchange.seen_here(tx, mesh, OURS)
    assert "other regions see it down as well: EU, US" in made.prediction_reason
    assert made.content["explanation"]["doubted_by"] == ["EU", "US"]  # type: ignore[index]
    assert made.p_down == pytest.approx(0.9, abs=0.01)
    french = explain_stored(made.content, "fr")
    assert french is not None
    assert "EU, US" in french
    [ours] = [each for each in told if each.bank_profile_id == BANK]
    assert ours.p_down < 0.05


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
    # Of one try nothing is concluded, and what a region said wrongly fades in weeks.
    await _take(ops_db, a_message(US, p_down=0.95))
    async with db.transaction("tests.later") as tx:
        await tx.connection.execute(
            "update mesh.foreign_messages set issued_at = now() - interval '20 minutes'"
        )
        await tx.connection.execute("update mesh.bank_health_logs set attempts = 1, failures = 1")
    await jobs.judge(worker_db)
    [us] = [row for row in await worker_db.read(store.LIST_PEERS) if row.mesh_region_id == US]
    assert (us.judged, us.squared_error) == (1, rows[US].squared_error)
    await _take(ops_db, a_message(US, p_down=0.95))
    async with db.transaction("tests.weeks") as tx:
        await tx.connection.execute(
            "update mesh.foreign_messages set issued_at = now() - interval '20 minutes'"
        )
        await tx.connection.execute("update mesh.bank_health_logs set attempts = 9, failures = 9")
        await tx.connection.execute("update mesh.peers set judged_at = now() - interval '7 days'")
    await jobs.judge(worker_db)
    [us] = [row for row in await worker_db.read(store.LIST_PEERS) if row.mesh_region_id == US]
    assert us.judged == 2
    assert us.squared_error == pytest.approx(rows[US].squared_error / 2 + 0.05**2, rel=1e-3)


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
        row = await corridors.propose(
            tx, ["US", "CEDEAO"], code="USD", limits=(9, 9), by="ana", now=CLOCK.now()
        )
        await corridors.agree_here(tx, NOBODY, row.id, "CEDEAO", by="ana")
        await corridors.agree_here(tx, NOBODY, row.id, "US", by="bob")
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
        row = await corridors.propose(
            tx, ["CEDEAO", "EU"], code="EUR", limits=(10_000, 8_000), by="ana", now=CLOCK.now()
        )
        row = await corridors.agree_here(tx, NOBODY, row.id, "CEDEAO", by="ana")
        assert row.state == "proposed"
    for region, by, peers in (("EU", "ana", NOBODY), ("US", "bob", NOBODY), ("EU", "bob", PEERS)):
        # The same hand; no end of it; and a region that has a key speaks for itself.
        with pytest.raises(model.CorridorRefused):
            async with ops_db.transaction("tests.refused") as tx:
                await corridors.agree_here(tx, peers, row.id, region, by=by)
    proposal = {"mesh_region_id": EU, "currency": "EUR", "corridor_id": row.id}
    message = signed_message("proposal", proposal, peers=PEERS, to=EU, now=CLOCK.now())
    await _take(ops_db, message)
    async with ops_db.transaction("tests.read") as tx:
        agreed = await corridors.get(tx, row.id)
    assert (agreed.state, agreed.approved_to) == ("active", f"region:{EU}")
    with pytest.raises(model.CorridorRefused):
        async with ops_db.transaction("tests.loop") as tx:
            await corridors.propose(
                tx, ["CEDEAO", "EU", "CEDEAO"], code="EUR", limits=(1, 1), by="ana", now=CLOCK.now()
            )
    over = proposal | {"agrees": False}
    await _take(ops_db, signed_message("proposal", over, peers=PEERS, to=EU, now=CLOCK.now()))
    async with ops_db.transaction("tests.read") as tx:
        assert (await corridors.get(tx, row.id)).state == "closed"


async def test_a_region_agrees_to_the_same_terms_or_not_at_all(ops_db: Database) -> None:
    terms = {"path": [EU, OURS], "cover": 500, "net_debit_cap": 400}
    said = {"mesh_region_id": EU, "currency": "EUR", "corridor_id": "cor_eu", "terms": terms}
    await _take(ops_db, signed_message("proposal", said, peers=PEERS, to=EU, now=CLOCK.now()))
    async with ops_db.transaction("tests.read") as tx:
        row = await corridors.get(tx, "cor_eu")
    assert (row.state, row.approved_from, row.approved_to) == ("proposed", f"region:{EU}", None)
    for changed in ({"cover": 501}, {"path": [EU, US, OURS]}):
        other = said | {"terms": terms | changed}
        with pytest.raises(model.CorridorRefused):
            await _take(
                ops_db, signed_message("proposal", other, peers=PEERS, to=EU, now=CLOCK.now())
            )
    theirs = said | {"corridor_id": "cor_b", "terms": terms | {"path": [US, OURS]}}
    with pytest.raises(model.CorridorRefused):
        await _take(ops_db, signed_message("proposal", theirs, peers=PEERS, to=EU, now=CLOCK.now()))


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
