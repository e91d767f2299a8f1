"""Why an action was asked for: what a machine weighed, how risky it is, what speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from molam.approvals.risk import queries as risk
from molam.approvals.risk.endpoints import VIEW
from molam.approvals.risk.model import ACTION_TYPE
from molam.approvals.risk.proof_store import EvidenceRow
from molam.kernel.clock import Instant
from molam.ops import permissions, store
from molam.ops.shell import may
from molam.ops.views import Line
from molam.platform.db import Database
from molam.platform.web import Caller
from molam.platform.web.l10n import Language
from molam.sira.scoring import Contribution, name_of

_OPEN = frozenset({"pending", "held"})
_FEATURES_MAX = 50
_EXACT_MAX = 10**15

_encode = msgspec.json.Encoder(decimal_format="number").encode

Share = Annotated[float, Meta(ge=-1, le=1)]


class Feature(msgspec.Struct, frozen=True):
    """One reason of SIRA's, as it stands beside an action."""

    name: Annotated[str, Meta(max_length=64)]
    value: Annotated[float, Meta(ge=-_EXACT_MAX, le=_EXACT_MAX)] | None
    weight: Share


class Explanation(msgspec.Struct, frozen=True):
    features: Annotated[list[Feature], Meta(max_length=_FEATURES_MAX)]
    model: Annotated[str, Meta(max_length=64)] = ""


@dataclass(frozen=True, slots=True)
class Advised:
    """What SIRA says of an action: which advice, how sure it is, and why."""

    id: str
    confidence: Decimal | None
    explanation: Explanation | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that held: its name in words, what it saw, what it added."""

    name: str
    value: str
    weight: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One file. *address* is None for who may not open it."""

    name: str
    description: str
    bytes: int
    checksum: str
    uploaded_by: str
    at: Instant
    address: str | None


@dataclass(frozen=True, slots=True)
class Weighed:
    id: UUID
    score: int | None
    tags: tuple[str, ...]
    reasons: tuple[Reason, ...]
    model_version: str | None
    policy: str | None
    pool: str | None
    evidence_required: bool
    evidence: tuple[Piece, ...]
    is_open: bool
    may_add: bool


def reasons_given(
    context: Mapping[str, object], weighed: Weighed | None, advised: Advised | None
) -> Mapping[str, object]:
    """Return what was written along with the request, without what is said in words elsewhere."""
    if weighed is not None:
        return {key: each for key, each in context.items() if not key.startswith("sira_")}
    if advised is None:
        return context
    said = {
        "sira_recommendation_id": bool(advised.id),
        "sira_confidence": advised.confidence is not None,
        "sira_explanation": advised.explanation is not None,
    }
    return {key: each for key, each in context.items() if not said.get(key)}


def advised_of(context: Mapping[str, object]) -> Advised | None:
    """Read what SIRA says beside a request; None where it says nothing that we can read."""
    id_ = context.get("sira_recommendation_id")
    advised = Advised(
        id=id_ if isinstance(id_, str) else "",
        confidence=_read_share(context.get("sira_confidence")),
        explanation=_read_explanation(context.get("sira_explanation")),
    )
    return None if advised == Advised("", None, None) else advised


def _read_share(said: object) -> Decimal | None:
    try:
        return Decimal(str(msgspec.convert(said, Share, strict=False)))
    except msgspec.ValidationError:
        return None


def _read_explanation(said: object) -> Explanation | None:
    try:
        # Beside an action decimals are text.
        return msgspec.json.decode(_encode(said), type=Explanation, strict=False)
    except msgspec.ValidationError:
        return None


async def weighed_of(
    db: Database, line: Line, caller: Caller, *, language: Language
) -> Weighed | None:
    """Read what was weighed, if the action is a risk-aware approval."""
    if line.type != ACTION_TYPE:
        return None
    found = await risk.of_action(db, line.id)
    if found is None:
        return None
    row = found.row
    senders = sorted({each.uploaded_by for each in found.evidence})
    names = {each.id: each.name for each in await db.read(store.LIST_NAMES, ids=senders)}
    contributions = [msgspec.convert(each, Contribution) for each in row.sira_contributions]
    return Weighed(
        id=row.id,
        score=row.sira_score,
        tags=tuple(row.sira_tags),
        reasons=tuple(
            Reason(name_of(each, language), each.value, each.weight) for each in contributions
        ),
        model_version=row.sira_model_version,
        policy=row.policy_name,
        pool=row.pool_name,
        evidence_required=row.evidence_required,
        evidence=tuple(
            _piece(each, row.id, names.get(each.uploaded_by), may_open=may(caller, VIEW))
            for each in found.evidence
        ),
        is_open=row.status in _OPEN,
        may_add=row.status in _OPEN and may(caller, permissions.ADD_EVIDENCE),
    )


def _piece(row: EvidenceRow, approval_id: UUID, name: str | None, *, may_open: bool) -> Piece:
    address = f"/api/approvals/{approval_id}/evidence/{row.checksum}"
    return Piece(
        name=row.file_name,
        description=row.description,
        bytes=row.file_size,
        checksum=row.checksum,
        uploaded_by=name or row.uploaded_by,
        at=row.created_at,
        address=address if may_open else None,
    )
