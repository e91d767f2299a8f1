"""What of applying routes is counted."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from molam.mesh.control import store
from molam.mesh.control.model import Applied
from molam.mesh.members import regions
from molam.mesh.routing.store import ProposalRow
from molam.platform.db import Tx

APPLIED = Counter(
    "molam_mesh_failover_applied_total", "Routes that were applied", ["region", "currency"]
)
CROSSBORDER = Counter(
    "molam_mesh_crossborder_volume_total",
    "Value led to a bank of another region, in minor units",
    ["from_region", "to_region", "currency"],
)
ROUTING_SECONDS = Histogram(
    "molam_mesh_routing_latency_seconds",
    "From the decision to its effect",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
)
PRACTISED = Counter(
    "molam_mesh_practice_runs_total", "Practice runs, by what they showed", ["outcome"]
)
OVERDUE = Gauge(
    "molam_mesh_reconciliations_overdue", "Rerouted payouts that are not paid when promised"
)
SHIFT_HALTS = Counter(
    "molam_mesh_shift_halts_total", "Gradual shifts that were halted", ["currency", "reason"]
)
SHIFTS_HALTED = Gauge(
    "molam_mesh_shifts_halted", "Gradual shifts of the last day that wait for people", ["currency"]
)
ENDED = Counter(
    "molam_mesh_reconciliations_total", "Reconciliations that came to an end", ["status"]
)


async def regions_of(tx: Tx, row: ProposalRow, applied: Applied) -> Mapping[str, str]:
    """Name the region of the payouts (under "") and that of each bank they went to."""
    region = await regions.get(tx, row.mesh_region_id)
    found = {"": region.name}
    for each in applied.by_bank:
        home = await tx.one(store.FIND_REGION_OF_BANK, bank_id=each.bank_profile_id)
        found[each.bank_profile_id] = region.name if home is None else home.name
    return found


def count(row: ProposalRow, applied: Applied, names: Mapping[str, str]) -> None:
    """Count what is durable by now."""
    APPLIED.labels(names[""], row.currency).inc()
    ROUTING_SECONDS.observe(applied.duration_ms / 1000)
    for each in applied.by_bank:
        if names[each.bank_profile_id] != names[""]:
            CROSSBORDER.labels(names[""], names[each.bank_profile_id], row.currency).inc(each.value)
