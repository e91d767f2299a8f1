"""What a merchant's people do to refunds, each with a line in the merchant's own trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import State

from molam.approvals.model import Actor, Auth, NotEligible, VoteRequest
from molam.kernel.clock import Instant
from molam.merchant import trail
from molam.payments.banks.model import Destination
from molam.payments.refunds import approval, asking, commands, remote
from molam.payments.refunds.asking import Asked, Asker, Desk, NewRefund
from molam.payments.refunds.moves import By
from molam.payments.refunds.store import RefundRow
from molam.payments.refunds.terms import PlatformThresholds
from molam.platform.auth.step_up import require_step_up
from molam.platform.db import Database, Tx
from molam.platform.web import Caller
from molam.tenancy.standing import ensure_may_change


@dataclass(frozen=True, slots=True)
class Deciding:
    """Somebody's decision about a refund, and what makes a repetition of it harmless."""

    vote: Literal["approve", "reject"]
    comment: str | None
    key: str | None = None


async def desk_of(state: State, now: Instant) -> Desk:
    """Put together what asking needs, with the platform's threshold in every currency."""
    rates = await state.rates.on(state.db, now.date())
    threshold = state.settings.refund_approval_threshold
    is_remote = bool(state.settings.risk_aware_approvals_url)
    return Desk(state.runtime, PlatformThresholds(threshold, rates), is_remote)


async def ask(tx: Tx, desk: Desk, asked: NewRefund, caller: Caller, *, now: Instant) -> Asked:
    """
    Ask for a refund in the caller's name.

    Raises:
        MerchantFrozen: the account takes no changes.
        and as `asking.ask`.
    """
    await ensure_may_change(tx, caller.merchant, now=now)
    asker = Asker(by_of(caller), caller.roles, Auth(caller.acr, caller.auth_time))
    done = await asking.ask(tx, desk, asked, asker, now=now)
    if done.is_new:
        row = done.refund
        await trail.record(
            tx,
            caller,
            action_type="refund_initiated",
            resource_type="transaction",
            resource_id=row.transaction_id,
            before={"refundable": done.refundable},
            after={
                "refundable": done.refundable - row.amount,
                "refund_id": row.id,
                "amount": row.amount,
                "currency": row.currency,
                "reason": row.reason,
                "state": row.state,
            },
            requires_2fa=row.requires_approval,
            approval_id=row.approval_id,
        )
    return done


async def decide(
    state: State, caller: Caller, refund_id: str, deciding: Deciding, *, now: Instant
) -> RefundRow:
    """
    Approve or reject a refund, and do what follows from it at once.

    Raises:
        MerchantFrozen, RefundAbsent, RefundNotInState, NotEligible, StepUpRequired,
        ReasonRequired, ActionExpired, TransitionRefused
    """
    money: Database = state.money
    request = VoteRequest(vote=deciding.vote, comment=deciding.comment, client_vote_id=deciding.key)
    try:
        async with money.transaction("refunds.decide", merchant_id=caller.merchant) as tx:
            await ensure_may_change(tx, caller.merchant, now=now)
            row = await commands.vote(
                tx,
                state.runtime,
                (caller.merchant, refund_id),
                request=request,
                actor=actor_of(caller),
            )
            word = "refund_approved" if deciding.vote == "approve" else "refund_rejected"
            after: dict[str, object] = {
                "state": await commands.decided_state(tx, row),
                "comment": deciding.comment,
            }
            await _record(tx, caller, row, word, after=after)
    except NotEligible as refusal:
        await _record_refused(money, caller, refund_id, why=str(refusal.facts.get("why")))
        raise
    return await commands.carry_on(state.runtime, caller.merchant, refund_id)


async def cancel(
    state: State, caller: Caller, refund_id: str, *, reason: str | None, now: Instant
) -> RefundRow:
    """
    Take back a refund that still waits for others.

    Raises:
        MerchantFrozen, RefundAbsent, RefundNotInState, SameHands, TransitionRefused
    """
    money: Database = state.money
    async with money.transaction("refunds.look", merchant_id=caller.merchant) as tx:
        await ensure_may_change(tx, caller.merchant, now=now)
        row = await commands.find(tx, caller.merchant, refund_id)
    if row.approval_via == "remote":
        return await _cancel_remote(money, caller, row)
    await commands.cancel(state.runtime, row, actor_of(caller), reason=reason)
    after = await commands.carry_on(state.runtime, caller.merchant, refund_id)
    async with money.transaction("refunds.cancelled", merchant_id=caller.merchant) as tx:
        await _record(tx, caller, row, "refund_cancelled", after={"state": after.state})
    return after


async def _cancel_remote(money: Database, caller: Caller, row: RefundRow) -> RefundRow:
    async with money.transaction("refunds.cancelled", merchant_id=caller.merchant) as tx:
        await remote.cancel(tx, row.merchant_id, row.id, by_of(caller))
        after = await commands.find(tx, row.merchant_id, row.id)
        await _record(tx, caller, row, "refund_cancelled", after={"state": after.state})
    return after


async def give_details(
    tx: Tx, caller: Caller, refund_id: str, destination: Destination, *, now: Instant
) -> RefundRow:
    """
    Say where a refund goes; because money could be led astray so, it takes a fresh proof.

    Raises:
        MerchantFrozen, RefundAbsent, RefundNotInState, StepUpRequired
    """
    require_step_up(caller, now=now)
    await ensure_may_change(tx, caller.merchant, now=now)
    before, after = await commands.give_details(
        tx, caller.merchant, refund_id, destination, by=by_of(caller)
    )
    await trail.record(
        tx,
        caller,
        action_type="refund_details_given",
        resource_type="refund",
        resource_id=refund_id,
        before={"state": before.state, "destination": before.destination},
        after={"state": after.state, "destination": after.destination},
        requires_2fa=True,
    )
    return after


def by_of(caller: Caller) -> By:
    return By(caller.subject, caller.name, ip=caller.ip, user_agent=caller.user_agent)


def actor_of(caller: Caller) -> Actor:
    """Say who acts, and how they proved who they are, to the approval engine."""
    auth = Auth(acr=caller.acr, auth_time=caller.auth_time)
    return approval.actor_of(by_of(caller), roles=caller.roles, auth=auth)


async def _record(
    tx: Tx, caller: Caller, row: RefundRow, word: str, *, after: dict[str, object]
) -> None:
    await trail.record(
        tx,
        caller,
        action_type=word,
        resource_type="refund",
        resource_id=row.id,
        before={"state": row.state},
        after=after,
        requires_2fa=word == "refund_approved",
        approval_id=row.approval_id,
    )


async def _record_refused(money: Database, caller: Caller, refund_id: str, *, why: str) -> None:
    """Keep that somebody tried to decide what is not theirs to decide."""
    async with money.transaction("refunds.refused", merchant_id=caller.merchant) as tx:
        await trail.record(
            tx,
            caller,
            action_type="refund_decision_refused",
            resource_type="refund",
            resource_id=refund_id,
            before={},
            after={"why": why},
        )
