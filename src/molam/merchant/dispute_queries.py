"""What the merchant app shows of disputes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.merchant import queries
from molam.payments.disputes import evidence_store, preparing, reasons
from molam.payments.disputes import queries as disputes
from molam.payments.disputes.commands import current_files, manifest_of, manifest_sha256
from molam.payments.disputes.evidence_store import DraftRow, EvidenceRow, SubmissionRow
from molam.payments.disputes.list_store import AtRiskRow, EventRow
from molam.payments.disputes.model import Dispute, Response
from molam.platform.db import Database
from molam.platform.web.l10n import LANGUAGES, Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """Everything the page of one dispute shows."""

    dispute: Dispute
    known: preparing.Known
    checklist: list[reasons.Item]
    prepared: Mapping[Language, str]
    draft: DraftRow | None
    evidence: list[EvidenceRow]
    current: list[EvidenceRow]
    """The files that would be sent, or were."""
    submissions: list[SubmissionRow]
    timeline: list[EventRow]

    @property
    def updated_at(self) -> Instant:
        return self.timeline[-1].at if self.timeline else self.dispute.opened_at

    @property
    def submission(self) -> SubmissionRow | None:
        """Return what was sent at the present stage."""
        stage = self.dispute.stage
        return next((row for row in self.submissions if row.stage == stage), None)

    @property
    def statement(self) -> str:
        """Return what would be sent now in words."""
        return "" if self.draft is None else self.draft.statement

    @property
    def manifest_sha256(self) -> str:
        """Name what would be sent now by its hash."""
        manifest = manifest_of(self.dispute, self.statement, self.current, self.known)
        return manifest_sha256(manifest)

    @property
    def is_complete(self) -> bool:
        return reasons.is_complete(self.checklist)


async def detail(db: Database, *, merchant_id: str, id_: str) -> Detail:
    """
    Raises:
        DisputeAbsent: the merchant has no such dispute.
    """
    shop = await queries.settings_of(db, merchant_id=merchant_id)
    async with db.transaction("merchant.dispute", merchant_id=merchant_id, readonly=True) as tx:
        dispute = await disputes.get(tx, merchant_id=merchant_id, id_=id_)
        named = {"merchant_id": merchant_id, "dispute_id": id_}
        known = await preparing.known_of(tx, dispute)
        evidence = await tx.all(evidence_store.LIST_EVIDENCE, **named)
        draft = await tx.one(evidence_store.FIND_DRAFT, **named, stage=dispute.stage)
        submissions = await tx.all(evidence_store.LIST_SUBMISSIONS, **named)
        timeline = await disputes.timeline(tx, merchant_id=merchant_id, id_=id_)
    current = current_files(evidence, dispute)
    given = frozenset(row.kind for row in current)
    return Detail(
        dispute=dispute,
        known=known,
        checklist=preparing.checklist_of(dispute, known, given),
        prepared={
            language: preparing.write(
                dispute, known, language, merchant=shop.name, zone=shop.timezone
            )
            for language in LANGUAGES
        },
        draft=draft,
        evidence=evidence,
        current=current,
        submissions=submissions,
        timeline=timeline,
    )


async def unwritten_answer(db: Database, *, merchant_id: str, id_: str) -> str | None:
    """
    Return the prepared answer, in the merchant's language, where nobody has written another.

    None once there is a draft, or once something was sent.

    Raises:
        DisputeAbsent: the merchant has no such dispute.
    """
    found = await detail(db, merchant_id=merchant_id, id_=id_)
    if found.draft is not None or found.dispute.response is Response.SUBMITTED:
        return None
    shop = await queries.settings_of(db, merchant_id=merchant_id)
    return found.prepared["en" if shop.locale == "en" else "fr"]


async def listed(
    db: Database,
    *,
    merchant_id: str,
    filters: disputes.Filters,
    beyond: disputes.Position | None,
    limit: int,
) -> tuple[disputes.Page, list[AtRiskRow]]:
    """List disputes, and sum what is at risk in all of them."""
    async with db.transaction("merchant.disputes", merchant_id=merchant_id, readonly=True) as tx:
        page = await disputes.listed(
            tx, merchant_id=merchant_id, filters=filters, beyond=beyond, limit=limit
        )
        return page, await disputes.at_risk(tx, merchant_id=merchant_id)
