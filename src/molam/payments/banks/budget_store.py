"""Every statement about how much a bank was sent lately, and may still be asked."""

from __future__ import annotations

from dataclasses import dataclass

from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class TrafficRow:
    requests: int
    accepts: int


COUNT_REQUEST = Query(
    """
    /* budgets.count_request */
    insert into payments.bank_traffic as t (bank_profile_id, slot, lane, requests, accepts, live)
    values (:id, date_bin('10 seconds', now(), 'epoch'), :lane, 1, :accepts, :live)
        on conflict (bank_profile_id, slot, lane) do update
       set requests = t.requests + 1,
           accepts = t.accepts + excluded.accepts,
           live = t.live + excluded.live
    """,
    row=Nothing,
)

FIND_TRAFFIC = Query(
    """
    /* budgets.find_traffic */
    select coalesce(sum(requests), 0)::int as requests, coalesce(sum(accepts), 0)::int as accepts
      from payments.bank_traffic
     where bank_profile_id = :id
       and slot > now() - make_interval(secs => :window_s)
    """,
    row=TrafficRow,
)

# Whoever waits for the row reads what the one before left.
TAKE_TOKEN = Query(
    """
    /* budgets.take_token */
    update payments.bank_budgets as b
       set tokens = payments.tokens_now(b, :share, :per_s, :floor_max, :most) - 1,
           filled_at = greatest(b.filled_at, now()),
           counted_until = greatest(b.counted_until, date_bin('10 seconds', now(), 'epoch'))
     where b.bank_profile_id = :id and b.purpose = :purpose
       and payments.tokens_now(b, :share, :per_s, :floor_max, :most) >= 1
    """,
    row=Nothing,
)

BEGIN_BUDGET = Query(
    """
    /* budgets.begin */
    insert into payments.bank_budgets (bank_profile_id, purpose, tokens, counted_until)
    values (:id, :purpose, :floor_max, date_bin('10 seconds', now(), 'epoch'))
        on conflict (bank_profile_id, purpose) do nothing
    """,
    row=Nothing,
)

PURGE_TRAFFIC = Query(
    """
    /* budgets.purge_traffic */
    delete from payments.bank_traffic where slot < now() - interval '2 hours'
    """,
    row=Nothing,
)
