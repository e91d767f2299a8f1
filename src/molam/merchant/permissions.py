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

VIEW_REFUNDS = Permission("merchant.view_refunds", frozenset({ADMIN, ACCOUNTANT, SUPPORT}))
REFUND = Permission("merchant.refund", frozenset({ADMIN}))
VIEW_PAYOUTS = Permission("merchant.view_payouts", frozenset({ADMIN, ACCOUNTANT}))
CHANGE_PAYOUTS = Permission("merchant.change_payouts", frozenset({ADMIN}))
VIEW_DISPUTES = Permission("merchant.view_disputes", frozenset({ADMIN, SUPPORT}))
ANSWER_DISPUTES = Permission("merchant.answer_disputes", frozenset({ADMIN, SUPPORT}))
ACCEPT_DISPUTES = Permission("merchant.accept_disputes", frozenset({ADMIN}))
VIEW_REPORTS = Permission("merchant.view_reports", frozenset({ADMIN, ACCOUNTANT}))
VIEW_SETTINGS = Permission("merchant.view_settings", frozenset({ADMIN, ACCOUNTANT}))
CHANGE_SETTINGS = Permission("merchant.change_settings", frozenset({ADMIN}))
MANAGE_WEBHOOKS = Permission("merchant.manage_webhooks", frozenset({ADMIN}))
MANAGE_TEAM = Permission("merchant.manage_team", frozenset({ADMIN}))
VIEW_TRAIL = Permission("merchant.view_trail", frozenset({ADMIN}))
OWN_SECURITY = Permission("merchant.own_security", frozenset({ADMIN, ACCOUNTANT, SUPPORT}))
