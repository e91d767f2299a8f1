"""The two languages of the product, and which one a stranger prefers."""

from __future__ import annotations

from collections.abc import Mapping

LOCALES = ("fr", "en")
DEFAULT = "fr"


def preferred(headers: Mapping[str, str], *, otherwise: str = DEFAULT) -> str:
    """Choose by Accept-Language (RFC 9110, section 12.5.4); *otherwise* when it says nothing."""
    best, best_weight = otherwise, 0.0
    for part in headers.get("accept-language", "")[:256].split(","):
        tag, _, parameters = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(parameters)
        if language in LOCALES and weight > best_weight:
            best, best_weight = language, weight
    return best


def known(tag: object) -> str:
    """Return the supported language of a BCP 47 *tag*, French otherwise."""
    language = str(tag).lower().partition("-")[0]
    return language if language in LOCALES else DEFAULT


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
