"""Leading payouts where people say: a route that overrides the one in force."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import Meta

from molam.approvals.model import Actor as Person
from molam.kernel.money import MINOR_MAX
from molam.kernel.refusals import Kind, Refusal
from molam.mesh.control import proposal_store, sweep_store
from molam.mesh.control.apply import apply_route
from molam.mesh.control.model import Actor
from molam.mesh.members import queries, regions, trail
from molam.mesh.members.model import MemberRow
from molam.mesh.members.trail import By
from molam.mesh.routing import commands as routing
from molam.mesh.routing.model import Wanted
from molam.mesh.runtime import Mesh
from molam.payments.banks.queries import get_bank
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    ParamsRefused,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx
from molam.platform.jobs import Job, JobHandler, enqueue
from molam.tenancy.freeze_actions import check_id

OVERRIDE = "ROUTE_PAYOUT_OVERRIDE"
OVERRIDE_JOB = "mesh.override"
PAYOUTS_MAX = 1000

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Terms = Annotated[str, Meta(max_length=32)]
_Amount = Annotated[int, Meta(ge=0, le=MINOR_MAX)]

log = structlog.get_logger()

# Note [An override is a route]
#
# What people override goes the same way as what SIRA proposes: it is scored, signed,
# simulated and applied with every check but that of its cost. So it has a simulation,
# reconciliations and a way back as any other route has, and the kill switch stops it.


class NotAMember(Refusal):
    code = "bank-not-eligible"
    kind = Kind.BROKEN_RULE
    title = "Payouts cannot be led to this bank"


# Note [Exactly these payouts]
#
# Whoever lists payouts means them as they were shown: amount, currency, payee, and which
# of our accounts. Digests of these are filled in when it is asked, and are part of what is
# hashed, voted for and signed. One that was sent, changed in one of them or led elsewhere
# meanwhile stays where it is, and is named with why; one that only fell due moves. The
# route for payouts to come does not change, nor does any gate.


class NothingToMove(Refusal):
    code = "no-payout-to-move"
    kind = Kind.BROKEN_RULE
    title = "None of these payouts can be led elsewhere"


class RoutePayoutOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    *bank_profile_id* comes first, then *then_banks*; amounts are minor units, both included.

    Region, currency and rail are filled in from the bank where they are left out. With
    *payout_ids*, only those move that are at *from_bank_profile_id* on these *terms*,
    digests that are filled in as well.
    """

    bank_profile_id: Id
    mesh_region_id: Id
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    rail: Annotated[str, Meta(pattern=r"^(bank|wallet:[a-z0-9_]{2,32})\Z")] = "bank"
    min_amount: _Amount = 0
    max_amount: _Amount | None = None
    then_banks: Annotated[tuple[Id, ...], Meta(max_length=5)] = ()
    reason: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    payout_ids: Annotated[tuple[Id, ...], Meta(max_length=PAYOUTS_MAX)] = ()
    terms: Annotated[tuple[Terms, ...], Meta(max_length=PAYOUTS_MAX)] = ()
    from_bank_profile_id: Id | None = None

    def __post_init__(self) -> None:
        check_id("bank_profile_id", self.bank_profile_id)
        is_listed = bool(self.payout_ids)
        if len(self.terms) != len(self.payout_ids):
            raise ValueError("terms has one entry for each of payout_ids")
        if is_listed != (self.from_bank_profile_id is not None):
            raise ValueError("payout_ids and from_bank_profile_id go together")
        if is_listed and (self.min_amount or self.max_amount is not None):
            raise ValueError("give payout_ids, or bounds, not both")
        if self.from_bank_profile_id == self.bank_profile_id:
            raise ValueError("the payouts are at that bank already")
        if self.max_amount is not None and self.max_amount < self.min_amount:
            raise ValueError("max_amount is at least min_amount")


class Override(msgspec.Struct, frozen=True):
    """Arguments of the job `OVERRIDE_JOB`."""

    action_id: str
    key: str
    by: str
    params: RoutePayoutOverride
    version: int = 1


async def _complete(tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Say in which region, currency and rail: those of the bank's membership."""
    bank_id = raw.get("bank_profile_id")
    if not isinstance(bank_id, str):
        return raw
    bank = await get_bank(tx, bank_id[:256])
    raw = await _as_seen(tx, raw)
    filled = {"currency": bank.currency_codes[0], "rail": bank.rails[0], **raw}
    asked = filled.get("mesh_region_id")
    if asked is None:
        places = [
            row.mesh_region_id
            for row in await queries.members_of(tx, status="active", limit=queries.MEMBERS_MAX)
            if row.bank_profile_id == bank_id
        ]
        if len(places) != 1:
            raise ParamsRefused(
                "Say mesh_region_id: the bank is a member of no region, or several."
            )
        asked = places[0]
    elif isinstance(asked, str):
        found = await regions.find(tx, asked)
        asked = asked if found is None else found.id
    return {**filled, "mesh_region_id": asked}


async def _as_seen(tx: Tx, raw: dict[str, Any]) -> dict[str, Any]:
    """Fill in the terms of each payout that is listed, and where they are."""
    ids = raw.get("payout_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) for each in ids):
        return raw
    listed = list(dict.fromkeys(ids))[: PAYOUTS_MAX + 1]
    seen = {each.id: each for each in await tx.all(sweep_store.LIST_SEEN, ids=listed)}
    banks = {each.bank_profile_id for each in seen.values()} - {None}
    lanes = {(each.currency, each.rail) for each in seen.values()}
    if "from_bank_profile_id" not in raw and len(banks) != 1:
        raise ParamsRefused("Say from_bank_profile_id: the payouts are with no bank, or several.")
    if "currency" not in raw and len(lanes) > 1:
        raise ParamsRefused("Say currency and rail: the payouts have several.")
    currency, rail = next(iter(lanes), (None, None))
    filled = {
        "currency": currency,
        "rail": rail,
        "from_bank_profile_id": next(iter(banks), None),
        "terms": [seen[id_].terms if id_ in seen else "" for id_ in listed],
    }
    known = {name: value for name, value in filled.items() if value is not None}
    return {**known, **raw, "payout_ids": listed}


async def _plan(tx: Tx, params: RoutePayoutOverride) -> Plan:
    sequence = await _sequence(tx, params)
    region = await regions.get(tx, params.mesh_region_id)
    if params.payout_ids:
        return await _plan_listed(tx, params, sequence, region.name)
    return Plan(
        target_name=f"{region.name}: {params.currency} {params.rail}",
        changes=(
            Change("mesh_route", None, ", ".join(each.bank_name for each in sequence)),
            Change("min_amount", None, {"currency": params.currency, "minor": params.min_amount}),
            Change("max_amount", None, _bound(params)),
        ),
        reversible=True,
        expect={"banks": [each.bank_profile_id for each in sequence]},
        effects=("payouts_rerouted", "route_stays_until_replaced"),
        country=sequence[0].country,
    )


async def _plan_listed(
    tx: Tx, params: RoutePayoutOverride, sequence: list[MemberRow], region_name: str
) -> Plan:
    """Say which of the payouts would move now, and why others would not."""
    rows = await tx.all(
        sweep_store.LIST_LISTED,
        ids=list(params.payout_ids),
        terms=list(params.terms),
        from_bank=params.from_bank_profile_id,
        currency=params.currency,
        rail=params.rail,
        region=params.mesh_region_id,
    )
    moving = [each for each in rows if each.why is None]
    if not moving:
        raise NothingToMove("Each of them was sent, has ended, or is with another bank.")
    kept = Counter(each.why for each in rows if each.why is not None)
    value = sum(each.amount or 0 for each in moving)
    banks = ", ".join(each.bank_name for each in sequence)
    return Plan(
        target_name=f"{region_name}: {params.currency} {params.rail}",
        changes=(
            Change("mesh_route", params.from_bank_profile_id, banks),
            Change("mesh_affected_payouts", None, len(moving)),
            *(Change(f"payouts_kept_{why}", None, kept[why]) for why in sorted(kept)),
        ),
        reversible=True,
        expect={"banks": [each.bank_profile_id for each in sequence]},
        effects=("payouts_rerouted", "only_listed_payouts"),
        amount=Amount(params.currency, value),
        country=sequence[0].country,
    )


async def let_override(tx: Tx, execution: Execution[RoutePayoutOverride]) -> Outcome:
    """Let the override be carried out next, by whoever may sign routes."""
    params = execution.params
    try:
        await _sequence(tx, params)
    except Refusal as refusal:
        raise PreconditionChanged(refusal.detail) from refusal
    asked = Override(execution.action_id, execution.key, execution.executed_by, params)
    await enqueue(tx, OVERRIDE_JOB, asked, once=f"{OVERRIDE_JOB}/{execution.key}")
    return Outcome(
        {"override": True, "bank_profile_id": params.bank_profile_id},
        (Change("mesh_route", None, params.bank_profile_id),),
    )


async def _sequence(tx: Tx, params: RoutePayoutOverride) -> list[MemberRow]:
    """
    Raises:
        NotAMember: one of the banks may not carry these payouts.
    """
    able = {
        row.bank_profile_id: row
        for row in await queries.eligible(
            tx, region_id=params.mesh_region_id, currency=params.currency, rail=params.rail
        )
    }
    wanted = dict.fromkeys((params.bank_profile_id, *params.then_banks))
    for bank in wanted:
        if bank not in able:
            raise NotAMember(
                f"{bank} is no active member there that carries {params.currency} by"
                f" {params.rail}.",
                bank_profile_id=bank,
            )
    return [able[bank] for bank in wanted]


async def override(tx: Tx, mesh: Mesh, asked: Override) -> str:
    """
    Propose, sign and apply what people decided; return the proposal's id.

    Raises:
        NoRoute, Stopped, PolicyMoved, NobodyTakes: nothing has happened.
    """
    params = asked.params
    row = await routing.propose(
        tx,
        mesh,
        Wanted(
            mesh_region_id=params.mesh_region_id,
            currency=params.currency,
            rail=params.rail,
            min_amount=params.min_amount,
            max_amount=params.max_amount,
            reason=params.reason or f"Override decided by action {asked.action_id}",
            kind="override",
            created_by=asked.by,
            first=(params.bank_profile_id, *params.then_banks),
            from_bank_id=params.from_bank_profile_id,
            payouts=tuple(zip(params.payout_ids, params.terms, strict=True)),
        ),
    )
    await routing.simulate(tx, mesh, row.id)
    await tx.run(proposal_store.SET_APPROVED, id=row.id, by=asked.by)
    await apply_route(tx, mesh, row.id, actor=Actor("user", asked.by), key=asked.key)
    return row.id


def handlers(mesh: Mesh) -> list[JobHandler]:
    """List what an approved override asks for."""

    async def carry_out(job: Job) -> None:
        asked = msgspec.json.decode(job.payload, type=Override)
        try:
            async with job.effect() as tx:
                proposal_id = await override(tx, mesh, asked)
        except Refusal as refusal:
            log.warning("mesh.override.refused", action=asked.action_id, code=refusal.code)
            await _tell_refused(job, mesh, asked, refusal)
            raise
        log.info("mesh.override.applied", action=asked.action_id, proposal=proposal_id)

    return [JobHandler(OVERRIDE_JOB, carry_out)]


async def _tell_refused(job: Job, mesh: Mesh, asked: Override, refusal: Refusal) -> None:
    """Put on the region's record that what people decided did not happen, and why."""
    async with job.db.transaction("mesh.override_refused") as tx:
        await trail.record(
            tx,
            asked.params.mesh_region_id,
            "mesh_override.refused",
            {"code": refusal.code, "why": refusal.detail, "bank": asked.params.bank_profile_id},
            by=By(Person(asked.by), mesh.clock.now(), asked.action_id),
        )


def _bound(params: RoutePayoutOverride) -> dict[str, object] | None:
    if params.max_amount is None:
        return None
    return {"currency": params.currency, "minor": params.max_amount}


def _title(params: RoutePayoutOverride, locale: str) -> str:
    way = f"{params.currency} {params.rail}"
    if locale == "fr":
        return f"Imposer la banque {params.bank_profile_id} aux versements {way}"
    return f"Lead payouts in {way} to bank {params.bank_profile_id}"


ACTIONS = (
    ActionType(
        name=OVERRIDE,
        params=RoutePayoutOverride,
        risk="high",
        title=_title,
        target=lambda params: Target("bank", params.bank_profile_id),
        twin=lambda params: f"{params.mesh_region_id}/{params.currency}/{params.rail}",
        complete=_complete,
        plan=_plan,
        apply=let_override,
    ),
)
