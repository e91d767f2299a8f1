"""The demo's agents, who pay out cash from a float they keep with us, and merchants' fees."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Agent:
    """A shop that pays out cash, and the float it starts with."""

    id: str
    name: str
    city: str
    country: str
    currency: str
    float_minor: int
    latitude: Decimal
    longitude: Decimal
    owner_id: str | None = None


def _agent(
    words: tuple[str, str, str, str, str],
    float_minor: int,
    place: tuple[str, str],
    *,
    owner_id: str | None = None,
) -> Agent:
    latitude, longitude = (Decimal(each) for each in place)
    return Agent(*words, float_minor, latitude, longitude, owner_id)


AGENTS = (
    # At the edge of what counts as critically low, as in the specification's example.
    _agent(
        ("agent-123", "Kiosque Médina", "Dakar", "SN", "XOF"),
        500_000,
        ("14.6815", "-17.4519"),
        owner_id="modou.diagne",
    ),
    _agent(
        ("agent-thies", "Boutique Randoulène", "Thiès", "SN", "XOF"),
        2_350_000,
        ("14.7910", "-16.9359"),
    ),
    _agent(
        ("agent-treichville", "Cabine Treichville", "Abidjan", "CI", "XOF"),
        1_840_000,
        ("5.2930", "-4.0120"),
    ),
    _agent(
        ("agent-bouake", "Point Money Bouaké", "Bouaké", "CI", "XOF"),
        760_000,
        ("7.6906", "-5.0303"),
    ),
    _agent(("agent-osu", "Osu Cash Point", "Accra", "GH", "GHS"), 48_500_00, ("5.5560", "-0.1820")),
    _agent(
        ("agent-kumasi", "Kejetia Mobile Money", "Kumasi", "GH", "GHS"),
        21_300_00,
        ("6.6968", "-1.6230"),
    ),
    _agent(
        ("agent-ikeja", "Ikeja POS Centre", "Lagos", "NG", "NGN"),
        6_200_000_00,
        ("6.6018", "3.3515"),
    ),
)

FEES_BASIS_POINTS = {
    "merchant-123": 250,
    "merchant-cocody": 275,
    "merchant-makola": 190,
    "merchant-balogun": 150,
    "merchant-solo": 300,
}
FEES_SINCE = date(2025, 1, 1)
