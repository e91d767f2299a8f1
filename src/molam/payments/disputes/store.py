"""The statements about disputes themselves; evidence_store.py has those about answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from molam.payments.disputes.model import Dispute, Report, Response, State
from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class NamedRow:
    merchant_id: str
    id: str


@dataclass(frozen=True, slots=True)
class NowRow:
    now: datetime


@dataclass(frozen=True, slots=True)
class ReportRow:
    merchant_id: str
    dispute_id: str
    version: int
    word: str
    amount: int
    fee: int
    currency: str
    posts: bool
    provider: str | None
    transaction_id: str | None
    reason: str | None
    occurred_at: datetime
    metadata: dict[str, Any]
    received_at: datetime

    @property
    def report(self) -> Report:
        return Report(
            version=self.version,
            word=self.word,
            amount=self.amount,
            fee=self.fee,
            currency=self.currency,
            posts=self.posts,
            provider=self.provider,
            transaction_id=self.transaction_id,
            reason=self.reason,
            occurred_at=self.occurred_at,
            metadata=self.metadata,
            received_at=self.received_at,
        )


@dataclass(frozen=True, slots=True)
class DisputeRow:
    merchant_id: str
    id: str
    transaction_id: str | None
    type: str
    reason: str | None
    network_reason_code: str | None
    provider: str | None
    provider_dispute_id: str | None
    network_case_id: str | None
    amount: int
    fee: int
    currency: str
    version: int
    reported_state: str
    state: str
    stage: int
    response: str | None
    occurred_at: datetime
    opened_at: datetime
    evidence_due_at: datetime | None
    submitted_at: datetime | None
    resolved_at: datetime | None
    metadata: dict[str, Any]
    posted_amount: int
    posted_fee: int
    held_amount: int
    moves: int
    revision: int

    @property
    def dispute(self) -> Dispute:
        return Dispute(
            merchant_id=self.merchant_id,
            id=self.id,
            transaction_id=self.transaction_id,
            type=self.type,
            reason=self.reason,
            network_reason_code=self.network_reason_code,
            provider=self.provider,
            provider_dispute_id=self.provider_dispute_id,
            network_case_id=self.network_case_id,
            amount=self.amount,
            fee=self.fee,
            currency=self.currency,
            version=self.version,
            reported_state=self.reported_state,
            state=State(self.state),
            stage=self.stage,
            response=None if self.response is None else Response(self.response),
            occurred_at=self.occurred_at,
            opened_at=self.opened_at,
            evidence_due_at=self.evidence_due_at,
            submitted_at=self.submitted_at,
            resolved_at=self.resolved_at,
            metadata=self.metadata,
            posted_amount=self.posted_amount,
            posted_fee=self.posted_fee,
            held_amount=self.held_amount,
            moves=self.moves,
            revision=self.revision,
        )


# A report that only knows more of the same (a reason, further metadata) adds it.
STORE_REPORTS = Query(
    """
    /* disputes.store_reports */
    with told as materialized (
        select merchant_id, id as dispute_id, version, state as word, amount, fee, currency,
               bool_and(ledger_transfer_id is null) as posts,
               max(provider) as provider, max(original_id) as transaction_id, max(reason) as reason,
               min(occurred_at) as occurred_at, payments.merged(metadata) as metadata
          from payments.facts_in(:events::json) as f
         where kind = 'dispute'
         group by merchant_id, id, version, state, amount, fee, currency
    ),
    written as (
        insert into payments.dispute_reports as r
               (merchant_id, dispute_id, version, word, amount, fee, currency, posts, provider,
                transaction_id, reason, occurred_at, metadata)
        select merchant_id, dispute_id, version, word, amount, fee, currency, posts, provider,
               transaction_id, reason, occurred_at, metadata
          from told
         order by merchant_id, dispute_id, version, word
            on conflict (merchant_id, dispute_id, version, word, amount, fee, currency) do update
           set provider = greatest(r.provider, excluded.provider),
               transaction_id = greatest(r.transaction_id, excluded.transaction_id),
               reason = greatest(r.reason, excluded.reason),
               occurred_at = least(r.occurred_at, excluded.occurred_at),
               metadata = excluded.metadata || r.metadata
         where (r.provider, r.transaction_id, r.reason, r.occurred_at) is distinct from
               (greatest(r.provider, excluded.provider), greatest(r.transaction_id, excluded.transaction_id),
                greatest(r.reason, excluded.reason), least(r.occurred_at, excluded.occurred_at))
            or not r.metadata @> excluded.metadata
     returning merchant_id, dispute_id
    )
    select distinct merchant_id, dispute_id as id
      from written
     order by merchant_id, id
    """,
    row=NamedRow,
)

_COLUMNS = """
           d.merchant_id, d.id, d.transaction_id, d.type, d.reason, d.network_reason_code, d.provider,
           d.provider_dispute_id, d.network_case_id, d.amount, d.fee, d.currency, d.version,
           d.reported_state, d.state, d.stage, d.response, d.occurred_at, d.opened_at,
           d.evidence_due_at, d.submitted_at, d.resolved_at, d.metadata, d.posted_amount,
           d.posted_fee, d.held_amount, d.moves, d.revision"""

# Intake holds the merchants' stripes (see payments.LOCK_MERCHANTS), which rank above a
# dispute. Whoever locks a dispute takes no stripe after it, so the two cannot wait for
# each other, and this statement names no rank.
LOCK_REPORTED = Query(
    "/* disputes.lock_reported */ select"
    + _COLUMNS
    + """
      from payments.disputes d
      join json_to_recordset(:names::json) as n(merchant_id text, id text) using (merchant_id, id)
     order by d.merchant_id, d.id
       for update of d""",
    row=DisputeRow,
)

LIST_REPORTS = Query(
    """
    /* disputes.list_reports */
    select r.merchant_id, r.dispute_id, r.version, r.word, r.amount, r.fee, r.currency, r.posts,
           r.provider, r.transaction_id, r.reason, r.occurred_at, r.metadata, r.received_at
      from payments.dispute_reports r
      join json_to_recordset(:names::json) as n(merchant_id text, id text)
        on n.merchant_id = r.merchant_id and n.id = r.dispute_id
     order by r.merchant_id, r.dispute_id, r.version
    """,
    row=ReportRow,
)

LOCK = Query(
    "/* disputes.lock */ select"
    + _COLUMNS
    + """
      from payments.disputes d
     where d.merchant_id = :merchant_id and d.id = :id
       for update""",
    row=DisputeRow,
    locks=Rank.DISPUTE,
)

FIND = Query(
    "/* disputes.find */ select"
    + _COLUMNS
    + """
      from payments.disputes d
     where d.merchant_id = :merchant_id and d.id = :id""",
    row=DisputeRow,
)

NOW = Query("/* disputes.now */ select now() as now", row=NowRow)

PUT = Query(
    """
    /* disputes.put */
    insert into payments.disputes as d
           (merchant_id, id, transaction_id, type, reason, network_reason_code, provider,
            provider_dispute_id, network_case_id, amount, fee, currency, version, reported_state,
            state, stage, response, occurred_at, opened_at, evidence_due_at, submitted_at,
            resolved_at, metadata, posted_amount, posted_fee, held_amount, moves, revision)
    select merchant_id, id, transaction_id, type, reason, network_reason_code, provider,
           provider_dispute_id, network_case_id, amount, fee, currency, version, reported_state,
           state, stage, response, occurred_at, opened_at, evidence_due_at, submitted_at,
           resolved_at, metadata, posted_amount, posted_fee, held_amount, moves, revision
      from json_to_recordset(:disputes::json) as t(
           merchant_id text, id text, transaction_id text, type text, reason text,
           network_reason_code text, provider text, provider_dispute_id text, network_case_id text,
           amount bigint, fee bigint, currency text, version int, reported_state text, state text,
           stage int, response text, occurred_at timestamptz, opened_at timestamptz,
           evidence_due_at timestamptz, submitted_at timestamptz, resolved_at timestamptz,
           metadata jsonb, posted_amount bigint, posted_fee bigint, held_amount bigint, moves int,
           revision int)
     order by merchant_id, id
        on conflict (merchant_id, id) do update
       set (transaction_id, type, reason, network_reason_code, provider, provider_dispute_id,
            network_case_id, amount, fee, currency, version, reported_state, state, stage, response,
            occurred_at, opened_at, evidence_due_at, submitted_at, resolved_at, metadata,
            posted_amount, posted_fee, held_amount, moves, revision, updated_at) =
           (excluded.transaction_id, excluded.type, excluded.reason, excluded.network_reason_code,
            excluded.provider, excluded.provider_dispute_id, excluded.network_case_id, excluded.amount,
            excluded.fee, excluded.currency, excluded.version, excluded.reported_state, excluded.state,
            excluded.stage, excluded.response, excluded.occurred_at, excluded.opened_at,
            excluded.evidence_due_at, excluded.submitted_at, excluded.resolved_at, excluded.metadata,
            excluded.posted_amount, excluded.posted_fee, excluded.held_amount, excluded.moves,
            excluded.revision, now())
    """,
    row=Nothing,
)

APPEND_EVENTS = Query(
    """
    /* disputes.append_events */
    insert into payments.dispute_events
           (id, merchant_id, dispute_id, kind, stage, old_state, new_state, actor_kind, actor, details)
    select id, merchant_id, dispute_id, kind, stage, old_state, new_state, actor_kind, actor,
           coalesce(details, '{}')
      from json_to_recordset(:events::json) as t(
           id uuid, merchant_id text, dispute_id text, kind text, stage int, old_state text,
           new_state text, actor_kind text, actor text, details jsonb)
    """,
    row=Nothing,
)

# What the clock does. Each is looked at again under its lock.
LIST_DUE = Query(
    """
    /* disputes.list_due */
    select merchant_id, id
      from payments.disputes
     where (state = 'needs_response' and evidence_due_at <= now())
        or (state = 'expired' and evidence_due_at <= now() - :grace::interval)
     union all
    select merchant_id, id
      from payments.disputes
     where held_amount > 0 and state in ('lost', 'accepted')
     union all
    select d.merchant_id, d.id
      from payments.disputes d
      join payments.wallet_transactions p
        on p.merchant_id = d.merchant_id and p.type = 'payment' and p.id = d.transaction_id
     where d.state = 'early_warning' and p.refunded_amount >= d.amount
     limit :limit
    """,
    row=NamedRow,
)

# Of those whose last day has begun; the caller knows which reminder it is time for.
LIST_TO_REMIND = Query(
    """
    /* disputes.list_to_remind */
    select merchant_id, id
      from payments.disputes
     where state = 'needs_response'
       and evidence_due_at > now()
       and evidence_due_at <= now() + interval '24 hours'
     order by evidence_due_at
     limit :limit
    """,
    row=NamedRow,
)
