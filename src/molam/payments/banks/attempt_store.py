"""Every statement about attempts at sending."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class AttemptRow:
    id: UUID
    kind: str
    object_id: str
    merchant_id: str
    attempt_no: int
    bank_profile_id: str
    outward_key: str
    wire_key: str
    amount: int
    currency: str
    destination: dict[str, Any]
    reference: str
    state: str
    provider_ref: str | None
    code: str | None
    reason: str | None
    confirmed_by: str | None
    contradiction: str | None
    tokens: dict[str, Any]
    file_id: UUID | None
    sends: int
    inquiries: int
    created_at: datetime
    sent_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class IdRow:
    id: UUID


@dataclass(frozen=True, slots=True)
class NumberRow:
    number: int


@dataclass(frozen=True, slots=True)
class DueRow:
    id: UUID
    bank_profile_id: str


# First of all locks of its transaction: see Note [An unknown is no failure] for what an
# attempt protects, and `commands` for who takes it.
LOCK_CURRENT = Query(
    """
    /* banks.lock_current */
    select id, kind, object_id, merchant_id, attempt_no, bank_profile_id, outward_key, wire_key,
           amount, currency, destination, reference, state, provider_ref, code, reason,
           confirmed_by, contradiction, tokens, file_id, sends, inquiries, created_at, sent_at, updated_at
      from payments.bank_attempts
     where kind = :kind and object_id = :object_id
     order by attempt_no desc
     limit 1
       for update
    """,
    row=AttemptRow,
    locks=Rank.BANK_ATTEMPT,
)

LOCK_ATTEMPT = Query(
    """
    /* banks.lock_attempt */
    select id, kind, object_id, merchant_id, attempt_no, bank_profile_id, outward_key, wire_key,
           amount, currency, destination, reference, state, provider_ref, code, reason,
           confirmed_by, contradiction, tokens, file_id, sends, inquiries, created_at, sent_at, updated_at
      from payments.bank_attempts
     where id = :id
       for update
    """,
    row=AttemptRow,
    locks=Rank.BANK_ATTEMPT,
)

FIND_ATTEMPT = Query(
    """
    /* banks.find_attempt */
    select id, kind, object_id, merchant_id, attempt_no, bank_profile_id, outward_key, wire_key,
           amount, currency, destination, reference, state, provider_ref, code, reason,
           confirmed_by, contradiction, tokens, file_id, sends, inquiries, created_at, sent_at, updated_at
      from payments.bank_attempts
     where id = :id
    """,
    row=AttemptRow,
)

LIST_ATTEMPTS = Query(
    """
    /* banks.list_attempts */
    select id, kind, object_id, merchant_id, attempt_no, bank_profile_id, outward_key, wire_key,
           amount, currency, destination, reference, state, provider_ref, code, reason,
           confirmed_by, contradiction, tokens, file_id, sends, inquiries, created_at, sent_at, updated_at
      from payments.bank_attempts
     where kind = :kind and object_id = :object_id
       and (:merchant_id::text is null or merchant_id = :merchant_id)
     order by attempt_no
     limit :limit
    """,
    row=AttemptRow,
)

FIND_BY_WIRE = Query(
    """
    /* banks.find_by_wire */
    select id
      from payments.bank_attempts
     where bank_profile_id = :bank_profile_id
       and (wire_key = :wire_key
            or (:provider_ref::text is not null and provider_ref = :provider_ref)
            or (:notif_token::text is not null and tokens ? 'notif_token'
                and tokens ->> 'notif_token' = :notif_token))
     order by coalesce(provider_ref = :provider_ref, false) desc, attempt_no desc
     limit 1
    """,
    row=IdRow,
)

# One key may have several tries at a bank, each with an id of the bank's own.
FIND_EARLIER = Query(
    """
    /* banks.find_earlier */
    select count(*)::int as number
      from payments.bank_attempts
     where kind = :kind and object_id = :object_id and attempt_no < :attempt_no
       and bank_profile_id = :bank_profile_id and provider_ref = :provider_ref
    """,
    row=NumberRow,
)

# How likely the bank was is what lots left to it, where they decided about this payout.
APPEND_ATTEMPT = Query(
    """
    /* banks.append_attempt */
    insert into payments.bank_attempts
           (id, kind, object_id, merchant_id, attempt_no, bank_profile_id, outward_key, wire_key,
            amount, currency, destination, reference, state, request_hash, lease_until, next_inquiry_at,
            propensity)
    values (:id, :kind, :object_id, :merchant_id, :attempt_no, :bank_profile_id, :outward_key, :wire_key,
            :amount, :currency, :destination::jsonb, :reference, 'sending', :request_hash,
            now() + make_interval(secs => :lease_s), now() + make_interval(secs => :lease_s),
            coalesce((select c.propensity
                        from payments.bank_choices as c
                       where :kind = 'payout' and c.payout_id = :object_id
                         and c.bank_profile_id = :bank_profile_id), 1))
        on conflict do nothing
    """,
    row=Nothing,
)

SET_STATE = Query(
    """
    /* banks.set_state */
    update payments.bank_attempts
       set state = :new,
           provider_ref = coalesce(:provider_ref, provider_ref),
           code = :code,
           reason = :reason,
           confirmed_by = :confirmed_by,
           tokens = tokens || :tokens::jsonb,
           next_inquiry_at = now() + make_interval(secs => :ask_in_s),
           watch_until = now() + make_interval(secs => nullif(:watch_s::float8, 0)),
           updated_at = now()
     where id = :id and state = :old
    """,
    row=Nothing,
)

# What changes no state may still bring what the bank calls the payment.
ADD_TOKENS = Query(
    """
    /* banks.add_tokens */
    update payments.bank_attempts
       set provider_ref = coalesce(provider_ref, :provider_ref),
           tokens = tokens || :tokens::jsonb
     where id = :id
    """,
    row=Nothing,
)

SET_CONTRADICTION = Query(
    """
    /* banks.set_contradiction */
    update payments.bank_attempts
       set contradiction = coalesce(contradiction, :contradiction),
           updated_at = now()
     where id = :id
    """,
    row=Nothing,
)

SET_RESENDING = Query(
    """
    /* banks.set_resending */
    update payments.bank_attempts
       set state = 'sending',
           sends = sends + 1,
           sent_at = now(),
           lease_until = now() + make_interval(secs => :lease_s),
           next_inquiry_at = now() + make_interval(secs => :lease_s),
           updated_at = now()
     where id = :id and state = 'unknown'
       and sent_at <= now() - make_interval(secs => :resend_after_s)
    """,
    row=Nothing,
)

COUNT_QUIET = Query(
    """
    /* banks.count_quiet */
    select count(*)::int as number
      from payments.bank_attempts
     where id = :id and sent_at <= now() - make_interval(secs => :quiet_s)
    """,
    row=NumberRow,
)

# A sender whose lease ran out is presumed dead, and what it sent is unknown.
SET_ABANDONED = Query(
    """
    /* banks.set_abandoned */
    update payments.bank_attempts
       set state = 'unknown',
           code = 'sender-lost',
           reason = null,
           updated_at = now()
     where id = :id and state = 'sending' and lease_until <= now()
    """,
    row=Nothing,
)

POSTPONE_INQUIRY = Query(
    """
    /* banks.postpone_inquiry */
    update payments.bank_attempts
       set inquiries = inquiries + 1,
           next_inquiry_at = now() + make_interval(secs => :ask_in_s)
     where id = :id and state in ('sending', 'accepted', 'unknown', 'settled')
    """,
    row=Nothing,
)

# Nobody was asked, so its place in the schedule stays what it was.
PUT_OFF = Query(
    """
    /* banks.put_off */
    update payments.bank_attempts
       set next_inquiry_at = now() + (1 + random()) * make_interval(secs => :wait_s)
     where id = :id and state in ('sending', 'accepted', 'unknown', 'settled')
    """,
    row=Nothing,
)

# Of each bank what has waited longest, as much as its budget allows. The next inquiry moves
# away, so that a job lost on the way costs one round only.
TAKE_DUE = Query(
    """
    /* banks.take_due */
    with rooms as (
        select p.id, floor(coalesce(payments.tokens_now(b, :share, :per_s, :floor_max, :most), :floor_max)
                           - :kept)::int as room
          from payments.bank_profiles as p
          left join payments.bank_budgets as b on b.bank_profile_id = p.id and b.purpose = 'inquiry'
    ),
    due as (
        select f.id
          from rooms as r
         cross join lateral (
               select a.id
                 from payments.bank_attempts as a
                where a.bank_profile_id = r.id
                  and a.state in ('sending', 'accepted', 'unknown')
                  and a.next_inquiry_at <= now()
                  and (a.state <> 'accepted' or a.code is distinct from 'waiting-for-file')
                order by a.next_inquiry_at
                limit greatest(r.room, 0)
                  for update skip locked) as f
         limit :limit
    )
    update payments.bank_attempts as a
       set next_inquiry_at = now() + make_interval(secs => :again_s)
      from due
     where a.id = due.id
    returning a.id, a.bank_profile_id
    """,
    row=DueRow,
    locks=Rank.BANK_ATTEMPT,
)

TAKE_WATCHED = Query(
    """
    /* banks.take_watched */
    with rooms as (
        select p.id, floor(coalesce(payments.tokens_now(b, :share, :per_s, :floor_max, :most), :floor_max)
                           - :kept)::int as room
          from payments.bank_profiles as p
          left join payments.bank_budgets as b on b.bank_profile_id = p.id and b.purpose = 'inquiry'
    ),
    due as (
        select f.id
          from rooms as r
         cross join lateral (
               select a.id
                 from payments.bank_attempts as a
                where a.bank_profile_id = r.id
                  and a.state = 'settled' and a.watch_until is not null
                  and a.next_inquiry_at <= now()
                order by a.next_inquiry_at
                limit greatest(r.room, 0)
                  for update skip locked) as f
         limit :limit
    )
    update payments.bank_attempts as a
       set next_inquiry_at = now() + make_interval(secs => :again_s),
           watch_until = case when a.watch_until > now() then a.watch_until end
      from due
     where a.id = due.id
    returning a.id, a.bank_profile_id
    """,
    row=DueRow,
    locks=Rank.BANK_ATTEMPT,
)

# Spread over a minute, so that a bank that has just come back is not run over.
HASTEN = Query(
    """
    /* banks.hasten */
    with silent as (
        select id
          from payments.bank_attempts
         where bank_profile_id = :bank_profile_id
           and state = 'unknown'
           and next_inquiry_at > now() + make_interval(secs => :within_s)
         order by id
         limit :limit
           for update skip locked
    )
    update payments.bank_attempts as a
       set next_inquiry_at = now() + random() * make_interval(secs => :within_s)
      from silent
     where a.id = silent.id
    """,
    row=Nothing,
    locks=Rank.BANK_ATTEMPT,
)
