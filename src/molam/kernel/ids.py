"""
Identifiers a type checker can tell apart.

Ids that arrive from outside are free text of up to 255 characters and are never
assumed to be UUIDs. Our own are UUIDv7, made in Python and shown with a prefix.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import NewType
from uuid import UUID

from molam.kernel.clock import Instant

MerchantId = NewType("MerchantId", str)
PersonId = NewType("PersonId", str)
TransactionId = NewType("TransactionId", str)

ID_LENGTH_MAX = 255

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def uuid7(now: Instant, *, entropy: int | None = None) -> UUID:
    """
    Make a UUID whose order is roughly that of creation (RFC 9562, section 5.7).

    *entropy* is 74 bits; leave it out except in seeded simulations.
    """
    bits = secrets.randbits(74) if entropy is None else entropy
    # Not by timestamp(), whose float would put some instants into the millisecond before.
    millis = (now - _EPOCH) // _MILLISECOND
    return UUID(
        int=(millis & (2**48 - 1)) << 80
        | 0x7 << 76
        | (bits >> 62) << 64
        | 0b10 << 62
        | bits & (2**62 - 1)
    )


def uuid8(text: str) -> UUID:
    """
    Make the one UUID that belongs to *text* (RFC 9562, section 5.8, from SHA-256).

    What is written under it is written once, however often it is tried.
    """
    bits = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])
    return UUID(int=bits & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62)


def show(prefix: str, id_: UUID) -> str:
    """Show an id of our own to people and API clients: ``al_0192...``."""
    return f"{prefix}_{id_.hex}"
