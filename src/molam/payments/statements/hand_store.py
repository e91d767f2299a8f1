"""Every statement of matching by hand, of undoing it, and of telling who is concerned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from molam.payments.statements.match_sql_store import (
    ATTEMPT,
    CUSTOMER,
    HOLDER,
    NAME_FITS,
    PAYMENT,
    POSTED,
)
from molam.payments.statements.match_store import MadeRow
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class ExpectationRow:
    expectation: str
    kind: str
    object_id: str
    merchant_id: str
    attempt_id: UUID | None
    bank_profile_id: str
    currency: str
    amount: int
    day: date
    outward_key: str
    provider_ref: str
    holder: str
    account: str
    state: str


@dataclass(frozen=True, slots=True)
class CandidateRow:
    expectation: str
    kind: str
    object_id: str
    merchant_id: str
    amount: int
    leg: str
    day: date
    outward_key: str
    holder: str
    state: str
    difference: int
    days: int
    name_fits: bool


@dataclass(frozen=True, slots=True)
class MatchRow:
    id: UUID
    line_id: int
    kind: str
    expectation: str | None
    tier: str
    told_at: datetime | None


@dataclass(frozen=True, slots=True)
class LineIdRow:
    line_id: int


@dataclass(frozen=True, slots=True)
class UntoldRow:
    id: UUID
    attempt_id: UUID
    kind: str
    object_id: str
    leg: str
    booked_on: date
    bank_ref: str
    text: str


# One pair, by a person or by an approved action; *expectation* is null for a write-off.
MATCH_BY_HAND = Query(
    f"""
    /* statements.match_by_hand */
    with inserted as (
        insert into payments.statement_matches
               (line_id, statement_id, bank_profile_id, currency, kind, expectation, leg, attempt_id, object_id,
                merchant_id, amount, fee, difference, tier, score, explanation, reason, matched_by, action_id)
        select l.id, l.statement_id, l.bank_profile_id, l.currency, h.kind, h.expectation, h.leg, h.attempt_id,
               h.object_id, h.merchant_id, l.amount, l.fee, h.difference, h.tier, h.score, h.explanation, h.reason,
               h.matched_by, h.action_id
          from json_to_record(:match::json) as h(
               line_id bigint, kind text, expectation text, leg text, attempt_id uuid, object_id text,
               merchant_id text, difference bigint, tier text, score numeric, explanation jsonb, reason text,
               matched_by text, action_id text)
          join payments.statement_lines as l
            on l.id = h.line_id and l.bank_profile_id = :bank_profile_id and l.currency = :currency
     returning id, line_id, kind, attempt_id, amount, fee, difference
    ),
    marked as (
        update payments.statement_lines as l
           set state = case when n.kind = 'write_off' then 'archived' else 'matched' end, mismatch = null
          from inserted as n
         where l.id = n.line_id
     returning l.id, l.booked_on
    ),
    made as (select n.*, k.booked_on from inserted as n join marked as k on k.id = n.line_id),
    {POSTED}
    """,
    row=MadeRow,
)

FIND_MATCH = Query(
    """
    /* statements.find_match */
    select id, line_id, kind, expectation, tier, told_at
      from payments.statement_matches
     where line_id = :line_id and undone_at is null
    """,
    row=MatchRow,
)

# What was posted for a match, the other way round, on the same day.
UNDO_MATCH = Query(
    """
    /* statements.undo_match */
    with undone as (
        update payments.statement_matches
           set undone_by = :by, undone_at = now(), undo_reason = :reason
         where id = :id and undone_at is null
     returning id, line_id, attempt_id
    ),
    opened as (
        update payments.statement_lines as l
           set state = 'posted', mismatch = null
          from undone
         where l.id = undone.line_id
     returning l.id
    )
    select (select count(*) from opened) as matches,
           coalesce((select json_agg(json_build_object(
               'id', payments.uuid_of('undo/' || t.id),
               'source', regexp_replace(t.target, ':[A-Z]{3}$', ''),
               'target', regexp_replace(t.source, ':[A-Z]{3}$', ''),
               'amount', t.amount, 'currency', t.currency, 'merchant_id', null, 'cause', t.cause,
               'cause_id', t.cause_id, 'occurred_at', t.occurred_at) order by t.id)
               from undone
              cross join (values ('main'), ('difference'), ('fee')) as step(name)
               join ledger.transfers as t
                 on t.id = payments.uuid_of('statement/' || undone.id || '/' || step.name)), '[]'::json)::text
               as transfers,
           (select count(*) from undone where attempt_id is not null) as untold
    """,
    row=MadeRow,
)

FIND_ATTEMPT = Query(
    """
    /* statements.find_attempt */
    select 'attempt:' || a.id as expectation, a.kind, a.object_id, a.merchant_id, a.id as attempt_id,
           a.bank_profile_id, a.currency, -a.amount as amount, (a.sent_at at time zone 'UTC')::date as day,
           a.outward_key, coalesce(a.provider_ref, '') as provider_ref,
           coalesce(a.destination ->> 'holder', '') as holder,
           coalesce(a.destination ->> 'iban', a.destination ->> 'account_number', a.destination ->> 'phone', '')
               as account, a.state
      from payments.bank_attempts as a
     where a.id = :id
    """,
    row=ExpectationRow,
)

FIND_ATTEMPT_OF = Query(
    """
    /* statements.find_attempt_of */
    select 'attempt:' || a.id as expectation, a.kind, a.object_id, a.merchant_id, a.id as attempt_id,
           a.bank_profile_id, a.currency, -a.amount as amount, (a.sent_at at time zone 'UTC')::date as day,
           a.outward_key, coalesce(a.provider_ref, '') as provider_ref,
           coalesce(a.destination ->> 'holder', '') as holder,
           coalesce(a.destination ->> 'iban', a.destination ->> 'account_number', a.destination ->> 'phone', '')
               as account, a.state
      from payments.bank_attempts as a
     where a.kind = :kind and a.object_id = :object_id
     order by a.attempt_no desc
     limit 1
    """,
    row=ExpectationRow,
)

FIND_PAYMENT = Query(
    """
    /* statements.find_payment */
    select 'payment:' || t.merchant_id || '/' || t.id as expectation, 'collection' as kind, t.id as object_id,
           t.merchant_id, null::uuid as attempt_id, '' as bank_profile_id, t.currency, t.amount,
           (t.occurred_at at time zone 'UTC')::date as day, t.id as outward_key, '' as provider_ref,
           coalesce(t.customer ->> 'name', '') as holder, coalesce(t.customer ->> 'phone', '') as account, t.state
      from payments.wallet_transactions as t
     where t.merchant_id = :merchant_id and t.id = :id and t.type = 'payment'
       and t.state = 'succeeded' and not t.imported
    """,
    row=ExpectationRow,
)

IS_LINE_OPEN = Query(
    """
    /* statements.is_line_open */
    select id as line_id
      from payments.statement_lines
     where id = :line_id and state in ('posted', 'mismatched')
    """,
    row=LineIdRow,
)

IS_TAKEN = Query(
    """
    /* statements.is_taken */
    select id, line_id, kind, expectation, tier, told_at
      from payments.statement_matches
     where expectation = :expectation and leg = :leg and undone_at is null
    """,
    row=MatchRow,
)

# The nearest of what still waits: same amount first, then by days, then by name.
LIST_CANDIDATES = Query(
    f"""
    /* statements.list_candidates */
    with o as (
        select l.*, l.booked_on - 30 as since, l.booked_on + 31 as until
          from payments.statement_lines as l
         where l.id = :line_id
    ),
    rules as (
        select coalesce((select r.collects from payments.statement_rules as r
                          where r.bank_profile_id = (select bank_profile_id from o)), '{{}}') as collects
    ),
    near as (
        select {ATTEMPT}, a.outward_key, coalesce(a.destination ->> 'holder', '') as holder,
               {NAME_FITS % HOLDER} as name_fits
          from o
          join payments.bank_attempts as a on a.bank_profile_id = o.bank_profile_id and a.currency = o.currency
         where a.state <> 'rejected'
           and a.sent_at >= o.since::timestamp at time zone 'UTC' and a.sent_at < o.until::timestamp at time zone 'UTC'
         union all
        select {PAYMENT}, t.id, coalesce(t.customer ->> 'name', ''), {NAME_FITS % CUSTOMER}
          from o
         cross join rules as r
          join payments.wallet_transactions as t
            on t.provider = any(r.collects) and t.currency = o.currency
         where o.amount > 0 and t.type = 'payment' and t.state = 'succeeded' and not t.imported
           and t.amount between o.amount and o.amount + 1 + o.amount / 10
           and t.occurred_at >= o.since::timestamp at time zone 'UTC'
           and t.occurred_at < o.until::timestamp at time zone 'UTC'
    )
    select n.expectation, n.kind, n.object_id, n.merchant_id, n.due as amount, n.leg, n.day, n.outward_key,
           n.holder, n.attempt_state as state, o.amount - n.due as difference, o.booked_on - n.day as days,
           n.name_fits
      from near as n
     cross join o
     where not exists (select from payments.statement_matches as m
                        where m.expectation = n.expectation and m.leg = n.leg and m.undone_at is null)
     order by abs(o.amount - n.due), n.name_fits desc, abs(o.booked_on - n.day), n.expectation
     limit :limit
    """,
    row=CandidateRow,
)

LIST_UNTOLD = Query(
    """
    /* statements.list_untold */
    select m.id, m.attempt_id, m.kind, m.object_id, m.leg, l.booked_on, l.bank_ref, l.text
      from payments.statement_matches as m
      join payments.statement_lines as l on l.id = m.line_id
     where m.told_at is null and m.undone_at is null and m.attempt_id is not null
     order by m.matched_at, m.id
     limit :limit
    """,
    row=UntoldRow,
)

LOCK_UNTOLD = Query(
    """
    /* statements.lock_untold */
    select m.id, m.line_id, m.kind, m.expectation, m.tier, m.told_at
      from payments.statement_matches as m
     where m.id = :id and m.told_at is null and m.undone_at is null
       for update skip locked
    """,
    row=MatchRow,
    locks=Rank.STATEMENT_MATCH,
)

SET_TOLD = Query(
    """
    /* statements.set_told */
    update payments.statement_matches set told_at = now() where id = :id
    """,
    row=Nothing,
)
