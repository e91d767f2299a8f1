"""The link in an approver's mail: written when it is sent, and kept nowhere."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from molam.approvals.risk import proof_store as proofs
from molam.approvals.risk.links import PATH, Links
from molam.notices.jobs import PageFor
from molam.notices.model import Kind
from molam.notices.store import DeliveryRow
from molam.platform.db import Database


def page_for(links: Links) -> PageFor:
    """
    Give each approver who is asked by mail the page of their own link.

    Whoever reads it when the link is over, or has been used, gets the console's page.
    """

    async def find(db: Database, row: DeliveryRow) -> str | None:
        is_asked = row.kind == Kind.ACTION_WAITING and row.channel == "email" and row.email
        action_id = _uuid(row.subject) if is_asked else None
        if action_id is None:
            return None
        tokens = await db.read(proofs.FIND_LINK_OF_READER, ops_action_id=action_id, email=row.email)
        if len(tokens) != 1:
            # None, or a mailbox that several approvers share: they sign in.
            return None
        token = tokens[0]
        raw = links.raw(
            id_=token.id,
            approval_id=token.approval_id,
            approver_id=token.approver_id,
            decision="approve",
            at=token.created_at,
        )
        return f"{PATH}?{urlencode({'token': raw})}"

    return find


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
