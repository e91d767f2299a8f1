"""A region with banks, payouts that wait at one of them, and proposals that are really signed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from builders import a_merchant, a_person
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.entrypoints.registry import registry
from molam.kernel.clock import SystemClock
from molam.mesh.control import commands
from molam.mesh.control.model import Actor, Applied
from molam.mesh.members import policies
from molam.mesh.routing import store as routing_store
from molam.mesh.routing.content import content_of
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.payments.banks import gates
from molam.payments.banks.gates import Gate
from molam.platform.db import Database
from molam.platform.settings import Secret
from molam.sira import health_filter
from molam.sira.content import sign_content

KEY = Secret("k" * 48)
REGION = "region_cedeao"
MERCHANT = "merchant-123"
A, B, C = "bank_a", "bank_b", "bank_c"
PEOPLE = {"ops-admin-1": ("ops_admin",), "ops-admin-2": ("ops_admin",), "binta": ("treasury_ops",)}
AUTO = Actor("policy_engine", "mesh-controller")
PEOPLES = Actor("user", "ops-admin-2")


def mesh_on(db: Database, **fields: Any) -> Mesh:
    known = registry()
    runtime = Runtime(db, known, PolicyBook(known), "tests")
    return Mesh(
        **{
            "signing_key": KEY,
            "clock": SystemClock(),
            "approvals": runtime,
            "region": "CEDEAO",
            **fields,
        }
    )


async def sql(db: Database, statement: str, *args: object) -> list[tuple[Any, ...]]:
    async with db.transaction("tests.sql") as tx:
        return [tuple(row) for row in await tx.connection.fetch(statement, *args)]


async def one(db: Database, statement: str, *args: object) -> Any:
    rows = await sql(db, statement, *args)
    return rows[0][0] if rows else None


async def a_region(
    db: Database,
    banks: Sequence[str] = (A, B, C),
    *,
    daily: int = 10**12,
    largest: int = 10**9,
) -> None:
    """CEDEAO with *banks* as members, a route through all of them, and a merchant in Dakar."""
    await a_merchant(db, id_=MERCHANT)
    for place, bank in enumerate(banks):
        await a_bank(db, bank, place=place, daily=daily, largest=largest)
    await sql(
        db,
        "insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)"
        " values ('XOF', 'bank', $1, 'tests')",
        list(banks),
    )


async def a_bank(
    db: Database,
    bank: str,
    *,
    place: int = 0,
    daily: int = 10**12,
    largest: int = 10**9,
    country: str = "SN",
) -> None:
    """A member of CEDEAO that carries transfers in francs, with an account of ours."""
    await sql(
        db,
        "insert into payments.bank_profiles (id, name, country, currency_codes, rails, provider_type,"
        " status, enabled, connector, flat_fee, percent_fee, avg_delay_sec)"
        " values ($1, $1, $2, '{XOF}', '{bank}', 'bank', 'active', true, 'http_bank', $3, 1, 600)",
        *(bank, country, 100 + 10 * place),
    )
    await sql(
        db,
        "insert into payments.treasury_accounts (id, bank_profile_id, account_reference, currency)"
        " values ($1, $2, $1, 'XOF')",
        *(f"ta_{bank}", bank),
    )
    await sql(
        db,
        "insert into mesh.mesh_members (id, mesh_region_id, bank_profile_id, prefer_order, status,"
        " capabilities, kyc_verified, contract_signed, compliance_status)"
        " values ('mm_' || $1, 'region_cedeao', $1, $2, 'active', $3, true, true, 'approved')",
        *(bank, place + 1),
        {
            "max_amount_per_txn": largest,
            "daily_volume_limit": daily,
            "supported_currencies": ["XOF"],
        },
    )


_PAYOUTS = """
    insert into payments.payouts
           (merchant_id, id, state, amount, currency, occurred_at, version, origin, asked_as, destination,
            scheduled_for, cutoff, reference_code, gross, bank_profile_id, treasury_account_id, created_by)
    select $1, $2 || lpad(n::text, 7, '0'), $3, $4, 'XOF', now(), 1, 'molam', 'schedule',
           jsonb_build_object('type', 'bank_account', 'holder', 'Awa Diop', 'country', $5::text,
                              'account_number', 'SN0001', 'bic', 'AAAASNDA'),
           now(), now(), $2 || n, $4, $6, $7, 'tests'
      from generate_series(1, $8) as n
"""


async def payouts(
    db: Database,
    count: int,
    *,
    bank: str | None = A,
    amount: int = 10_000,
    prefix: str = "po_",
    state: str = "pending",
    country: str = "SN",
) -> None:
    """*count* payouts that wait at *bank*; they belong to no balance."""
    account = None if bank is None else f"ta_{bank}"
    await sql(db, _PAYOUTS, MERCHANT, prefix, state, amount, country, bank, account, count)


async def a_proposal(
    db: Database,
    mesh: Mesh,
    *,
    to: Sequence[str] = (B, C),
    leaves: str | None = A,
    status: str = "approved",
    kind: str = "failover",
    **fields: Any,
) -> ProposalRow:
    """A proposal, signed over all it says, in the state that *status* names."""
    now = datetime.now(UTC)
    async with db.transaction("tests.a_proposal") as tx:
        policy = await policies.effective(tx, REGION, mesh)
        row = ProposalRow(
            **{
                "id": f"pr_{secrets.token_hex(6)}",
                "mesh_region_id": REGION,
                "currency": "XOF",
                "rail": "bank",
                "min_amount": 0,
                "max_amount": None,
                "proposal": {"sequence": [{"bank_profile_id": each} for each in to]},
                "status": "proposed",
                "from_bank_id": leaves,
                "to_bank_id": to[0],
                "kind": kind,
                "confidence": Decimal("0.9700"),
                "p_down": 0.995,
                "simulation_results": None,
                "simulated_at": None,
                "created_by": "sira",
                "policy_id": policy.id,
                "policy_version": policy.version,
                "shift_share": 0,
                "created_at": now,
                "expires_at": (now + timedelta(hours=1)).replace(microsecond=0),
                "sira_signature": "",
                "token_id": "",
                **dict.fromkeys(
                    [
                        "reviewed_by",
                        "reviewed_at",
                        "applied_at",
                        "rolled_back_at",
                        "rollback_reason",
                        "rejected_reason",
                        "ops_action_id",
                        "rollback_action_id",
                        "shift_due_at",
                        "last_failure",
                    ]
                ),
                **fields,
            }
        )
        signed = sign_content(
            "proposal", content_of(row), key=mesh.signing_key, now=now, ttl_s=3600
        )
        row = replace(row, sira_signature=signed.token, token_id=signed.token_id)
        wanted = {name: getattr(row, name) for name in routing_store.INSERT_PROPOSAL.names}
        wanted["confidence"] = str(row.confidence)
        made = await tx.one(routing_store.INSERT_PROPOSAL, **wanted)
        assert made is not None
        for step in {"proposed": (), "simulated": ("simulated",), "approved": ("approved",)}[
            status
        ]:
            await tx.connection.execute(
                "update mesh.mesh_routing_proposals set status = $2, simulated_at = now()"
                " where id = $1",
                *(row.id, step),
            )
    return replace(row, status=status)


async def apply(
    db: Database, mesh: Mesh, proposal: ProposalRow, *, actor: Actor = PEOPLES, share: int = 100
) -> Applied:
    return await commands.apply_now(db, mesh, proposal.id, actor=actor, share=share)


async def where(db: Database, prefix: str = "po_") -> dict[str | None, int]:
    """How many waiting payouts each bank holds."""
    rows = await sql(
        db,
        "select bank_profile_id, count(*)::int from payments.payouts where id like $1 || '%'"
        " group by 1",
        prefix,
    )
    return dict(rows)  # type: ignore[arg-type]


async def image(db: Database) -> list[tuple[Any, ...]]:
    """All that a rollback must give back, payout by payout."""
    return await sql(
        db,
        "select id, bank_profile_id, treasury_account_id, state from payments.payouts order by id",
    )


async def is_open(db: Database, bank: str, amount: int = 10_000) -> bool:
    async with db.transaction("tests.is_open") as tx:
        return await gates.share(tx, Gate(bank, "bank", "XOF"), amount)


async def set_gate(db: Database, bank: str, *, is_open: bool) -> None:
    async with db.transaction("tests.set_gate") as tx:
        change = gates.open_ if is_open else gates.close
        await change(tx, Gate(bank, "bank", "XOF"), cause="tests")


async def let_it_act(db: Database) -> None:
    """A policy under which the controller acts alone."""
    await sql(db, "update mesh.mesh_regions set auto_failover_enabled = true where id = $1", REGION)
    await sql(
        db,
        "update mesh.mesh_policies set mode = 'auto', rules = rules || $2 where mesh_region_id = $1",
        *(REGION, {"auto_failover_enabled": True}),
    )


async def people(db: Database) -> None:
    for id_, roles in PEOPLE.items():
        await a_person(db, id_=id_, name=id_.title(), roles=roles, merchant_id=None)


async def feel(
    db: Database, bank: str, *, failures: float = 0, oks: float = 2000, probes_ok: int = 0
) -> float:
    """Let *bank* be believed what so many payouts would make one believe; returns P(DOWN)."""
    at = datetime.now(UTC).timestamp()
    belief = health_filter.observe_many(
        health_filter.fresh(0.005), failures=0, oks=oks, at=at - 7200
    )
    if failures:
        belief = health_filter.observe_many(belief, failures=failures, oks=0, at=at)
    else:
        belief = health_filter.observe_many(belief, failures=0, oks=20, at=at)
    p_down = health_filter.p_down(belief)
    await sql(
        db,
        "insert into mesh.member_health (bank_profile_id, rail, currency, belief, p_down, score,"
        " score_low, score_high, probes_ok_in_row) values ($1, 'bank', 'XOF', $2, $3, 90, 80, 99, $4)"
        " on conflict (bank_profile_id, rail, currency) do update set belief = excluded.belief,"
        " p_down = excluded.p_down, probes_ok_in_row = excluded.probes_ok_in_row",
        *(bank, msgspec.to_builtins(belief), p_down, probes_ok),
    )
    return p_down
