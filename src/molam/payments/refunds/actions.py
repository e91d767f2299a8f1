"""What the approval engine knows of refunds: merchants' own, and those of operations."""

from __future__ import annotations

from molam.payments.refunds import approval, manual

ACTIONS = (*approval.ACTIONS, *manual.ACTIONS)
