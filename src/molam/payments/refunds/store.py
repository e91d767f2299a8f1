"""The statements that change refunds; list_store.py has those that show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.platform.db import Query, Rank
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class PaymentRow:
    id: str
    state: str
    amount: int
    currency: str
    fee_molam: int
    channel: str
    provider: str | None
    reference_code: str | None
    occurred_at: datetime
    customer: dict[str, Any]
    imported: bool


@dataclass(frozen=True, slots=True)
class RefundRow:
    merchant_id: str
    id: str
    transaction_id: str
    amount: int
    currency: str
    reason: str
    state: str
    status: str
    origin: str
    created_by: str
    approved_by: str | None
    requires_approval: bool
    approval_id: str | None
    approval_via: str
    approvers: list[dict[str, Any]]
    client_reference: str | None
    destination: dict[str, Any] | None
    fee_returned: int
    ledger_entry_id: UUID | None
    provider_ref: str | None
    failed_code: str | None
    failed_reason: str | None
    metadata: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    queued_at: datetime | None
    details_until: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class TermsRow:
    default_currency: str
    timezone: str
    dashboard_config: dict[str, Any]
    daily_refund_limit: int | None
    monthly_refund_limit: int | None


@dataclass(frozen=True, slots=True)
class SumsRow:
    """What was refunded, disputed and asked for before, as one snapshot shows it."""

    ours: int
    reported: int
    lost: int
    open_dispute: str | None
    today: int
    this_month: int
    of_payment: int
    of_requester: int
    fee_given_back: int
    window_days: int | None
    is_refused_later: bool | None
    now: datetime


@dataclass(frozen=True, slots=True)
class TakenRow:
    ours: int
    reported: int
    lost: int
    open_dispute: str | None


@dataclass(frozen=True, slots=True)
class GivenBackRow:
    amount: int
    fee: int


@dataclass(frozen=True, slots=True)
class PersonRow:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class TenantRow:
    merchant_id: str


@dataclass(frozen=True, slots=True)
class OfMerchantRow:
    merchant_id: str
    id: str


COLUMNS = """merchant_id, id, transaction_id, amount, currency, reason, state, status, origin, created_by,
           approved_by, requires_approval, approval_id, approval_via, approvers, client_reference, destination,
           fee_returned, ledger_entry_id, provider_ref, failed_code, failed_reason, metadata, version,
           created_at, updated_at, expires_at, queued_at, details_until, completed_at"""

_PAYMENT = """
    select id, state, amount, currency, fee_molam, channel, provider, reference_code, occurred_at,
           customer, imported
      from payments.wallet_transactions
     where merchant_id = :merchant_id and type = 'payment' and id = :id"""

# What is refunded of a payment is decided by whoever holds its row.
LOCK_PAYMENT = Query(
    "/* refunds.lock_payment */" + _PAYMENT + " for update",
    row=PaymentRow,
    locks=Rank.PAYMENT,
)

FIND_PAYMENT = Query("/* refunds.find_payment */" + _PAYMENT, row=PaymentRow)

LOCK_REFUND = Query(
    "/* refunds.lock_refund */ select "
    + COLUMNS
    + """
      from payments.refunds
     where merchant_id = :merchant_id and id = :id
       for update""",
    row=RefundRow,
    locks=Rank.REFUND,
)

FIND_REFUND = Query(
    "/* refunds.find_refund */ select "
    + COLUMNS
    + """
      from payments.refunds
     where merchant_id = :merchant_id and id = :id""",
    row=RefundRow,
)

# Our own ids are unique over all merchants; only processes that see them all ask so.
FIND_ANYWHERE = Query(
    "/* refunds.find_anywhere */ select "
    + COLUMNS
    + """
      from payments.refunds
     where id = :id""",
    row=RefundRow,
)

FIND_BY_REFERENCE = Query(
    "/* refunds.find_by_reference */ select "
    + COLUMNS
    + """
      from payments.refunds
     where merchant_id = :merchant_id and client_reference = :client_reference""",
    row=RefundRow,
)

LIST_PAYMENT_OWNERS = Query(
    """
    /* refunds.list_payment_owners */
    select merchant_id, id
      from payments.wallet_transactions
     where type = 'payment' and id = :id
     order by merchant_id
     limit 2
    """,
    row=OfMerchantRow,
)

FIND_TERMS = Query(
    """
    /* refunds.find_terms */
    select default_currency, timezone, dashboard_config, daily_refund_limit, monthly_refund_limit
      from merchant.merchant_dashboards
     where merchant_id = :merchant_id
    """,
    row=TermsRow,
)

_TAKEN = """
    select (select coalesce(sum(r.amount), 0)::bigint
              from payments.refunds r
             where r.merchant_id = :merchant_id and r.transaction_id = :transaction_id
               and r.state = any(:counted::text[])) as ours,
           (select coalesce(sum(w.amount), 0)::bigint
              from payments.wallet_transactions w
             where w.merchant_id = :merchant_id and w.type = 'refund' and w.original_id = :transaction_id
               and w.state in ('pending', 'succeeded')
               and not exists (select from payments.refunds r
                                where r.merchant_id = w.merchant_id and r.id = w.id)) as reported,
           (select coalesce(sum(d.amount), 0)::bigint
              from payments.disputes d
             where d.merchant_id = :merchant_id and d.transaction_id = :transaction_id
               and d.state in ('lost', 'accepted', 'expired')) as lost,
           (select min(d.id)
              from payments.disputes d
             where d.merchant_id = :merchant_id and d.transaction_id = :transaction_id
               and d.state not in ('won', 'lost', 'accepted', 'expired', 'prevented', 'early_warning')) as open_dispute"""

READ_TAKEN = Query("/* refunds.read_taken */" + _TAKEN, row=TakenRow)

# Whoever is asked counts from after the locks: a statement that waited would otherwise
# not see the refund it waited for.
READ_SUMS = Query(
    "/* refunds.read_sums */"
    + _TAKEN
    + """,
           (select coalesce(sum(r.amount), 0)::bigint
              from payments.refunds r
             where r.merchant_id = :merchant_id and r.currency = :currency and r.state = any(:counted::text[])
               and r.created_at >= date_trunc('day', now() at time zone :timezone) at time zone :timezone) as today,
           (select coalesce(sum(r.amount), 0)::bigint
              from payments.refunds r
             where r.merchant_id = :merchant_id and r.currency = :currency and r.state = any(:counted::text[])
               and r.created_at >= date_trunc('month', now() at time zone :timezone) at time zone :timezone) as this_month,
           (select coalesce(sum(r.amount), 0)::bigint
              from payments.refunds r
             where r.merchant_id = :merchant_id and r.transaction_id = :transaction_id
               and r.state = any(:counted::text[])
               and r.created_at > now() - make_interval(secs => :window_s)) as of_payment,
           (select coalesce(sum(r.amount), 0)::bigint
              from payments.refunds r
             where r.merchant_id = :merchant_id and r.created_by = :requester and r.currency = :currency
               and r.state = any(:counted::text[])
               and r.created_at > now() - make_interval(secs => :window_s)) as of_requester,
           (select coalesce(sum(r.fee_returned), 0)::bigint
              from payments.refunds r
             where r.merchant_id = :merchant_id and r.transaction_id = :transaction_id
               and r.state = 'succeeded') as fee_given_back,
           p.days as window_days, p.afterwards = 'refused' as is_refused_later, now() as now
      from (select) as one
      left join payments.refund_windows p on p.provider = :provider::text
    """,
    row=SumsRow,
)

READ_GIVEN_BACK = Query(
    """
    /* refunds.read_given_back */
    select coalesce(sum(amount), 0)::bigint as amount, coalesce(sum(fee), 0)::bigint as fee
      from (select r.amount, r.fee_returned as fee
              from payments.refunds r
             where r.merchant_id = :merchant_id and r.transaction_id = :transaction_id
               and r.state = 'succeeded'
             union all
            select w.amount, 0
              from payments.wallet_transactions w
             where w.merchant_id = :merchant_id and w.type = 'refund' and w.original_id = :transaction_id
               and w.state = 'succeeded'
               and not exists (select from payments.refunds r
                                where r.merchant_id = w.merchant_id and r.id = w.id)) as given
    """,
    row=GivenBackRow,
)

INSERT_REFUND = Query(
    """
    /* refunds.insert_refund */
    insert into payments.refunds
           (merchant_id, id, transaction_id, amount, currency, reason, state, origin, created_by,
            requires_approval, approval_id, client_reference, destination, metadata, queued_at)
    values (:merchant_id, :id, :transaction_id, :amount, :currency, :reason, :state, :origin, :created_by,
            :requires_approval, :approval_id, :client_reference, :destination, :metadata,
            case when :state::text = 'queued' then now() end)
        on conflict (merchant_id, client_reference) do nothing
    returning """
    + COLUMNS,
    row=RefundRow,
)

# A column that is not told keeps what it has.
SET_STATE = Query(
    """
    /* refunds.set_state */
    update payments.refunds
       set state = :state,
           version = version + 1,
           updated_at = now(),
           approved_by = coalesce(:approved_by::text, approved_by),
           provider_ref = coalesce(:provider_ref::text, provider_ref),
           failed_code = coalesce(:failed_code::text, failed_code),
           failed_reason = coalesce(:failed_reason::text, failed_reason),
           fee_returned = coalesce(:fee_returned::bigint, fee_returned),
           ledger_entry_id = coalesce(:ledger_entry_id::uuid, ledger_entry_id),
           destination = coalesce(:destination::jsonb, destination),
           queued_at = case when :state = 'queued' then coalesce(queued_at, now()) else queued_at end,
           details_until = case when :state = 'needs_details'
                                then now() + make_interval(secs => :details_s) else details_until end,
           completed_at = case when :state in ('succeeded', 'failed', 'rejected', 'expired', 'cancelled', 'reversed')
                               then now() else completed_at end
     where merchant_id = :merchant_id
       and id = :id
       and state = :old
    returning """
    + COLUMNS,
    row=RefundRow,
)

SET_APPROVAL = Query(
    """
    /* refunds.set_approval */
    update payments.refunds
       set approval_id = :approval_id,
           approval_via = :approval_via,
           approvers = :approvers,
           expires_at = :expires_at
     where merchant_id = :merchant_id
       and id = :id
    returning """
    + COLUMNS,
    row=RefundRow,
)

APPEND_EVENT = Query(
    """
    /* refunds.append_event */
    insert into payments.refund_events
           (merchant_id, refund_id, seq, actor_id, actor_name, actor_kind, ip_address, user_agent,
            old_state, new_state, code, detail)
    values (:merchant_id, :refund_id, :seq, :actor_id, :actor_name, :actor_kind, :ip_address, :user_agent,
            :old_state, :new_state, :code, :detail)
    """,
    row=Nothing,
)

# Who may agree: the merchant's other administrators, by person and not by name used.
LIST_OTHER_ADMINS = Query(
    """
    /* refunds.list_other_admins */
    select p.id, p.name
      from tenancy.role_grants g
      join tenancy.people p on p.id = g.person_id
     where g.merchant_id = :merchant_id
       and g.role = 'merchant_admin'
       and g.revoked_at is null
       and p.deactivated_at is null
       and not p.is_service
       and p.id <> tenancy.principal(:requester)
     order by p.name, p.id
     limit 50
    """,
    row=PersonRow,
)

# Those who agreed and may still decide for this merchant, or for the platform.
LIST_RIGHTFUL_APPROVERS = Query(
    """
    /* refunds.list_rightful_approvers */
    select distinct p.id, p.name
      from approvals.current_votes v
      join tenancy.people p on p.id = v.voter_id
      join tenancy.role_grants g on g.person_id = p.id
     where v.ops_action_id = :action_id
       and v.vote = 'approve'
       and p.deactivated_at is null
       and g.revoked_at is null
       and ((g.role = 'merchant_admin' and g.merchant_id = :merchant_id)
            or (g.role = 'finance_ops' and g.merchant_id is null))
       and p.id <> tenancy.principal(:requester)
     order by p.id
    """,
    row=PersonRow,
)

# An action is carried out by a process of the merchant app as well, which sees the rows
# of one merchant at a time; the params say of which.
ACT_FOR = Query(
    """
    /* refunds.act_for */
    select set_config('molam.merchant_id', :merchant_id, true) as merchant_id
    """,
    row=TenantRow,
)
