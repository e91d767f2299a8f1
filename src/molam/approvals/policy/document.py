"""A policy as people write it, read strictly, and as it is stored and hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from molam.approvals.policy.criteria import Criteria, compile_criteria, criteria_json
from molam.approvals.policy.quorum import PolicyMalformed
from molam.approvals.policy.rules import Rules, read_rules, rules_json
from molam.approvals.policy.selection import DEFAULT_NAME, META_NAME, META_TYPES, StoredPolicy
from molam.approvals.store import PolicyRow
from molam.kernel.clock import Instant
from molam.kernel.digests import digest
from molam.platform.actions import Registry

NAME_LENGTH_MAX = 120
DESCRIPTION_LENGTH_MAX = 2000
PRIORITY_MAX = 1_000_000
POLICY = "molam.policy/1"

Document = dict[str, Any]

_FIELDS = frozenset(
    {"name", "description", "criteria", "policy", "priority", "enabled", "baseline"}
    | {"valid_from", "valid_until"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a policy says; which one it is, and since when, is another matter."""

    name: str
    criteria: Criteria
    rules: Rules
    description: str = ""
    priority: int = 100
    enabled: bool = True
    baseline: bool = False
    valid_from: Instant | None = None
    valid_until: Instant | None = None

    def stored(self, id_: UUID | None, *, version: int, created_at: Instant) -> StoredPolicy:
        return StoredPolicy(
            id=id_,
            name=self.name,
            version=version,
            criteria=self.criteria,
            rules=self.rules,
            priority=self.priority,
            enabled=self.enabled,
            baseline=self.baseline,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            created_at=created_at,
        )


def read_draft(fields: Mapping[str, object], registry: Registry) -> Draft:
    """
    Read a policy in the specification's fields, and ours.

    Raises:
        PolicyMalformed, CriteriaMalformed: says which field, and why.
    """
    for key in fields:
        if key not in _FIELDS:
            raise PolicyMalformed(f"{key[:64]} is not known.")
    baseline = _flag(fields, "baseline", default=False)
    criteria = compile_criteria(fields.get("criteria"), registry, baseline=baseline)
    named = criteria.types or frozenset()
    if named & META_TYPES:
        raise PolicyMalformed("criteria.action_type: who may change policies is built in.")
    moves_money = any(each.moves_money for each in registry if each.name in named)
    since, until = _instant(fields, "valid_from"), _instant(fields, "valid_until")
    if since is not None and until is not None and since >= until:
        raise PolicyMalformed("valid_until comes after valid_from.")
    return Draft(
        name=_name(fields.get("name")),
        description=_description(fields.get("description")),
        criteria=criteria,
        rules=read_rules(fields.get("policy"), moves_money=moves_money or criteria.types is None),
        priority=_priority(fields.get("priority")),
        enabled=_flag(fields, "enabled", default=True),
        baseline=baseline,
        valid_from=since,
        valid_until=until,
    )


def document_of(draft: Draft) -> Document:
    """Write *draft* in its one form, which reads to the same; this is what is hashed."""
    return {
        "name": draft.name,
        "description": draft.description,
        "criteria": criteria_json(draft.criteria),
        "policy": rules_json(draft.rules),
        "priority": draft.priority,
        "enabled": draft.enabled,
        "baseline": draft.baseline,
        "valid_from": _text(draft.valid_from),
        "valid_until": _text(draft.valid_until),
    }


def hash_of(document: Document) -> bytes:
    return digest(POLICY, document)


def document_of_row(row: PolicyRow) -> Document:
    """Write a stored policy as `document_of` would."""
    return {
        "name": row.name,
        "description": row.description,
        "criteria": row.criteria,
        "policy": row.policy,
        "priority": row.priority,
        "enabled": row.enabled,
        "baseline": row.baseline,
        "valid_from": _text(row.valid_from),
        "valid_until": _text(row.valid_until),
    }


def stored_of_row(row: PolicyRow, registry: Registry) -> StoredPolicy:
    """Compile a stored policy; one that no longer compiles still tightens."""
    criteria = compile_criteria(row.criteria, registry, baseline=row.baseline, stored=True)
    return StoredPolicy(
        id=row.id,
        name=row.name,
        version=row.version,
        criteria=criteria,
        rules=read_rules(row.policy),
        priority=row.priority,
        enabled=row.enabled,
        baseline=row.baseline,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        created_at=row.created_at,
    )


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_LENGTH_MAX:
        raise PolicyMalformed(f"name has 1 to {NAME_LENGTH_MAX} characters.")
    if value != value.strip() or not value.isprintable():
        raise PolicyMalformed("name has no space around it, and nothing that cannot be seen.")
    if value in {DEFAULT_NAME, META_NAME}:
        raise PolicyMalformed(f"name: {value} is built in.")
    return value


def _description(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > DESCRIPTION_LENGTH_MAX:
        raise PolicyMalformed(f"description has at most {DESCRIPTION_LENGTH_MAX} characters.")
    return value


def _priority(value: object) -> int:
    if value is None:
        return 100
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= PRIORITY_MAX:
        raise PolicyMalformed(f"priority is a whole number from 1 to {PRIORITY_MAX}.")
    return value


def _flag(fields: Mapping[str, object], key: str, *, default: bool) -> bool:
    value = fields.get(key)
    if value is not None and not isinstance(value, bool):
        raise PolicyMalformed(f"{key} is true or false.")
    return default if value is None else value


def _instant(fields: Mapping[str, object], key: str) -> Instant | None:
    value = fields.get(key)
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        read = ""
    if read is None:
        return None
    if not isinstance(read, datetime) or read.tzinfo is None:
        raise PolicyMalformed(f"{key} is an instant with its offset, 2026-01-05T08:00:00Z.")
    return read.astimezone(UTC)


def _text(at: Instant | None) -> str | None:
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
