"""What a voter must be, must have seen, and must prove."""

from __future__ import annotations

from dataclasses import replace

from molam.approvals.locked import LockedAction, view_hashes
from molam.approvals.model import (
    REASON_LENGTH_MIN,
    TEXT_LENGTH_MAX,
    Actor,
    ConfirmationRequired,
    FieldsRefused,
    NotEligible,
    ReasonRequired,
    StaleView,
    VoteRequest,
)
from molam.approvals.policy.decision import Elector, can_vote
from molam.approvals.policy.rules import at_level
from molam.approvals.store import ActionRow, StandingRow
from molam.kernel.clock import Instant
from molam.platform.auth.step_up import STEP_UP_MAX_AGE_S, require_proof

_CONFIRMATION_LENGTH = 4


def check_request(request: VoteRequest) -> None:
    for name, limit in (("comment", TEXT_LENGTH_MAX), ("client_vote_id", 255)):
        value = getattr(request, name)
        if value is not None and not 1 <= len(value) <= limit:
            raise FieldsRefused(f"{name} has 1 to {limit} characters.", field=name)
    for name in ("intent_hash", "view_hash"):
        value = getattr(request, name)
        if value is not None and hash_bytes(value) is None:
            raise FieldsRefused(f"{name} is 64 hexadecimal digits.", field=name)


def seat(action: LockedAction, standing: StandingRow) -> tuple[Elector, str]:
    """
    Find whose seat the voter fills: their own, or that of somebody they stand in for.

    Raises:
        NotEligible: neither; says why.
    """
    row = action.row
    if standing.voter in {*row.excluded, *standing.excluded_too}:
        raise NotEligible(
            "Whoever asks for an action, or gains by it, does not decide it.", why="excluded"
        )
    electors = {each.id: each for each in action.electors(standing)}
    if standing.voter in electors:
        own = electors[standing.voter]
        _check_stage(action, standing, standing.voter)
        return own, standing.voter
    lenders = {
        lent["delegator"]: lent["role"]
        for lent in standing.delegations
        if lent["role"] in getattr(electors.get(lent["delegator"]), "roles", ())
    }
    owner = _lender(action, standing, sorted(lenders))
    if owner is not None:
        _check_stage(action, standing, owner)
        roles_lent = frozenset({lenders[owner]})
        return replace(electors[owner], id=standing.voter, roles=roles_lent), owner
    roles = ", ".join(row.voter_roles) or "people named by the policy"
    raise NotEligible(f"This takes one of: {roles}.", why="not-in-electorate", required_roles=roles)


def _lender(action: LockedAction, standing: StandingRow, owners: list[str]) -> str | None:
    """Choose for whom to stand in: rather for somebody who is asked now and has not voted."""
    voted = {each["seat"] for each in standing.ballots if each["voter"] != standing.voter}
    rules, electors = at_level(action.rules, action.row.level), action.electors(standing)
    asked = [
        owner
        for owner in owners
        if can_vote(rules, electors, action.ballots(standing), owner) is None
    ]
    ranked = sorted(owners, key=lambda owner: (owner in voted, owner not in asked, owner))
    return ranked[0] if ranked else None


def _check_stage(action: LockedAction, standing: StandingRow, seat: str) -> None:
    why = can_vote(
        at_level(action.rules, action.row.level),
        action.electors(standing),
        action.ballots(standing),
        seat,
    )
    if why is not None:
        raise NotEligible("Your stage has not begun, or is over.", why=why)


def check_shown(row: ActionRow, request: VoteRequest) -> None:
    """
    Make sure that the voter saw what stands here now.

    Raises:
        StaleView: the intent, the rehearsal, the policy or the deadline changed.
    """
    if request.intent_hash is not None and request.intent_hash != row.intent_hash.hex():
        raise StaleView("What would run is not what you were shown.", what="intent")
    if request.view_hash is None:
        return
    if request.view_hash not in {each.hex() for each in view_hashes(row)}:
        raise StaleView("Look at the action again, then decide.", what="view")


def check_proof(action: LockedAction, request: VoteRequest, actor: Actor, now: Instant) -> None:
    """
    Demand what the policy wants of a voter beside their role.

    Raises:
        ReasonRequired, ConfirmationRequired, StepUpRequired
    """
    reason = (request.comment or "").strip()
    if request.vote == "reject" and len(reason) < REASON_LENGTH_MIN:
        raise ReasonRequired(f"Give a reason of at least {REASON_LENGTH_MIN} characters.")
    row, rules = action.row, action.rules
    if request.vote != "approve":
        return
    if rules.typed_confirmation or row.risk_level == "critical":
        wanted = confirmations(row)
        if actor.auth is not None and (request.confirmation or "").strip() not in wanted:
            raise ConfirmationRequired(
                f"Type the last {_CONFIRMATION_LENGTH} characters of the target, or the amount."
            )
    max_age_s = rules.step_up_max_age_s
    if max_age_s is None and row.plan.get("moves_money"):
        max_age_s = STEP_UP_MAX_AGE_S
    if max_age_s is not None and actor.auth is not None:
        require_proof(
            acr=actor.auth.acr, auth_time=actor.auth.auth_time, now=now, max_age_s=max_age_s
        )


def confirmations(row: ActionRow) -> set[str]:
    """Return what confirms a critical approval: the target's end, or the amount."""
    wanted = {row.target_tenant_id[-_CONFIRMATION_LENGTH:]}
    amount = row.plan.get("amount")
    if amount:
        wanted.add(str(amount["minor"]))
    return wanted


def hash_bytes(text: str | None) -> bytes | None:
    if text is None or len(text) != 64:  # noqa: PLR2004 - SHA-256 in hexadecimal.
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None
