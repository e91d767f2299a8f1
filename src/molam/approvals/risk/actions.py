"""What the engine knows of a risk-aware approval: an action whose effect is to say yes."""

from __future__ import annotations

from typing import Any

import msgspec

from molam.approvals.drafts import read_id
from molam.approvals.risk import model, store
from molam.approvals.risk import proof_store as proofs
from molam.approvals.risk.events import tell_ended
from molam.approvals.risk.store import RiskRow
from molam.kernel import canonical
from molam.kernel.digests import hashable
from molam.kernel.shown import masked
from molam.platform.actions import (
    ActionType,
    Amount,
    Change,
    Execution,
    Outcome,
    Plan,
    PreconditionChanged,
    Target,
)
from molam.platform.db import Tx

_SHOWN_MAX = 40
_SHOWN_LENGTH_MAX = 500


class RiskApproval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is approved: a request of another module, by the hash of its payload."""

    approval_id: str
    approval_type: str
    origin_module: str
    payload_hash: str
    origin_entity_id: str | None = None


def params_of(row: RiskRow) -> dict[str, Any]:
    return msgspec.structs.asdict(
        RiskApproval(
            approval_id=str(row.id),
            approval_type=row.action_type,
            origin_module=row.origin_module,
            payload_hash=row.payload_hash.hex(),
            origin_entity_id=row.origin_entity_id,
        )
    )


def payload_of(row: RiskRow) -> dict[str, Any]:
    """Read the payload with every number as it was sent."""
    read = canonical.parse(row.payload.encode())
    assert isinstance(read, dict)
    return dict(read)


def _title(params: RiskApproval, locale: str) -> str:
    if locale == "fr":
        return f"{params.approval_type}, demandé par le module {params.origin_module}"
    return f"{params.approval_type}, asked for by the module {params.origin_module}"


def _target(params: RiskApproval) -> Target:
    return Target(params.origin_module, params.origin_entity_id or params.approval_id)


def _twin(params: RiskApproval) -> str:
    about = params.origin_entity_id or params.payload_hash
    return f"{params.origin_module}/{params.approval_type}/{about}"


async def _plan(tx: Tx, params: RiskApproval) -> Plan:
    row = await _row(tx, params)
    payload = payload_of(row)
    amount, code = model.amount_of(payload)
    shown = masked(payload)
    assert isinstance(shown, dict)
    beneficiary = payload.get("beneficiary_id")
    return Plan(
        target_name=row.origin_entity_id or row.action_type,
        changes=tuple(
            Change(str(name), None, _short(value))
            for name, value in list(shown.items())[:_SHOWN_MAX]
        ),
        reversible=False,
        expect={"payload_hash": params.payload_hash},
        effects=("risk_approval_told",),
        amount=None if amount is None or code is None else Amount(code, amount),
        beneficiary=beneficiary if isinstance(beneficiary, str) else None,
        country=model.country_of(payload, "origin_country"),
    )


async def _admit(tx: Tx, params: RiskApproval) -> None:
    """
    Raises:
        EvidenceRequired: nobody may say yes before it is there.
    """
    row = await _row(tx, params)
    if row.evidence_required and not row.evidence_uploaded:
        raise model.EvidenceRequired("Upload it, then decide.", field="evidence")


async def _apply(tx: Tx, execution: Execution[RiskApproval]) -> Outcome:
    """Say yes to whoever asked, in the transaction that writes down that it was said."""
    row = await _row(tx, execution.params)
    if str(row.ops_action_id) != execution.action_id:
        raise PreconditionChanged("The request is decided by another action.")
    if row.status == "pending":
        await _check_evidence(tx, row)
        await tx.run(store.SET_APPROVED, id=row.id, ops_action_id=row.ops_action_id)
        await tell_ended(tx, row.id)
    return Outcome({"approval_id": str(row.id), "approval_type": row.action_type, "approved": True})


async def _check_evidence(tx: Tx, row: RiskRow) -> None:
    """
    Look for it again where it counts; who breaks the glass answers for its absence.

    Raises:
        PreconditionChanged: it was approved without.
    """
    if row.evidence_required and not row.evidence_uploaded:
        [found] = await tx.all(proofs.IS_FORCED, ops_action_id=row.ops_action_id)
        if not found.forced:
            raise PreconditionChanged("The evidence it needs was never uploaded.")


async def _row(tx: Tx, params: RiskApproval) -> RiskRow:
    """
    Raises:
        ApprovalNotFound: nobody asked for it.
        PreconditionChanged: the payload is not the one that was hashed.
    """
    row = await tx.one(store.FIND, id=read_id(params.approval_id))
    if row is None:
        raise model.ApprovalNotFound("Ask for it under /api/approvals.")
    same = model.payload_hash(payload_of(row)) == row.payload_hash
    if not same or row.payload_hash.hex() != params.payload_hash:
        raise PreconditionChanged("What is asked for is not what was shown.")
    return row


def _short(value: object) -> object:
    """Show plain values as they are, and anything deeper as the start of its JSON."""
    value = hashable(value)
    if isinstance(value, bool | int) or value is None:
        return value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:_SHOWN_LENGTH_MAX]


ACTIONS = (
    ActionType(
        name=model.ACTION_TYPE,
        params=RiskApproval,
        context=frozenset(),
        risk="medium",
        is_asked_by_code=True,
        title=_title,
        target=_target,
        twin=_twin,
        plan=_plan,
        admit=_admit,
        apply=_apply,
    ),
)
