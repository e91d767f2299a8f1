"""Pieces of SQL that several counting statements share."""

from __future__ import annotations

# What each figure is made of. A test compares these rows with model.KPIS.
KPI_ROWS = """(values
        ('sales', s.sales, null::bigint, s.payment_count, 1),
        ('refunds', s.refunds, null, s.refund_count, 1),
        ('fees', s.fees, null, s.payment_count, 1),
        ('net_revenue', s.sales - s.refunds - s.fees, null, s.payment_count, 1),
        ('avg_ticket', s.sales, s.payment_count, s.payment_count, 1),
        ('chargeback_rate', s.dispute_count, s.payment_count, s.dispute_count, 100),
        ('conversion_rate', s.payment_count, s.created_count, s.created_count, 100),
        ('transactions', s.created_count, null, s.created_count, 1),
        ('payments', s.payment_count, null, s.payment_count, 1),
        ('failed', s.failed_count, null, s.failed_count, 1),
        ('abandoned', s.abandoned_count, null, s.abandoned_count, 1),
        ('disputes', s.disputes, null, s.dispute_count, 1)
    ) as k(kpi_key, numerator, denominator, txn_count, factor)"""

SUM_NAMES = """created_count, payment_count, failed_count, abandoned_count, sales, fees,
               refund_count, refunds, dispute_count, disputes, payout_count, payouts"""

# What a fact adds to its bucket, in the order of SUM_NAMES. Its previous state
# is subtracted with sign -1, so nothing is ever counted twice.
CONTRIBUTION = """
               coalesce(sum(sign) filter (where kind = 'payment'), 0)::bigint as created_count,
               coalesce(sum(sign) filter (where kind = 'payment' and state = 'succeeded'), 0)::bigint as payment_count,
               coalesce(sum(sign) filter (where kind = 'payment' and state in ('failed', 'cancelled')), 0)::bigint as failed_count,
               coalesce(sum(sign) filter (where kind = 'payment' and state = 'abandoned'), 0)::bigint as abandoned_count,
               coalesce(sum(sign * amount) filter (where kind = 'payment' and state = 'succeeded'), 0)::bigint as sales,
               coalesce(sum(sign * fee) filter (where kind in ('payment', 'refund') and state = 'succeeded'), 0)::bigint as fees,
               coalesce(sum(sign) filter (where kind = 'refund' and state = 'succeeded'), 0)::bigint as refund_count,
               coalesce(sum(sign * amount) filter (where kind = 'refund' and state = 'succeeded'), 0)::bigint as refunds,
               coalesce(sum(sign) filter (where kind = 'dispute'), 0)::bigint as dispute_count,
               coalesce(sum(sign * amount) filter (where kind = 'dispute'), 0)::bigint as disputes,
               coalesce(sum(sign) filter (where kind = 'payout' and state not in ('failed', 'cancelled', 'returned')), 0)::bigint as payout_count,
               coalesce(sum(sign * amount) filter (where kind = 'payout' and state not in ('failed', 'cancelled', 'returned')), 0)::bigint as payouts"""

ADD_TO_BUCKET = """
           set created_count = b.created_count + excluded.created_count,
               payment_count = b.payment_count + excluded.payment_count,
               failed_count = b.failed_count + excluded.failed_count,
               abandoned_count = b.abandoned_count + excluded.abandoned_count,
               sales = b.sales + excluded.sales,
               fees = b.fees + excluded.fees,
               refund_count = b.refund_count + excluded.refund_count,
               refunds = b.refunds + excluded.refunds,
               dispute_count = b.dispute_count + excluded.dispute_count,
               disputes = b.disputes + excluded.disputes,
               payout_count = b.payout_count + excluded.payout_count,
               payouts = b.payouts + excluded.payouts,
               changed_at = now()"""

_SUMS_OVER = """
               coalesce(sum(d.created_count) {over}, 0)::bigint as created_count,
               coalesce(sum(d.payment_count) {over}, 0)::bigint as payment_count,
               coalesce(sum(d.failed_count) {over}, 0)::bigint as failed_count,
               coalesce(sum(d.abandoned_count) {over}, 0)::bigint as abandoned_count,
               coalesce(sum(d.sales) {over}, 0)::bigint as sales,
               coalesce(sum(d.fees) {over}, 0)::bigint as fees,
               coalesce(sum(d.refund_count) {over}, 0)::bigint as refund_count,
               coalesce(sum(d.refunds) {over}, 0)::bigint as refunds,
               coalesce(sum(d.dispute_count) {over}, 0)::bigint as dispute_count,
               coalesce(sum(d.disputes) {over}, 0)::bigint as disputes"""

SUMS_NOW = _SUMS_OVER.replace("{over}", "filter (where d.day >= c.from_day)")
SUMS_BEFORE = _SUMS_OVER.replace("{over}", "filter (where d.day < c.from_day)")
