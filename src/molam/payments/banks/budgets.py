"""How much a bank in trouble is asked and sent: budgets for questions, a brake on requests."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from molam.payments.banks import budget_store, metrics
from molam.platform.db import Database, Tx
from molam.sira.health_signal import OutcomeClass

Purpose = Literal["inquiry", "retry"]

_LANES = 4

# Note [Who waits is not lost]
#
# A bank that is unwell is made worse by those who repeat. Three limits hold for each
# bank, over all workers, in PostgreSQL:
#
# - Questions about what is unknown, and repetitions under the same key, are each at most
#   a tenth of its live traffic. A floor lets a quiet bank's few doubts be asked about when
#   they should be.
# - Requests are held back with the probability max(0, (requests - 2 accepts) / (requests
#   + 1)) over two minutes. Only requests that were made count, so that a bank that is well
#   again gets its traffic back within seconds. Few requests say nothing: below ten, the
#   circuit alone decides.
#
# Whoever is held back has not been tried: nothing was claimed, the payment waits as it
# was and its job comes again. A question that is put off stays due, in its turn; what it
# is about stays unknown meanwhile, and nothing else is done about it.


@dataclass(frozen=True, slots=True)
class Budget:
    """A token bucket. Time fills it up to *floor_max*, a *share* of live traffic up to *most*."""

    per_s: float
    floor_max: float
    most: float
    share: float = 0.1

    @property
    def columns(self) -> dict[str, float]:
        return {
            "share": self.share,
            "per_s": self.per_s,
            "floor_max": self.floor_max,
            "most": self.most,
        }


@dataclass(frozen=True, slots=True)
class Restraint:
    """The figures of Note [Who waits is not lost]."""

    inquiry: Budget = Budget(per_s=1.0, floor_max=60.0, most=600.0)
    retry: Budget = Budget(per_s=1 / 6, floor_max=10.0, most=100.0)
    factor: float = 2.0
    window_s: float = 120.0
    requests_min: int = 10
    draw: Callable[[], float] = field(default=secrets.SystemRandom().random)

    def of(self, purpose: Purpose) -> Budget:
        return self.inquiry if purpose == "inquiry" else self.retry

    def holds_back(self, bank_id: str, requests: int, accepts: int) -> bool:
        """Draw whether a request is to wait, given what the bank was sent lately."""
        if requests < self.requests_min:
            return False
        if self.draw() >= held_back_share(requests, accepts, factor=self.factor):
            return False
        metrics.HELD_BACK.labels(bank_id).inc()
        return True


def held_back_share(requests: int, accepts: int, *, factor: float = 2.0) -> float:
    """Return the probability with which a request is held back."""
    assert 0 <= accepts <= requests
    return max(0.0, (requests - factor * accepts) / (requests + 1))


def is_accepted(fault: OutcomeClass | None) -> bool:
    """Tell whether a bank did its work for a request, whatever it answered."""
    return fault not in {"bank_technical", "bank_timeout_unknown", "network_local"}


async def count_request(tx: Tx, bank_id: str, *, accepted: bool, is_live: bool) -> None:
    """Count a request to pay; *is_live* if it was the first under its key."""
    await tx.run(
        budget_store.COUNT_REQUEST,
        id=bank_id,
        lane=secrets.randbelow(_LANES),
        accepts=int(accepted),
        live=int(is_live),
    )


async def may_spend(tx: Tx, restraint: Restraint, bank_id: str, purpose: Purpose) -> bool:
    """Take one token out of a bank's budget; False if there is none."""
    budget = restraint.of(purpose)
    taken = {"id": bank_id, "purpose": purpose, **budget.columns}
    if await tx.run(budget_store.TAKE_TOKEN, **taken):
        return True
    # Either there is none, or nobody had asked for one yet. Who loses the race to begin has
    # waited for whoever won it, and takes from the same budget.
    await tx.run(budget_store.BEGIN_BUDGET, id=bank_id, purpose=purpose, floor_max=budget.floor_max)
    return bool(await tx.run(budget_store.TAKE_TOKEN, **taken))


async def may_repeat(tx: Tx, restraint: Restraint, bank_id: str) -> bool:
    """Tell whether something may be sent to a bank once more; it is then counted as being so."""
    found = await tx.one(budget_store.FIND_TRAFFIC, id=bank_id, window_s=restraint.window_s)
    assert found is not None
    if restraint.holds_back(bank_id, found.requests, found.accepts):
        return False
    if await may_spend(tx, restraint, bank_id, "retry"):
        return True
    metrics.NOT_REPEATED.labels(bank_id).inc()
    return False


async def purge(db: Database) -> None:
    """Forget traffic that no budget and no brake looks at any more."""
    async with db.transaction("banks.purge_traffic") as tx:
        await tx.run(budget_store.PURGE_TRAFFIC)
