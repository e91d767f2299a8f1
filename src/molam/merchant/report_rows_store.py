"""What each export selects: every column text, ready for a file, in the order of its list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from molam.payments import list_store as lists
from molam.platform.db import Query


@dataclass(frozen=True, slots=True)
class TransactionCells:
    occurred: str
    id: str
    type: str
    status: str
    state: str
    amount: str
    currency: str
    fee: str
    net: str
    refunded: str
    channel: str
    provider: str
    reference: str
    customer_name: str
    customer_email: str
    customer_phone: str
    original_id: str
    reason: str
    payout_id: str
    payout_day: str
    payout_state: str


@dataclass(frozen=True, slots=True)
class RefundCells:
    occurred: str
    id: str
    payment_id: str
    status: str
    state: str
    amount: str
    currency: str
    fee_returned: str
    reason: str
    requested_by: str
    approved_by: str
    customer_name: str
    provider: str
    payout_id: str
    payout_day: str


@dataclass(frozen=True, slots=True)
class PayoutCells:
    occurred: str
    id: str
    state: str
    amount: str
    currency: str
    fee: str
    sales: str
    fees: str
    refunds: str
    disputes: str
    adjustments: str
    entries: str
    planned: str
    sent: str
    ended: str
    reference: str
    bank_reference: str
    failure: str


@dataclass(frozen=True, slots=True)
class PayoutLineCells:
    payout_id: str
    payout_state: str
    payout_day: str
    occurred: str
    cause: str
    cause_id: str
    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class DisputeCells:
    occurred: str
    id: str
    transaction_id: str
    status: str
    state: str
    stage: str
    amount: str
    currency: str
    fee: str
    reason: str
    due: str
    resolved: str


@dataclass(frozen=True, slots=True)
class LedgerCells:
    posted: str
    occurred: str
    cause: str
    cause_id: str
    account: str
    other_account: str
    amount: str
    currency: str
    transfer_id: str


@dataclass(frozen=True, slots=True)
class FactCells:
    """One transfer, for the accounts: amounts in minor units, which its reader turns into lines."""

    transfer_id: str
    day: str
    cause: str
    cause_id: str
    source: str
    target: str
    amount: str
    currency: str
    exponent: str
    provider: str
    shares: str


# Which payout paid a transaction out, and when that was or will be.
_PAID_OUT = """
      left join lateral (
          select p.id, p.state, (coalesce(p.ended_at, p.scheduled_for, p.occurred_at) at time zone :timezone)::date as day
            from payments.payout_entries e
            join payments.payouts p on p.merchant_id = e.merchant_id and p.id = e.payout_id
           where e.merchant_id = t.merchant_id and e.cause_id = t.id
             and (e.cause like 'refund%') = (t.type = 'refund')
           order by e.posted_at
           limit 1) as paid on true"""

_OF_TRANSACTIONS = """
    select date_trunc('second', t.occurred_at at time zone :timezone)::text as occurred,
           platform.export_text(t.id) as id, t.type, t.status, t.state,
           platform.export_amount(t.amount, c.exponent) as amount, t.currency,
           platform.export_amount(t.fee_molam, c.exponent) as fee,
           platform.export_amount(case t.type when 'refund' then -t.amount else t.amount end - t.fee_molam, c.exponent) as net,
           platform.export_amount(t.refunded_amount, c.exponent) as refunded,
           t.channel, platform.export_text(t.provider) as provider,
           platform.export_text(t.reference_code) as reference,
           platform.export_text(t.customer ->> 'name') as customer_name,
           platform.export_text(t.customer ->> 'email') as customer_email,
           platform.export_text(t.customer ->> 'phone') as customer_phone,
           platform.export_text(t.original_id) as original_id, platform.export_text(t.reason) as reason,
           platform.export_text(paid.id) as payout_id, paid.day::text as payout_day, paid.state as payout_state
      from ("""

_OF_REFUNDS = """
    select date_trunc('second', t.occurred_at at time zone :timezone)::text as occurred,
           platform.export_text(t.id) as id, platform.export_text(t.original_id) as payment_id, t.status,
           coalesce(r.state, t.state) as state,
           platform.export_amount(t.amount, c.exponent) as amount, t.currency,
           platform.export_amount(greatest(-t.fee_molam, 0), c.exponent) as fee_returned,
           platform.export_text(coalesce(r.reason, t.reason)) as reason,
           platform.export_text(r.created_by) as requested_by, platform.export_text(r.approved_by) as approved_by,
           platform.export_text(t.customer ->> 'name') as customer_name,
           platform.export_text(t.provider) as provider,
           platform.export_text(paid.id) as payout_id, paid.day::text as payout_day
      from ("""

_JOINED = (
    """) as t
      join tenancy.currencies c on c.code = t.currency"""
    + _PAID_OUT
)
_REFUND_JOINED = (
    _JOINED
    + """
      left join payments.refunds r on r.merchant_id = t.merchant_id and r.id = t.id"""
)
_NEWEST_FIRST = """
     order by t.occurred_at desc, t.id desc, t.type desc"""


def _transactions(name: LiteralString, rows: LiteralString) -> Query[TransactionCells]:
    return Query(
        "/* merchant." + name + " */" + _OF_TRANSACTIONS + rows + _JOINED + _NEWEST_FIRST,
        row=TransactionCells,
    )


def _refunds(name: LiteralString, rows: LiteralString) -> Query[RefundCells]:
    return Query(
        "/* merchant." + name + " */" + _OF_REFUNDS + rows + _REFUND_JOINED + _NEWEST_FIRST,
        row=RefundCells,
    )


TRANSACTIONS_ALL = _transactions("export_transactions", lists.ROWS_ALL)
TRANSACTIONS_OF_STATUS = _transactions("export_transactions_of_status", lists.ROWS_OF_STATUS)
TRANSACTIONS_FOUND = _transactions("export_transactions_found", lists.ROWS_FOUND)
REFUNDS_ALL = _refunds("export_refunds", lists.ROWS_ALL)
REFUNDS_OF_STATUS = _refunds("export_refunds_of_status", lists.ROWS_OF_STATUS)
REFUNDS_FOUND = _refunds("export_refunds_found", lists.ROWS_FOUND)

PAYOUTS = Query(
    """
    /* merchant.export_payouts */
    select date_trunc('second', p.occurred_at at time zone :timezone)::text as occurred,
           platform.export_text(p.id) as id, p.state,
           platform.export_amount(p.amount, c.exponent) as amount, p.currency,
           platform.export_amount(p.fee, c.exponent) as fee,
           platform.export_amount(p.gross, c.exponent) as sales,
           platform.export_amount(p.fees, c.exponent) as fees,
           platform.export_amount(p.refunds, c.exponent) as refunds,
           platform.export_amount(p.disputes, c.exponent) as disputes,
           platform.export_amount(p.adjustments, c.exponent) as adjustments,
           p.entry_count::text as entries,
           date_trunc('second', p.scheduled_for at time zone :timezone)::text as planned,
           date_trunc('second', p.submitted_at at time zone :timezone)::text as sent,
           date_trunc('second', p.ended_at at time zone :timezone)::text as ended,
           platform.export_text(p.reference_code) as reference,
           platform.export_text(p.provider_ref) as bank_reference,
           platform.export_text(p.failure_reason) as failure
      from payments.payouts p
      join tenancy.currencies c on c.code = p.currency
     where p.merchant_id = :merchant_id
       and p.occurred_at >= :from_at and p.occurred_at < :to_at
       and (:status::text is null or p.state = :status)
       and (:currency::text is null or p.currency = :currency)
     order by p.occurred_at desc, p.id desc
    """,
    row=PayoutCells,
)

PAYOUT_LINES = Query(
    """
    /* merchant.export_payout_lines */
    select platform.export_text(p.id) as payout_id, p.state as payout_state,
           (coalesce(p.ended_at, p.scheduled_for, p.occurred_at) at time zone :timezone)::date::text as payout_day,
           date_trunc('second', e.occurred_at at time zone :timezone)::text as occurred,
           e.cause, platform.export_text(e.cause_id) as cause_id,
           platform.export_amount(e.amount, c.exponent) as amount, p.currency
      from payments.payouts p
      join payments.payout_entries e on e.merchant_id = p.merchant_id and e.payout_id = p.id
      join tenancy.currencies c on c.code = p.currency
     where p.merchant_id = :merchant_id
       and p.occurred_at >= :from_at and p.occurred_at < :to_at
       and (:currency::text is null or p.currency = :currency)
     order by p.occurred_at desc, p.id desc, e.occurred_at, e.transfer_id
    """,
    row=PayoutLineCells,
)

DISPUTES = Query(
    """
    /* merchant.export_disputes */
    select date_trunc('second', d.occurred_at at time zone :timezone)::text as occurred,
           platform.export_text(d.id) as id, platform.export_text(d.transaction_id) as transaction_id,
           d.status, d.state, d.stage::text as stage,
           platform.export_amount(d.amount, c.exponent) as amount, d.currency,
           platform.export_amount(d.fee, c.exponent) as fee,
           platform.export_text(d.reason) as reason,
           date_trunc('second', d.evidence_due_at at time zone :timezone)::text as due,
           date_trunc('second', d.resolved_at at time zone :timezone)::text as resolved
      from payments.disputes d
      join tenancy.currencies c on c.code = d.currency
     where d.merchant_id = :merchant_id
       and d.occurred_at >= :from_at and d.occurred_at < :to_at
       and (:status::text is null or d.state = :status)
       and (:currency::text is null or d.currency = :currency)
     order by d.occurred_at desc, d.id desc
    """,
    row=DisputeCells,
)

# An account of the merchant's is shown by its last word but one: available, reserved, in_payout.
_WORD_OF_SOURCE = """case when t.source like 'merchant:%' then split_part(right(t.source, -length('merchant:' || t.merchant_id || ':')), ':', 1)
                else left(t.source, -4) end"""
_WORD_OF_TARGET = """case when t.target like 'merchant:%' then split_part(right(t.target, -length('merchant:' || t.merchant_id || ':')), ':', 1)
                else left(t.target, -4) end"""

LEDGER = Query(
    """
    /* merchant.export_ledger */
    select date_trunc('second', t.posted_at at time zone :timezone)::text as posted,
           date_trunc('second', t.occurred_at at time zone :timezone)::text as occurred,
           t.cause, platform.export_text(t.cause_id) as cause_id,
           side.account, platform.export_text(side.other_account) as other_account,
           platform.export_amount(side.amount, c.exponent) as amount, t.currency, t.id::text as transfer_id
      from ledger.transfers t
      join tenancy.currencies c on c.code = t.currency
     cross join lateral (values
               (t.target, """
    + _WORD_OF_TARGET
    + ", "
    + _WORD_OF_SOURCE
    + """, t.amount),
               (t.source, """
    + _WORD_OF_SOURCE
    + ", "
    + _WORD_OF_TARGET
    + """, -t.amount)) as side(id, account, other_account, amount)
     where t.merchant_id = :merchant_id
       and t.posted_at >= :from_at and t.posted_at < :to_at
       and side.id like 'merchant:%'
       and (:currency::text is null or t.currency = :currency)
     order by t.posted_at desc, t.id desc, side.account
    """,
    row=LedgerCells,
)

# Of a payout's movements, what each provider's payments have a share in: {"wave": 5000, ...},
# from the entries it owns, or owned last. Read by accounting/entries.py. What is no payout's
# is sorted out inside: asked after the join, the shares of every transfer would be added up.
FACTS = Query(
    """
    /* merchant.export_facts */
    select t.id::text as transfer_id, (t.posted_at at time zone :timezone)::date::text as day,
           t.cause, t.cause_id, """
    + _WORD_OF_SOURCE
    + " as source, "
    + _WORD_OF_TARGET
    + """ as target,
           t.amount::text as amount, t.currency, c.exponent::text as exponent,
           coalesce(w.provider, '') as provider, coalesce(shares.found, '') as shares
      from ledger.transfers t
      join tenancy.currencies c on c.code = t.currency
      left join payments.disputes d
             on t.cause like 'dispute%' and d.merchant_id = t.merchant_id and d.id = t.cause_id
      left join payments.wallet_transactions w
             on w.merchant_id = t.merchant_id
            and w.type = case when t.cause like 'refund%' then 'refund' else 'payment' end
            and w.id = coalesce(d.transaction_id, t.cause_id)
      left join lateral (
          select json_object_agg(each.provider, each.amount order by each.provider)::text as found
            from (select coalesce(own.provider, '') as provider, sum(owned.amount)::bigint as amount
                    from (select e.cause, e.cause_id, e.amount
                            from payments.payout_entries e
                           where t.cause like 'payout%' and e.merchant_id = t.merchant_id and e.payout_id = t.cause_id
                           union all
                          select r.cause, r.cause_id, r.amount
                            from payments.payout_entries_released r
                           where t.cause like 'payout%' and r.merchant_id = t.merchant_id and r.payout_id = t.cause_id
                             and r.round = (select max(l.round) from payments.payout_entries_released l
                                             where l.payout_id = t.cause_id)
                             and not exists (select from payments.payout_entries e
                                              where e.merchant_id = t.merchant_id and e.payout_id = t.cause_id)
                         ) as owned
                    left join payments.wallet_transactions own
                           on own.merchant_id = t.merchant_id
                          and own.type = case when owned.cause like 'refund%' then 'refund' else 'payment' end
                          and own.id = owned.cause_id
                   group by 1) as each
      ) as shares on true
     where t.merchant_id = :merchant_id
       and t.posted_at >= :from_at and t.posted_at < :to_at
       and (:currency::text is null or t.currency = :currency)
     order by t.posted_at, t.id
    """,
    row=FactCells,
)
