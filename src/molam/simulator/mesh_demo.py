"""The demo's mesh: which banks stand in for one another, and what money we have there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.ledger import commands as ledger
from molam.mesh.members import store
from molam.mesh.members.model import Capabilities, MemberRole
from molam.platform.db import Database, Tx

REGION = "region_cedeao"


@dataclass(frozen=True, slots=True)
class DemoMember:
    """A bank's place in the mesh. *funds* are what we keep there, in minor units."""

    bank: str
    role: MemberRole
    prefer_order: int
    currency: str
    max_amount: int
    daily_limit: int
    funds: int
    domains: tuple[str, ...]
    hours: int = 24
    crosses_borders: bool = True


_DAKAR, _TELECOM_SN, _TELECOM_CI = "core:host-dakar-a", "telecom:sn", "telecom:ci"

# Banque du Plateau and Banque du Trésor Ouest run on one host: they fail together.
MEMBERS = (
    DemoMember(
        "bp_123", "primary", 10, "XOF", 50_000_000, 2_000_000_000, 180_000_000,
        (_DAKAR, _TELECOM_SN),
    ),
    DemoMember(
        "bp_teranga", "secondary", 20, "XOF", 30_000_000, 1_500_000_000, 150_000_000,
        ("core:host-dakar-b", _TELECOM_SN),
    ),
    DemoMember(
        "bp_lagune", "tertiary", 30, "XOF", 25_000_000, 1_000_000_000, 120_000_000,
        ("core:host-abidjan", _TELECOM_CI),
    ),
    DemoMember(
        "bp_tresor", "member", 40, "XOF", 500_000_000, 5_000_000_000, 400_000_000,
        (_DAKAR, _TELECOM_SN), hours=48,
    ),
    DemoMember(
        "bp_wave_sn", "member", 100, "XOF", 2_000_000, 500_000_000, 60_000_000,
        ("core:wave", _TELECOM_SN), hours=1,
    ),
    DemoMember(
        "bp_orange_sn", "member", 110, "XOF", 2_000_000, 500_000_000, 60_000_000,
        ("core:orange-sn", _TELECOM_SN), hours=1,
    ),
    DemoMember(
        "bp_mtn_ci", "member", 120, "XOF", 2_000_000, 300_000_000, 40_000_000,
        ("core:mtn-ci", _TELECOM_CI), hours=1,
    ),
    DemoMember(
        "bp_moov_ci", "member", 130, "XOF", 2_000_000, 300_000_000, 40_000_000,
        ("core:moov-ci", _TELECOM_CI), hours=1,
    ),
    DemoMember(
        "bp_free_sn", "member", 140, "XOF", 2_000_000, 200_000_000, 30_000_000,
        ("core:free-sn", _TELECOM_SN), hours=1,
    ),
    DemoMember(
        "bp_volta", "primary", 10, "GHS", 50_000_000, 1_000_000_000, 250_000_000,
        ("core:host-accra", "telecom:gh"), crosses_borders=False,
    ),
    DemoMember(
        "bp_marina", "primary", 10, "NGN", 5_000_000_000, 90_000_000_000, 20_000_000_000,
        ("core:host-lagos", "telecom:ng"), crosses_borders=False,
    ),
)  # fmt: skip


async def seed_mesh(db: Database, now: Instant) -> int:
    """
    Let the demo's banks be members of their region, with money of ours on their accounts.

    Safe to repeat; what exists stays. Returns how many members are new.
    """
    added = 0
    for member in MEMBERS:
        async with db.transaction("simulator.seed_mesh") as tx:
            if await _put(tx, member):
                added += 1
                await _fund(tx, [member], now)
    return added


async def _put(tx: Tx, member: DemoMember) -> bool:
    id_ = f"mm_{member.bank.removeprefix('bp_')}"
    if await tx.one(store.FIND_MEMBER_OF, region_id=REGION, bank_profile_id=member.bank):
        return False
    capabilities = Capabilities(
        max_amount_per_txn=member.max_amount,
        daily_volume_limit=member.daily_limit,
        supported_currencies=(member.currency,),
        cross_border_enabled=member.crosses_borders,
        settlement_time_hours=member.hours,
    )
    await tx.run(
        store.PUT_MEMBER,
        id=id_,
        region_id=REGION,
        bank_profile_id=member.bank,
        role=member.role,
        prefer_order=member.prefer_order,
        capabilities=msgspec.to_builtins(capabilities),
        failure_domains=list(member.domains),
        ops_action_id=None,
        created_by="system",
    )
    await tx.run(
        store.SET_MEMBER,
        id=id_,
        status="active",
        kyc_verified=True,
        contract_signed=True,
        compliance_status="approved",
        ops_action_id=None,
    )
    return True


async def _fund(tx: Tx, members: Sequence[DemoMember], now: Instant) -> None:
    """Begin with money at the bank: what lies there is the other side of its account."""
    transfers = [
        {
            "id": str(uuid8(f"demo/{each.bank}/{each.currency}/funds")),
            "source": ledger.at_bank(each.bank),
            "target": f"treasury:opening:{each.bank}",
            "amount": each.funds,
            "currency": each.currency,
            "cause": "bank_opening",
            "cause_id": f"{each.bank}:{each.currency}",
            "occurred_at": now.isoformat(),
        }
        for each in members
    ]
    await ledger.post_transfers(tx, msgspec.json.encode(transfers).decode())
