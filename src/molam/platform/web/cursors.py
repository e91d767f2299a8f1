"""Opaque positions in a list, which only we can make and only the same filters may use."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TypeVar

import msgspec

from molam.kernel.refusals import Kind, Refusal
from molam.platform.settings import Secret

_MAC_BYTES = 16
_FILTER_BYTES = 8
_CURSOR_LENGTH_MAX = 1024

PositionT = TypeVar("PositionT")


class CursorRefused(Refusal):
    code = "cursor-refused"
    kind = Kind.MALFORMED
    title = "This cursor cannot be used here"


class Cursors:
    """
    Signs and reads the cursors of one list.

    *purpose* keeps one list's cursors from being used on another; say the
    merchant's id in *filters*, so that it cannot be used for another merchant.
    """

    def __init__(self, key: Secret, *, purpose: str) -> None:
        assert len(key.reveal()) >= 16, "a guessable key signs nothing"  # noqa: PLR2004
        self._key = hashlib.sha256(f"{purpose}\0{key.reveal()}".encode()).digest()

    def seal(self, position: object, *, filters: object) -> str:
        """Write *position*, a msgspec value, as text for a URL."""
        body = _digest(filters) + msgspec.msgpack.encode(position)
        return base64.urlsafe_b64encode(self._mac(body) + body).decode().rstrip("=")

    def open(self, cursor: str, position: type[PositionT], *, filters: object) -> PositionT:
        """
        Read a cursor that `seal` wrote for the same *filters*.

        Raises:
            CursorRefused: it was made up, altered, or belongs to other filters.
        """
        if len(cursor) > _CURSOR_LENGTH_MAX:
            raise CursorRefused("It is not one of ours.")
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise CursorRefused("It is not one of ours.") from None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            raise CursorRefused("It is not one of ours.")
        if body[:_FILTER_BYTES] != _digest(filters):
            raise CursorRefused("The filters changed since it was made; start from the first page.")
        try:
            return msgspec.msgpack.decode(body[_FILTER_BYTES:], type=position)
        except msgspec.ValidationError:
            # Signed by an older release whose positions had another shape.
            raise CursorRefused("It is too old; start from the first page.") from None

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def _digest(filters: object) -> bytes:
    encoded = msgspec.json.encode(filters, order="deterministic")
    return hashlib.sha256(encoded).digest()[:_FILTER_BYTES]
