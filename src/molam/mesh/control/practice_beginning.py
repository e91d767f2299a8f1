"""Beginning a practice, as part of applying the route that it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from molam.kernel.clock import Instant
from molam.mesh.control import checks, looking, practice, practice_store
from molam.mesh.control.checks import Wish
from molam.mesh.control.looking import Scope
from molam.mesh.control.model import NobodyTakes, PracticeRefused
from molam.mesh.control.plan import Band
from molam.mesh.members.policies import Policy
from molam.platform.db import Tx


async def begin(
    tx: Tx, wish: Wish, found: Sequence[Band], *, policy: Policy, action_id: str, at: Instant
) -> dict[str, Any]:
    """
    Let a small share of new payouts go to a bank for a while; see Note [A practice run].

    Raises:
        NobodyTakes: the bank it was proposed for may not be given any.
        PracticeRefused: something is the matter by now, or another practice goes on.
    """
    row, rules = wish.row, policy.rules
    limits = await checks.caps(tx, wish, policy)
    scope = Scope(row.mesh_region_id, row.currency, row.rail)
    world = await looking.look_at(tx, policy, scope, at=at)
    obstacle = practice.obstacle(world)
    if obstacle is not None:
        raise PracticeRefused("Something is the matter by now.", reason=obstacle)
    ranges, target = practice.given(found, row.to_bank_id, limits.each_max)
    if target is None or not ranges:
        raise NobodyTakes("The bank that would practise may not be given any of these payouts.")
    begun = await tx.run(
        practice_store.BEGIN,
        proposal_id=row.id,
        region=row.mesh_region_id,
        action_id=action_id,
        currency=row.currency,
        rail=row.rail,
        from_bank=row.from_bank_id,
        to_bank=target.bank_profile_id,
        to_account=target.account_id,
        lows=[low for low, _ in ranges],
        highs=[high for _, high in ranges],
        share=rules.practice_share_pct,
        value_max=target.room,
        minutes=rules.practice_minutes,
        promise_s=target.promise_s,
    )
    if not begun:
        raise PracticeRefused("Another practice goes on.", reason="practice_under_way")
    return {"practice": {"share": rules.practice_share_pct, "minutes": rules.practice_minutes}}
