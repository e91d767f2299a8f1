"""What decides whether a payout is sent now, and through which bank."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class WayRow:
    state: str
    retry_wanted: bool
    attempts: int
    amount: int
    currency: str
    destination: dict[str, Any]
    bank_profile_id: str | None
    bank_in_use: bool


@dataclass(frozen=True, slots=True)
class ObstacleRow:
    """What keeps a payout from being sent now; each is None or false when it does not."""

    is_frozen: bool
    paused_until: datetime | None
    held: bool
    hold_until: datetime | None
    changed_until: datetime | None
    refused_code: str | None
    asked_at: datetime


# What a payout's bank is chosen by, before anything is locked.
FIND_WAY = Query(
    """
    /* payouts.find_way */
    select p.state, p.retry_wanted, p.attempts, p.amount, p.currency, p.destination, p.bank_profile_id,
           coalesce(b.enabled and b.status = 'active', false) as bank_in_use
      from payments.payouts p
      left join payments.bank_profiles b on b.id = p.bank_profile_id
     where p.id = :id and p.origin = 'molam'
    """,
    row=WayRow,
)

FIND_OBSTACLE = Query(
    """
    /* payouts.find_obstacle */
    select m.status <> 'active' as is_frozen,
           (select max(u.until) from payments.payout_pauses u
             where u.merchant_id = m.id and u.ended_at is null and u.until > now()) as paused_until,
           h.id is not null as held, h.until as hold_until,
           case when d.destination = :destination::jsonb and d.hold_until > now()
                then d.hold_until end as changed_until,
           case when d.destination = :destination::jsonb then d.refused_code end as refused_code,
           now() as asked_at
      from tenancy.merchants m
      left join payments.payout_holds h
        on h.merchant_id = m.id and h.kind = 'payout' and h.transaction_id = :id
       and h.status = 'active' and (h.until is null or h.until > now())
      left join payments.payout_destinations d on d.merchant_id = m.id and d.currency = :currency
     where m.id = :merchant_id
    """,
    row=ObstacleRow,
)
