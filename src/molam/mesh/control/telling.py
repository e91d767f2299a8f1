"""Whom the controller tells that it needs people."""

from __future__ import annotations

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid8
from molam.mesh import permissions
from molam.mesh.control.looking import Scope
from molam.mesh.control.world import HEALTHY_BELOW, Shift, World
from molam.notices import commands as notices
from molam.notices.model import Kind, Notice
from molam.platform.db import Tx
from molam.tenancy import queries as tenancy

_ROLES = [permissions.OPS_ADMIN, permissions.TREASURY]


async def people(tx: Tx) -> list[str]:
    """List who answers for routes."""
    return sorted({each.person_id for each in await tenancy.electors_of(tx, _ROLES)})


async def frozen(tx: Tx, scope: Scope, world: World) -> None:
    """Tell, once an incident, that banks fail together and nothing is moved."""
    ill = [each for each in world.banks if each.p_down >= HEALTHY_BELOW]
    begun = min((each.degraded_since or world.at for each in ill), default=world.at)
    incident = uuid8(f"{scope.region_id}/{scope.currency}/{scope.rail}/{int(begun)}")
    names = ", ".join(sorted(each.id for each in ill))
    await notices.tell(
        tx,
        Notice(
            kind=Kind.MESH_FROZEN,
            key=f"mesh-frozen/{incident.hex}",
            people=await people(tx),
            subject=f"mesh/{scope.region_id}",
            link="/mesh",
            facts={
                "title": {
                    "fr": f"{scope.currency}, {len(ill)} banques",
                    "en": f"{scope.currency}, {len(ill)} banks",
                },
                "target": names[:200],
            },
            urgent=True,
        ),
    )


async def halted(tx: Tx, scope: Scope, shift: Shift, *, suffers: bool, at: Instant) -> None:
    """Tell, each time it happens, that a gradual shift goes no further until people decide."""
    why = {
        True: ("la banque d'arrivée échoue", "the bank it goes to fails"),
        False: ("la banque quittée va bien de nouveau", "the bank it leaves is well again"),
    }[suffers]
    await notices.tell(
        tx,
        Notice(
            kind=Kind.SHIFT_HALTED,
            key=f"shift-halted/{shift.proposal_id}/{at.timestamp():.3f}"[:200],
            people=await people(tx),
            subject=f"mesh/{scope.region_id}",
            link=f"/proposals/{shift.proposal_id}",
            facts={
                "title": {
                    "fr": f"{scope.currency}, à {shift.share}\u00a0%, {why[0]}",
                    "en": f"{scope.currency}, at {shift.share} %, {why[1]}",
                },
                "target": f"{shift.from_bank_id or ''} → {shift.to_bank_id}",
            },
            urgent=suffers,
        ),
    )


async def practice_failed(tx: Tx, proposal_id: str, bank_id: str, bank_name: str) -> None:
    """Tell, once for each practice, that a bank that would stand in does not work."""
    await notices.tell(
        tx,
        Notice(
            kind=Kind.MESH_PRACTICE_FAILED,
            key=f"mesh-practice/{proposal_id}",
            people=await people(tx),
            subject=f"mesh/{bank_id}",
            link="/mesh",
            facts={"title": {"fr": bank_name, "en": bank_name}},
            urgent=True,
        ),
    )


async def overdue(tx: Tx, *, payouts: int, first_id: str) -> None:
    """Tell, once for each batch, that payouts are not paid when their new bank promised."""
    await notices.tell(
        tx,
        Notice(
            kind=Kind.RECONCILIATION_OVERDUE,
            key=f"mesh-overdue/{first_id}",
            people=await people(tx),
            subject="mesh/reconciliations",
            link="/mesh/reconciliations",
            facts={
                "title": {"fr": f"{payouts} versements", "en": f"{payouts} payouts"},
            },
            urgent=True,
        ),
    )
