"""Questions about risk-aware approvals."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from molam.approvals.locked import view_hash_of
from molam.approvals.risk import proof_store as proofs
from molam.approvals.risk import store
from molam.approvals.risk.commands import Desk
from molam.approvals.risk.decisions import find_token
from molam.approvals.risk.links import DECISIONS, Decision, approval_named_in, is_enough
from molam.approvals.risk.model import ApprovalNotFound
from molam.approvals.risk.proof_store import EvidenceRow, TokenRow, VoteRow
from molam.approvals.risk.store import RiskRow
from molam.approvals.store import FIND_ACTION, ActionRow
from molam.platform.db import Database


@dataclass(frozen=True, slots=True)
class Detail:
    row: RiskRow
    votes: list[VoteRow]
    evidence: list[EvidenceRow]


@dataclass(frozen=True, slots=True)
class LinkView:
    """
    What the holder of a link is shown. *links* has one for each decision still open to them.

    *is_enough* is whether a link alone may approve.

    *view_hash* stands for what is shown; sent back with the decision, it proves what
    was seen.
    """

    row: RiskRow
    action: ActionRow
    token: TokenRow
    links: dict[Decision, str]
    is_enough: bool
    view_hash: str


async def get(db: Database, approval_id: UUID) -> RiskRow:
    """
    Raises:
        ApprovalNotFound: nobody asked for it.
    """
    rows = await db.read(store.FIND, id=approval_id)
    if not rows:
        raise ApprovalNotFound("Check the approval's id.")
    return rows[0]


async def detail(db: Database, approval_id: UUID) -> Detail:
    """
    Raises:
        ApprovalNotFound: nobody asked for it.
    """
    return await _detail_of(db, await get(db, approval_id))


async def of_action(db: Database, action_id: UUID) -> Detail | None:
    """Find the request that an action of the engine decides, if it decides one."""
    rows = await db.read(store.FIND_BY_ACTION, ops_action_id=action_id)
    return await _detail_of(db, rows[0]) if rows else None


async def _detail_of(db: Database, row: RiskRow) -> Detail:
    votes = await votes_of(db, row.id)
    return Detail(row, votes, await db.read(proofs.LIST_EVIDENCE, approval_id=row.id))


async def votes_of(db: Database, approval_id: UUID) -> list[VoteRow]:
    return await db.read(proofs.LIST_VOTES, approval_id=approval_id)


async def list_approvals(
    db: Database,
    *,
    status: str | None,
    origin_module: str | None,
    created_by: str | None,
    limit: int,
    offset: int,
) -> list[RiskRow]:
    """List approvals, newest first."""
    return await db.read(
        store.LIST,
        status=status,
        origin_module=origin_module,
        created_by=created_by,
        limit=limit,
        offset=offset,
    )


async def view_of_link(desk: Desk, raw: str | None, *, locale: str) -> LinkView:
    """
    Find what a link is about. Nothing changes, however often it is opened.

    Raises:
        MissingToken, TokenNotFound: it is no link of ours.
    """
    approval_named_in(raw)
    assert raw is not None
    db = desk.runtime.db
    token = await find_token(desk, raw)
    row = await get(db, token.approval_id)
    assert row.ops_action_id is not None, "links are made for what people decide"
    [action] = await db.read(FIND_ACTION, id=row.ops_action_id)
    tokens = await db.read(proofs.LIST_TOKENS, approval_id=row.id, approver_id=token.approver_id)
    usable = {
        word: desk.links.raw(
            id_=each.id,
            approval_id=row.id,
            approver_id=each.approver_id,
            decision=word,
            at=each.created_at,
        )
        for each in tokens
        for word in DECISIONS
        if each.decision == word and not each.used and not each.is_over
    }
    enough = is_enough(action, row)
    return LinkView(row, action, token, usable, enough, view_hash_of(action, locale).hex())
