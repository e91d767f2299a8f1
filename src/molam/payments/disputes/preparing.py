"""The answer as the product would write it, from what it knows of the payment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from molam.kernel.clock import Instant
from molam.kernel.shown import plain
from molam.payments.disputes import known_store, reasons
from molam.payments.disputes.answer_words import WORDS
from molam.payments.disputes.known_store import HistoryRow, PaymentRow, RefundRow
from molam.payments.disputes.model import Dispute
from molam.platform.db import Tx
from molam.platform.web.l10n import Formats, Language

_NO_PHONE = "\x01"
"""Matches nothing: no telephone number and no address is written so."""

# What merchants' systems send along about a delivery, under the names they use for it.
_DELIVERY = (
    "carrier",
    "tracking_number",
    "tracking_url",
    "shipped_at",
    "delivered_at",
    "delivery_address",
    "delivery_phone",
    "delivery_signature",
    "delivery_status",
    "ip_address",
)
_VALUE_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Known:
    """What the product knows of a dispute's payment."""

    payment: PaymentRow | None
    refunds: tuple[RefundRow, ...]
    history: HistoryRow | None
    delivery: Mapping[str, str]

    @property
    def phones_match(self) -> bool:
        """Tell whether the goods went to the telephone that paid."""
        if self.payment is None:
            return False
        paid, delivered = self.payment.customer.get("phone"), self.delivery.get("delivery_phone")
        return bool(paid) and bool(delivered) and _digits(str(paid)) == _digits(str(delivered))

    @property
    def kinds(self) -> frozenset[str]:
        """Say which kinds of evidence this is without any file."""
        found = set()
        if self.payment is not None and self.payment.state == "succeeded":
            found.add("receipt")
        if {"delivered_at", "delivery_signature"} & self.delivery.keys():
            found.add("delivery_proof")
        if any(refund.state == "succeeded" for refund in self.refunds):
            found.add("refund_proof")
        return frozenset(found)

    def exhibits(self) -> list[dict[str, object]]:
        """Write it as JSON: what goes along with the files, and into the manifest."""
        found: list[dict[str, object]] = []
        if self.payment is not None:
            paid = self.payment
            found.append(
                {
                    "kind": "receipt",
                    "transaction_id": paid.id,
                    "reference_code": paid.reference_code,
                    "amount": paid.amount,
                    "currency": paid.currency,
                    "method": paid.provider or paid.channel,
                    "occurred_at": f"{paid.occurred_at:%Y-%m-%dT%H:%M:%SZ}",
                    "customer": {key: str(value) for key, value in sorted(paid.customer.items())},
                }
            )
        if self.delivery:
            found.append({"kind": "delivery_proof", **self.delivery})
        found += [
            {
                "kind": "refund_proof",
                "refund_id": refund.id,
                "amount": refund.amount,
                "currency": refund.currency,
                "state": refund.state,
                "occurred_at": f"{refund.occurred_at:%Y-%m-%dT%H:%M:%SZ}",
            }
            for refund in self.refunds
        ]
        if self.history is not None and self.history.payments:
            found.append(
                {
                    "kind": "customer_history",
                    "payments": self.history.payments,
                    "disputed": self.history.disputed,
                    "first_at": f"{self.history.first_at:%Y-%m-%dT%H:%M:%SZ}",
                }
            )
        return found


async def known_of(tx: Tx, dispute: Dispute) -> Known:
    """Gather what the product knows of a dispute's payment."""
    if dispute.transaction_id is None:
        return Known(None, (), None, _delivery(dispute.metadata))
    named = {"merchant_id": dispute.merchant_id, "id": dispute.transaction_id}
    payment = await tx.one(known_store.FIND_PAYMENT, **named)
    if payment is None:
        return Known(None, (), None, _delivery(dispute.metadata))
    refunds = await tx.all(known_store.LIST_REFUNDS, **named)
    history = await tx.one(
        known_store.FIND_HISTORY,
        **named,
        phone=str(payment.customer.get("phone") or _NO_PHONE),
        email=str(payment.customer.get("email") or _NO_PHONE).lower(),
        before=payment.occurred_at,
    )
    return Known(
        payment,
        tuple(refunds),
        history,
        _delivery({**payment.metadata, **dispute.metadata}),
    )


def checklist_of(dispute: Dispute, known: Known, given: frozenset[str]) -> list[reasons.Item]:
    """Say what the dispute's reason asks for, and what of it is there."""
    reason = reasons.reason_of(dispute.network_reason_code, dispute.reason)
    return reasons.checklist(reason, given=given, known=known.kinds)


def write(
    dispute: Dispute, known: Known, language: Language, *, merchant: str, zone: str = "UTC"
) -> str:
    """Write the statement that answers a dispute; a person may change every word of it."""
    words, formats = WORDS[language], Formats(language)
    reason = reasons.reason_of(dispute.network_reason_code, dispute.reason).code

    def day(instant: Instant) -> str:
        return formats.day(instant.astimezone(ZoneInfo(zone)).date())

    case = dispute.network_case_id or dispute.provider_dispute_id or dispute.id
    lines = [
        words["opening"].format(
            merchant=plain(merchant),
            case=plain(case),
            amount=formats.money(dispute.amount, dispute.currency),
        ),
        words[f"reason_{reason}"],
    ]
    lines += _payment(known, words, formats, day)
    lines += _delivered(known, words)
    lines += _before_and_after(known, words, formats, day)
    lines.append(words["closing"])
    return "\n\n".join(lines)


_Day = Callable[[Instant], str]


def _payment(known: Known, words: Mapping[str, str], formats: Formats, day: _Day) -> list[str]:
    paid = known.payment
    if paid is None:
        return []
    lines = [
        words["payment"].format(
            amount=formats.money(paid.amount, paid.currency),
            day=day(paid.occurred_at),
            method=(paid.provider or paid.channel).replace("_", " ").title(),
            reference=plain(paid.reference_code or paid.id),
        )
    ]
    who = [str(paid.customer[key]) for key in ("name", "phone") if paid.customer.get(key)]
    if who:
        lines.append(words["customer"].format(who=plain(", ".join(who))))
    return lines


def _delivered(known: Known, words: Mapping[str, str]) -> list[str]:
    lines = []
    if known.delivery:
        said = [words[f"what_{key}"].format(value=value) for key, value in known.delivery.items()]
        lines.append(words["delivery"].format(said="; ".join(said)))
    if known.phones_match:
        lines.append(words["phones"])
    return lines


def _before_and_after(
    known: Known, words: Mapping[str, str], formats: Formats, day: _Day
) -> list[str]:
    lines = []
    history = known.history
    if history is not None and history.first_at is not None and history.payments > history.disputed:
        count = history.payments - history.disputed
        lines.append(words["history"].format(count=count, since=day(history.first_at)))
    lines += [
        words["refund"].format(
            amount=formats.money(refund.amount, refund.currency), day=day(refund.occurred_at)
        )
        for refund in known.refunds
    ]
    return lines


def _delivery(metadata: Mapping[str, object]) -> dict[str, str]:
    found = {}
    for key in _DELIVERY:
        value = metadata.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            found[key] = plain(str(value).strip(), _VALUE_LENGTH_MAX)
    return found


def _digits(text: str) -> str:
    # Numbers are written with and without the country's prefix; the last nine tell them apart.
    return "".join(char for char in text if char.isdigit())[-9:]
