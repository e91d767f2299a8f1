"""What operations may do to payouts once enough people agree."""

from __future__ import annotations

from molam.payments.payouts import pause_actions, payout_actions, recall_actions

ACTIONS = (*pause_actions.ACTIONS, *payout_actions.ACTIONS, *recall_actions.ACTIONS)
