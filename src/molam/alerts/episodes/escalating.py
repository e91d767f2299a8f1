"""Calling the next people when nobody has taken an alert on."""

from __future__ import annotations

import msgspec

from molam.alerts.episodes import asking, metrics, sentences, telling_store
from molam.alerts.episodes.commands import lock_board
from molam.alerts.episodes.model import SYSTEM, AlertRow
from molam.alerts.episodes.moves import Moves
from molam.alerts.rules.model import Escalation
from molam.kernel.clock import Instant
from molam.notices import commands as notices
from molam.notices.model import Kind, Notice
from molam.platform.db import Database, Tx
from molam.platform.web.l10n import LANGUAGES
from molam.tenancy import queries as tenancy

_AT_ONCE_MAX = 200

# Note [The chain of the beginning]
#
# Whom to call is the rule's when the episode began: changing the rule changes who is called
# of the next one. Each step is taken in the transaction that tells its people, once.


async def escalate(db: Database) -> int:
    """Take the next step of every alert whose time it is, and return how many those were."""
    async with db.transaction("alerts.escalate") as tx:
        now = await lock_board(tx)
        rows = await tx.all(telling_store.LOCK_TO_ESCALATE, rows_max=_AT_ONCE_MAX)
        moves = Moves()
        for alert in rows:
            await _step(tx, alert, moves, now=now)
        await moves.write(tx)
        following = await tx.one(telling_store.NEXT_ESCALATION)
        if following is not None and following.at is not None:
            await asking.to_escalate(tx, at=following.at, now=now)
    return len(rows)


async def _step(tx: Tx, alert: AlertRow, moves: Moves, *, now: Instant) -> None:
    chain = msgspec.convert(alert.escalation, list[Escalation])
    step = alert.escalation_step
    if step >= len(chain):
        await tx.run(telling_store.SET_ESCALATED, id=alert.id, step=step, wait_s=None)
        return
    role = chain[step].role
    people = sorted({each.person_id for each in await tenancy.electors_of(tx, [role])})
    wait_s = None
    if step + 1 < len(chain):
        # Where nobody holds the role there is nobody to wait for.
        wait_s = float(chain[step + 1].after_s - chain[step].after_s) if people else 0.0
    await tx.run(telling_store.SET_ESCALATED, id=alert.id, step=step + 1, wait_s=wait_s)
    moves.add(
        alert.id, "escalated", SYSTEM, {"role": role, "step": step + 1, "people": len(people)}
    )
    metrics.ESCALATED.inc()
    await notices.tell(
        tx,
        Notice(
            kind=Kind.ALERT_ESCALATED,
            key=f"alert/{alert.id}/escalated/{step + 1}",
            people=people,
            subject=f"alert/{alert.id}",
            link=f"/alerts/{alert.id}",
            facts={
                "title": {
                    language: sentences.sentence(alert.alert_type, alert.facts, language, now=now)
                    for language in LANGUAGES
                }
            },
            urgent=True,
        ),
    )
