"""What somebody typed, as the range or pattern that finds what begins with it."""

from __future__ import annotations

_LAST = "\U0010ffff"


def beyond(low: str) -> str:
    """Return the smallest text after every text that begins with *low*, in code point order."""
    kept = low.rstrip(_LAST)
    if not kept:
        return low + _LAST
    point = ord(kept[-1]) + 1
    # Surrogates are no characters; what follows them is next.
    return kept[:-1] + chr(0xE000 if point == 0xD800 else point)  # noqa: PLR2004


def prefix_pattern(text: str) -> str:
    """Write *text* as a LIKE pattern with ``escape '!'`` for what begins with it."""
    plain = text.strip().lower()
    for special in "!%_":
        plain = plain.replace(special, f"!{special}")
    return f"{plain}%"
