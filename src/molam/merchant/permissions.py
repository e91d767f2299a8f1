"""Who may do what in the merchant API, as the specification's table has it."""

from __future__ import annotations

from molam.platform.web import Permission

ADMIN = "merchant_admin"
ACCOUNTANT = "merchant_accountant"
SUPPORT = "merchant_support"
SERVICE = "service"

VIEW_KPIS = Permission("merchant.view_kpis", frozenset({ADMIN, ACCOUNTANT}))
VIEW_TRANSACTIONS = Permission(
    "merchant.view_transactions", frozenset({ADMIN, ACCOUNTANT, SUPPORT})
)
VIEW_ALERTS = Permission("merchant.view_alerts", frozenset({ADMIN}))
ACKNOWLEDGE_ALERTS = Permission("merchant.acknowledge_alerts", frozenset({ADMIN}))
POST_EVENTS = Permission("merchant.post_events", frozenset({SERVICE}))
