"""Policies that one more step would have brought into play: how near an action came to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.datastructures import State

from molam.approvals.policy import criteria
from molam.kernel.refusals import Refusal
from molam.ops import policy_store
from molam.ops.policy_pages import compiled
from molam.platform.web.l10n import Language

_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class NearMiss:
    policy: str
    test: str


async def near_misses(
    state: State, trace: dict[str, Any], language: Language
) -> tuple[NearMiss, ...]:
    """List those that a single comparison kept out, if they still are what they were."""
    found: list[NearMiss] = []
    for judged in filter(_is_near, trace.get("policies", ())):
        if len(found) == _SHOWN_MAX:
            break
        tests = judged["tests"]
        rows = await state.db.read(policy_store.FIND_POLICY, id=UUID(judged["id"]))
        if not rows or rows[0].version != judged["version"]:
            continue
        try:
            known = compiled(rows[0], state.runtime.registry)
        except Refusal:
            continue
        test = criteria.only_test_failed(known, tests, language)
        if test is not None:
            found.append(NearMiss(judged["name"], test))
    return tuple(found)


def _is_near(judged: dict[str, Any]) -> bool:
    failed = [each["test"] for each in judged["tests"] if each["truth"] != "true"]
    is_out = judged["truth"] == "false" and judged["id"] is not None
    # Policies about other types are no near miss, and there are many of them.
    return is_out and len(failed) == 1 and "action_type" not in failed[0]
