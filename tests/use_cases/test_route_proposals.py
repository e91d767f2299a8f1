"""Proposing a route: who may carry, in which order, and a signature over all of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

import route_world
from molam.kernel.currency import UnknownCurrency
from molam.mesh.members.model import RegionAbsent
from molam.mesh.routing.content import content_of
from molam.mesh.routing.model import BoundsMalformed, NoRoute
from molam.mesh.routing.reasons import CODES, read, sentence
from molam.mesh.routing.store import ProposalRow
from molam.mesh.signals import predictions
from molam.platform.db import Database
from molam.sira.content import verify_content
from molam.sira.signing import AdviceRefused
from route_world import A, B, C, order_of, why_not


@pytest.fixture
async def world(db: Database) -> Database:
    await route_world.a_region(db)
    return db


async def test_the_preferred_bank_leads_where_fees_are_alike(world: Database, ops_db: Database):
    await route_world.payouts(world, 3, amount=500_000)

    row = await route_world.propose(ops_db, route_world.mesh_on(ops_db))

    # B would cost more than the rule allows against what A charges.
    assert order_of(row) == [A, C]
    assert (row.status, row.from_bank_id, row.to_bank_id) == ("proposed", None, A)
    assert row.proposal["reference_amount"] == 500_000
    assert [step["role"] for step in row.proposal["sequence"]] == ["primary", "secondary"]
    assert row.proposal["sequence"][0]["estimated_cost"] == 300


async def test_a_failing_bank_is_left_for_the_best_other(world: Database, ops_db: Database):
    await route_world.believed(world, A, failures=5)
    await route_world.believed(world, B)
    await route_world.believed(world, C)
    await route_world.payouts(world, 3, amount=20_000)

    row = await route_world.propose(
        ops_db, route_world.mesh_on(ops_db), kind="failover", from_bank_id=A
    )

    assert order_of(row) == [B, C]
    assert (row.from_bank_id, row.to_bank_id, row.kind) == (A, B, "failover")
    assert row.p_down > 0.99
    assert row.confidence > 0.85
    assert why_not(row)[A] == "left"
    assert "probably down" in row.proposal["sequence"][0]["reason"]


async def test_a_route_nobody_named_becomes_a_failover_when_its_bank_is_down(
    world: Database, ops_db: Database
):
    await route_world.believed(world, A, failures=5)

    row = await route_world.propose(ops_db, route_world.mesh_on(ops_db))

    assert (row.kind, row.from_bank_id, row.to_bank_id) == ("failover", A, B)


async def test_bands_follow_the_fees(world: Database, ops_db: Database):
    await route_world.believed(world, A, failures=5)

    row = await route_world.propose(
        ops_db, route_world.mesh_on(ops_db), kind="failover", from_bank_id=A
    )

    # B is preferred until it costs a basis point more than C; both end at their limit.
    found = [(band["max_amount"], band["bank_profile_ids"]) for band in row.proposal["bands"]]
    assert found == [(77_777, [B, C]), (10_000_000, [C, B]), (None, [])]


UNFIT: dict[str, tuple[str, dict[str, object]]] = {
    "bank_observing": ("observer", {"role": "observer"}),
    "bank_suspended": ("not_active", {"status": "suspended"}),
    "bank_unknown": ("kyc_verified", {"status": "pending_approval", "kyc": False}),
    "bank_unsigned": ("contract_signed", {"status": "pending_approval", "contract": False}),
    "bank_uncleared": ("compliance", {"status": "pending_approval", "compliance": "pending"}),
    "bank_unused": ("bank_not_in_use", {"in_use": False}),
    "bank_cedis": ("currency", {"currencies": ["GHS"]}),
    "bank_agreed": ("currency", {"capabilities": {"supported_currencies": ["GHS"]}}),
    "bank_wallet": ("rail", {"rails": ["wallet:wave"]}),
    "bank_abroad": (
        "crossborder",
        {"country": "FR", "capabilities": {"cross_border_enabled": False}},
    ),
    "bank_small": ("amount_limit", {"capabilities": {"max_amount_per_txn": 9}}),
    "bank_full": ("daily_limit", {"capabilities": {"daily_volume_limit": {"XOF": 9}}}),
    "bank_homeless": ("no_account", {"account": False}),
    "bank_dear": ("cost", {"flat": 100_000}),
    "bank_files": (
        "cut_off",
        {
            "connector": "pain001",
            "cut_off": "00:00",
            "capabilities": {"settlement_time_hours": 0},
        },
    ),
    "bank_switched": ("switch", {}),
    "bank_closed": ("gate", {}),
    "bank_announced": ("outage", {}),
    "bank_short": ("short_of_funds", {}),
}
STOPS = (
    "insert into mesh.kill_switches (scope, is_engaged, reason, changed_by)"
    " values ('member:bank_switched', true, 'tests', 'tests')",
    "insert into payments.bank_gates (bank_profile_id, rail, currency, is_open, cause)"
    " values ('bank_closed', 'bank', 'XOF', false, 'maintenance')",
    "insert into mesh.declared_outages (id, bank_profile_id, begins_at, source, created_by)"
    " values (gen_random_uuid(), 'bank_announced', now() - interval '1 minute', 'bank', 'tests')",
    "update mesh.member_health set short_of_funds_until = now() + interval '1 hour'"
    " where bank_profile_id = 'bank_short'",
)


async def test_each_constraint_keeps_a_bank_out_and_says_so(world: Database, ops_db: Database):
    for id_, (_, terms) in UNFIT.items():
        await route_world.a_bank(world, id_, **{"order": 1, **terms})
    await route_world.believed(world, "bank_short")
    for statement in STOPS:
        await route_world.sql(world, statement)

    row = await route_world.propose(
        ops_db, route_world.mesh_on(ops_db), min_amount=10, max_amount=1_000_000
    )

    assert why_not(row) == {id_: code for id_, (code, _) in UNFIT.items()}
    used = {bank for band in row.proposal["bands"] for bank in band["bank_profile_ids"]}
    assert used == {A, B, C}


async def test_without_its_fault_each_of_them_would_carry(world: Database, ops_db: Database):
    for id_ in UNFIT:
        await route_world.a_bank(world, id_, order=1)

    row = await route_world.propose(ops_db, route_world.mesh_on(ops_db), min_amount=10)

    assert why_not(row) == {}


async def test_money_that_is_spoken_for_is_no_cover(world: Database, ops_db: Database):
    await route_world.begin_books(world, A, 100_000)
    await route_world.payouts(world, 9, bank=A, amount=10_000)

    row = await route_world.propose(ops_db, route_world.mesh_on(ops_db), max_amount=50_000)
    bands = {band["max_amount"]: band["bank_profile_ids"] for band in row.proposal["bands"]}

    assert A in bands[10_000]
    assert A not in bands[50_000]


async def test_banks_of_another_region_are_no_candidates(world: Database, ops_db: Database):
    await route_world.a_bank(world, "bank_far", region="region_eu", country="FR")

    row = await route_world.propose(ops_db, route_world.mesh_on(ops_db))

    assert "bank_far" not in order_of(row)
    assert "bank_far" not in why_not(row)


async def test_payouts_of_another_region_do_not_count(world: Database, ops_db: Database):
    await route_world.payouts(world, 2, amount=30_000)
    await route_world.payouts(world, 2, amount=900_000, prefix="fr_", country="FR")

    row = await route_world.propose(ops_db, route_world.mesh_on(ops_db))

    assert row.proposal["reference_amount"] == 30_000


async def test_the_mesh_says_no_route_when_nobody_may_carry(world: Database, ops_db: Database):
    await route_world.sql(world, "update payments.bank_profiles set enabled = false")

    with pytest.raises(NoRoute, match="not in use"):
        await route_world.propose(ops_db, route_world.mesh_on(ops_db))


async def test_a_bank_is_not_left_for_one_that_fails_as_often(world: Database, ops_db: Database):
    for bank in (A, B, C):
        await route_world.believed(world, bank, failures=6)

    with pytest.raises(NoRoute, match="as often"):
        await route_world.propose(
            ops_db, route_world.mesh_on(ops_db), kind="failover", from_bank_id=A
        )


async def test_banks_already_left_are_not_gone_to(world: Database, ops_db: Database):
    await route_world.believed(world, A, failures=5)

    row = await route_world.propose(
        ops_db, route_world.mesh_on(ops_db), kind="failover", from_bank_id=A, not_to=(B,)
    )

    assert order_of(row) == [C]
    assert why_not(row)[B] == "left_before"


async def test_a_return_goes_back_through_the_gate_that_leaving_closed(
    world: Database, ops_db: Database
):
    await route_world.sql(
        world,
        "insert into payments.bank_gates (bank_profile_id, rail, currency, is_open, cause)"
        " values ('bank_a', 'bank', 'XOF', false, 'left')",
    )

    row = await route_world.propose(
        ops_db, route_world.mesh_on(ops_db), kind="return", from_bank_id=B, first=(A,)
    )

    assert order_of(row)[0] == A
    assert (row.from_bank_id, row.to_bank_id) == (B, A)


async def test_who_asks_may_put_banks_first(world: Database, ops_db: Database):
    row = await route_world.propose(
        ops_db, route_world.mesh_on(ops_db), kind="override", from_bank_id=A, first=(C, B)
    )

    assert order_of(row) == [C, B, A]
    assert row.proposal["sequence"][0]["why"] == {"code": "asked", "facts": {"bank": "Bank C"}}


async def test_a_bank_that_is_only_dearer_stays_open_and_keeps_what_it_carries_best(
    world: Database, ops_db: Database
):
    await route_world.payouts(world, 1, amount=20_000)

    row = await route_world.propose(ops_db, route_world.mesh_on(ops_db))

    # B's 270 against A's 300 is more than a basis point of 20,000, but not of 70,000.
    assert (row.kind, row.from_bank_id, row.to_bank_id) == ("reorder", A, B)
    assert row.proposal["sequence"][0]["why"]["code"] == "promoted"
    assert row.proposal["bands"][0]["bank_profile_ids"][0] == B
    assert row.proposal["bands"][-2]["bank_profile_ids"][0] == A
    assert A not in why_not(row)


async def test_a_signed_prediction_counts_and_is_named(world: Database, ops_db: Database):
    mesh = route_world.mesh_on(ops_db)
    await route_world.believed(world, B, failures=1)
    async with ops_db.transaction("tests.predict") as tx:
        made = await predictions.predict(
            tx,
            mesh,
            bank_profile_id=B,
            mesh_region_id=route_world.REGION,
            rail="bank",
            currency="XOF",
        )
    await route_world.payouts(world, 1, amount=20_000)

    row = await route_world.propose(ops_db, mesh)
    (step,) = (each for each in row.proposal["sequence"] if each["bank_profile_id"] == B)

    assert row.proposal["predictions"] == [made.id]
    assert step["score"] == float(made.predicted_score)
    assert step["confidence"] == float(made.confidence)


async def test_a_prediction_that_signals_have_overtaken_does_not_count(
    world: Database, ops_db: Database
):
    mesh = route_world.mesh_on(ops_db)
    await route_world.believed(world, B)
    async with ops_db.transaction("tests.predict") as tx:
        await predictions.predict(
            tx,
            mesh,
            bank_profile_id=B,
            mesh_region_id=route_world.REGION,
            rail="bank",
            currency="XOF",
        )
    await route_world.believed(world, B, failures=6)
    await route_world.payouts(world, 1, amount=20_000)

    row = await route_world.propose(ops_db, mesh)

    assert order_of(row)[0] == A


async def test_what_was_asked_for_and_may_not_carry_is_not_replaced(
    world: Database, ops_db: Database
):
    await route_world.sql(
        world, "update payments.bank_profiles set enabled = false where id = 'bank_c'"
    )

    with pytest.raises(NoRoute, match="not in use"):
        await route_world.propose(
            ops_db, route_world.mesh_on(ops_db), kind="override", from_bank_id=A, first=(C,)
        )


async def test_the_signature_holds_after_the_database_has_had_it(world: Database, ops_db: Database):
    mesh = route_world.mesh_on(ops_db)
    made = await route_world.propose(ops_db, mesh, max_amount=1_000_000)
    stored = await route_world.stored(ops_db, made.id)

    claims = verify_content(
        stored.sira_signature,
        "proposal",
        content_of(stored),
        key=mesh.signing_key,
        now=stored.created_at,
    )

    assert claims.jti == stored.token_id


async def test_changing_anything_breaks_the_signature(world: Database, ops_db: Database):
    mesh = route_world.mesh_on(ops_db)
    row = await route_world.propose(ops_db, mesh, max_amount=1_000_000)

    for altered in _altered(row):
        with pytest.raises(AdviceRefused):
            verify_content(
                row.sira_signature,
                "proposal",
                content_of(altered),
                key=mesh.signing_key,
                now=row.created_at,
            )


def _altered(row: ProposalRow) -> list[ProposalRow]:
    """The row with each thing that was decided changed in turn."""
    document = row.proposal
    first = {**document["sequence"][0], "score": 1.0}
    return [
        replace(row, id="other"),
        replace(row, mesh_region_id="region_eu"),
        replace(row, currency="EUR"),
        replace(row, rail="wallet:wave"),
        replace(row, min_amount=1),
        replace(row, max_amount=None),
        replace(row, kind="override"),
        replace(row, from_bank_id=C),
        replace(row, to_bank_id=C),
        replace(row, confidence=row.confidence + 1),
        replace(row, p_down=0.5),
        replace(row, created_by="somebody"),
        replace(row, policy_id="another"),
        replace(row, policy_version=99),
        replace(row, expires_at=row.expires_at + timedelta(hours=1)),
        replace(row, proposal={**document, "more": 1}),
        replace(row, proposal={**document, "bands": []}),
        replace(row, proposal={**document, "sequence": [first, *document["sequence"][1:]]}),
        *(replace(row, proposal={**document, name: None}) for name in document),
    ]


async def test_it_is_published_when_it_is_stored(world: Database, ops_db: Database):
    row = await route_world.propose(ops_db, route_world.mesh_on(ops_db))

    ((key, data),) = await route_world.sql(
        world,
        "select key, payload::jsonb -> 'data' from platform.events where topic = 'mesh.proposals'",
    )
    assert key == route_world.REGION
    assert data["proposal_id"] == row.id
    assert data["sira_signature"] == row.sira_signature
    assert data["proposal"] == row.proposal


async def test_a_prediction_that_was_altered_does_not_count(world: Database, ops_db: Database):
    mesh = route_world.mesh_on(ops_db)
    plain = await route_world.propose(ops_db, mesh)
    await route_world.sql(
        world,
        "insert into mesh.bank_health_predictions (id, bank_profile_id, rail, currency,"
        " predicted_score, confidence, prediction_window_minutes, prediction_reason,"
        " recommended_action, sira_model_version, sira_confidence_intervals, p_down, served_by,"
        " sira_signature, token_id, content, valid_from, valid_until) values ('p', 'bank_a', 'bank',"
        " 'XOF', 1, 1, 60, 'made up', 'failover', 'v', '{}', 0.01, 'tier1', 'forged', 't', '{}',"
        " now(), now() + interval '10 minutes')",
    )

    row = await route_world.propose(ops_db, mesh)

    assert row.proposal["predictions"] == []
    assert order_of(row) == order_of(plain)


async def test_without_sira_and_without_a_stand_in_there_is_no_route(
    world: Database, ops_db: Database
):
    mesh = route_world.mesh_on(ops_db, sira_url="https://sira.example", fallback_enabled=False)

    with pytest.raises(NoRoute, match="SIRA does not answer"):
        await route_world.propose(ops_db, mesh)


async def test_the_region_may_be_named_and_what_cannot_be_proposed_is_refused(
    world: Database, ops_db: Database
):
    mesh = route_world.mesh_on(ops_db)
    wrong: list[tuple[dict[str, object], type[Exception]]] = [
        ({"mesh_region_id": "nowhere"}, RegionAbsent),
        ({"currency": "ZZZ"}, UnknownCurrency),
        ({"min_amount": 5, "max_amount": 4}, BoundsMalformed),
        ({"mesh_region_id": "region_us", "currency": "USD"}, NoRoute),
    ]

    assert (await route_world.propose(ops_db, mesh, mesh_region_id="CEDEAO")).status == "proposed"
    for wanted, refusal in wrong:
        with pytest.raises(refusal):
            await route_world.propose(ops_db, mesh, **wanted)


async def test_a_proposal_is_the_same_for_the_same_world(world: Database, ops_db: Database):
    mesh = route_world.mesh_on(ops_db)
    one = await route_world.propose(ops_db, mesh)
    other = await route_world.propose(ops_db, mesh)

    assert one.proposal["bands"] == other.proposal["bands"]
    assert order_of(one) == order_of(other)
    assert one.token_id != other.token_id


def test_every_reason_can_be_said_in_both_languages():
    facts = dict.fromkeys(
        [
            "bank",
            "other",
            "saved_amount",
            "payout_amount",
            "fee_amount",
            "other_fee_amount",
            "score",
            "other_score",
            "p_down",
            "survives",
            "shared",
            "status",
            "currency",
            "rail",
            "country",
            "limit_amount",
            "cause",
            "hours",
            "percent",
            "region",
            "regions",
            "steps",
        ],
        1_000,
    )
    for code in CODES:
        reason = read({"code": code, "facts": facts})
        assert reason is not None
        english, french = (sentence(reason, which, currency="XOF") for which in ("en", "fr"))
        assert english.endswith(".")
        assert french.endswith(".")
        assert english != french


def test_a_reason_of_a_later_release_is_not_read():
    assert read({"code": "unheard_of", "facts": {}}) is None
    assert read("because") is None
