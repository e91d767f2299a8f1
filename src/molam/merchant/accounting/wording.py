"""What the books call each movement, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from molam.merchant.accounting.entries import Fact
from molam.platform.web.l10n import Language

_CAUSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "payment": ("Sale", "Vente"),
        "payment_fee": ("Fee on sale", "Frais sur vente"),
        "refund": ("Refund", "Remboursement"),
        "refund_reserved": ("Refund promised", "Remboursement promis"),
        "refund_released": ("Refund not given", "Remboursement non rendu"),
        "refund_fee": ("Fee returned", "Frais restitués"),
        "refund_reversed": ("Refund returned", "Remboursement retourné"),
        "dispute": ("Dispute", "Litige"),
        "dispute_fee": ("Fee on dispute", "Frais de litige"),
        "dispute_settled": ("Dispute lost", "Litige perdu"),
        "payout": ("Payout", "Versement"),
        "payout_reserved": ("Payout prepared", "Versement préparé"),
        "payout_released": ("Payout cancelled", "Versement annulé"),
        "payout_sent": ("Payout sent", "Versement envoyé"),
        "payout_returned": ("Payout returned", "Versement retourné"),
        "payout_paid_late": ("Payout paid after all", "Versement finalement payé"),
        "payout_returned_late": ("Late payout returned", "Versement tardif retourné"),
    }
)
JOURNALS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "VT": ("Sales", "Ventes"),
        "ME": ("Electronic money", "Monnaie électronique"),
        "BQ": ("Bank", "Banque"),
        "OD": ("Other", "Opérations diverses"),
    }
)


def cause(name: str, language: Language) -> str:
    """Name a cause; one that is newer than this table is named as the ledger does."""
    words = _CAUSES.get(name)
    if words is None:
        return name.replace("_", " ").capitalize()
    return words[1 if language == "fr" else 0]


def label(fact: Fact, language: Language) -> str:
    """Say what an entry is about: ``Vente tx_123 (wave)``."""
    provider = f" ({fact.provider})" if fact.provider else ""
    return f"{cause(fact.cause, language)} {fact.cause_id}{provider}"
