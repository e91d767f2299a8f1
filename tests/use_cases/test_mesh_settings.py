"""What an installation's settings make of the mesh: its region, its controller, its policy, its SIRA."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import rerouting
from molam.approvals.model import Actor
from molam.mesh.control import commands, controller
from molam.mesh.routing import commands as routing
from molam.mesh.routing import queries as proposals
from molam.mesh.routing.model import NoRoute, Wanted
from molam.mesh.runtime import Mesh
from molam.mesh.signals import predictions, remote
from molam.mesh.signals.model import PredictionUnavailable
from molam.mesh.signals.predictions import About
from molam.platform.db import Database
from molam.platform.settings import Secret
from molam.sira import signing
from molam.sira.signing import AdviceRefused
from rerouting import A, B, C, one, sql

ONE, TWO, _ = (Actor(id_) for id_ in rerouting.PEOPLE)
NOBODY = "http://127.0.0.1:9"
WANTED = Wanted(
    mesh_region_id=rerouting.REGION,
    currency="XOF",
    rail="bank",
    kind="failover",
    created_by="binta",
    from_bank_id=A,
)


async def a_failing_bank(db: Database, *, failures: float = 12) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 20)
    for bank in (B, C):
        await rerouting.feel(db, bank)
    await rerouting.feel(db, A, failures=failures)
    await sql(db, "update mesh.member_health set signals = 2000, last_signal_at = now()")


async def move_to_europe(db: Database) -> None:
    """Let the same banks be in France, carry euros, and have payouts in euros wait for them."""
    for statement in (
        "update payments.bank_profiles set country = 'FR', currency_codes = '{EUR}'",
        "update payments.treasury_accounts set currency = 'EUR'",
        "update payments.bank_routes set currency = 'EUR'",
        (
            "update payments.payouts set currency = 'EUR',"
            ' destination = destination || \'{"country": "FR"}\''
        ),
        "update mesh.member_health set currency = 'EUR'",
        (
            "update mesh.mesh_members set mesh_region_id = 'region_eu',"
            ' capabilities = capabilities || \'{"supported_currencies": ["EUR"]}\''
        ),
        "update mesh.mesh_regions set auto_failover_enabled = true where id = 'region_eu'",
        (
            "update mesh.mesh_policies set mode = 'auto',"
            " rules = rules || '{\"auto_failover_enabled\": true}' where mesh_region_id = 'region_eu'"
        ),
    ):
        await sql(db, statement)


@pytest.mark.parametrize("named", ["region_eu", "EU"])
async def test_installation_of_europe_decides_there(db: Database, worker_db: Database, named: str):
    await a_failing_bank(db)
    await move_to_europe(db)

    await controller.decide_all(worker_db, rerouting.mesh_on(worker_db, region=named))

    assert await sql(db, "select mesh_region_id, currency, verdict, reason from mesh.verdicts") == [
        ("region_eu", "EUR", "move", "surely_down")
    ]
    assert A not in await rerouting.where(db)
    assert await one(db, "select distinct mesh_region_id from mesh.mesh_routing_proposals") == (
        "region_eu"
    )


async def test_installation_of_cedeao_leaves_europe_alone(db: Database, worker_db: Database):
    await a_failing_bank(db)
    await move_to_europe(db)

    await controller.decide_all(worker_db, rerouting.mesh_on(worker_db))

    assert await rerouting.where(db) == {A: 20}
    assert await one(db, "select count(*) from mesh.mesh_routing_proposals") == 0


async def test_without_the_controller_people_propose_decide_and_take_back(
    db: Database, ops_db: Database, worker_db: Database
):
    await a_failing_bank(db)
    await rerouting.let_it_act(db)
    off = {"is_controller": False}

    await controller.decide_all(worker_db, rerouting.mesh_on(worker_db, **off))
    assert await rerouting.where(db) == {A: 20}
    assert await one(db, "select count(*) from mesh.verdicts") == 0

    mesh = rerouting.mesh_on(ops_db, **off)
    assert (await proposed_and_voted(ops_db, mesh)).affected_payouts == 20
    assert A not in await rerouting.where(db)

    proposal_id = await one(db, "select id from mesh.mesh_routing_proposals")
    for person in (ONE, TWO):
        done = await commands.roll_back(mesh, proposal_id, person, reason="La banque répond.")
    assert done.rolled_back is not None
    assert await rerouting.where(db) == {A: 20}


async def proposed_and_voted(db: Database, mesh: Mesh) -> Any:
    """Propose, try out, and vote twice; return what was applied."""
    async with db.transaction("tests.propose") as tx:
        row = await routing.propose(tx, mesh, WANTED)
        await routing.simulate(tx, mesh, row.id)
    await commands.approve(mesh, row.id, ONE)
    decided = await commands.approve(mesh, row.id, TWO)
    assert decided.applied is not None
    return decided.applied


async def without_policies(db: Database, worker_db: Database, mode: str) -> str:
    """Say what the controller does where nobody wrote a policy."""
    await a_failing_bank(db)
    await sql(db, "update mesh.mesh_regions set auto_failover_enabled = true")
    await sql(db, "update mesh.mesh_policies set active = false")
    mesh = rerouting.mesh_on(worker_db, default_mode=mode)
    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")
    assert verdict is not None
    return verdict.word


async def test_where_nobody_wrote_a_policy_auto_acts(db: Database, worker_db: Database):
    assert await without_policies(db, worker_db, "auto") == "move"
    assert A not in await rerouting.where(db)


async def test_where_nobody_wrote_a_policy_people_are_asked_unless_told_otherwise(
    db: Database, worker_db: Database
):
    assert await without_policies(db, worker_db, "approval_required") == "ask"
    assert await rerouting.where(db) == {A: 20}


async def test_with_sira_away_and_nothing_to_take_its_place_routes_stay(
    db: Database, worker_db: Database
):
    await a_failing_bank(db)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(worker_db, sira_url=NOBODY, fallback_enabled=False, sira_timeout_s=0.5)

    with pytest.raises(PredictionUnavailable):
        await remote.predict(worker_db, mesh, About(A, rerouting.REGION, "bank", "XOF"))
    verdict = await controller.decide(worker_db, mesh, "XOF", "bank")

    assert verdict is not None
    assert await rerouting.where(db) == {A: 20}
    assert await one(db, "select reason from mesh.verdicts") == "no_mesh_route"
    async with worker_db.transaction("tests.propose") as tx:
        with pytest.raises(NoRoute):
            await routing.propose(tx, mesh, WANTED)


async def test_with_sira_away_a_rule_of_thumb_leads_payouts_on(db: Database, worker_db: Database):
    await a_failing_bank(db)
    await rerouting.let_it_act(db)
    mesh = rerouting.mesh_on(worker_db, sira_url=NOBODY, sira_timeout_s=0.5)

    told = await remote.predict(worker_db, mesh, About(A, rerouting.REGION, "bank", "XOF"))
    await controller.decide(worker_db, mesh, "XOF", "bank")

    assert told.served_by == "fallback"
    assert A not in await rerouting.where(db)


def a_pair() -> Secret:
    pair = Ed25519PrivateKey.generate()
    return Secret(pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


async def test_routes_are_signed_voted_on_and_applied_with_a_pair_of_keys(
    db: Database, ops_db: Database, worker_db: Database
):
    await a_failing_bank(db)
    mesh = rerouting.mesh_on(ops_db, signing_key=a_pair())
    async with worker_db.transaction("tests.predict") as tx:
        told = await predictions.predict(
            tx,
            mesh,
            bank_profile_id=A,
            mesh_region_id=rerouting.REGION,
            rail="bank",
            currency="XOF",
        )

    applied = await proposed_and_voted(ops_db, mesh)

    assert applied.affected_payouts == 20
    assert A not in await rerouting.where(db)
    token = await one(db, "select sira_signature from mesh.mesh_routing_proposals")
    for each in (token, told.sira_signature):
        assert signing.verify(each, key=mesh.signing_key)["iss"] == signing.ISSUER
        with pytest.raises(AdviceRefused):
            signing.verify(each, key=rerouting.KEY)


async def test_what_another_pair_signed_is_not_applied(db: Database, ops_db: Database):
    await a_failing_bank(db)
    mesh = rerouting.mesh_on(ops_db, signing_key=a_pair())
    async with ops_db.transaction("tests.propose") as tx:
        row = await routing.propose(tx, mesh, WANTED)
        await routing.simulate(tx, mesh, row.id)

    other = replace(mesh, signing_key=a_pair())
    with pytest.raises(AdviceRefused):
        await commands.approve(other, row.id, TWO)

    assert await rerouting.where(db) == {A: 20}
    async with ops_db.transaction("tests.read") as tx:
        assert (await proposals.get(tx, row.id)).status != "applied"


async def test_proposal_holds_for_an_hour_with_a_pair_as_well(db: Database, ops_db: Database):
    await a_failing_bank(db)
    async with ops_db.transaction("tests.propose") as tx:
        mesh = rerouting.mesh_on(ops_db, signing_key=a_pair())
        row = await routing.propose(tx, mesh, WANTED)

    claims = signing.verify(row.sira_signature, key=mesh.signing_key)
    assert claims["exp"] - claims["iat"] == timedelta(hours=1).total_seconds()  # type: ignore[operator]
