"""The demo's refunds: one on its way, one refused by a colleague, one that waits for approval."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from molam.approvals.model import VoteRequest
from molam.approvals.policy.book import PolicyBook
from molam.approvals.runtime import Runtime
from molam.kernel.clock import Instant
from molam.kernel.refusals import Refusal
from molam.payments.refunds import approval, asking, commands, store
from molam.payments.refunds.actions import ACTIONS
from molam.payments.refunds.asking import Asker, Desk, NewRefund
from molam.payments.refunds.moves import By
from molam.platform.actions import Registry
from molam.platform.db import Database, Query
from molam.simulator.profiles import SANDAGA
from molam.simulator.seed import EXAMPLE_TRANSACTION

_ADMINS = frozenset({"merchant_admin"})
_AWA = By("awa.diop", "Awa Diop", ip="196.207.0.10", user_agent="Demo")
_MOUSSA = By("moussa.ndiaye", "Moussa Ndiaye", ip="196.207.0.11", user_agent="Demo")
_ALWAYS = {SANDAGA.currency: 0}
"""Puts a refund to others whatever its amount, where the merchant has no threshold of its own."""


@dataclass(frozen=True, slots=True)
class CandidateRow:
    id: str
    amount: int


# The largest first, so that one of them is above the merchant's threshold.
_LIST_CANDIDATES = Query(
    """
    /* simulator.list_refundable */
    select w.id, w.amount
      from payments.wallet_transactions w
     where w.merchant_id = :merchant_id and w.type = 'payment' and w.state = 'succeeded'
       and not w.imported and w.refunded_amount = 0 and w.currency = :currency
       and w.customer ? 'phone' and w.id <> :example
       and w.occurred_at > now() - interval '3 days'
       and not exists (select from payments.disputes d
                        where d.merchant_id = w.merchant_id and d.transaction_id = w.id)
       and not exists (select from payments.wallet_transactions r
                        where r.merchant_id = w.merchant_id and r.type = 'refund'
                          and r.original_id = w.id)
     order by w.amount desc, w.id
     limit 3
    """,
    row=CandidateRow,
)


async def seed_refunds(db: Database, now: Instant) -> int:
    """
    Ask for the demo's refunds, unless that was done before; return how many are new.

    Payments must have been taken in already.
    """
    registry = Registry(ACTIONS)
    runtime = Runtime(db, registry, PolicyBook(registry), "demo")
    candidates = await db.read(
        _LIST_CANDIDATES,
        merchant_id=SANDAGA.merchant_id,
        currency=SANDAGA.currency,
        example=EXAMPLE_TRANSACTION,
    )
    made = 0
    candidates.reverse()
    for place, (reference, by, reason) in enumerate(_asked()):
        if place < len(candidates) and await _is_new(db, reference):
            with suppress(Refusal):
                await _ask(runtime, candidates[place], by, (reference, reason), now=now)
                made += 1
    return made


def _asked() -> Sequence[tuple[str, By, str]]:
    return (
        # All by one person, since what somebody asks for within a day counts together: the
        # other administrator, as whom one signs in first, can still refund and has to decide.
        ("demo-refund-sent", _MOUSSA, "out_of_stock"),
        ("demo-refund-rejected", _MOUSSA, "wrong_item"),
        ("demo-refund-waiting", _MOUSSA, "customer_request"),
    )


async def _is_new(db: Database, reference: str) -> bool:
    found = await db.read(
        store.FIND_BY_REFERENCE, merchant_id=SANDAGA.merchant_id, client_reference=reference
    )
    return not found


async def _ask(
    runtime: Runtime, payment: CandidateRow, by: By, said: tuple[str, str], *, now: Instant
) -> None:
    reference, reason = said
    is_small = reference.endswith("sent")
    asked = NewRefund(
        merchant_id=SANDAGA.merchant_id,
        transaction_id=payment.id,
        amount=max(1, payment.amount // 10) if is_small else payment.amount,
        currency=SANDAGA.currency,
        reason=reason,
        client_reference=reference,
    )
    async with runtime.db.transaction("demo.refund", merchant_id=SANDAGA.merchant_id) as tx:
        done = await asking.ask(tx, Desk(runtime, _ALWAYS), asked, Asker(by, _ADMINS), now=now)
    if reference.endswith("rejected") and done.refund.approval_id is not None:
        await _reject(runtime, done.refund.id)


async def _reject(runtime: Runtime, refund_id: str) -> None:
    request = VoteRequest(vote="reject", comment="The customer kept the goods after all.")
    actor = approval.actor_of(_AWA, roles=_ADMINS, auth=None)
    of = SANDAGA.merchant_id, refund_id
    async with runtime.db.transaction("demo.reject", merchant_id=of[0]) as tx:
        await commands.vote(tx, runtime, of, request=request, actor=actor)
    await commands.carry_on(runtime, *of)
