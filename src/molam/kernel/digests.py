"""SHA-256 over canonical JSON (RFC 8785), each use under a name of its own."""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from typing import cast

import msgspec
import rfc8785

# Note [The fast way to canonical JSON]
#
# A vote writes two or three audit entries and hashes as many views. For a typical one
# rfc8785 takes 40 us, json with sorted keys 8 us, msgspec 1 us, and checking that they
# agree 2 us. They agree on ASCII keys (RFC 8785 sorts by UTF-16 units, the others by
# code points), on strings, and on integers that a double holds exactly. A property test
# says so; all else goes the slow way, which also refuses what RFC 8785 cannot write.
_FAST = msgspec.json.Encoder(order="sorted")
_SAFE_INTEGER = 2**53 - 1


def canonical_bytes(value: object) -> bytes:
    """
    Write *value* in the one form RFC 8785 gives it.

    Integers are exact up to 2**53 - 1; larger ones raise, and belong in strings.
    """
    if _is_simple(value):
        return _FAST.encode(value)
    return rfc8785.dumps(cast("dict[str, object]", value))  # type: ignore[arg-type]


def _is_simple(value: object) -> bool:
    if type(value) is dict:
        # Most values are strings; not calling for them halves the time.
        return all(
            type(key) is str and key.isascii() and (type(each) is str or _is_simple(each))
            for key, each in value.items()
        )
    if type(value) is list:
        return all(map(_is_simple, value))
    if type(value) is int:
        return -_SAFE_INTEGER <= value <= _SAFE_INTEGER
    return value is None or type(value) in {str, bool}


def digest(purpose: str, value: object) -> bytes:
    """Hash *value* under *purpose* (``molam.intent/1``), so that no hash stands for another."""
    return hashlib.sha256(purpose.encode() + b"\x00" + canonical_bytes(value)).digest()


_GROUP = 4
_GROUPS_SHOWN = 4
_PLAIN_EXPONENT_MAX = 300


def check_words(digest_: bytes) -> str:
    """
    Write the first and last four groups of a hash, for people to compare by eye.

    Pages, mails, chats and command lines all show the same. Eight groups are 160
    bits: too many for anybody to find another intent that looks alike.
    """
    text = base64.b32encode(digest_).decode("ascii").rstrip("=")
    groups = [text[at : at + _GROUP] for at in range(0, len(text), _GROUP)]
    if len(groups) <= 2 * _GROUPS_SHOWN:
        return " ".join(groups)
    return f"{' '.join(groups[:_GROUPS_SHOWN])} … {' '.join(groups[-_GROUPS_SHOWN:])}"


def hashable(value: object) -> object:
    """Write decimals and very large integers as text, so that equal numbers hash equally."""
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, dict):
        return {str(name): hashable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [hashable(each) for each in value]
    return value


def decimal_text(value: Decimal) -> str:
    """Write *value* in the one form of its number: every digit of it, and no more."""
    if value == 0:
        return "0"
    if abs(value.adjusted()) > _PLAIN_EXPONENT_MAX:
        # Written out, a few bytes of a stranger's would become gigabytes.
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        written = "".join(map(str, digits))
        bare = written.rstrip("0")
        return f"{'-' * sign}{bare}E{exponent + len(written) - len(bare)}"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
