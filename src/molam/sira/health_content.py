"""A prediction as it is signed, stored and sent: what was asked about, and what was said."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from molam.kernel.digests import digest, hashable
from molam.sira.health import Forecast

_HUNDREDTH = Decimal("0.01")
_SCORES = ("predicted_score", "p10", "p50", "p90")


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Which bank is meant, where, and for what."""

    bank_profile_id: str
    mesh_region_id: str | None = None
    rail: str = "bank"
    currency: str = "XOF"


def content_of(
    subject: Subject, forecast: Forecast, *, history: str = "", surroundings: object = None
) -> dict[str, Any]:
    """
    Write *forecast* about *subject* as plain JSON, to be signed and kept.

    *history* names what SIRA was sent (`digest_of_history`), *surroundings* is what it was
    told of the moment; empty where it looked for itself.
    """
    said = msgspec.to_builtins(forecast)
    return {
        **msgspec.to_builtins(subject),
        **said,
        **{name: str(getattr(forecast, name).quantize(_HUNDREDTH)) for name in _SCORES},
        "history": history,
        "surroundings": msgspec.to_builtins(surroundings),
    }


def forecast_of(content: Mapping[str, object]) -> Forecast:
    """
    Read the forecast in *content*, which has been verified.

    Raises:
        msgspec.ValidationError: it holds none.
    """
    return msgspec.convert(content, Forecast, strict=False)


def subject_of(content: Mapping[str, object]) -> Subject:
    """
    Read what *content* is about.

    Raises:
        msgspec.ValidationError: it does not say.
    """
    return msgspec.convert(content, Subject)


def digest_of_history(rows: object) -> str:
    """Name the history that SIRA was sent, by what it says."""
    return digest("molam.sira.history/1", hashable(rows)).hex()
