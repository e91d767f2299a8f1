"""The order in which rows may be locked. Following it makes deadlock impossible."""

from __future__ import annotations

from enum import IntEnum


class Rank(IntEnum):
    """Lock a lower rank first. Within one rank, lock in ascending id order."""

    CONSUMER_PROGRESS = 5
    IDEMPOTENCY_KEY = 10
    STATEMENT_MATCH = 13
    BANK_ATTEMPT = 15
    APPROVAL = 20
    MERCHANT = 25
    AGENT = 27
    STATEMENT = 29
    BANK_ROUTE = 30
    MEMBER_HEALTH = 35
    PAYOUT = 40
    DISPUTE = 43
    PAYMENT = 45
    REFUND = 47
    LIQUIDITY_POOL = 49
    LEDGER_ACCOUNT = 50
    RECALL = 55
    KPI_HEAD = 60
    KPI_BUCKET = 70
    METRIC_SERIES = 75
    ALERT = 80
    ALERT_GROUP = 85
    AUDIT_CHAIN = 90


class LockOrderViolated(AssertionError):
    """A lower-ranked row was locked after a higher-ranked one."""
