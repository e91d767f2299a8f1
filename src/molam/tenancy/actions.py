"""What operations may do to a merchant once enough people agree: freeze, thaw, set its fee."""

from __future__ import annotations

from molam.tenancy import fee_actions, freeze_actions

ACTIONS = (*freeze_actions.ACTIONS, *fee_actions.ACTIONS)
