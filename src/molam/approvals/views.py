"""How actions, votes and entries look outside: the specification's fields."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from molam.approvals import binding
from molam.approvals.list_store import VoteRow
from molam.approvals.locked import view_hash_of
from molam.approvals.model import Executed
from molam.approvals.policy.decision import Missing
from molam.approvals.queries import ActionPage, Counted
from molam.approvals.store import ActionRow
from molam.approvals.tightening import intent_document
from molam.kernel.shown import masked

# Columns that are the engine's own bookkeeping.
_INTERNAL = frozenset(
    {"policy_snapshot", "policy_trace", "request_hash", "fence", "lease_owner", "lease_until"}
    | {"chain_seq", "chain_hash", "voter_roles", "voter_ids", "policy_hash", "intent_hash"}
)

# What may hold a secret, such as a bank account: shown by its last characters.
_TOLD = ("params", "context", "plan", "result", "rollback_action")


def action_json(row: ActionRow) -> dict[str, Any]:
    """
    Write an action with every field of the specification's, and ours beside them.

    ``view_hash`` is that of the French view; a voter sends back the one they saw.
    """
    written = {key: value for key, value in plain(row).items() if key not in _INTERNAL}
    shown = {key: masked(written[key]) for key in _TOLD}
    return {
        **written,
        **shown,
        "required_ratio": str(Fraction(row.policy_snapshot["rules"]["required_ratio"])),
        "intent_hash": row.intent_hash.hex(),
        "policy": {
            "id": None if row.policy_id is None else str(row.policy_id),
            "name": row.policy_name,
            "version": row.policy_version,
            "hash": row.policy_hash.hex(),
        },
        "votes_total": row.votes_approve + row.votes_reject + row.votes_abstain,
        "approval_ratio": ratio(row),
        "quorum_satisfied": row.decided_at is not None and row.state != "rejected",
    }


def counted_json(counted: Counted) -> dict[str, Any]:
    """Write an action with its votes, as the specification's detail has it."""
    return {
        **action_json(counted.row),
        "votes": [vote_json(each) for each in counted.votes],
        "quorum_satisfied": counted.quorum_satisfied,
        "missing": [missing_json(each) for each in counted.missing],
        "view_hash": {
            locale: view_hash_of(counted.row, locale).hex() for locale in binding.LOCALES
        },
    }


def page_json(page: ActionPage) -> dict[str, Any]:
    """Write what one approver is shown, with the hash their vote must carry."""
    row = page.row
    return {
        "view_hash": page.view_hash,
        "intent_hash": row.intent_hash.hex(),
        "intent": masked(intent_document(row)),
        "plan": masked(row.plan),
        "policy": {"name": row.policy_name, "version": row.policy_version},
        "policy_sentence": page.policy_sentence,
        "expires_at": binding.instant_text(row.expires_at),
        "missing": [missing_json(each) for each in page.missing],
        "completions": [list(each) for each in page.completions],
        "can": dict(page.can),
        "is_last_vote": page.is_last_vote,
    }


def vote_json(row: VoteRow) -> dict[str, Any]:
    return {
        **plain(row),
        "intent_hash": None if row.intent_hash is None else row.intent_hash.hex(),
        "view_hash": None if row.view_hash is None else row.view_hash.hex(),
        "signed_jwt": None,
        "updated_at": binding.instant_text(row.created_at),
    }


def missing_json(missing: Missing) -> dict[str, Any]:
    return {
        "roles": sorted(missing.roles),
        "users": list(missing.users),
        "count": missing.count,
        "stage": missing.stage,
    }


def executed_json(done: Executed) -> dict[str, Any]:
    """Write an execution's answer: ``success``, and ``result`` or ``error``."""
    if done.success:
        return {"success": True, "state": done.state, "result": masked(done.result)}
    return {
        "success": False,
        "state": done.state,
        "error": done.error,
        "error_code": done.error_code,
    }


def audit_json(entry: Any) -> dict[str, Any]:
    """Write one entry of an action's chain, in the specification's fields and with its hash."""
    body = json.loads(entry.body)
    return {
        "id": f"{entry.chain}/{entry.seq}",
        "ops_action_id": body["action_id"],
        "seq": entry.seq,
        "action": entry.action,
        "event": body["event"],
        "snapshot": masked(body["data"]),
        "actor": body["actor"]["id"],
        "actor_kind": body["actor"]["kind"],
        "prev": entry.prev.hex(),
        "hash": entry.hash.hex(),
        "created_at": body["ts"],
    }


def ratio(row: ActionRow) -> str:
    """Say which share of those who took sides approve, to four decimals."""
    sides = row.votes_approve + row.votes_reject
    return f"{Decimal(row.votes_approve) / sides:.4f}" if sides else "0.0000"


def plain(row: Any) -> dict[str, Any]:
    """Write a row as JSON: instants as RFC 3339, ids and decimals as text."""
    return {field.name: _plain(getattr(row, field.name)) for field in dataclasses.fields(row)}


def _plain(value: object) -> object:
    match value:
        case datetime():
            return binding.instant_text(value)
        case UUID() | Decimal():
            return str(value)
        case bytes():
            return value.hex()
    return value
