"""What each reason for a dispute asks of an answer: how soon, and with which evidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

TYPES = ("chargeback", "retrieval_request", "merchant_dispute")

KINDS = (
    "receipt",
    "delivery_proof",
    "invoice",
    "customer_communication",
    "refund_proof",
    "product_description",
    "terms",
    "identity",
    "other",
)

# The time networks give. Mobile-money operators ask within two days; cards take weeks.
_CARDS: Mapping[str, timedelta] = {
    "visa": timedelta(days=20),
    "mastercard": timedelta(days=20),
    "amex": timedelta(days=14),
    "gimac": timedelta(days=10),
    "gim_uemoa": timedelta(days=10),
}
_WALLETS = frozenset(
    {
        "wave", "orange_money", "mtn_momo", "moov_money", "free_money", "airtel_money", "mpesa",
        "opay", "palmpay", "telecel_cash", "wallet",
    }
)  # fmt: skip
_WALLET_TIME = timedelta(hours=48)
_CARD_TIME = timedelta(days=7)
_RETRIEVAL_TIME = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Case:
    """What decides about a dispute's time and evidence."""

    type: str
    provider: str | None
    code: str | None


def time_to_answer(case: Case) -> timedelta:
    """Say how long a merchant has where the network did not say it."""
    if case.type == "retrieval_request":
        return _RETRIEVAL_TIME
    if case.type == "merchant_dispute" or case.provider in _WALLETS:
        return _WALLET_TIME
    return _CARDS.get(case.provider or "", _CARD_TIME)


@dataclass(frozen=True, slots=True)
class Reason:
    """What answers a reason: one of each required group, and what helps."""

    code: str
    required: tuple[tuple[str, ...], ...]
    recommended: tuple[str, ...]


def _reason(code: str, *required: str, recommended: str) -> Reason:
    groups = tuple(tuple(group.split("|")) for group in required)
    return Reason(code, groups, tuple(recommended.split()))


REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        each.code: each
        for each in (
            _reason(
                "not_received",
                "delivery_proof",
                "receipt|invoice",
                recommended="customer_communication identity",
            ),
            _reason(
                "not_as_described",
                "product_description",
                "receipt|invoice",
                recommended="customer_communication delivery_proof terms",
            ),
            _reason(
                "unrecognised",
                "receipt|invoice",
                "identity|customer_communication|delivery_proof",
                recommended="delivery_proof product_description",
            ),
            _reason(
                "fraudulent",
                "receipt|invoice",
                "identity|delivery_proof",
                recommended="customer_communication delivery_proof identity",
            ),
            _reason(
                "duplicate",
                "receipt|invoice",
                recommended="refund_proof customer_communication",
            ),
            _reason(
                "credit_not_processed",
                "refund_proof|terms",
                recommended="customer_communication receipt",
            ),
            _reason(
                "subscription_cancelled",
                "terms",
                "customer_communication|receipt",
                recommended="product_description",
            ),
            _reason(
                "incorrect_amount",
                "invoice|receipt",
                recommended="customer_communication terms",
            ),
            _reason(
                "general",
                "receipt|invoice",
                recommended="delivery_proof customer_communication product_description",
            ),
        )
    }
)

# What networks call the same. Visa's codes have a point, Mastercard's have four digits.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "10.1": "fraudulent", "10.2": "fraudulent", "10.3": "fraudulent", "10.4": "fraudulent",
        "10.5": "fraudulent", "4837": "fraudulent", "4849": "fraudulent", "4863": "unrecognised",
        "fraud": "fraudulent", "unrecognized": "unrecognised", "unauthorized": "fraudulent",
        "13.1": "not_received", "4855": "not_received", "product_not_received": "not_received",
        "non_delivery": "not_received", "service_not_provided": "not_received",
        "13.3": "not_as_described", "13.4": "not_as_described", "4853": "not_as_described",
        "product_unacceptable": "not_as_described", "wrong_item": "not_as_described",
        "12.6.1": "duplicate", "12.6.2": "duplicate", "4834": "duplicate",
        "duplicate_payment": "duplicate", "13.6": "credit_not_processed",
        "13.7": "credit_not_processed", "4860": "credit_not_processed",
        "13.2": "subscription_cancelled", "4841": "subscription_cancelled",
        "subscription_canceled": "subscription_cancelled",
        "12.5": "incorrect_amount", "4831": "incorrect_amount", "wrong_amount": "incorrect_amount",
    }
)  # fmt: skip


def reason_of(*codes: str | None) -> Reason:
    """Find what the first known of *codes* asks for; one that nobody knows asks for the general."""
    for code in codes:
        name = (code or "").strip().lower().replace(" ", "_").replace("-", "_")
        found = REASONS.get(_ALIASES.get(name, name))
        if found is not None:
            return found
    return REASONS["general"]


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist: any of *kinds* satisfies it."""

    kinds: tuple[str, ...]
    required: bool
    satisfied: bool
    by_us: bool
    """The product itself proves it, from what it knows of the payment."""


def checklist(reason: Reason, *, given: Collection[str], known: Collection[str]) -> list[Item]:
    """
    Say what an answer to *reason* needs, and what of it is there.

    *given* are kinds of files that were added, *known* those that the product answers
    itself.
    """
    wanted = [(group, True) for group in reason.required]
    asked = {kind for group in reason.required for kind in group}
    wanted += [((kind,), False) for kind in reason.recommended if kind not in asked]
    return [
        Item(
            kinds,
            required,
            satisfied=any(kind in given or kind in known for kind in kinds),
            by_us=any(kind in known for kind in kinds) and not any(kind in given for kind in kinds),
        )
        for kinds, required in wanted
    ]


def is_complete(items: Collection[Item]) -> bool:
    """Tell whether everything required is there."""
    return all(item.satisfied for item in items if item.required)
