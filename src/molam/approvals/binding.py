"""What an approval is bound to: what will run, and what its approvers were shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC
from uuid import UUID

from molam.kernel.clock import Instant
from molam.kernel.digests import digest

INTENT = "molam.intent/1"
VIEW = "molam.view/1"
POLICY = "molam.policy/1"
EXECUTION = b"molam.exec/1"

LOCALES = ("fr", "en")


def intent_of(
    *, action_type: str, schema: str, params: Mapping[str, object], target: tuple[str, str]
) -> dict[str, object]:
    """Write what will run: nothing that says why, so that a new reason changes no hash."""
    return {
        "action_type": action_type,
        "params": params,
        "schema": schema,
        "tenant": {"type": target[0], "id": target[1]},
    }


def intent_hash(intent: Mapping[str, object]) -> bytes:
    return digest(INTENT, intent)


def view_hash(
    *,
    intent: bytes,
    plan: Mapping[str, object],
    policy: tuple[str, int, bytes],
    expires_at: Instant,
    level: int,
    locale: str,
) -> bytes:
    """
    Hash what an approver sees: the intent, the rehearsal, the policy and the deadline.

    A vote carries it, so that nobody approves a page that has changed since.
    """
    name, version, policy_hash = policy
    return digest(
        VIEW,
        {
            "intent": intent.hex(),
            "plan": plan,
            "policy": {"name": name, "version": version, "hash": policy_hash.hex()},
            "deadline": instant_text(expires_at),
            "level": level,
            "locale": locale,
        },
    )


def execution_key(action_id: str, intent: bytes) -> str:
    """Name every attempt of one action alike; downstream it is the idempotency key."""
    parts = (EXECUTION, action_id.encode(), intent)
    return hashlib.sha256(b"\x00".join(parts)).hexdigest()


def instant_text(instant: Instant) -> str:
    """Write an instant as RFC 3339 in UTC with microseconds."""
    assert instant.tzinfo is not None
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def key_of(action_id: UUID, intent: bytes) -> str:
    return execution_key(str(action_id), intent)
