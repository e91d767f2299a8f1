"""The specification's examples for the mesh, as they are written: requests, queries and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mesh_site import Site, opened

from facts import look
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

JSON = {"Content-Type": "application/json"}
REASON = '{"reason":"La banque repond a nouveau."}'
PREDICTION = (
    "bank_profile_id mesh_region_id predicted_score confidence prediction_window_minutes"
    " prediction_reason risk_factors recommended_action sira_model_version"
    " sira_confidence_intervals sira_signature valid_from valid_until created_at"
)
PROPOSAL = (
    "id mesh_region_id currency min_amount max_amount proposal status created_by"
    " sira_signature created_at expires_at"
)
SIMULATION = (
    "affected_payouts estimated_cost_delta estimated_latency_delta_seconds new_bank_profile_id"
    " new_bank_name confidence"
)
CHOICE = "bank_profile_id bank_name role score confidence estimated_cost reason"
TABLES = {
    "mesh_regions": "name description countries auto_failover_enabled approval_threshold"
    " allowed_crossborder metadata created_at updated_at",
    "mesh_members": "mesh_region_id bank_profile_id role prefer_order status capabilities"
    " last_health_update current_health_score kyc_verified contract_signed compliance_status"
    " metadata created_at updated_at",
    "bank_health_predictions": PREDICTION,
    "mesh_routing_proposals": f"{PROPOSAL} simulation_results reviewed_by reviewed_at applied_at"
    " rolled_back_at rollback_reason",
    "mesh_action_logs": "action_type mesh_region_id routing_proposal_id payload actor_type"
    " actor_id affected_payouts affected_bank_profiles result error_details started_at"
    " completed_at duration_ms idempotency_key created_at",
    "mesh_policies": "mesh_region_id name description rules priority active created_at updated_at",
    "mesh_reconciliations": "payout_id original_bank_profile_id rerouted_bank_profile_id"
    " routing_proposal_id original_amount original_currency rerouted_amount rerouted_currency"
    " fx_rate original_estimated_cost actual_cost cost_delta original_estimated_settlement"
    " actual_settlement settlement_delta_seconds reconciliation_status ledger_entry_ids"
    " bank_statement_line_ids metadata created_at reconciled_at",
    "mesh_liquidity_pools": "mesh_region_id name currency participant_bank_profiles"
    " total_available reserved max_single_draw daily_draw_limit auto_rebalance_enabled"
    " rebalance_threshold_pct created_at updated_at",
    "bank_health_logs": "bank_profile_id",
}
METRICS = (
    'molam_mesh_failover_applied_total{currency="XOF",region="CEDEAO"} ',
    "molam_mesh_prediction_confidence_bucket",
    "# TYPE molam_mesh_crossborder_volume_total counter",
    "molam_mesh_routing_latency_seconds_count ",
)


@pytest.fixture(scope="module")
async def site(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Site]:
    async with opened(postgres, _admin, keys, jwks_url, issuer_home) as site:
        yield site


async def curl(
    site: Site, path: str, data: str | None = None, *, who: str = "treasury_ops"
) -> httpx2.Response:
    """What ``curl -X POST -H "Content-Type: application/json" -d`` sends, and a token."""
    return await site.client.post(
        f"/api/mesh{path}",
        headers=site.headers(who) | (JSON if data else {}),
        content=data,
    )


async def test_the_requests_work_as_they_are_written(site: Site):
    predicted = await curl(
        site,
        "/predictions/generate",
        '{"bank_profile_id":"bp_123","mesh_region_id":"region_cedeao"}',
        who="service",
    )
    proposed = await curl(
        site,
        "/proposals/generate",
        '{"currency":"XOF","mesh_region_id":"region_cedeao","min_amount":0,"max_amount":1000000}',
        who="service",
    )
    assert (predicted.status_code, proposed.status_code) == (201, 201), proposed.text
    assert set(PREDICTION.split()) <= predicted.json()["prediction"].keys()
    proposal = proposed.json()["proposal"]
    assert set(PROPOSAL.split()) <= proposal.keys()
    assert {"sequence", "reason", "sira_version", "timestamp"} <= proposal["proposal"].keys()
    assert all(set(CHOICE.split()) <= each.keys() for each in proposal["proposal"]["sequence"])

    id_ = proposal["id"]
    simulated = await curl(site, f"/proposals/{id_}/simulate")
    first = await curl(site, f"/proposals/{id_}/approve")
    last = await curl(site, f"/proposals/{id_}/approve", who="ops_admin")
    assert set(SIMULATION.split()) <= simulated.json()["simulation"].keys()
    assert (first.status_code, last.status_code) == (202, 200), last.text
    assert last.json()["proposal"]["status"] == "applied"
    assert (await curl(site, f"/proposals/{id_}/rollback", "{}")).json()["code"] == "missing-reason"
    back = [
        await curl(site, f"/proposals/{id_}/rollback", REASON, who=who)
        for who in ("treasury_ops", "ops_admin")
    ]
    assert [each.status_code for each in back] == [202, 200], back[-1].text
    assert all(each.json()["ok"] is True for each in (predicted, proposed, simulated, first, *back))

    metrics = (await site.client.get("/metrics")).text
    assert [name for name in METRICS if name not in metrics] == []
    keyed = f"SELECT 1 FROM mesh.mesh_action_logs WHERE idempotency_key = 'apply-routing-{id_}'"
    assert await look(site.db, keyed) == [(1,)]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/predictions/generate", "missing-bank-profile-id"),
        ("/proposals/absent/approve", "proposal-not-found"),
    ],
)
async def test_errors_have_the_names_that_are_written(site: Site, path: str, code: str):
    assert (await curl(site, path, "{}")).json()["code"] == code


async def test_lists_are_filtered_as_written(site: Site):
    for query in (
        "regions",
        "members?mesh_region_id=region_cedeao",
        "regions/region_cedeao/members",
        "predictions?mesh_region_id=region_cedeao&bank_profile_id=bp_123",
        "proposals?mesh_region_id=region_cedeao&status=applied",
        "actions?mesh_region_id=region_cedeao&action_type=apply_route&limit=100",
        "reconciliations?status=pending&limit=100",
        "policies?mesh_region_id=region_cedeao",
    ):
        answer = await site.client.get(f"/api/mesh/{query}", headers=site.headers())
        assert (answer.status_code, answer.json().get("ok")) == (200, True), query


async def test_tables_have_their_bare_names_and_columns(db: Database):
    for table, columns in TABLES.items():
        found = await look(db, f"select {', '.join(columns.split())} from {table} limit 1")
        assert len(found) <= 1, table


async def test_queries_of_troubleshooting_run(db: Database):
    queries = (
        "SELECT * FROM mesh_policies WHERE mesh_region_id = 'region_cedeao'",
        "SELECT * FROM mesh_action_logs WHERE idempotency_key = 'apply-routing-1'",
        "SELECT * FROM pg_locks WHERE locktype = 'tuple'",
        "SELECT * FROM get_active_routing('region_cedeao', 'XOF', 1000)",
    )

    assert [len(await look(db, query)) for query in queries] == [1, 0, 0, 0]
