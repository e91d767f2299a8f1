"""Telling how far out of the ordinary something is, for rules to judge like any value."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from molam.alerts.rules.model import TenantType
from molam.alerts.sources import store
from molam.alerts.sources.commands import tell
from molam.alerts.sources.model import Measured
from molam.kernel.clock import Instant
from molam.platform.db import Database
from molam.sira.anomaly import Finding, Kind, confident, rate_test
from molam.sira.sentences import SCORE_MAX, facts_of

CHANCE_MAX = 3.0
"""What may be chance, given how much is tested, counts for no more than rules clear at."""
_NEGLIGIBLE = 1.0

BANK_DAYS = 14


def measured(
    metric: str,
    tenant_type: TenantType,
    tenant_id: str | None,
    finding: Finding,
    *,
    is_kept: bool,
    at: Instant,
) -> Measured:
    """Write a finding as a measurement, with what its sentence is made of."""
    score = min(finding.score, SCORE_MAX if is_kept else CHANCE_MAX)
    is_negligible = score < _NEGLIGIBLE
    return Measured(
        metric=metric,
        tenant_type=tenant_type,
        tenant_id=tenant_id,
        # Below a chance in ten nobody wants to hear it change.
        value=Decimal(0) if is_negligible else Decimal(str(round(score, 1))),
        at=at,
        context={} if is_negligible else facts_of(finding),
    )


def strongest(findings: Iterable[Measured]) -> list[Measured]:
    """Where several findings speak for one metric of one tenant, keep the strongest."""
    found: dict[tuple[str, str | None], Measured] = {}
    for each in findings:
        key = each.metric, each.tenant_id
        if key not in found or each.value > found[key].value:
            found[key] = each
    return list(found.values())


async def watch_banks(db: Database) -> int:
    """Weigh each bank's failures of the last hour against its fortnight; return what was news."""
    async with db.transaction("sources.watch_banks") as tx:
        rows = await tx.all(store.LIST_BANK_HOURS, days=BANK_DAYS)
        tested = [(row, finding) for row in rows if (finding := _weigh(row)) is not None]
        kept = set(confident([finding.score for _, finding in tested]))
        return await tell(
            tx,
            [
                measured(
                    "payout_fail_rate.unusual",
                    "bank",
                    row.bank_profile_id,
                    finding,
                    is_kept=place in kept,
                    at=row.at,
                )
                for place, (row, finding) in enumerate(tested)
            ],
            heartbeat_s=None,
        )


def _weigh(row: store.BankHoursRow) -> Finding | None:
    return rate_test(
        Kind.PAYOUT_FAILURES_HIGH,
        hits=row.last_hits,
        trials=row.last_trials,
        usual_hits=min(row.usual_hits, row.usual_trials),
        usual_trials=row.usual_trials,
        hours=1,
    )
