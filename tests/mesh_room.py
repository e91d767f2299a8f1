"""A mesh with something to see: one bank failing, one doubtful, one proposal, what was done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from molam.platform.db import Database
from molam.simulator.banks_demo import seed_banks
from molam.sira import health_filter

REGION = "region_cedeao"
FAILING, BETTER, DOUBTFUL = "bp_123", "bp_teranga", "bp_lagune"
OPEN_PROPOSAL, APPLIED_PROPOSAL = "prop_open", "prop_applied"
ACTION_LOG, LATE_PAYOUT = "mal_applied", "po_room_2"
_CAPABILITIES = {
    "max_amount_per_txn": 10_000_000,
    "daily_volume_limit": 100_000_000,
    "supported_currencies": ["XOF", "EUR", "USD"],
    "cross_border_enabled": True,
    "settlement_time_hours": 24,
    "sla_uptime_pct": "99.9",
}
_STEPS = [
    {
        "bank_profile_id": BETTER,
        "bank_name": "Banque Teranga",
        "role": "secondary",
        "score": 99.12,
        "confidence": 0.93,
        "estimated_cost": 325,
        "reason": "Banque du Plateau is probably down (99.7 %).",
        "why": {
            "code": "rescues",
            "facts": {
                "bank": "Banque Teranga",
                "other": "Banque du Plateau",
                "p_down": "99.7",
                "payout_amount": 200_000,
                "score": "99.12",
                "other_score": "3.10",
            },
        },
    },
    {
        "bank_profile_id": DOUBTFUL,
        "bank_name": "Banque de la Lagune",
        "role": "tertiary",
        "score": 88.4,
        "confidence": 0.61,
        "estimated_cost": 350,
        "reason": "If those before it fail, Banque de la Lagune still completes 87 %.",
        "why": {
            "code": "independent",
            "facts": {"bank": "Banque de la Lagune", "survives": "87"},
        },
    },
]
PROPOSAL: dict[str, Any] = {
    "sequence": _STEPS,
    "reference_amount": 200_000,
    "bands": [
        {"min_amount": 0, "max_amount": 250_000, "bank_profile_ids": [BETTER, DOUBTFUL]},
        {"min_amount": 250_001, "max_amount": None, "bank_profile_ids": [DOUBTFUL, BETTER]},
    ],
    "excluded": [
        {
            "bank_profile_id": "bp_tresor",
            "bank_name": "Banque du Trésor Ouest",
            "reason": "Its next file leaves in 7 hours, later than what was promised allows.",
            "why": {"code": "cut_off", "facts": {"hours": 7}},
        }
    ],
    "reason": "Banque du Plateau fails; Banque Teranga is the best that is left.",
    "sureness": {
        "raw": "0.9812",
        "calibrated": "0.9300",
        "n_eff": 640.0,
        "table": "c" * 64,
        "moves": 41,
    },
    "sira_version": "tier1-1",
    "timestamp": "2026-11-22T08:00:00Z",
}
SIMULATION: dict[str, Any] = {
    "affected_payouts": 3,
    "affected_value": 150_000,
    "estimated_cost_before": 900,
    "estimated_cost_after": 1_350,
    "estimated_cost_delta": 450,
    "estimated_latency_delta_seconds": -1_800,
    "fx_delta": 0,
    "new_bank_profile_id": BETTER,
    "new_bank_name": "Banque Teranga",
    "confidence": "0.9300",
    "currency": "XOF",
    "members": [
        {
            "bank_profile_id": FAILING,
            "bank_name": "Banque du Plateau",
            "payouts_before": 3,
            "value_before": 150_000,
            "payouts_after": 0,
            "value_after": 0,
            "share_after": "0.00",
        },
        {
            "bank_profile_id": BETTER,
            "bank_name": "Banque Teranga",
            "payouts_before": 0,
            "value_before": 0,
            "payouts_after": 3,
            "value_after": 150_000,
            "share_after": "100.00",
        },
    ],
    "sla_breaches_before": 3,
    "sla_breaches_after": 0,
    "limit_violations": 0,
    "cap_violations": 0,
    "cover_violations": 0,
    "cost_rule_violations": 1,
    "without_route": 0,
    "without_route_value": 0,
    "above_threshold": 0,
    "above_threshold_value": 0,
    "above_threshold_ids": [],
    "approval_threshold": 10_000_000,
    "concentration_before": "1.0000",
    "concentration_after": "1.0000",
    "worst_case_payouts": 3,
    "worst_case_value": 150_000,
    "inflows": {BETTER: 150_000},
    "logged": {
        "attempts": 512,
        "samples": 140.0,
        "paid_before": 0.913,
        "paid_after": 0.985,
        "low": 0.961,
        "high": 1.0,
        "is_enough": False,
    },
}


async def furnish(db: Database) -> None:
    """Put into the demo's mesh what a bad hour leaves behind."""
    now = datetime.now(UTC).replace(microsecond=0)
    await seed_banks(db, now)
    async with db.transaction("tests.furnish") as tx:
        connection = tx.connection
        await _members(connection, now)
        await _minutes(connection, now)
        await _payouts(connection, now)
        await _proposals(connection, now)
        await _what_was_done(connection, now)
        await _what_came_of_it(connection, now)


async def _members(connection: asyncpg.Connection[Any], now: datetime) -> None:
    # Name, role, what went wrong at last, score with its interval, where the controller has it.
    banks = [
        (FAILING, "primary", (1.0,) * 6, (3.1, 0.4, 9.0), "left"),
        (BETTER, "secondary", (), (99.12, 97.8, 99.7), "serving"),
        (DOUBTFUL, "tertiary", (1.0, 1.0, 0.0), (88.4, 71.0, 96.2), "serving"),
        ("bp_tresor", "member", (), (98.9, 96.0, 99.6), "serving"),
    ]
    for order, (bank, role, failures, (score, low, high), mode) in enumerate(banks, 1):
        belief = _belief(now, failures)
        p_down = health_filter.p_down(belief)
        await connection.execute(
            "insert into mesh.mesh_members (id, mesh_region_id, bank_profile_id, role, prefer_order,"
            " status, capabilities, failure_domains, kyc_verified, contract_signed,"
            " compliance_status, current_health_score, last_health_update)"
            " values ($1, $2, $3, $4, $5, 'active', $6::jsonb, '{telecom:sn}', true, true,"
            " 'approved', $7, $8) on conflict do nothing",
            f"member_{bank}",
            REGION,
            bank,
            role,
            order * 10,
            _CAPABILITIES,
            score,
            now,
        )
        await connection.execute(
            "insert into mesh.member_health (bank_profile_id, rail, currency, belief, p_down, score,"
            " score_low, score_high, signals, last_signal_at, last_failure_at, mode, left_at)"
            " values ($1, 'bank', 'XOF', $10, $2, $3, $4, $5, 640, $6, $7, $8, $9)"
            " on conflict (bank_profile_id, rail, currency) do update set p_down = excluded.p_down,"
            " belief = excluded.belief,"
            " score = excluded.score, score_low = excluded.score_low,"
            " score_high = excluded.score_high, signals = 640,"
            " last_signal_at = excluded.last_signal_at, mode = excluded.mode,"
            " left_at = excluded.left_at",
            bank,
            p_down,
            score,
            low,
            high,
            now - timedelta(seconds=20),
            now - timedelta(minutes=2) if p_down > 0.1 else None,
            mode,
            now - timedelta(minutes=4) if mode == "left" else None,
            msgspec.to_builtins(belief),
        )
    await connection.execute(
        "insert into payments.bank_gates (bank_profile_id, rail, currency, is_open, cause)"
        " values ($1, 'bank', 'XOF', false, 'led away: it fails')"
        " on conflict (bank_profile_id, rail, currency) do update set is_open = false",
        FAILING,
    )
    await connection.execute(
        "insert into mesh.declared_outages (id, bank_profile_id, begins_at, ends_at, note, source,"
        " created_by) values (gen_random_uuid(), $1, $2, $3, 'Night work on the core host',"
        " 'bank', 'system')",
        DOUBTFUL,
        now - timedelta(hours=2),
        now - timedelta(hours=1),
    )


def _belief(now: datetime, failures: Sequence[float]) -> health_filter.Belief:
    """Come to what is believed after a clean hour and then these: 1 a failure, 0 none."""
    at = now.timestamp()
    begins = at - 20 * len(failures)
    belief = health_filter.fresh()
    for earlier in range(3600, 0, -20):
        belief = health_filter.observe(belief, 0.0, begins - earlier)
    for number, failure in enumerate(failures):
        belief = health_filter.observe(belief, failure, begins + 20 * number)
    return belief


async def _minutes(connection: asyncpg.Connection[Any], now: datetime) -> None:
    start = now.replace(second=0) - timedelta(minutes=179)
    for bank, falls in ((FAILING, 172), (BETTER, None), (DOUBTFUL, None)):
        rows = []
        for minute in range(180):
            is_bad = falls is not None and minute >= falls
            down = min(0.99, 0.3 * (minute - falls + 1)) if is_bad and falls is not None else 0.002
            failures = 3 if is_bad else int(bank == DOUBTFUL and minute % 9 == 0)
            rows.append(
                (
                    bank,
                    start + timedelta(minutes=minute),
                    3,
                    failures,
                    int(is_bad),
                    100 - 97 * down - (9 if bank == DOUBTFUL and minute > 150 else 0.5),
                    down,
                )
            )
        await connection.executemany(
            "insert into mesh.bank_health_logs (bank_profile_id, rail, currency, checked_at,"
            " attempts, failures, timeouts, probes, latency_sum_ms, latencies, volume,"
            " health_score, p_down)"
            " values ($1, 'bank', 'XOF', $2, $3, $4, $5, 1, 2400, 3, 150000, $6, $7)",
            rows,
        )
    for at in (0, 1, 2, 3):
        begins = now - timedelta(minutes=45 * at + 5)
        await connection.execute(
            "insert into mesh.bank_health_predictions (id, bank_profile_id, mesh_region_id, rail,"
            " currency, predicted_score, confidence, prediction_window_minutes, prediction_reason,"
            " risk_factors, recommended_action, sira_model_version, sira_confidence_intervals,"
            " explanation, p_down, served_by, sira_signature, token_id, content, valid_from,"
            " valid_until, created_at) values ($1, $2, $3, 'bank', 'XOF', $4, 0.91, 60, $5, $6,"
            " $7, 'tier1-1', $8, $9, $10, 'tier1', 'not a signature', $1, '{}',"
            " $11::timestamptz, $11::timestamptz + interval '10 minutes', $11::timestamptz)",
            f"pred_room_{at}",
            FAILING,
            REGION,
            12.5 if at == 0 else 98.2,
            "Three failures in a row; it would be trusted with at most 2 in the last 15 minutes.",
            ["low_success_rate"] if at == 0 else [],
            "failover" if at == 0 else "monitor",
            {"p10": 2.0, "p50": 12.5, "p90": 30.0}
            if at == 0
            else {"p10": 95.0, "p50": 98.2, "p90": 99.6},
            {
                "contributions": [
                    {"name": "payout", "log_odds": 6.2},
                    {"name": "active_probe", "log_odds": 1.4},
                    {"name": "usual", "log_odds": -5.1},
                ],
                "n_eff": 120.0,
                "recent_attempts": 9,
                "recent_failures": 6 if at == 0 else 0,
                "stays_with": 2,
            },
            0.96 if at == 0 else 0.002,
            begins,
        )


async def _payouts(connection: asyncpg.Connection[Any], now: datetime) -> None:
    destination = {
        "type": "bank_account",
        "holder": "Boutique Sandaga",
        "iban": "SN08SN0100152000048500003035",
        "country": "SN",
    }
    states = ["pending", "pending", "scheduled", "in_transit", "pending"]
    held_by = [FAILING, BETTER, FAILING, BETTER, FAILING]
    for number, (state, bank) in enumerate(zip(states, held_by, strict=True)):
        await connection.execute(
            "insert into payments.payouts (merchant_id, id, state, amount, currency, occurred_at,"
            " version, origin, asked_as, bank_profile_id, treasury_account_id, destination,"
            " scheduled_for, cutoff, reference_code, gross) values ('merchant-123', $1, $2,"
            " 50000, 'XOF', $3, 2, 'molam', 'schedule', $4, $5, $6, $3, $3, $7, 50000)",
            f"po_room_{number}",
            state,
            now - timedelta(minutes=30),
            bank,
            f"ta_{bank.removeprefix('bp_')}_xof",
            destination,
            f"PO-ROOM-{number}",
        )


async def _proposals(connection: asyncpg.Connection[Any], now: datetime) -> None:
    for id_, status, age in ((OPEN_PROPOSAL, "simulated", 2), (APPLIED_PROPOSAL, "applied", 20)):
        created = now - timedelta(minutes=age)
        await connection.execute(
            "insert into mesh.mesh_routing_proposals (id, mesh_region_id, currency, rail, proposal,"
            " status, from_bank_id, to_bank_id, kind, confidence, p_down, simulation_results,"
            " simulated_at, created_by, sira_signature, token_id, policy_id, policy_version,"
            " created_at, expires_at, applied_at, shift_share) values ($1, $2, 'XOF', 'bank', $3,"
            " $4, $5, $6, 'failover', 0.93, 0.997, $7, $8, 'sira', 'not a signature', $1,"
            " 'policy_cedeao', 1, $8, $9, $10, $11)",
            id_,
            REGION,
            PROPOSAL,
            status,
            FAILING,
            BETTER,
            SIMULATION,
            created,
            created + timedelta(hours=1),
            created + timedelta(minutes=1) if status == "applied" else None,
            100 if status == "applied" else 0,
        )


async def _what_was_done(connection: asyncpg.Connection[Any], now: datetime) -> None:
    done = now - timedelta(minutes=19)
    await connection.execute(
        "insert into mesh.mesh_action_logs (id, action_type, mesh_region_id, routing_proposal_id,"
        " payload_hash, actor_type, actor_id, affected_payouts, affected_count, affected_value,"
        " affected_bank_profiles, result, timings, started_at, completed_at, duration_ms,"
        " idempotency_key, created_at) values ($1, 'apply_route', $2, $3, '\\x00', 'policy_engine',"
        " 'mesh-controller', $4, 2, 400000, $5, 'success', $6, $7, $7, 41, 'apply-routing-room',"
        " $7)",
        ACTION_LOG,
        REGION,
        APPLIED_PROPOSAL,
        ["po_room_1", LATE_PAYOUT],
        [FAILING, BETTER],
        {"locked_ms": 2, "moved_ms": 30},
        done,
    )
    rows = [
        ("rec_done", "po_room_1", "matched", done + timedelta(hours=1), 25),
        ("rec_late", LATE_PAYOUT, "pending", now - timedelta(minutes=5), None),
    ]
    for id_, payout, status, promised, delta in rows:
        await connection.execute(
            "insert into mesh.mesh_reconciliations (id, payout_id, merchant_id, mesh_region_id,"
            " original_bank_profile_id, rerouted_bank_profile_id, routing_proposal_id,"
            " action_log_id, original_amount, original_currency, rerouted_amount,"
            " rerouted_currency, original_estimated_cost, rerouted_estimated_cost, actual_cost,"
            " cost_delta, promised_settlement, actual_settlement, settlement_delta_seconds,"
            " version_before, version_after, reconciliation_status, outcome, created_at,"
            " reconciled_at) values ($1, $2, 'merchant-123', $3, $4, $5, $6, $7, 200000, 'XOF',"
            " 200000, 'XOF', 300, 450, $8, $9, $10, $11, $12, 1, 2, $13, null, $14, $11)",
            id_,
            payout,
            REGION,
            FAILING,
            BETTER,
            APPLIED_PROPOSAL,
            ACTION_LOG,
            450 if delta else None,
            150 if delta else None,
            promised,
            done + timedelta(minutes=3) if delta else None,
            -3_420 if delta else None,
            status,
            done,
        )


async def _what_came_of_it(connection: asyncpg.Connection[Any], now: datetime) -> None:
    """Heartbeats that stopped, intervals that held, and a move that was judged."""
    await connection.execute(
        "insert into mesh.heartbeats (bank_profile_id, last_at, gaps, silent_since)"
        " values ($1, $3, array_fill(60::float8, array[30]), $3), ($2, $4, '{58, 62}', null)"
        " on conflict (bank_profile_id) do nothing",
        FAILING,
        BETTER,
        now - timedelta(minutes=9),
        now - timedelta(seconds=40),
    )
    await connection.execute(
        "insert into mesh.interval_states (bank_profile_id, rail, currency, alpha, judged, held,"
        " judged_upto) values ($1, 'bank', 'XOF', 0.19, 200, 162, $2) on conflict do nothing",
        BETTER,
        now,
    )
    await connection.execute(
        "insert into mesh.move_outcomes (proposal_id, applied_at, is_automatic, is_drill, raw,"
        " confidence, from_seen, from_failed, to_seen, to_failed, outcome)"
        " values ($1, $2, true, false, 0.9812, 0.93, 60, 41, 180, 1, 'right')",
        APPLIED_PROPOSAL,
        now - timedelta(hours=2),
    )
