"""One entry of the record: its text, and the hash that ties it to the entry before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Literal, NotRequired, TypedDict, Unpack

from molam.kernel.clock import Instant
from molam.kernel.digests import canonical_bytes

VERSION = 1
PURPOSE = b"molam.audit/1\x00"
GENESIS = bytes(32)
"""What the first entry of a chain has as the hash before it."""


# The specification's words for what happened; anything else keeps its own name.
ACTION_WORDS: Mapping[str, str] = {
    "action.created": "created",
    "vote.cast": "voted",
    "action.approved": "approved",
    "action.rejected": "rejected",
    "action.escalated": "escalated",
    "action.cancelled": "cancelled",
    "action.expired": "expired",
    "execution.began": "executing",
    "execution.succeeded": "executed",
    "execution.failed": "failed",
}

ActorKind = Literal["user", "service", "system"]


class Fields(TypedDict):
    """What an entry says, and where its chain stands before it."""

    chain: str
    seq: int
    prev: bytes
    ts: Instant
    event: str
    action_id: str | None
    actor_kind: str
    actor_id: str
    intent_hash: str | None
    """In hexadecimal digits."""
    data: Mapping[str, object]
    """JSON without floats. Personal values are concealed first."""
    actor_email: NotRequired[str | None]
    """Shown beside the entry, and no part of what is hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something to record on a chain whose end is not the caller's business."""

    event: str
    actor_kind: ActorKind
    actor_id: str
    data: Mapping[str, object] = field(default_factory=dict)
    action_id: str | None = None
    intent_hash: str | None = None
    actor_email: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is stored. *body* is the exact text that was hashed."""

    chain: str
    seq: int
    action: str
    email: str | None
    body: str
    prev: bytes
    hash: bytes


def entry_of(**fields: Unpack[Fields]) -> Entry:
    """Write down what happened as entry *seq* of its chain, after the entry hashed *prev*."""
    body = canonical_bytes(
        {
            "v": VERSION,
            "chain": fields["chain"],
            "seq": fields["seq"],
            "ts": written(fields["ts"]),
            "event": fields["event"],
            "action_id": fields["action_id"],
            "actor": {"kind": fields["actor_kind"], "id": fields["actor_id"]},
            "intent_hash": fields["intent_hash"],
            "data": fields["data"],
        }
    )
    return Entry(
        chain=fields["chain"],
        seq=fields["seq"],
        action=ACTION_WORDS.get(fields["event"], fields["event"]),
        email=fields.get("actor_email"),
        body=body.decode(),
        prev=fields["prev"],
        hash=hash_of(fields["prev"], body),
    )


def hash_of(prev: bytes, body: bytes) -> bytes:
    return hashlib.sha256(PURPOSE + prev + body).digest()


def written(at: Instant) -> str:
    """Write an instant as UTC with microseconds, always 27 characters."""
    assert at.tzinfo is not None
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")[:-6] + "Z"
