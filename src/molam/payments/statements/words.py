"""Says what a match or an open line is, in French and English, from codes alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from molam.platform.web.l10n import Language

_BY_HAND: Mapping[tuple[str, bool], Mapping[str, str]] = MappingProxyType(
    {
        ("manual", True): {
            "en": "Somebody compared the two and found them the same.",
            "fr": "Quelqu\u2019un a compar\u00e9 les deux et les a trouv\u00e9s identiques.",
        },
        ("forced", True): {
            "en": "Matched although the two differ; the reason says why.",
            "fr": "Rapproch\u00e9 malgr\u00e9 une diff\u00e9rence\u202f; le motif dit pourquoi.",
        },
        ("forced", False): {
            "en": "Nothing of ours answers for it; it was written off for the reason given.",
            "fr": (
                "Rien de chez nous n\u2019y r\u00e9pond\u202f; pass\u00e9 en "
                "\u00e9cart pour le motif donn\u00e9."
            ),
        },
    }
)

_MISMATCH: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "amount": {
            "en": "It names a payment of ours with another amount, beyond what the bank may keep.",
            "fr": (
                "Elle d\u00e9signe un paiement \u00e0 nous d\u2019un autre "
                "montant, au-del\u00e0 de la tol\u00e9rance."
            ),
        },
        "refused": {
            "en": "It names a payment that the bank had refused: money left all the same.",
            "fr": (
                "Elle d\u00e9signe un paiement que la banque avait "
                "refus\u00e9\u202f: l\u2019argent est parti quand m\u00eame."
            ),
        },
        "direction": {
            "en": "It brings back a payment that never left.",
            "fr": "Elle rend un paiement qui n\u2019est jamais parti.",
        },
        "duplicate": {
            "en": "Another line was matched with the same payment: the bank may have paid twice.",
            "fr": (
                "Une autre ligne correspond au m\u00eame paiement\u202f: la "
                "banque a peut-\u00eatre pay\u00e9 deux fois."
            ),
        },
        "currency": {
            "en": "It names a payment of ours in another currency.",
            "fr": "Elle d\u00e9signe un paiement \u00e0 nous dans une autre devise.",
        },
        "other_bank": {
            "en": "It names a payment that we sent through another bank.",
            "fr": "Elle d\u00e9signe un paiement envoy\u00e9 par une autre banque.",
        },
    }
)
_POSTED = {
    "en": "Nothing of ours has its reference, or its amount, day and name together.",
    "fr": (
        "Rien de chez nous n\u2019a sa r\u00e9f\u00e9rence, ni \u00e0 "
        "la fois son montant, son jour et son nom."
    ),
}


def by_hand(tier: str, *, is_ours: bool) -> Mapping[str, str]:
    """Explain a match that people made."""
    return _BY_HAND[tier, is_ours]


def of_open(state: str, mismatch: str | None, language: Language) -> str:
    """Explain why a line is open."""
    if state == "mismatched" and mismatch is not None:
        return _MISMATCH[mismatch][language]
    return _POSTED[language]
