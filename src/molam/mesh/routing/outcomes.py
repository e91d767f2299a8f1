"""Whether moves were right, an hour later, and what that makes of SIRA's confidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

import structlog

from molam.kernel.digests import digest
from molam.mesh.routing import metrics, outcome_store
from molam.mesh.routing.outcome_store import DueRow, OutcomeRow
from molam.platform.db import Database, Tx
from molam.sira import health_calibration
from molam.sira.health import MOVE_GAIN_MIN
from molam.sira.health_model import Calibration

log = structlog.get_logger()

WINDOW_MINUTES = 60
LATE_MINUTES = 5
"""Signals may come this late and still be looked at."""
SEEN_MIN = 20
"""Of fewer tries, nothing is said about a bank's hour."""
LEARNT_FROM_MIN = 30
LEARNT_FROM_MAX = 1000
SHOWN_MAX = 1000

CONTROLLER = "mesh-controller"
LEAVING = ("failover", "manual", "override")
"""A return and a better order leave nobody because of the next hour."""

_DUE_MAX = 200
_BINS = (0.5, 0.7, 0.85, 0.95, 1.0)

Outcome = Literal["right", "wrong", "unknown"]
Stratum = Literal["ordinary", "emergency"]
STRATA: tuple[Stratum, ...] = ("ordinary", "emergency")

# Note [What counts]
#
# A move was right if in the hour after it the bank that was left failed more often than the
# one chosen, by more than what makes a move worth it. Of the bank that was left little is
# seen then but probes; where that is too little, the outcome is unknown, and counts neither
# for nor against. Moves by votes teach as well as those made by the controller: otherwise a
# confidence that is too low to act on could never earn its way up. Moves during a drill
# teach nothing, since we made the bank fail; nor do those for which an announcement spoke.

# Note [An emergency is judged among emergencies]
#
# How often moves were right that left a bank which may be down, or which another beat by a
# little, says nothing of leaving one that is surely down: the two hardly share a cause of
# being wrong. Learnt together, some wrong guesses among ordinary moves would put every
# emergency below what the controller may act on, just when people have no time to be asked.
# So each stratum has a table of its own, from its own moves alone, and until thirty of them
# are known what signals say stands. A table of emergencies may still forbid them: then it
# was emergencies that came out wrong.


@dataclass(frozen=True, slots=True)
class Table:
    """What turns SIRA's confidence into how often it was right, and its name."""

    digest: str
    stratum: Stratum
    fitted_at: datetime
    moves: int
    right_moves: int
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Bin:
    """Moves that were made with a confidence from *low* to *high*, and how they came out."""

    low: float
    high: float
    moves: int
    right: int
    mean_confidence: float


@dataclass(frozen=True, slots=True)
class Count:
    """How moves came out; drills are left out."""

    right: int
    wrong: int
    unknown: int

    @property
    def precision(self) -> float | None:
        judged = self.right + self.wrong
        return self.right / judged if judged else None


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """The last thousand moves, counted."""

    automatic: Count
    by_people: Count
    bins: tuple[Bin, ...]
    """Of automatic moves and those by people together."""
    tables: Mapping[Stratum, Table]


def stratum_of(p_down: float, direct_p_down: float) -> Stratum:
    """Say which moves one from a bank with this P(DOWN) is compared with."""
    return "emergency" if p_down >= direct_p_down else "ordinary"


def judge(row: DueRow) -> Outcome:
    """Say whether the bank that was left has failed more often than the one chosen."""
    if min(row.from_seen, row.to_seen) < SEEN_MIN:
        return "unknown"
    left = row.from_failed / row.from_seen
    chosen = row.to_failed / row.to_seen
    return "right" if left - chosen > Decimal(str(MOVE_GAIN_MIN)) else "wrong"


async def judge_due(db: Database) -> None:
    """Judge moves whose hour has passed, and learn from them."""
    async with db.transaction("mesh.judge_moves") as tx:
        due = await tx.all(
            outcome_store.LIST_DUE,
            controller=CONTROLLER,
            kinds=list(LEAVING),
            minutes=WINDOW_MINUTES,
            after_min=WINDOW_MINUTES + LATE_MINUTES,
            limit=_DUE_MAX,
        )
        for row in due:
            outcome = judge(row)
            if await tx.run(outcome_store.APPEND, **asdict(row), outcome=outcome):
                log.info("mesh.move.judged", proposal=row.proposal_id, outcome=outcome)
        for stratum in STRATA if due else ():
            await _learn(tx, stratum)
        rows = await newest(tx, limit=SHOWN_MAX)
    metrics.show(_count(rows, automatic=True).precision, _count(rows, automatic=False).precision)


async def _learn(tx: Tx, stratum: Stratum) -> None:
    """Fit a table anew, once there is enough to learn from; until then what is said stands."""
    said = await tx.all(outcome_store.LIST_SAID, stratum=stratum, limit=LEARNT_FROM_MAX)
    if len(said) < LEARNT_FROM_MIN:
        return
    made = health_calibration.fit((each.raw, each.was_right) for each in said)
    assert made is not None
    points = {"moves": len(said), "margins": list(made.margins), "shares": list(made.shares)}
    name = digest("molam.mesh.confidence/2", {"stratum": stratum, **points}).hex()
    right = sum(each.was_right for each in said)
    await tx.run(outcome_store.PUT_TABLE, digest=name, stratum=stratum, right_moves=right, **points)
    log.info("mesh.confidence.learnt", table=name, stratum=stratum, moves=len(said), right=right)


async def tables_in_use(tx: Tx) -> dict[Stratum, Table]:
    """Return what was learnt last; where too few moves were judged there is none."""
    found = {stratum: await _table(tx, stratum) for stratum in STRATA}
    return {stratum: table for stratum, table in found.items() if table is not None}


async def _table(tx: Tx, stratum: Stratum) -> Table | None:
    row = await tx.one(outcome_store.FIND_TABLE, stratum=stratum)
    if row is None:
        return None
    calibration = Calibration(
        kind="isotonic",
        margins=tuple(row.margins),
        shares=tuple(row.shares),
        positives=row.right_moves,
    )
    return Table(row.digest, stratum, row.fitted_at, row.moves, row.right_moves, calibration)


async def newest(tx: Tx, *, limit: int) -> list[OutcomeRow]:
    """List moves that were judged, the newest first."""
    return await tx.all(outcome_store.LIST_NEWEST, limit=limit)


async def track_record(tx: Tx) -> TrackRecord:
    """Count how the last moves came out, and how confident they were."""
    rows = await newest(tx, limit=SHOWN_MAX)
    return TrackRecord(
        automatic=_count(rows, automatic=True),
        by_people=_count(rows, automatic=False),
        bins=tuple(_bins(rows)),
        tables=await tables_in_use(tx),
    )


def _count(rows: Iterable[OutcomeRow], *, automatic: bool) -> Count:
    found = [each.outcome for each in rows if each.is_automatic is automatic and not each.is_drill]
    return Count(found.count("right"), found.count("wrong"), found.count("unknown"))


def _bins(rows: Sequence[OutcomeRow]) -> Iterable[Bin]:
    known = [each for each in rows if each.outcome != "unknown" and not each.is_drill]
    low = 0.0
    for high in _BINS:
        inside = [
            each
            for each in known
            if low <= each.confidence < high or (high == 1 and each.confidence == 1)
        ]
        if inside:
            yield Bin(
                low=low,
                high=high,
                moves=len(inside),
                right=sum(each.outcome == "right" for each in inside),
                mean_confidence=float(sum(each.confidence for each in inside)) / len(inside),
            )
        low = high
