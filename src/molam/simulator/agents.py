"""The demo's agents, who pay out cash from a float they keep with us, and merchants' fees."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Agent:
    """A shop that pays out cash, and the float it starts with."""

    id: str
    name: str
    city: str
    country: str
    currency: str
    float_minor: int
    owner_id: str | None = None


AGENTS = (
    # At the edge of what counts as critically low, as in the specification's example.
    Agent("agent-123", "Kiosque Médina", "Dakar", "SN", "XOF", 500_000, "modou.diagne"),
    Agent("agent-thies", "Boutique Randoulène", "Thiès", "SN", "XOF", 2_350_000),
    Agent("agent-treichville", "Cabine Treichville", "Abidjan", "CI", "XOF", 1_840_000),
    Agent("agent-bouake", "Point Money Bouaké", "Bouaké", "CI", "XOF", 760_000),
    Agent("agent-osu", "Osu Cash Point", "Accra", "GH", "GHS", 48_500_00),
    Agent("agent-kumasi", "Kejetia Mobile Money", "Kumasi", "GH", "GHS", 21_300_00),
    Agent("agent-ikeja", "Ikeja POS Centre", "Lagos", "NG", "NGN", 6_200_000_00),
)

FEES_BASIS_POINTS = {
    "merchant-123": 250,
    "merchant-cocody": 275,
    "merchant-makola": 190,
    "merchant-balogun": 150,
    "merchant-solo": 300,
}
FEES_SINCE = date(2025, 1, 1)
