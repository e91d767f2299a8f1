"""Reminders before a dispute's deadline, and answers that a merchant's policy sends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.kernel.ids import uuid7
from molam.kernel.money import Money
from molam.kernel.refusals import Refusal
from molam.merchant import dispute_queries, store
from molam.notices import commands as notices
from molam.notices.model import Kind, Notice
from molam.payments.disputes import commands, queries, telling
from molam.payments.disputes import store as dispute_store
from molam.payments.disputes.commands import Answer, By
from molam.payments.disputes.model import Dispute, State
from molam.payments.disputes.recording import Act, touch
from molam.platform.db import Database, Query, Tx
from molam.platform.jobs import Cron
from molam.platform.telemetry import log
from molam.platform.web.l10n import Formats

FIRST = timedelta(hours=24)
LAST = timedelta(hours=12)
EACH = timedelta(hours=4)
BATCH_MAX = 500
POLICY = "dispute-policy"
"""Who answers where the merchant's policy does."""
AUTO_SUBMIT = "dispute_auto_submit"


@dataclass(frozen=True, slots=True)
class PersonRow:
    person_id: str


@dataclass(frozen=True, slots=True)
class ConfigRow:
    dashboard_config: dict[str, Any]
    locale: str


_LIST_PEOPLE = Query(
    """
    /* disputes.list_people */
    select distinct g.person_id
      from tenancy.role_grants g
      join tenancy.people p on p.id = g.person_id
     where g.merchant_id = :merchant_id
       and g.role in ('merchant_admin', 'merchant_support')
       and g.revoked_at is null and p.deactivated_at is null
     order by g.person_id
    """,
    row=PersonRow,
)

_FIND_CONFIG = Query(
    """
    /* disputes.find_config */
    select dashboard_config, locale
      from merchant.merchant_dashboards
     where merchant_id = :merchant_id
    """,
    row=ConfigRow,
)


def step_of(due: datetime, now: Instant) -> int | None:
    """
    Say which reminder it is time for: 24, then 12, 8 and 4 hours before; None before that.

    What was missed while nothing ran is not made up for: one reminder says it all.
    """
    left = due - now
    if left <= timedelta(0) or left > FIRST:
        return None
    if left > LAST:
        return FIRST // timedelta(hours=1)
    steps = -(-left // EACH)
    return int(steps * (EACH // timedelta(hours=1)))


async def remind(db: Database) -> int:
    """Remind of every dispute whose deadline has come near, once a step; return how many."""
    reminded = 0
    for name in await db.read(dispute_store.LIST_TO_REMIND, limit=BATCH_MAX):
        async with db.transaction("disputes.remind", merchant_id=name.merchant_id) as tx:
            reminded += await _remind(tx, name.merchant_id, name.id)
    return reminded


async def _remind(tx: Tx, merchant_id: str, id_: str) -> bool:
    dispute, now = await queries.lock(tx, merchant_id=merchant_id, id_=id_)
    due = dispute.evidence_due_at
    step = None if due is None else step_of(due, now)
    if dispute.state is not State.NEEDS_RESPONSE or due is None or step is None:
        return False
    episode = f"{dispute.id}/{dispute.stage}/{step}"
    if not await _alert(tx, dispute, due, episode, step=step, now=now):
        return False
    people = await tx.all(_LIST_PEOPLE, merchant_id=merchant_id)
    told = Notice(
        kind=Kind.DISPUTE_DUE,
        # Ids come from outside and may be long; the alert's own id is not.
        key=f"dispute-due/{uuid7(now)}",
        people=[row.person_id for row in people],
        subject=dispute.id,
        link=f"/disputes/{telling.path_part(dispute.id)}",
        facts={
            "title": {"fr": _title(dispute, "fr"), "en": _title(dispute, "en")},
            "amount": {"currency": dispute.currency, "minor": dispute.amount},
            "deadline": due.isoformat(),
        },
        urgent=step < FIRST // timedelta(hours=1),
    )
    await touch(tx, dispute, Act("reminded", "clock", details={"hours_left": step}))
    await notices.tell(tx, told)
    return True


async def _alert(
    tx: Tx, dispute: Dispute, due: datetime, episode: str, *, step: int, now: Instant
) -> bool:
    """Raise the alert of a step; False when it was raised before."""
    amount = Money(dispute.amount, currency(dispute.currency))
    raised = await tx.run(
        store.APPEND_ALERT,
        id=uuid7(now),
        merchant_id=dispute.merchant_id,
        alert_type="dispute_due",
        severity="critical" if step <= LAST // timedelta(hours=1) else "warning",
        title="A dispute waits for your answer",
        description=f"Dispute {dispute.id} over {amount} is lost if it is not answered by"
        f" {due:%Y-%m-%d %H:%M} UTC.",
        related_transactions=[dispute.transaction_id] if dispute.transaction_id else [],
        sira_score=None,
        sira_tags=["dispute"],
        sira_recommendations=[],
        episode=episode,
        facts={
            "rule": "dispute_due",
            "dispute_id": dispute.id,
            "amount": dispute.amount,
            "currency": dispute.currency,
            "due_at": due.isoformat(),
            "hours_left": step,
        },
        expires_at=due,
    )
    return bool(raised)


async def auto_submit(db: Database) -> int:
    """
    Send complete answers in their last day for merchants that want it; return how many.

    The draft goes if somebody wrote one, else the prepared answer.
    """
    sent = 0
    for name in await db.read(dispute_store.LIST_TO_REMIND, limit=BATCH_MAX):
        config = (await db.read(_FIND_CONFIG, merchant_id=name.merchant_id))[0]
        if config.dashboard_config.get(AUTO_SUBMIT) is not True:
            continue
        detail = await dispute_queries.detail(db, merchant_id=name.merchant_id, id_=name.id)
        if not detail.is_complete:
            continue
        written = detail.prepared["en" if config.locale == "en" else "fr"]
        answer = Answer(None if detail.draft is not None else written)
        try:
            async with db.transaction("disputes.auto_submit", merchant_id=name.merchant_id) as tx:
                done = await commands.submit(
                    tx,
                    merchant_id=name.merchant_id,
                    id_=name.id,
                    answer=answer,
                    by=By(POLICY, is_policy=True),
                )
        except Refusal as refusal:
            # Somebody answered it meanwhile, or it is over.
            log.info("disputes.not_sent_by_policy", dispute_id=name.id, code=refusal.code)
            continue
        sent += done.is_new
    return sent


def crons() -> list[Cron]:
    """List what is done before deadlines."""

    async def run(db: Database) -> None:
        # Answers first: whoever's answer is sent needs no reminder.
        await auto_submit(db)
        await remind(db)

    return [Cron("disputes.remind", "*/5 * * * *", run)]


def _title(dispute: Dispute, language: str) -> str:
    formats = Formats("en" if language == "en" else "fr")
    amount = formats.money(dispute.amount, dispute.currency)
    return f"{amount}, {dispute.id}"
