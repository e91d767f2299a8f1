"""The statements about gates: whether payouts may be handed to a bank now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molam.platform.db import Query, Rank


@dataclass(frozen=True, slots=True)
class OpenRow:
    is_open: bool


@dataclass(frozen=True, slots=True)
class ChangedRow:
    has_changed: bool


@dataclass(frozen=True, slots=True)
class GateRow:
    """*is_open* is what counts; *is_left* and *is_held* say who closed it."""

    bank_profile_id: str
    rail: str
    currency: str
    is_open: bool
    is_left: bool
    is_held: bool
    held_for_s: float | None
    cause: str
    held_cause: str
    changed_at: datetime | None


SHARE_GATE = Query(
    """
    /* banks.share_gate */
    select payments.share_gate(:bank_profile_id, :rail, :currency) as is_open
    """,
    row=OpenRow,
    locks=Rank.BANK_ROUTE,
)

SET_GATE = Query(
    """
    /* banks.set_gate */
    select payments.set_gate(:bank_profile_id, :rail, :currency, :is_open, :cause) as has_changed
    """,
    row=ChangedRow,
    locks=Rank.BANK_ROUTE,
)

HOLD_GATE = Query(
    """
    /* banks.hold_gate */
    select payments.hold_gate(
               :bank_profile_id, :rail, :currency, :cause,
               coalesce(now() + make_interval(secs => :hold_s::float8), 'infinity')) as has_changed
    """,
    row=ChangedRow,
    locks=Rank.BANK_ROUTE,
)

LET_GO_OF_GATE = Query(
    """
    /* banks.let_go_of_gate */
    select payments.hold_gate(:bank_profile_id, :rail, :currency, :cause, null) as has_changed
    """,
    row=ChangedRow,
    locks=Rank.BANK_ROUTE,
)

# Every way to a bank: what its profile serves, and how its gate stands.
LIST_GATES = Query(
    """
    /* banks.list_gates */
    select b.id as bank_profile_id, r.rail, c.currency,
           coalesce(g.is_open and not h.is_held, true) as is_open,
           coalesce(not g.is_open, false) as is_left, coalesce(h.is_held, false) as is_held,
           case when h.is_held and g.held_until < 'infinity'
                then extract(epoch from g.held_until - now())::float8 end as held_for_s,
           coalesce(g.cause, '') as cause, coalesce(g.held_cause, '') as held_cause, g.changed_at
      from payments.bank_profiles as b
     cross join lateral unnest(b.rails) as r(rail)
     cross join lateral unnest(b.currency_codes) as c(currency)
      left join payments.bank_gates as g
        on g.bank_profile_id = b.id and g.rail = r.rail and g.currency = c.currency
      left join lateral (select coalesce(g.held_until > now(), false) as is_held) as h on true
     where (:bank_profile_ids::text[] is null or b.id = any(:bank_profile_ids::text[]))
       and (:rail::text is null or r.rail = :rail::text)
       and (:currency::text is null or c.currency = :currency::text)
     order by b.id, r.rail, c.currency
     limit :limit
    """,
    row=GateRow,
)
