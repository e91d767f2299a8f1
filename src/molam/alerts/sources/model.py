"""Something the product has measured of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from molam.alerts.rules.model import PLACES, TenantType
from molam.kernel.clock import Instant


@dataclass(frozen=True, slots=True)
class Measured:
    """
    One value as it was at *at*, by PostgreSQL's clock.

    *context* says what it was counted from: it is shown with an alert and links to the rows.
    """

    metric: str
    tenant_type: TenantType
    tenant_id: str | None
    value: Decimal
    at: Instant
    currency: str | None = None
    context: dict[str, object] = field(default_factory=dict)


def share(hits: int, trials: int) -> Decimal:
    """Return a share of one, which it never exceeds: refunds may be of earlier payments."""
    return min(Decimal(1), (Decimal(hits) / Decimal(trials)).quantize(PLACES))
