"""Making what others wrote fit to be shown: secrets masked, tricks of writing taken out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_VISIBLE = 4
_LENGTH_MIN = 9
"""Shorter ones show nothing: four of eight characters would be half the secret."""
_MASK = "••••"
_DEPTH_MAX = 32

_SECRET = re.compile(
    r"(^|_)(iban|rib|pan|cvv|cvc|pin|otp|msisdn)(_|$)|(account|card)_?(no$|num)|token|secret"
    r"|passw|passphrase|(api|private)_?key|authorization|credential"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# Marks that turn the direction of writing, with which one text can look like another.
_TURNS = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def masked(value: object, secret: frozenset[str] = frozenset()) -> object:
    """
    Copy JSON with every secret reduced to its last four characters.

    A secret is what stands under a key that sounds like one (`iban`, `api_key`), or
    under one that *secret* names, which is how an action's schema adds its own.
    """
    return _masked(value, secret, depth=0)


def masked_facts(
    facts: Mapping[str, object], secret: frozenset[str] = frozenset()
) -> dict[str, object]:
    """Mask an object, as `masked` does any JSON."""
    found = _masked(facts, secret, depth=0)
    assert isinstance(found, dict)
    return found


def plain(text: str, length_max: int = 500) -> str:
    """Write *text* on one line without control characters or marks that turn its direction."""
    turned = text.translate(_TURNS)
    cleaned = "".join(
        " " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} else char for char in turned
    )
    line = " ".join(cleaned.split(" "))
    return line if len(line) <= length_max else line[: length_max - 1] + "…"


def _masked(value: object, secret: frozenset[str], *, depth: int) -> object:
    if depth > _DEPTH_MAX:
        return _MASK
    if isinstance(value, Mapping):
        return {
            key: _hidden(each)
            if _is_secret(str(key), secret)
            else _masked(each, secret, depth=depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(each, secret, depth=depth + 1) for each in value]
    return value


def _is_secret(key: str, secret: frozenset[str]) -> bool:
    words = _CAMEL.sub("_", key).lower().replace("-", "_").replace(" ", "_")
    return key in secret or _SECRET.search(words) is not None


def _hidden(value: object) -> object:
    """Keep of a secret what tells two of them apart: of a list or an object, nothing."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping | list | tuple):
        return _MASK
    text = str(value)
    return _MASK + text[-_VISIBLE:] if len(text) >= _LENGTH_MIN else _MASK
