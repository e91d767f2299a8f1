"""What is looked at again, under the locks, before a route is applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from molam.mesh.control import log_store, store
from molam.mesh.control.model import (
    Actor,
    AlreadyUsed,
    NobodyTakes,
    NotApproved,
    PolicyMoved,
    Stopped,
)
from molam.mesh.control.plan import Band, Target, bands_of, cut
from molam.mesh.control.store import StandingRow
from molam.mesh.federation.model import Way
from molam.mesh.members import policies, regions, switches
from molam.mesh.members.model import MemberRow
from molam.mesh.members.policies import Policy
from molam.mesh.routing import reach
from molam.mesh.routing.content import content_of
from molam.mesh.routing.model import ProposalExpired, ProposalNotInState
from molam.mesh.routing.store import ProposalRow
from molam.mesh.runtime import Mesh
from molam.payments.banks import gates
from molam.payments.banks.gate_store import GateRow
from molam.platform.db import Tx
from molam.sira.content import verify_content

SEQUENCE_MAX = 3
_UNBOUNDED = 2**62


@dataclass(frozen=True, slots=True)
class Wish:
    """Whose route is to be applied, and how much of the value is to have moved after it."""

    row: ProposalRow
    actor: Actor
    share: int


@dataclass(frozen=True, slots=True)
class Caps:
    """What one application may move by itself; people who voted are not bound by it."""

    value_max: int = _UNBOUNDED
    each_max: int | None = None


def check_state(wish: Wish, standing: StandingRow) -> None:
    """
    Raises:
        ProposalNotInState: it was decided otherwise, or has moved as much already.
        NotApproved: it takes people's votes, and has none; or was never simulated.
        ProposalExpired: it was not applied in time.
    """
    status, is_next_step = standing.status, standing.status == "applied"
    if status in {"rejected", "rolled_back"} or (
        is_next_step and not 0 < standing.shift_share < wish.share
    ):
        raise ProposalNotInState(f"The proposal is {status}.", status=status)
    if standing.is_expired and not is_next_step:
        raise ProposalExpired("Ask for a new proposal: this one was not applied in time.")
    wanted = "simulated" if wish.actor.is_automatic else "approved"
    if not is_next_step and status != wanted:
        raise NotApproved(
            "It is simulated before it is applied."
            if wish.actor.is_automatic
            else "People have to approve it first.",
            status=status,
        )


def signed_as(mesh: Mesh, row: ProposalRow) -> str:
    """
    Verify that SIRA signed all that *row* says; return the id of its signature.

    Raises:
        AdviceRefused: unsigned, altered, expired, or signed as something else.
        AlreadyUsed: it is another proposal's.
    """
    claims = verify_content(
        row.sira_signature,
        "proposal",
        content_of(row),
        key=mesh.signing_key,
        now=mesh.clock.now(),
    )
    if claims.jti != row.token_id:
        raise AlreadyUsed("The signature is another proposal's.")
    return claims.jti


async def check_signature(tx: Tx, mesh: Mesh, wish: Wish, now_id: str) -> None:
    """
    Verify that SIRA signed all that *wish* is about, and that it has its effect once.

    Raises:
        AdviceRefused: unsigned, altered, expired, or signed as something else.
        AlreadyUsed: something else was done by this signature.
    """
    row = wish.row
    token_id = signed_as(mesh, row)
    use = f"proposal/{row.id}"
    if await tx.run(log_store.USE_TOKEN, token_id=token_id, used_for=use):
        return
    found = await tx.one(log_store.FIND_USE, token_id=token_id)
    if found is None or found.used_for != use or row.status != "applied":
        raise AlreadyUsed("A signature counts once.", action=now_id)


async def check_policy(tx: Tx, mesh: Mesh, wish: Wish) -> Policy:
    """
    Raises:
        PolicyMoved: another policy, or another version of it, decides by now.
        NotApproved: it is not to be applied by itself.
    """
    row = wish.row
    policy = await policies.effective(tx, row.mesh_region_id, mesh)
    if (policy.id, policy.version) != (row.policy_id, row.policy_version):
        raise PolicyMoved("It was proposed under other rules; ask for a new proposal.")
    if wish.actor.is_automatic:
        if not policy.may_act_alone:
            raise NotApproved("Nothing is applied by itself in this region.")
        leads_away = row.kind not in {"return", "reorder", "practice"}
        if leads_away and row.confidence < policy.rules.auto_confidence_threshold:
            raise NotApproved(
                f"It is {row.confidence:.2f} likely to be right, and"
                f" {policy.rules.auto_confidence_threshold:.2f} is asked for."
            )
    return policy


async def check_switches(tx: Tx, row: ProposalRow, policy: Policy, banks: list[str]) -> None:
    """
    Raises:
        Stopped: somebody has stopped the mesh, the region, the policy or one of the banks.
    """
    found = await switches.engaged(tx, row.mesh_region_id, bank_ids=banks, policy_id=policy.id)
    if found is not None:
        raise Stopped(f"Stopped by {found.changed_by}: {found.reason}", scope=found.scope)


async def bands(tx: Tx, wish: Wish, policy: Policy) -> list[Band]:
    """
    Say which banks each range of amounts goes to, and how much each may be given now.

    Raises:
        NobodyTakes: none of the proposed banks is in use, cleared, open and has an account.
    """
    row, ranges = wish.row, bands_of(wish.row)
    ways = await _ways(tx, row)
    able = await _able(tx, wish, policy, ways)
    shut = await _gates(tx, wish, sorted(able))
    named = sorted({each for _, _, banks in ranges for each in banks} & able.keys())
    rooms = {
        each.bank_profile_id: each
        for each in await tx.all(store.FIND_ROOMS, banks=named, currency=row.currency)
    }
    depth = min(policy.rules.max_cascading_depth, SEQUENCE_MAX)
    found = []
    for smallest, largest, banks in ranges:
        # What the bank that is left elsewhere still carries best stays with it.
        leaves = banks[:1] != (row.from_bank_id,)
        usable = [
            bank
            for bank in banks
            if leaves
            and bank in rooms
            and bank != row.from_bank_id
            and not (bank in shut and shut[bank].is_shut(smallest, largest))
        ]
        targets = tuple(
            _led_there(_target(able[bank], rooms[bank], wish, policy), able[bank], ways)
            for bank in usable[:depth]
        )
        found.extend(cut(Band(smallest, largest, targets)))
    if not any(band.targets for band in found):
        raise NobodyTakes(
            "Each of them is out of use, closed, not cleared, has no account of ours, or lies"
            " behind a corridor that is closed or full."
        )
    return found


async def _ways(tx: Tx, row: ProposalRow) -> dict[str, Way]:
    """Find the corridors that *row* goes through as they are now, and let nobody else use them."""
    if not row.proposal.get("corridors"):
        return {}
    return await reach.ways_from(tx, row.mesh_region_id, row.currency, lock=True)


def _led_there(target: Target, member: MemberRow, ways: Mapping[str, Way]) -> Target:
    """Bound what a bank of another region is given by the corridor that leads there."""
    way = ways.get(member.region_id)
    if way is None:
        return target
    return replace(target, corridor_id=way.corridor_id, corridor_room=way.free)


async def _able(
    tx: Tx, wish: Wish, policy: Policy, ways: Mapping[str, Way]
) -> dict[str, MemberRow]:
    """Find the members that may carry these payouts now, whatever was true when it was proposed."""
    row, where = wish.row, {"rail": wish.row.rail, "currency": wish.row.currency}
    region = await regions.get(tx, row.mesh_region_id)
    able = await reach.eligible(tx, region_id=row.mesh_region_id, ways=ways, **where)
    may_cross = region.allowed_crossborder and policy.rules.allowed_crossborder
    return {
        each.bank_profile_id: each
        for each in able
        if not region.countries
        or each.country in region.countries
        or (may_cross and each.capabilities.cross_border_enabled)
    }


async def _gates(tx: Tx, wish: Wish, bank_ids: list[str]) -> dict[str, GateRow]:
    """Read the gates of banks, but for those that the proposal itself opens."""
    row = wish.row
    found = await gates.gates_of(tx, bank_ids, rail=row.rail, currency=row.currency)
    return {each.bank_profile_id: each for each in found if each.bank_profile_id not in _opens(row)}


def _opens(row: ProposalRow) -> set[str]:
    """Whose gate the proposal itself opens."""
    return {row.to_bank_id} if row.kind in {"return", "reorder"} and row.to_bank_id else set()


def _target(member: MemberRow, room: store.RoomRow, wish: Wish, policy: Policy) -> Target:
    currency = wish.row.currency
    limits = [_UNBOUNDED]
    daily = member.capabilities.daily_limit(currency)
    if daily is not None:
        limits.append(daily - room.sent_today - room.waiting)
    if room.has_books:
        limits.append(room.balance - room.reserved - room.waiting)
    if is_gradual(wish, policy) and room.busiest_hour:
        limits.append(int(room.busiest_hour * policy.rules.inflow_p95_factor) - room.waiting)
    largest = member.capabilities.max_amount(currency)
    return Target(
        bank_profile_id=member.bank_profile_id,
        account_id=room.account_id,
        room=max(min(limits), 0),
        largest=_UNBOUNDED if largest is None else largest,
        promise_s=member.capabilities.settlement_time_hours * 3600,
    )


def is_gradual(wish: Wish, policy: Policy) -> bool:
    """Tell whether the caps on what happens by itself hold: not for a bank that is surely down."""
    is_certain = wish.row.p_down >= float(policy.rules.direct_p_down)
    return wish.actor.is_automatic and not is_certain


async def caps(tx: Tx, wish: Wish, policy: Policy) -> Caps:
    """Say how much may be moved at once, and up to which amount each."""
    if not is_gradual(wish, policy):
        return Caps()
    row = wish.row
    waiting = await tx.one(store.SUM_WAITING, currency=row.currency, rail=row.rail)
    assert waiting is not None
    same = row.currency == policy.approval_currency
    return Caps(
        value_max=int(waiting.value * policy.rules.value_cap_pct / 100),
        each_max=policy.approval_threshold if same else None,
    )
