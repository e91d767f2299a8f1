"""What other modules count: kept apart, and added to what is counted from our own records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from molam.kernel.clock import Instant
from molam.kernel.currency import currency
from molam.ops.dashboard import reported_store as store
from molam.ops.dashboard.model import Tenant, TenantType
from molam.platform.db import Tx

AT_ONCE_MAX = 1000

Count = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Counted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What happened, in minor units: counters are added up, and take back with a minus.

    The last float and the last rates stand; a rate weighs as much as the sales told with it.
    """

    gmv: Count = 0
    transaction_count: Count = 0
    unique_customers: Count = 0
    total_fees: Count = 0
    partner_fees: Count = 0
    refunds_amount: Count = 0
    refunds_count: Count = 0
    disputes_amount: Count = 0
    disputes_count: Count = 0
    chargebacks_count: Count = 0
    payouts_amount: Count = 0
    payouts_count: Count = 0
    payout_failed_count: Count = 0
    payout_pending_count: Count = 0
    payout_pending_amount: Count = 0
    float_available: Count | None = None
    conversion_rate: Share | None = None
    fraud_rate: Share | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a module counted of one tenant at one time.

    Told of the narrowest tenant that is known: countries, regions and the platform follow.

    Raises:
        TenantRefused: the platform has an id, or somebody else has none.
        UnknownCurrency: the currency is none of ours.
    """

    occurred_at: Instant
    tenant_type: TenantType
    tenant_id: str | None = None
    country: str = "UNK"
    region: str = "GLOBAL"
    currency: str = "XOF"
    metrics: Counted

    def __post_init__(self) -> None:
        Tenant(self.tenant_type, self.tenant_id)
        currency(self.currency)


async def aggregate_event(tx: Tx, event: Event) -> None:
    """Add what *event* counted to its hour. Twice adds twice: let it commit with its cause."""
    await aggregate_events(tx, [event])


async def aggregate_events(tx: Tx, events: Sequence[Event]) -> None:
    """Add what many events counted to their hours; figures follow within a minute."""
    for first in range(0, len(events), AT_ONCE_MAX):
        batch = msgspec.json.encode(events[first : first + AT_ONCE_MAX]).decode()
        await tx.one(store.UPSERT, events=batch)
