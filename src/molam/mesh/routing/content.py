"""What the signature under a proposal covers: all of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from molam.mesh.routing.store import ProposalRow


def content_of(row: ProposalRow) -> Mapping[str, object]:
    """Return everything of *row* that was decided when it was proposed."""
    return written(
        head={
            "id": row.id,
            "mesh_region_id": row.mesh_region_id,
            "currency": row.currency,
            "rail": row.rail,
            "kind": row.kind,
            "from_bank_id": row.from_bank_id,
            "to_bank_id": row.to_bank_id,
            "policy_id": row.policy_id,
            "policy_version": row.policy_version,
            "confidence": f"{row.confidence:.4f}",
            "p_down": row.p_down,
            "created_by": row.created_by,
        },
        bounds=(row.min_amount, row.max_amount),
        proposal=row.proposal,
        expires_at=row.expires_at,
    )


def written(
    *,
    head: Mapping[str, object],
    bounds: tuple[int, int | None],
    proposal: Mapping[str, object],
    expires_at: datetime,
) -> Mapping[str, object]:
    return {
        **head,
        "min_amount": bounds[0],
        "max_amount": bounds[1],
        "proposal": proposal,
        "expires_at": expires_at.astimezone(UTC).isoformat(timespec="microseconds"),
    }


def listed_in(proposal: dict[str, Any]) -> dict[str, list[str] | None]:
    """
    Name the payouts that a proposal is only about, and on which terms; None: no list.

    Those that were listed by version alone, as once they were, match no terms and stay.
    """
    listed = proposal.get("payouts")
    if listed is None:
        return {"only": None, "terms": None}
    return {"only": [id_ for id_, _ in listed], "terms": [str(terms) for _, terms in listed]}
