"""What the policies' API accepts, and how policies look outside."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from molam.approvals.model import parsed
from molam.approvals.policy import criteria as criteria_
from molam.approvals.policy.document import (
    DESCRIPTION_LENGTH_MAX,
    NAME_LENGTH_MAX,
    PRIORITY_MAX,
    document_of_row,
    stored_of_row,
)
from molam.approvals.policy.lint import Finding
from molam.approvals.policy.rules import read_ratio, sentence
from molam.approvals.policy.store import VersionRow
from molam.approvals.policy.trials import PAST_MAX, SAMPLES_MAX
from molam.approvals.store import PolicyRow
from molam.approvals.wire import ActionBody
from molam.platform.actions import Registry
from molam.platform.web.l10n import LANGUAGES
from molam.platform.web.wire import Identifier, Moment

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Description = Annotated[str, Meta(max_length=DESCRIPTION_LENGTH_MAX)]
Priority = Annotated[int, Meta(ge=1, le=PRIORITY_MAX)]


class PolicyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: Name
    criteria: dict[str, Any]
    policy: dict[str, Any]
    description: Description | None = None
    priority: Priority | None = None
    enabled: bool | None = None
    baseline: bool | None = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    created_by: Identifier | None = None
    """Accepted and ignored: policies are changed as oneself."""

    def fields(self) -> dict[str, Any]:
        return _fields(self)


class PolicyChanges(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Any of the fields; those left out stay as they are."""

    name: Name | UnsetType = UNSET
    criteria: dict[str, Any] | UnsetType = UNSET
    policy: dict[str, Any] | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    baseline: bool | UnsetType = UNSET
    valid_from: Moment | UnsetType | None = UNSET
    valid_until: Moment | UnsetType | None = UNSET
    updated_by: Identifier | UnsetType = UNSET

    def fields(self) -> dict[str, Any]:
        return _fields(self)


class DraftBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A policy to try, in place of *policy_id* if that is given."""

    policy: PolicyBody
    policy_id: Identifier | None = None


class SimulateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    policy: PolicyBody
    intents: Annotated[list[ActionBody], Meta(min_length=1, max_length=SAMPLES_MAX)]
    policy_id: Identifier | None = None


class BacktestBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    policy: PolicyBody
    policy_id: Identifier | None = None
    limit: Annotated[int, Meta(ge=1, le=PAST_MAX)] = PAST_MAX


class PoliciesQuery(msgspec.Struct, forbid_unknown_fields=True):
    enabled_only: bool = False


def _fields(body: msgspec.Struct) -> dict[str, Any]:
    given = msgspec.structs.asdict(body)
    for key in ("created_by", "updated_by"):
        given.pop(key, None)
    return {key: parsed(value) for key, value in given.items() if value is not UNSET}


def policy_json(row: PolicyRow, registry: Registry) -> dict[str, Any]:
    """Write a policy in the specification's fields, with the sentences that say it."""
    stored = stored_of_row(row, registry)
    return {
        "id": str(row.id),
        **document_of_row(row),
        "policy": {**row.policy, "required_ratio": _ratio(row.policy["required_ratio"])},
        "version": row.version,
        "hash": row.hash.hex(),
        "created_by": row.created_by,
        "updated_by": row.updated_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "sentences": {
            language: {
                "criteria": criteria_.sentence(stored.criteria, language),
                "policy": sentence(stored.rules, language),
            }
            for language in LANGUAGES
        },
    }


def version_json(row: VersionRow) -> dict[str, Any]:
    return {
        "version": row.version,
        "document": row.document,
        "hash": row.hash.hex(),
        "change": row.change,
        "changed_by": row.changed_by,
        "changed_at": row.changed_at,
        "action_id": None if row.action_id is None else str(row.action_id),
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level,
        "code": finding.code,
        "path": finding.path,
        "sentence": {"en": finding.sentence_en, "fr": finding.sentence_fr},
    }


def _ratio(text: str) -> float | str:
    """Write a share as the number it was given as, where it has an end: 0.75, but "2/3"."""
    ratio = read_ratio(text)
    exact = Decimal(ratio.numerator) / Decimal(ratio.denominator)
    return float(exact) if exact * ratio.denominator == ratio.numerator else text
