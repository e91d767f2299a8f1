"""Every statement about asking banks to give payouts back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A payout that somebody wants back; *why* it cannot be asked for, if it cannot."""

    id: str
    amount: int | None
    currency: str | None
    bank_profile_id: str | None
    bank_name: str | None
    why: str | None


@dataclass(frozen=True, slots=True)
class AskedRow:
    id: UUID
    payout_id: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class RecallRow:
    id: UUID
    key: str
    payout_id: str
    merchant_id: str
    attempt_id: UUID
    bank_profile_id: str
    amount: int
    currency: str
    reason_code: str
    reason: str | None
    state: str
    answer_code: str | None
    asks: int
    is_leased: bool
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A recall as lists show it."""

    id: UUID
    payout_id: str
    merchant_id: str
    bank_profile_id: str
    bank_name: str
    amount: int
    currency: str
    reason_code: str
    reason: str | None
    state: str
    answer_code: str | None
    answer_reason: str | None
    proposal_id: str | None
    action_id: str
    requested_by: str
    requested_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class PayoutIdRow:
    id: str


@dataclass(frozen=True, slots=True)
class DueRow:
    id: UUID


# First of all, so that whoever else asks for the same payouts is seen by what comes next.
LOCK_PAYOUTS = Query(
    """
    /* payouts.lock_recalled */
    select id
      from payments.payouts
     where id = any(:ids::text[]) and origin = 'molam'
     order by id
       for update
    """,
    row=PayoutIdRow,
    locks=Rank.PAYOUT,
)

_JUDGED = """
    judged as (
        select w.id, p.merchant_id, p.amount, p.currency, t.id as attempt_id, t.bank_profile_id,
               b.name as bank_name,
               case when p.id is null then 'absent'
                    when p.state in ('scheduled', 'held', 'pending') then 'waiting'
                    when p.state not in ('in_transit', 'paid') then 'ended'
                    when exists (select from payments.recalls as r
                                  where r.payout_id = p.id
                                    and r.state in ('requested', 'unknown', 'pending', 'accepted')) then 'asked'
                    when t.id is null or p.in_doubt_since is not null or t.state in ('sending', 'unknown')
                      or t.code = 'waiting-for-file' then 'in_doubt'
                    when b.connector <> all(:connectors::text[]) then 'no_interface' end as why
          from (select distinct unnest(:ids::text[]) as id) as w
          left join locked as p on p.id = w.id
          left join lateral (select a.id, a.bank_profile_id, a.state, a.code
                               from payments.bank_attempts as a
                              where a.kind = 'payout' and a.object_id = p.id
                              order by a.attempt_no desc
                              limit 1) as t on true
          left join payments.bank_profiles as b on b.id = t.bank_profile_id
    )"""

_PAYOUTS = """
    with locked as materialized (
        select p.id, p.merchant_id, p.amount, p.currency, p.state, p.in_doubt_since
          from payments.payouts as p
         where p.id = any(:ids::text[]) and p.origin = 'molam'
         order by p.id"""

JUDGE = Query(
    "/* payouts.judge_recalls */"
    + _PAYOUTS
    + "),"
    + _JUDGED
    + """
    select id, amount, currency, bank_profile_id, bank_name, why
      from judged
     order by id
    """,
    row=JudgedRow,
)

# One statement: who is asked for, what is written down, and what timelines say cannot differ.
ASK = Query(
    "/* payouts.ask_recalls */"
    + _PAYOUTS
    + "),"
    + _JUDGED
    + """,
    asked as (
        insert into payments.recalls
               (id, key, merchant_id, payout_id, attempt_id, bank_profile_id, amount, currency, reason_code,
                reason, action_id, proposal_id, requested_by)
        select gen_random_uuid(),
               'recall-' || j.id || coalesce('.' || (select count(*) + 1 from payments.recalls as r
                                                      where r.payout_id = j.id having count(*) > 0), ''),
               j.merchant_id, j.id, j.attempt_id, j.bank_profile_id, j.amount, j.currency, :reason_code::text,
               :reason::text, :action_id::text, :proposal_id::text, :by::text
          from judged as j
         where j.why is null
     returning id, merchant_id, payout_id, amount, currency
    ),
    marked as (
        update payments.payouts as p
           set recall_asked_at = coalesce(p.recall_asked_at, now()), updated_at = now()
          from asked as k
         where p.merchant_id = k.merchant_id and p.id = k.payout_id
     returning p.merchant_id, p.id, p.state
    ),
    told as (
        insert into payments.payout_events (merchant_id, payout_id, old_state, new_state, what, actor, detail)
        select m.merchant_id, m.id, m.state, m.state, 'recall_asked', :by::text,
               jsonb_strip_nulls(jsonb_build_object('reason_code', :reason_code::text, 'reason', :reason::text))
          from marked as m
    )
    select id, payout_id, amount, currency
      from asked
     order by payout_id
    """,
    row=AskedRow,
    locks=Rank.PAYOUT,
)

LOCK_RECALL = Query(
    """
    /* payouts.lock_recall */
    select id, key, payout_id, merchant_id, attempt_id, bank_profile_id, amount, currency, reason_code, reason,
           state, answer_code, asks, lease_until > now() as is_leased, requested_at
      from payments.recalls
     where id = :id
       for update
    """,
    row=RecallRow,
    locks=Rank.RECALL,
)

FIND_OF_BANK = Query(
    """
    /* payouts.find_recall_of_bank */
    select id
      from payments.recalls
     where id = :id and bank_profile_id = :bank_profile_id
    """,
    row=DueRow,
)

# Before the bank is told: whoever dies after this has perhaps told it.
SET_TELLING = Query(
    """
    /* payouts.set_recall_telling */
    update payments.recalls
       set state = case when state = 'requested' then 'unknown' else state end,
           sent_at = coalesce(sent_at, now()),
           asks = asks + 1,
           lease_until = now() + make_interval(secs => :lease_s),
           next_ask_at = now() + make_interval(secs => :lease_s)
     where id = :id
    """,
    row=Nothing,
)

SET_HEARD = Query(
    """
    /* payouts.set_recall_heard */
    update payments.recalls
       set state = :new,
           answer_code = case when :code::text = 'waiting-for-file' then coalesce(answer_code, :code::text)
                              else coalesce(:code::text, answer_code) end,
           answer_reason = coalesce(:reason, answer_reason),
           answered_at = case when :new in ('accepted', 'rejected') then coalesce(answered_at, now())
                              else answered_at end,
           ended_at = case when :new = 'rejected' then now() else ended_at end,
           lease_until = '-infinity',
           next_ask_at = now() + make_interval(secs => :ask_in_s)
     where id = :id and state = :old
    """,
    row=Nothing,
)

# What becomes of the payout ends the recall, whatever the bank had answered.
SET_ENDED = Query(
    """
    /* payouts.set_recall_ended */
    update payments.recalls as r
       set state = :new, ended_at = now()
      from (select id
              from payments.recalls
             where payout_id = :payout_id
               and (state in ('requested', 'unknown', 'pending', 'accepted')
                    or (state = 'rejected' and :new = 'returned'))
             order by requested_at desc
             limit 1
               for update) as o
     where r.id = o.id
    """,
    row=Nothing,
    locks=Rank.RECALL,
)

TAKE_DUE = Query(
    """
    /* payouts.take_due_recalls */
    with due as (
        select id
          from payments.recalls
         where state in ('requested', 'unknown', 'pending', 'accepted') and next_ask_at <= now()
         order by next_ask_at
         limit :limit
           for update skip locked
    )
    update payments.recalls as r
       set next_ask_at = now() + make_interval(secs => :again_s)
      from due
     where r.id = due.id
 returning r.id
    """,
    row=DueRow,
    locks=Rank.RECALL,
)

_SHOWN = """
    select r.id, r.payout_id, r.merchant_id, r.bank_profile_id, b.name as bank_name, r.amount, r.currency,
           r.reason_code, r.reason, r.state, r.answer_code, r.answer_reason, r.proposal_id, r.action_id,
           r.requested_by, r.requested_at, r.sent_at, r.answered_at, r.ended_at
      from payments.recalls as r
      join payments.bank_profiles as b on b.id = r.bank_profile_id"""

LIST_SHOWN = Query(
    "/* payouts.list_recalls */"
    + _SHOWN
    + """
     where (:proposal_id::text is null or r.proposal_id = :proposal_id::text)
       and (:payout_id::text is null or r.payout_id = :payout_id::text)
       and (r.requested_at, r.id) < (:at::timestamptz, :id::uuid)
     order by r.requested_at desc, r.id desc
     limit :limit
    """,
    row=ShownRow,
)


@dataclass(frozen=True, slots=True)
class OpenRow:
    state: str
    number: int


COUNT_OPEN = Query(
    """
    /* payouts.count_open_recalls */
    select s.state, count(r.id)::int as number
      from unnest(array['requested', 'unknown', 'pending', 'accepted']) as s (state)
      left join payments.recalls as r on r.state = s.state
     group by s.state
    """,
    row=OpenRow,
)


@dataclass(frozen=True, slots=True)
class UnfiledRow:
    """A request that waits to be written into a file."""

    id: UUID
    bank_profile_id: str
    bank_name: str
    wire_key: str
    amount: int
    currency: str
    reason_code: str
    requested_at: datetime


LIST_UNFILED = Query(
    """
    /* payouts.list_unfiled_recalls */
    select r.id, r.bank_profile_id, b.name as bank_name, a.wire_key, r.amount, r.currency, r.reason_code,
           r.requested_at
      from payments.recalls as r
      join payments.bank_profiles as b on b.id = r.bank_profile_id and b.connector = 'pain001'
      join payments.bank_attempts as a on a.id = r.attempt_id
     where r.state = 'pending' and r.answer_code = 'waiting-for-file'
     order by r.requested_at, r.id
     limit :limit
    """,
    row=UnfiledRow,
)

SET_FILED = Query(
    """
    /* payouts.set_recall_filed */
    update payments.recalls
       set answer_code = :code
     where id = :id and answer_code = 'waiting-for-file'
    """,
    row=Nothing,
)
