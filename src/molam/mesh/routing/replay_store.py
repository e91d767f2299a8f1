"""The statements of a simulation: each asks one question of all waiting payouts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from molam.mesh.routing.scope_store import FROM_PAYOUTS, IN_SCOPE, LISTED
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """What one band gives from one bank to another; no *to_bank*: no route."""

    band: int
    from_bank: str | None
    to_bank: str | None
    has_next: bool
    payouts: int
    value: int
    cost_before: int
    cost_after: int
    fx_delta: int
    late_before: int
    late_after: int
    over_limit: int
    over_cost: int
    above: int
    above_value: int


@dataclass(frozen=True, slots=True)
class OverRow:
    """How many payouts the banks of a proposal could not take as their first choice."""

    over_cap: int
    over_cover: int


@dataclass(frozen=True, slots=True)
class AboveRow:
    id: str


# Bands and banks come as JSON: a handful of each, joined to as many payouts as wait. What
# has been handed to a bank once stays there, and what has no bank yet goes along. Where
# nobody is to be left, whoever is in the order keeps what it has. Shares are in millionths
# and all is integers, which costs a fifth of numerics; millions are taken apart so that no
# product is too large.
_BANDS = """
    with band as materialized (
        select b.*,
               case when b.delay_s > :promise_s::bigint then 'infinity'
                    else now() + make_interval(secs => b.delay_s - :promise_s::bigint) end as late_before
          from jsonb_to_recordset(:bands::jsonb)
               as b (band int, "order" text[], to_bank text, has_next boolean, flat bigint, share bigint,
                     least_fee bigint, most_fee bigint, fx_bp bigint, delay_s bigint,
                     amount_limit bigint, cap_left bigint, cover_left bigint)
    )"""
_MOVING = (
    FROM_PAYOUTS
    + """
      join band as t on t.band = width_bucket(p.amount, :lows::bigint[])"""
)
_AFFECTED = (
    IN_SCOPE
    + LISTED
    + """
       and p.attempts = 0
       and p.bank_profile_id is distinct from t.to_bank
       and (p.bank_profile_id is null or p.bank_profile_id = :from_bank::text
            or (:everybody::boolean and p.bank_profile_id <> all(t."order")))"""
)
_FEE_BEFORE: LiteralString = """
        least(greatest(f.flat + p.amount / 1000000 * f.share
                       + (p.amount % 1000000 * f.share + 500000) / 1000000, f.least_fee), f.most_fee)"""
_FEE_AFTER: LiteralString = """
        least(greatest(t.flat + p.amount / 1000000 * t.share
                       + (p.amount % 1000000 * t.share + 500000) / 1000000, t.least_fee), t.most_fee)"""

REPLAY = Query(
    "/* routing.replay */"
    + _BANDS
    + """,
    bank as materialized (
        select k.*,
               case when k.delay_s > :promise_s::bigint then 'infinity'
                    else now() + make_interval(secs => k.delay_s - :promise_s::bigint) end as late_before
          from jsonb_to_recordset(:banks::jsonb)
               as k (id text, flat bigint, share bigint, least_fee bigint, most_fee bigint,
                     fx_bp bigint, delay_s bigint)
    ),
    priced as (
        select t.band, p.bank_profile_id as from_bank, t.to_bank, t.has_next, p.amount, p.scheduled_for,
               f.late_before as late_there, t.late_before as late_here, t.amount_limit,
               (p.amount * (t.fx_bp - coalesce(f.fx_bp, 0))) / 10000 as fx,"""
    + _FEE_BEFORE
    + " as fee_before,"
    + _FEE_AFTER
    + " as fee_after"
    + _MOVING
    + """
          left join bank as f on f.id = p.bank_profile_id"""
    + _AFFECTED
    + """
    )
    select band, from_bank, to_bank, has_next, count(*)::int as payouts, sum(amount)::bigint as value,
           coalesce(sum(fee_before), 0)::bigint as cost_before,
           coalesce(sum(fee_after), 0)::bigint as cost_after,
           coalesce(sum(fx), 0)::bigint as fx_delta,
           (count(*) filter (where scheduled_for < late_there))::int as late_before,
           (count(*) filter (where scheduled_for < late_here))::int as late_after,
           (count(*) filter (where amount > amount_limit))::int as over_limit,
           -- What rounding adds is no breach of the rule.
           (count(*) filter (where (fee_after - 1)::numeric * 10000
                                   > fee_before::numeric * (10000 + :cost_bp::bigint)))::int as over_cost,
           (count(*) filter (where amount > :threshold::bigint))::int as above,
           coalesce(sum(amount) filter (where amount > :threshold::bigint), 0)::bigint as above_value
      from priced
     group by band, from_bank, to_bank, has_next
     order by band, from_bank, to_bank""",
    row=ReplayRow,
)

# Sums run from the smallest, as when payouts are moved, so that a batch cannot promise
# more than there is. Asked only where it does.
COUNT_OVER = Query(
    "/* routing.count_over */"
    + _BANDS
    + """,
    running as (
        select t.cap_left, t.cover_left,
               sum(p.amount) over (partition by t.to_bank order by p.amount, p.id
                                   rows unbounded preceding) as upto"""
    + _MOVING
    + _AFFECTED
    + """
    )
    select (count(*) filter (where upto > cap_left))::int as over_cap,
           (count(*) filter (where upto > cover_left))::int as over_cover
      from running""",
    row=OverRow,
)

LIST_ABOVE = Query(
    "/* routing.list_above */"
    + _BANDS
    + " select p.id"
    + _MOVING
    + _AFFECTED
    + """
       and t.to_bank is not null and p.amount > :threshold::bigint
     order by p.amount desc, p.id
     limit :limit""",
    row=AboveRow,
)
