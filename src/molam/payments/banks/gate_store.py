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
class RangeRow:
    """Amounts from *low* to *high*, both included; None: without end."""

    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class GateRow:
    """
    *is_open* for every amount; *is_left* and *is_held* say who closed it.

    One that is held is closed for all amounts, one that was left for those from each of
    *shut_from* up to its *shut_to*.
    """

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
    shut_from: list[int]
    shut_to: list[int | None]

    def is_shut(self, low: int, high: int | None) -> bool:
        """Tell whether it is closed for any amount from *low* to *high*."""
        return self.is_held or any(
            (until is None or low <= until) and (high is None or first <= high)
            for first, until in self.shut_amounts
        )

    @property
    def shut_amounts(self) -> list[tuple[int, int | None]]:
        """The amounts for which its bank was left."""
        return list(zip(self.shut_from, self.shut_to, strict=True))

    @property
    def is_whole(self) -> bool:
        """Whether it is closed for every amount, and not for some only."""
        return self.is_held or (0, None) in self.shut_amounts


SHARE_GATE = Query(
    """
    /* banks.share_gate */
    select payments.share_gate(:bank_profile_id, :rail, :currency, :amount) as is_open
    """,
    row=OpenRow,
    locks=Rank.BANK_ROUTE,
)

CHANGE_GATE = Query(
    """
    /* banks.change_gate */
    select low, high
      from payments.change_gate(:bank_profile_id, :rail, :currency, :is_open, :cause,
                                :lows::bigint[], :highs::bigint[])
    """,
    row=RangeRow,
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
           coalesce(g.cause, '') as cause, coalesce(g.held_cause, '') as held_cause, g.changed_at,
           coalesce(s.shut_from, '{}') as shut_from, coalesce(s.shut_to, '{}') as shut_to
      from payments.bank_profiles as b
     cross join lateral unnest(b.rails) as r(rail)
     cross join lateral unnest(b.currency_codes) as c(currency)
      left join payments.bank_gates as g
        on g.bank_profile_id = b.id and g.rail = r.rail and g.currency = c.currency
      left join lateral (select coalesce(g.held_until > now(), false) as is_held) as h on true
      left join lateral (
           select array_agg(coalesce(lower(r.part), 0) order by r.part) as shut_from,
                  array_agg(upper(r.part) - 1 order by r.part) as shut_to
             from unnest(g.closed_for) as r(part)
            where not g.is_open) as s on true
     where (:bank_profile_ids::text[] is null or b.id = any(:bank_profile_ids::text[]))
       and (:rail::text is null or r.rail = :rail::text)
       and (:currency::text is null or c.currency = :currency::text)
     order by b.id, r.rail, c.currency
     limit :limit
    """,
    row=GateRow,
)
