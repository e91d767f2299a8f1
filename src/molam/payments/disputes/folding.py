"""Where a dispute stands, read from everything the network said and the merchant did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from molam.kernel.clock import Instant
from molam.payments.disputes import reasons
from molam.payments.disputes.model import (
    DECIDED_WORDS,
    FINAL,
    STAGES,
    Dispute,
    Report,
    state_of,
)

_DUE_NAMES = ("evidence_due_at", "evidence_deadline")
_DUE_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_DUE_TO = datetime(2100, 1, 1, tzinfo=UTC)


def fold(reports: Iterable[Report]) -> tuple[Report, Report, int]:
    """
    Read what the network says from all it said: its last word, what began the stage, the stage.

    A decided dispute that is spoken of again is at its next stage, and so is one that is
    escalated. A report may name the stage itself (``metadata.stage``).
    """
    ordered = sorted(reports, key=lambda each: each.order)
    assert ordered, "a dispute was reported at least once"
    first = ordered[0]
    began, stage = first, _named_stage(first)
    if stage is None:
        stage = 2 if first.word == "escalated" else 1
    for before, report in pairwise(ordered):
        named = _named_stage(report)
        if named is not None and named > stage:
            began, stage = report, named
        elif named is None and _goes_on(before.word, report.word):
            began, stage = report, stage + 1
    return ordered[-1], began, stage


def _goes_on(before: str, word: str) -> bool:
    """Tell whether *word* after *before* means the next stage."""
    if word == before:
        return False
    if word == "escalated":
        return True
    # Whoever accepts a dispute has lost it: that is one decision told twice.
    return before in DECIDED_WORDS and (before, word) != ("accepted", "lost")


def _named_stage(report: Report) -> int | None:
    name = report.metadata.get("stage")
    return STAGES.index(name) if isinstance(name, str) and name in STAGES else None


def read(merchant_id: str, id_: str, reports: Iterable[Report], before: Dispute | None) -> Dispute:
    """Say where a dispute stands after *reports*, which are all there are."""
    known = sorted(reports, key=lambda each: each.order)
    last, began, stage = fold(known)
    metadata: dict[str, Any] = {}
    for report in known:
        metadata |= report.metadata
    same_stage = before is not None and before.stage == stage
    response = before.response if before is not None and same_stage else None
    reason = _greatest([each.reason for each in known])
    provider = _greatest([each.provider for each in known])
    code = _text(metadata, "network_reason_code")
    state = state_of(last.word, stage, response)
    due_at = _due(began, stage, reasons.Case(_type(metadata), provider, code or reason))
    if (
        before is not None
        and same_stage
        and before.evidence_due_at
        and "evidence_due_at" not in metadata
    ):
        due_at = before.evidence_due_at
    decided = state in FINAL
    was_decided_at = before.resolved_at if before is not None and before.state is state else None
    return Dispute(
        merchant_id=merchant_id,
        id=id_,
        transaction_id=max(
            (each.transaction_id for each in known if each.transaction_id), default=None
        ),
        type=_type(metadata),
        reason=reason,
        network_reason_code=code,
        provider=provider,
        provider_dispute_id=_text(metadata, "provider_dispute_id"),
        network_case_id=_text(metadata, "network_case_id"),
        amount=last.amount,
        fee=last.fee,
        currency=last.currency,
        version=last.version,
        reported_state=last.word,
        state=state,
        stage=stage,
        response=response,
        occurred_at=min(each.occurred_at for each in known),
        opened_at=before.opened_at if before is not None and same_stage else _opened(began, stage),
        evidence_due_at=due_at,
        submitted_at=before.submitted_at if before is not None and same_stage else None,
        resolved_at=(was_decided_at or last.received_at) if decided else None,
        metadata=metadata,
        posted_amount=0 if before is None else before.posted_amount,
        posted_fee=0 if before is None else before.posted_fee,
        held_amount=0 if before is None else before.held_amount,
        moves=0 if before is None else before.moves,
        revision=1 if before is None else before.revision,
    )


def _opened(began: Report, stage: int) -> Instant:
    # Reports of a dispute all carry the instant it was first created.
    return began.occurred_at if stage <= 1 else max(began.occurred_at, began.received_at)


def _due(began: Report, stage: int, case: reasons.Case) -> Instant:
    said = next((began.metadata[name] for name in _DUE_NAMES if name in began.metadata), None)
    if isinstance(said, str):
        try:
            instant = datetime.fromisoformat(said)
        except ValueError:
            instant = None
        if instant is not None and instant.tzinfo is not None and _DUE_FROM <= instant < _DUE_TO:
            return instant.astimezone(UTC)
    return _opened(began, stage) + reasons.time_to_answer(case)


def _type(metadata: Mapping[str, object]) -> str:
    name = metadata.get("type")
    return name if isinstance(name, str) and name in reasons.TYPES else "chargeback"


def _text(metadata: Mapping[str, object], name: str) -> str | None:
    value = metadata.get(name)
    return value[:255] if isinstance(value, str) and value else None


def _greatest(values: Sequence[str | None]) -> str | None:
    # Any choice will do that does not depend on which report came first.
    return max((each for each in values if each), default=None)
