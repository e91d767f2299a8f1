"""The statement that reads how payments of a scope went, as far back as they tell of now."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """Attempts of one range and order of magnitude, through one bank, that went one way."""

    band: int
    magnitude: int
    bank_profile_id: str
    was_paid: bool
    attempts: int
    propensity: float | None = None
    """How likely the bank was to be chosen; None: nobody wrote that down then."""


# What a customer or the law stopped counts against every bank alike.
LIST_LOGGED = Query(
    """
    /* routing.list_logged */
    select width_bucket(l.amount, :lows::bigint[])::int as band, floor(log(l.amount))::int as magnitude,
           l.bank_profile_id, l.was_paid, count(*)::int as attempts, l.propensity
      from (select a.amount, a.bank_profile_id, a.state = 'settled' as was_paid, a.propensity
              from payments.bank_attempts as a
             where a.kind = 'payout' and a.state in ('settled', 'rejected', 'returned')
               and a.currency = :currency and a.created_at > now() - make_interval(days => :days)
               and mesh.rail_of(a.destination) = :rail
               and a.amount >= :min_amount::bigint
               and (:max_amount::bigint is null or a.amount <= :max_amount::bigint)
             order by a.created_at desc
             limit :limit) as l
     group by 1, 2, 3, 4, 6
     order by 1, 2, 3, 4, 6
    """,
    row=LoggedRow,
)
