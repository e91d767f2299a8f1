"""A region whose banks differ in fees, health, limits and money, and payouts that wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from builders import a_merchant
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.kernel.clock import SystemClock
from molam.ledger import commands as ledger
from molam.ledger.commands import OwnTransfer
from molam.mesh.routing import commands, queries
from molam.mesh.routing.model import Simulation, Wanted
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.platform.actions import Registry
from molam.platform.db import Database
from molam.platform.settings import Secret
from molam.sira import health_filter as filter_

KEY = Secret("r" * 48)
REGION = "region_cedeao"
MERCHANT = "merchant-123"
A, B, C = "bank_a", "bank_b", "bank_c"
WANTED = Wanted(mesh_region_id=REGION, currency="XOF")


def mesh_on(db: Database, **fields: Any) -> Mesh:
    known = Registry(())
    runtime = Runtime(db, known, PolicyBook(known), "tests")
    usual = {"signing_key": KEY, "clock": SystemClock(), "approvals": runtime, "region": "CEDEAO"}
    return Mesh(**{**usual, **fields})


async def sql(db: Database, statement: str, *args: object) -> list[tuple[Any, ...]]:
    async with db.transaction("tests.sql") as tx:
        return [tuple(row) for row in await tx.connection.fetch(statement, *args)]


async def a_region(db: Database) -> None:
    """
    Three banks for transfers in francs, with a route through all of them.

    A is preferred and charges 300. B charges 250 and 0.1 %. C charges 320.
    """
    await a_merchant(db, id_=MERCHANT)
    await a_bank(db, A, flat=300, order=1, role="primary")
    await a_bank(db, B, flat=250, percent="0.1", order=2, role="secondary")
    await a_bank(db, C, flat=320, order=3, role="tertiary")
    await a_route(db, (A, B, C))


async def a_route(db: Database, banks: Sequence[str], *, currency: str = "XOF") -> None:
    await sql(
        db,
        "insert into payments.bank_routes (currency, rail, bank_profile_ids, cause)"
        " values ($1, 'bank', $2, 'tests')",
        *(currency, list(banks)),
    )


async def a_bank(db: Database, id_: str, **terms: Any) -> None:
    """A bank and its membership; *terms* may change any of what follows."""
    known: dict[str, Any] = {
        "region": REGION,
        "country": "SN",
        "currencies": ["XOF"],
        "rails": ["bank"],
        "flat": 0,
        "percent": "0",
        "fees": {},
        "delay": 600,
        "connector": "http_bank",
        "cut_off": None,
        "role": "member",
        "order": 100,
        "status": "active",
        "capabilities": {},
        "domains": [],
        "kyc": True,
        "contract": True,
        "compliance": "approved",
        "in_use": True,
        "account": True,
    }
    assert terms.keys() <= known.keys()
    has = {**known, **terms}
    await sql(
        db,
        "insert into payments.bank_profiles (id, name, country, currency_codes, rails,"
        " provider_type, status, enabled, connector, fees, flat_fee, percent_fee, avg_delay_sec,"
        " cut_off) values ($1, $2, $3, $4, $5, 'bank', 'active', $6, $7, $8, $9, $10::text::numeric,"
        " $11, $12::text::time)",
        *(id_, id_.replace("_", " ").title(), has["country"], has["currencies"], has["rails"]),
        *(has["in_use"], has["connector"], has["fees"], has["flat"], has["percent"]),
        *(has["delay"], has["cut_off"]),
    )
    for currency in has["currencies"] if has["account"] else ():
        await sql(
            db,
            "insert into payments.treasury_accounts (id, bank_profile_id, account_reference,"
            " currency) values ($1, $2, $1, $3)",
            *(f"ta_{id_}_{currency}", id_, currency),
        )
    capabilities = {
        "max_amount_per_txn": 10_000_000,
        "daily_volume_limit": 100_000_000,
        "supported_currencies": ["XOF", "GHS"],
        **has["capabilities"],
    }
    await sql(
        db,
        "insert into mesh.mesh_members (id, mesh_region_id, bank_profile_id, role, prefer_order,"
        " status, capabilities, failure_domains, kyc_verified, contract_signed, compliance_status)"
        " values ('mm_' || $1, $2, $1, $3, $4, $5, $6, $7, $8, $9, $10)",
        *(id_, has["region"], has["role"], has["order"], has["status"], capabilities),
        *(has["domains"], has["kyc"], has["contract"], has["compliance"]),
    )


async def believed(db: Database, bank: str, *, failures: int = 0, oks: int = 300) -> None:
    """What a bank's signals have shown: *oks* in five hours, then *failures* in a row."""
    now = datetime.now(UTC).timestamp()
    belief = filter_.fresh()
    for at in range(oks):
        belief = filter_.observe(belief, 0.0, now - 60 * (oks - at))
    for at in range(failures):
        belief = filter_.observe(belief, 1.0, now - (failures - at))
    await sql(
        db,
        "insert into mesh.member_health (bank_profile_id, rail, currency, belief, p_down, score,"
        " score_low, score_high, signals) values ($1, 'bank', 'XOF', $2, $3, 50, 40, 60, $4)"
        " on conflict (bank_profile_id, rail, currency) do update set belief = excluded.belief,"
        " p_down = excluded.p_down",
        *(bank, msgspec.to_builtins(belief), filter_.p_down(belief), oks + failures),
    )


async def begin_books(db: Database, bank: str, balance: int) -> None:
    """Our account at *bank* has books, and *balance* on it."""
    async with db.transaction("tests.begin_books") as tx:
        await tx.connection.execute(
            "insert into payments.books (bank_profile_id, currency, opening, begins_on)"
            " values ($1, 'XOF', 0, current_date) on conflict do nothing",
            bank,
        )
        await ledger.post(
            tx,
            [
                OwnTransfer(
                    id=uuid4(),
                    source=ledger.at_bank(bank),
                    target="equity:opening",
                    amount=balance,
                    currency="XOF",
                    cause="bank_opening",
                    cause_id=bank,
                    occurred_at=datetime.now(UTC),
                )
            ],
        )


async def payouts(
    db: Database,
    count: int,
    *,
    bank: str | None = A,
    amount: int = 20_000,
    prefix: str = "po_",
    state: str = "pending",
    country: str = "SN",
    attempts: int = 0,
) -> None:
    """*count* payouts that wait at *bank*; they belong to no balance."""
    async with db.transaction("tests.payouts") as tx:
        await tx.connection.execute(
            "insert into payments.payouts (merchant_id, id, state, amount, currency, occurred_at,"
            " version, origin, asked_as, destination, scheduled_for, cutoff, reference_code, gross,"
            " bank_profile_id, treasury_account_id, created_by, attempts, held_reason)"
            " select $1, $2 || lpad(n::text, 7, '0'), $3, $4, 'XOF', now(), 1, 'molam', 'schedule',"
            " jsonb_build_object('type', 'bank_account', 'holder', 'Awa Diop', 'country', $5::text,"
            " 'account_number', 'SN0001', 'bic', 'AAAASNDA'), now(), now(), $2 || n, $4, $6,"
            " 'ta_' || $6 || '_XOF', 'tests', $8, case when $3 = 'held' then 'no_route' end"
            " from generate_series(1, $7) as n",
            *(MERCHANT, prefix, state, amount, country, bank, count, attempts),
        )


async def propose(db: Database, mesh: Mesh, **wanted: Any) -> ProposalRow:
    async with db.transaction("tests.propose") as tx:
        return await commands.propose(tx, mesh, replace(WANTED, **wanted))


async def stored(db: Database, proposal_id: str) -> ProposalRow:
    async with db.transaction("tests.stored") as tx:
        return await queries.get(tx, proposal_id)


async def simulate(db: Database, mesh: Mesh, proposal: ProposalRow) -> Simulation:
    async with db.transaction("tests.simulate") as tx:
        return await commands.simulate(tx, mesh, proposal.id)


def order_of(row: ProposalRow) -> list[str]:
    return [step["bank_profile_id"] for step in row.proposal["sequence"]]


def why_not(row: ProposalRow) -> dict[str, str]:
    """Each bank that may not carry, and the code of the reason."""
    return {each["bank_profile_id"]: each["why"]["code"] for each in row.proposal["excluded"]}
