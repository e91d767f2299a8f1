"""Kill switches: where nothing happens by itself any more, at once."""

from __future__ import annotations

from collections.abc import Sequence

from molam.kernel.refusals import Kind, Refusal
from molam.mesh.members import policies, policy_store, queries, regions, trail
from molam.mesh.members import policy_store as store
from molam.mesh.members.policy_store import SwitchRow
from molam.mesh.members.trail import By
from molam.platform.db import Tx

GLOBAL = "global"
REASON_LENGTH_MAX = 500
_SWITCHES_MAX = 500

# Note [To stop tightens]
#
# One person may stop the mesh, at once, and everybody sees it. To let it act again is to
# loosen, so two others have to agree to that.


class ScopeRefused(Refusal):
    code = "mesh-scope-refused"
    kind = Kind.BROKEN_RULE
    title = "There is no such thing to stop"


class SwitchNotEngaged(Refusal):
    code = "mesh-switch-not-engaged"
    kind = Kind.CONFLICT
    title = "This switch is not engaged"


async def engaged(
    tx: Tx, region_id: str, *, bank_ids: Sequence[str] = (), policy_id: str | None = None
) -> SwitchRow | None:
    """
    Find the widest switch that is engaged for these, if any, and keep it so until *tx* ends.

    Whoever is about to act asks in the transaction that acts: a switch that somebody
    engages meanwhile waits for that to commit, and nobody acts after it. *bank_ids* are
    ids of banks; the switches of members are found by their bank.
    """
    scopes = [GLOBAL, f"region:{region_id}"]
    if policy_id is not None:
        scopes.append(f"policy:{policy_id}")
    await tx.one(store.SHARE_SWITCHES)
    return await tx.one(
        store.FIND_ENGAGED, scopes=scopes, region_id=region_id, bank_ids=list(bank_ids)
    )


async def put(tx: Tx, scope: str, *, is_engaged: bool, reason: str, by: By) -> bool:
    """Engage or release a switch, and record it; return whether that changed it."""
    changed = await turn(tx, scope, is_engaged=is_engaged, reason=reason, by=by.actor.id)
    if changed:
        event = "mesh_switch.engaged" if is_engaged else "mesh_switch.released"
        data = {"scope": scope, "reason": reason}
        await trail.record(tx, await region_of(tx, scope), event, data, by=by)
    return changed


async def turn(tx: Tx, scope: str, *, is_engaged: bool, reason: str, by: str) -> bool:
    """Engage or release a switch for whoever records it; return whether that changed it."""
    await tx.one(policy_store.LOCK_SWITCHES)
    return bool(
        await tx.run(store.PUT_SWITCH, scope=scope, is_engaged=is_engaged, reason=reason, by=by)
    )


async def region_of(tx: Tx, scope: str) -> str | None:
    """
    Find the region that *scope* lies in; None for the global one.

    Raises:
        ScopeRefused: it names nothing that exists.
    """
    kind, _, id_ = scope.partition(":")
    try:
        match kind:
            case "global" if scope == GLOBAL:
                return None
            case "region":
                return (await regions.get(tx, id_)).id
            case "member":
                return (await queries.get_member(tx, id_)).mesh_region_id
            case "policy":
                return (await policies.get(tx, id_)).mesh_region_id
    except Refusal as refusal:
        raise ScopeRefused(f"Nothing is called {scope[:64]!r}.") from refusal
    raise ScopeRefused(
        "A scope is global, region:<id>, member:<id> or policy:<id>.", scope=scope[:64]
    )


async def name_of(tx: Tx, scope: str) -> str:
    """Say what *scope* is called; itself where nothing has that id any more."""
    kind, _, id_ = scope.partition(":")
    try:
        match kind:
            case "region":
                return (await regions.get(tx, id_)).name
            case "member":
                return (await queries.get_member(tx, id_)).bank_name
            case "policy":
                return (await policies.get(tx, id_)).name
    except Refusal:
        pass
    return scope


async def canonical(tx: Tx, scope: str) -> str:
    """
    Write a scope by its id, where a region was named.

    Raises:
        ScopeRefused: it names nothing that exists.
    """
    region = await region_of(tx, scope)
    return f"region:{region}" if scope.startswith("region:") else scope


async def listed(tx: Tx) -> list[SwitchRow]:
    """List the switches that anybody ever touched, those that are engaged first."""
    return await tx.all(store.LIST_SWITCHES, limit=_SWITCHES_MAX)


async def find(tx: Tx, scope: str) -> SwitchRow | None:
    return await tx.one(store.FIND_SWITCH, scope=scope)
