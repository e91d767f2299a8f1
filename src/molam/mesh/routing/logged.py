"""What a proposal would have achieved in the payments of the last weeks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from molam.mesh.routing import logged_store
from molam.mesh.routing.logged_store import LoggedRow
from molam.mesh.routing.model import Logged
from molam.mesh.routing.off_policy import Attempt, off_policy
from molam.mesh.routing.store import ProposalRow
from molam.platform.db import Tx

DAYS = 28
ATTEMPTS_MAX = 2000
_PLACES = 4

# Note [How likely it was]
#
# Where lots decided, in a step of a gradual shift or a practice run, how likely the choice
# was is on record with the attempt, and counts as it is. Everything else was sure when it
# was made: by a route that gave nothing to any other bank, from which alone nothing could
# be learnt of another. But routes change, so over weeks these choices are a mixture of
# sure ones, and how often each was made among payments of the same range and order of
# magnitude is how likely that mixture was to make it (the balance heuristic of Veach and
# Guibas). So it stands for them, and for what nobody wrote down.

Orders = Sequence[tuple[int, Sequence[str]]]
"""Where each range of amounts begins, and who carries it, the first one first."""


async def logged(tx: Tx, row: ProposalRow, orders: Orders) -> Logged:
    """Estimate which share of these payments would have been paid, had *row* been in force."""
    rows = await tx.all(
        logged_store.LIST_LOGGED,
        lows=[low for low, _ in orders],
        currency=row.currency,
        rail=row.rail,
        min_amount=row.min_amount,
        max_amount=row.max_amount,
        days=DAYS,
        limit=ATTEMPTS_MAX,
    )
    return estimate(rows, orders)


def estimate(rows: Sequence[LoggedRow], orders: Orders) -> Logged:
    """Let the proposal decide about what was decided otherwise; see Note [How likely it was]."""
    firsts = {at: order[0] for at, (_, order) in enumerate(orders, start=1) if order}
    known = [row for row in rows if row.band in firsts]
    attempts = list(_attempts(known))
    found = off_policy(attempts, lambda context: {firsts[int(context.split("/")[0])]: 1.0})
    paid = sum(row.attempts for row in known if row.was_paid)
    return Logged(
        attempts=found.attempts,
        samples=round(found.samples, 1),
        paid_before=round(paid / len(attempts), _PLACES) if attempts else None,
        paid_after=_share(found.value) if found.samples else None,
        low=_share(found.low),
        high=_share(found.high),
        is_enough=found.is_enough,
    )


def _attempts(rows: Sequence[LoggedRow]) -> Iterable[Attempt]:
    in_context: dict[str, int] = defaultdict(int)
    through: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        if _by_lots(row) is None:
            in_context[_context(row)] += row.attempts
            through[_context(row), row.bank_profile_id] += row.attempts
    for row in rows:
        context, known = _context(row), _by_lots(row)
        share = through[context, row.bank_profile_id] / max(in_context[context], 1)
        made = Attempt(
            context=context,
            action=row.bank_profile_id,
            propensity=share if known is None else known,
            reward=float(row.was_paid),
        )
        yield from [made] * row.attempts


def _by_lots(row: LoggedRow) -> float | None:
    """Return how likely lots made this choice; None: they did not decide."""
    return row.propensity if row.propensity is not None and row.propensity < 1 else None


def _context(row: LoggedRow) -> str:
    return f"{row.band}/{row.magnitude}"


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, value)), _PLACES)
