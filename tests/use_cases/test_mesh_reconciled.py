"""Reconciliations: opened when a payout is led elsewhere, closed by what becomes of it."""

from __future__ import annotations

import rerouting
from molam.mesh.control import queries, reconciling
from molam.platform.db import Database
from rerouting import A, B, C, one, sql


async def test_each_end_of_a_payout_closes_its_reconciliation_in_its_own_way(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 7)
    mesh = rerouting.mesh_on(ops_db)
    proposal = await rerouting.a_proposal(db, mesh)
    await rerouting.apply(ops_db, mesh, proposal)
    for number, change in enumerate(
        (
            "state = 'paid', attempts = 1, ended_at = now() + interval '1 hour'",
            "state = 'failed', attempts = 1, ended_at = now()",
            "state = 'returned', attempts = 1, ended_at = now()",
            "state = 'cancelled', ended_at = now()",
            f"bank_profile_id = '{C}'",
            "version = version + 1",
        ),
        start=1,
    ):
        await sql(
            db,
            f"update payments.payouts set {change} where id = $1",
            f"po_000000{number}",
        )
    assert await reconciling.reconcile(worker_db) == 5
    assert await sql(
        db,
        "select payout_id, reconciliation_status, outcome from mesh.mesh_reconciliations"
        " order by payout_id",
    ) == [
        ("po_0000001", "matched", "paid"),
        ("po_0000002", "unmatched", "failed"),
        ("po_0000003", "disputed", "returned"),
        ("po_0000004", "resolved", "cancelled"),
        ("po_0000005", "resolved", "moved_again"),
        ("po_0000006", "pending", None),
        ("po_0000007", "pending", None),
    ]
    [paid] = await sql(
        db,
        "select actual_cost, cost_delta, settlement_delta_seconds, cardinality(ledger_entry_ids),"
        " metadata ->> 'cost_from' from mesh.mesh_reconciliations where payout_id = 'po_0000001'",
    )
    assert paid[:2] == (210, 10)
    assert 2900 < paid[2] < 3100, "an hour, where ten minutes were usual"
    assert paid[3:] == (1, "tariff")
    await sql(db, "update payments.payouts set state = 'paid' where id = 'po_0000002'")
    assert await reconciling.reconcile(worker_db) == 1
    assert (
        await one(
            db,
            "select reconciliation_status from mesh.mesh_reconciliations where payout_id = 'po_0000002'",
        )
        == "matched"
    )
    async with ops_db.transaction("tests.list") as tx:
        page = await queries.reconciliations(tx, proposal_id=proposal.id, limit=4)
        rest = await queries.reconciliations(
            tx,
            proposal_id=proposal.id,
            beyond=queries.Position(page.rows[-1].created_at, page.rows[-1].id),
        )
    assert page.has_more
    assert len({row.id for row in (*page.rows, *rest.rows)}) == 7


async def test_a_statement_brings_its_line_and_what_the_bank_really_took(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.payouts(db, 1)
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    await sql(db, "update payments.payouts set state = 'paid', attempts = 1, ended_at = now()")
    await sql(
        db,
        "insert into payments.books (bank_profile_id, currency, begins_on, opening)"
        " values ($1, 'XOF', current_date, 0)",
        B,
    )
    await sql(
        db,
        "with s as (insert into payments.statements (id, bank_profile_id, currency, format, sha256, part,"
        " file_name, first_day, last_day, lines, money_in, money_out, fees, imported_by)"
        " values (gen_random_uuid(), $1, 'XOF', 'csv', sha256('x'), 1, 'x', current_date, current_date,"
        " 1, 0, 10000, 0, 'tests') returning id)"
        ", l as (insert into payments.statement_lines (statement_id, line_no, bank_profile_id, currency,"
        " booked_on, value_on, amount, fee) select id, 1, $1, 'XOF', current_date, current_date, -10000, 275"
        " from s returning id, statement_id)"
        " insert into payments.statement_matches (line_id, statement_id, bank_profile_id, currency, kind,"
        " expectation, object_id, merchant_id, amount, fee, tier, score, explanation, matched_by)"
        " select id, statement_id, $1, 'XOF', 'payout', 'attempt:1', 'po_0000001', 'merchant-123', -10000,"
        ' 275, \'exact_ref\', 1, \'{"fr": "", "en": ""}\', \'tests\' from l',
        B,
    )
    await reconciling.reconcile(worker_db)
    await reconciling.reconcile(worker_db)
    assert await sql(
        db,
        "select actual_cost, cost_delta, cardinality(bank_statement_line_ids),"
        " metadata ->> 'cost_from' from mesh.mesh_reconciliations",
    ) == [(275, 75, 1, "statement")]


async def test_what_is_overdue_is_told_once(
    db: Database, worker_db: Database, ops_db: Database
) -> None:
    await rerouting.a_region(db)
    await rerouting.people(db)
    await rerouting.payouts(db, 3)
    mesh = rerouting.mesh_on(ops_db)
    await rerouting.apply(ops_db, mesh, await rerouting.a_proposal(db, mesh))
    await sql(
        db, "update mesh.mesh_reconciliations set promised_settlement = now() - interval '1 minute'"
    )
    for _ in range(2):
        await reconciling.reconcile(worker_db)
    assert (
        await one(db, "select count(*) from notices.notices where kind = 'reconciliation_overdue'")
        == 1
    )
    assert A not in await rerouting.where(db)
