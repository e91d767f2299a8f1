"""What of proposing routes is measured."""

from __future__ import annotations

from prometheus_client import Gauge

PRECISION = Gauge(
    "molam_mesh_move_precision",
    "Share of moves that were right an hour later, of those that could be judged",
    ["by"],
)


def show(automatic: float | None, by_people: float | None) -> None:
    """Show the shares that are known."""
    for by, share in (("controller", automatic), ("people", by_people)):
        if share is not None:
            PRECISION.labels(by).set(share)
