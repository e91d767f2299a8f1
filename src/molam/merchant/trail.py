"""The merchant's own audit trail: who changed what, from where, and with which proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict, Unpack

from molam.kernel.shown import masked_facts
from molam.merchant import store
from molam.platform.auth.tokens import AAL2
from molam.platform.db import Tx
from molam.platform.web import Caller


class Entry(TypedDict):
    """What was done to which thing. *before* and *after* are JSON of what changed."""

    action_type: str
    resource_type: str
    resource_id: str | None
    before: Mapping[str, object]
    after: Mapping[str, object]
    requires_2fa: NotRequired[bool]
    approval_id: NotRequired[str | None]
    """The approval it waits for, if it needs one."""


async def record(tx: Tx, caller: Caller, **entry: Unpack[Entry]) -> None:
    """
    Write down what *caller* does, in the transaction that does it.

    Secrets among the values are masked, and whether the second factor was there is read
    from the caller.
    """
    approval_id = entry.get("approval_id")
    await tx.run(
        store.APPEND_TRAIL,
        merchant_id=caller.merchant,
        user_id=caller.subject,
        action_type=entry["action_type"],
        resource_type=entry["resource_type"],
        resource_id=entry["resource_id"],
        ip_address=caller.ip,
        user_agent=caller.user_agent,
        changes={
            "before": masked_facts(entry["before"]),
            "after": masked_facts(entry["after"]),
        },
        requires_2fa=entry.get("requires_2fa", False),
        two_factor_verified=caller.acr == AAL2,
        approval_required=approval_id is not None,
        approval_id=approval_id,
    )
