"""Sending payouts: what is due goes to its bank, and what the bank says becomes a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import structlog

from molam.kernel.clock import Instant
from molam.payments.banks import gates
from molam.payments.banks import queries as banks
from molam.payments.banks.commands import SEND, NotNow, Send
from molam.payments.banks.model import (
    BankAccount,
    Destination,
    Instruction,
    NoRoute,
    Outcome,
    Wallet,
)
from molam.payments.payouts import metrics, model, sending_store, settings_store, steps, store
from molam.payments.payouts.model import State
from molam.payments.payouts.sending_store import ObstacleRow, WayRow
from molam.payments.payouts.steps import Said
from molam.payments.payouts.store import PayoutRow
from molam.platform.db import Database, Tx
from molam.platform.jobs import enqueue_all
from molam.platform.waking import enqueue_or_wake

log = structlog.get_logger()

KIND = "payout"
BATCH = 200
ROUNDS_MAX = 50
_US = "molam"
_WAIT_REPOINTED_S = 0.1
_WAIT_CLOSED_S = 20.0
"""Until a payout whose bank's gate is closed is looked at again, if nobody leads it on."""


class PayoutOwner:
    """Whose money a payout's instruction moves."""

    @property
    def kind(self) -> str:
        return KIND

    async def claim(self, tx: Tx, object_id: str) -> Instruction | None:
        """
        Mark a payout as on its way, and say what to tell its bank; None when it must wait.

        It is looked at again under its lock: it may have been cancelled, or its merchant
        frozen, since somebody thought that it was due. One that was sent before is sent
        again only if people asked for that, under the key it always had.

        Raises:
            NotNow: its bank's gate is closed, or it has just been led to another bank.
        """
        chosen = await _choose(tx, object_id)
        if chosen is None:
            return None
        # The gate before the payout, as everybody locks them; what was seen without a
        # lock is then looked at again.
        rail = banks.rail_of(destination_of(chosen.way))
        may_pass = chosen.bank is None or await gates.share(
            tx, gates.Gate(chosen.bank, rail, chosen.way.currency), chosen.way.amount
        )
        row = await tx.one(store.LOCK_OURS, id=object_id)
        if row is None or not _may_go(row):
            return None
        if not chosen.still_holds(row):
            raise NotNow(_WAIT_REPOINTED_S)
        reason, until, now = await obstacle_of(tx, row)
        bank = chosen.bank
        if reason is None and bank is None:
            reason = "no_bank_route"
        if reason is not None:
            if row.state == State.PENDING:
                await hold_back(tx, row, reason, until)
            return None
        if not may_pass:
            raise NotNow(_WAIT_CLOSED_S)
        assert bank is not None
        sent = replace(
            row,
            state=State.IN_TRANSIT.value,
            bank_profile_id=bank,
            attempts=row.attempts + 1,
            submitted_at=now,
            retry_wanted=False,
        )
        detail: dict[str, object] = {"bank_profile_id": bank, "attempt": sent.attempts}
        if row.bank_profile_id not in {None, bank}:
            detail["instead_of"] = row.bank_profile_id
        await steps.move(tx, row, sent, Said("sent", _US, detail))
        await steps.announce(tx, sent, version=row.version + 1, at=now)
        return instruction_of(sent)

    async def settle(self, tx: Tx, object_id: str, outcome: Outcome) -> None:
        """Take the step that *outcome* means; one that is repeated or too late takes none."""
        row = await tx.one(store.LOCK_OURS, id=object_id)
        if row is None:
            return
        step = model.hear(
            State(row.state),
            outcome.state,
            owns_entries=row.owns_entries,
            was_sent=row.attempts > 0,
        )
        if step.what == "repeated" or (step.money == "stays" and _says_nothing(row, outcome)):
            return
        await _take(tx, row, step, outcome)


def instruction_of(row: PayoutRow) -> Instruction:
    """Say what the bank is told of *row*, the same at each attempt."""
    assert row.reference_code is not None
    assert row.bank_profile_id is not None
    return Instruction(
        key=outward_key(row.id),
        purpose="payout",
        merchant_id=row.merchant_id,
        object_id=row.id,
        amount=row.amount,
        currency=row.currency,
        destination=destination_of(row),
        reference=row.reference_code,
        bank_profile_id=row.bank_profile_id,
    )


def outward_key(payout_id: str) -> str:
    """Name a payout to banks: the same for every attempt, for ever."""
    return f"payout-{payout_id}"


def destination_of(row: PayoutRow | WayRow) -> Destination:
    """Read where a payout goes, as it was when the payout was made."""
    found: Destination = msgspec.convert(row.destination, BankAccount | Wallet)
    return found


async def obstacle_of(tx: Tx, row: PayoutRow) -> tuple[str | None, Instant | None, Instant]:
    """Say what keeps *row* from being sent, until when, and what time it is."""
    found = await tx.one(
        sending_store.FIND_OBSTACLE,
        merchant_id=row.merchant_id,
        id=row.id,
        currency=row.currency,
        destination=row.destination,
    )
    assert found is not None
    return (*_obstacle(found), found.asked_at)


def _obstacle(found: ObstacleRow) -> tuple[str | None, Instant | None]:
    if found.is_frozen:
        return "frozen", None
    if found.paused_until is not None:
        return "paused", found.paused_until
    if found.held:
        return "hold", found.hold_until
    if found.refused_code is not None:
        return "destination_refused", None
    if found.changed_until is not None:
        return "destination_changed", found.changed_until
    return None, None


async def hold_back(tx: Tx, row: PayoutRow, reason: str, until: Instant | None) -> None:
    """Let a locked payout wait for what keeps it, and say so."""
    if (row.state, row.held_reason, row.held_until) == (State.HELD, reason, until):
        return
    held = replace(row, state=State.HELD.value, held_reason=reason, held_until=until)
    detail = {"held_reason": reason, "held_until": None if until is None else until.isoformat()}
    await steps.move(tx, row, held, Said("held", _US, detail))
    metrics.HELD.labels(reason).inc()


async def send_due(db: Database) -> int:
    """Hand over the payouts whose time has come and that nothing keeps; return how many."""
    sent = 0
    for _ in range(ROUNDS_MAX):
        async with db.transaction("payouts.send_due") as tx:
            await tx.run(settings_store.END_HOLDS)
            await tx.run(settings_store.END_PAUSES)
            due = await tx.all(store.LIST_DUE, limit=BATCH)
            ready = [each.id for each in due if await make_ready(tx, each.id)]
            await enqueue_all(tx, [(SEND, Send(KIND, id_)) for id_ in ready])
        sent += len(ready)
        if len(due) < BATCH:
            break
    return sent


async def send_now(tx: Tx, payout_ids: Sequence[str]) -> int:
    """
    Let payouts that wait be looked at now and not later; return for how many nothing was queued.

    For a job that knows they need wait no longer: their bank is another, or its gate is open.
    """
    return await enqueue_or_wake(tx, SEND, [Send(KIND, each) for each in payout_ids])


async def make_ready(tx: Tx, payout_id: str) -> bool:
    """Let a payout that waits go on, unless something keeps it; tell whether it may be sent."""
    row = await tx.one(store.LOCK_OURS, id=payout_id)
    if row is None or row.state not in model.WAITING:
        return False
    reason, until, _ = await obstacle_of(tx, row)
    if reason is not None:
        await hold_back(tx, row, reason, until)
        return False
    if row.state != State.PENDING:
        ready = replace(row, state=State.PENDING.value, held_reason=None, held_until=None)
        await steps.move(tx, row, ready, Said("due", _US, {}))
    return True


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The bank that a payout is to go through, and what that was decided by."""

    bank: str | None
    way: WayRow

    def still_holds(self, row: PayoutRow) -> bool:
        """Tell whether nobody has sent *row*, or led it elsewhere, since then."""
        now = (row.bank_profile_id, row.attempts, row.destination)
        return now == (self.way.bank_profile_id, self.way.attempts, self.way.destination)


async def _choose(tx: Tx, payout_id: str) -> _Chosen | None:
    """Look for the bank of a payout without locking it; None when nothing is to be sent."""
    way = await tx.one(sending_store.FIND_WAY, id=payout_id)
    if way is None or not _may_go(way):
        return None
    # A bank that never heard of it may be exchanged for another; one that did may not.
    if way.attempts > 0 or way.bank_in_use:
        return _Chosen(way.bank_profile_id, way)
    try:
        route = await banks.route_for(tx, way.currency, destination_of(way), way.amount)
    except NoRoute:
        return _Chosen(None, way)
    return _Chosen(route.bank_profile_id, way)


def _may_go(row: PayoutRow | WayRow) -> bool:
    again = row.state == State.IN_TRANSIT and row.retry_wanted
    return again or row.state == State.PENDING


def _says_nothing(row: PayoutRow, outcome: Outcome) -> bool:
    """Tell whether the timeline says as much already as this word that moves nothing."""
    if outcome.state == "unknown":
        return row.in_doubt_since is not None
    return row.in_doubt_since is None and row.provider_ref == outcome.provider_ref


async def _take(tx: Tx, row: PayoutRow, step: model.Step, outcome: Outcome) -> None:
    ended = step.state in model.ENDED
    frees = step.money in {"releases", "returns"}
    failed = step.state in {State.FAILED, State.RETURNED}
    after = replace(
        row,
        state=step.state.value,
        held_reason=None,
        held_until=None,
        in_doubt_since=(row.in_doubt_since or outcome.at) if step.what == "in_doubt" else None,
        provider_ref=outcome.provider_ref or row.provider_ref,
        failure_code=outcome.code or outcome.state if failed else None,
        failure_reason=outcome.reason if failed else None,
        owns_entries=row.owns_entries and not frees,
        retry_wanted=row.retry_wanted and not ended,
    )
    await steps.settle_money(tx, row, step.money, at=outcome.at)
    detail = {
        "provider_ref": outcome.provider_ref,
        "code": outcome.code,
        "reason": outcome.reason,
        "bank_says_at": outcome.at.isoformat(),
    }
    told = {name: value for name, value in detail.items() if value is not None}
    await steps.move(tx, row, after, Said(step.what, row.bank_profile_id or _US, told))
    if after.state != row.state:
        await steps.announce(tx, after, version=row.version + 1, at=outcome.at)
    if failed and after.failure_code in model.ACCOUNT_CODES:
        await _refuse_destination(tx, row, after.failure_code)
    _count(step)


async def _refuse_destination(tx: Tx, row: PayoutRow, code: str | None) -> None:
    # What this account refuses it will refuse tomorrow as well.
    await tx.run(
        settings_store.SET_REFUSED,
        merchant_id=row.merchant_id,
        currency=row.currency,
        destination=row.destination,
        code=code,
    )


def _count(step: model.Step) -> None:
    if step.what == "in_doubt":
        metrics.IN_DOUBT.inc()
    if step.what == "paid_late":
        metrics.LATE_TRUTH.inc()
        log.warning("payouts.payout.paid_late")
    if step.state in model.ENDED:
        metrics.ENDED.labels(step.state.value).inc()


OWNERS: Sequence[PayoutOwner] = (PayoutOwner(),)
