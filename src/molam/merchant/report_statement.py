"""A month of a merchant's account: it balances with the ledger, or it is not written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from molam.kernel.clock import Instant
from molam.merchant import model
from molam.merchant import report_statement_store as store
from molam.merchant.report_model import StatementRefused
from molam.merchant.report_store import MerchantRow
from molam.platform.db import Tx
from molam.platform.web.l10n import EN_DASH, Formats, Language

# Every movement belongs to one of these; whatever is new is an adjustment until it is named.
_GROUPS = {
    "payment": "sales",
    "payment_fee": "fees",
    "refund": "refunds",
    "refund_reversed": "refunds",
    "refund_fee": "fees_returned",
    "dispute": "disputes",
    "dispute_fee": "dispute_fees",
    "payout": "payouts",
    "payout_sent": "payouts",
    "payout_returned": "payouts",
    "payout_paid_late": "payouts",
    "payout_returned_late": "payouts",
}
GROUPS = (
    *("sales", "fees", "refunds", "fees_returned"),
    *("disputes", "dispute_fees", "payouts", "adjustments"),
)


@dataclass(frozen=True, slots=True)
class Movement:
    group: str
    amount: int
    count: int


@dataclass(frozen=True, slots=True)
class Statement:
    """Opening + movements = closing, in minor units of one currency."""

    month: str
    currency: str
    first: date
    last: date
    opening: int
    movements: tuple[Movement, ...]
    closing: int
    split: dict[str, int]
    payouts: list[store.PayoutRow]


def bounds(month: str, timezone: str) -> tuple[date, date, Instant, Instant]:
    """Return a month's first and last day, and the instants it begins and ends at."""
    first = date.fromisoformat(f"{month}-01")
    last = (first + timedelta(days=31)).replace(day=1) - model.ONE_DAY
    return (
        first,
        last,
        model.day_ends_at(first - model.ONE_DAY, timezone),
        model.day_ends_at(last, timezone),
    )


async def statement_of(
    tx: Tx, *, merchant_id: str, currency: str, month: str, timezone: str, now: Instant
) -> Statement:
    """
    Add up a month. *tx* is one snapshot.

    The closing balance is what the ledger's accounts hold, less what moved since: it is
    found without the movements, and so checks them.

    Raises:
        StatementRefused: the month is not over, or the ledger does not balance.
    """
    first, last, from_at, to_at = bounds(month, timezone)
    if to_at > now:
        raise StatementRefused("The month is not over; it has a statement from its end on.")
    asked = {"merchant_id": merchant_id, "currency": currency}
    causes = await tx.all(store.SUM_CAUSES, **asked, from_at=from_at, to_at=to_at)
    accounts = await tx.all(store.LIST_ACCOUNTS, **asked, to_at=to_at)
    payouts = await tx.all(
        store.LIST_PAYOUTS, **asked, from_at=from_at, to_at=to_at, timezone=timezone
    )
    found = Statement(
        month=month,
        currency=currency,
        first=first,
        last=last,
        opening=sum(each.before for each in causes),
        movements=_grouped(causes),
        closing=sum(each.balance - each.after for each in accounts),
        split={each.kind: each.balance - each.after for each in accounts},
        payouts=payouts,
    )
    if found.opening + sum(each.amount for each in found.movements) != found.closing:
        raise StatementRefused("The ledger does not balance; our team has been told.")
    return found


def _grouped(causes: list[store.CauseRow]) -> tuple[Movement, ...]:
    amounts = dict.fromkeys(GROUPS, 0)
    counts = dict.fromkeys(GROUPS, 0)
    for each in causes:
        group = _GROUPS.get(each.cause, "adjustments")
        amounts[group] += each.during
        counts[group] += each.during_count
    return tuple(
        Movement(group, amounts[group], counts[group])
        for group in GROUPS
        if counts[group] or group in {"sales", "fees", "refunds", "payouts"}
    )


def document(found: Statement, shop: MerchantRow, language: Language) -> dict[str, object]:
    """Write a statement's data as statement.typ reads them."""
    formats = Formats(language)
    words = _WORDS[language]

    def money(minor: int) -> str:
        return formats.money(minor, found.currency)

    span = f"{formats.day(found.first, 'long')} {EN_DASH} {formats.day(found.last, 'long')}"
    return {
        "template": "statement.typ",
        **head(shop, language, title=words["title"]),
        "subtitle": f"{span} · {found.currency} · {shop.timezone}",
        "unit": formats.symbol(found.currency),
        "opening": {
            "label": f"{words['opening']} {formats.day(found.first, 'long')}",
            "amount": money(found.opening),
        },
        "closing": {
            "label": f"{words['closing']} {formats.day(found.last, 'long')}",
            "amount": money(found.closing),
        },
        "movements": [
            {
                "label": words[each.group],
                "count": f"{formats.number(each.count)} \u00d7",
                "amount": money(each.amount),
            }
            for each in found.movements
        ],
        "check": words["check"],
        "split": [
            {"label": words[kind], "amount": money(amount)} for kind, amount in found.split.items()
        ],
        "payout-columns": [words["payout"], words["state"], words["day"], words["amount"]],
        "payouts": [
            [each.id, words.get(each.state, each.state), each.day, money(each.amount)]
            for each in found.payouts
        ],
        "words": {
            "movement": words["movement"],
            "split": words["split"],
            "payouts": words["payouts"],
            "no-payouts": words["no-payouts"],
        },
    }


def head(shop: MerchantRow, language: Language, *, title: str) -> dict[str, object]:
    """Write what stands above and below every document: whose it is, and that it is ours."""
    numbers = [("NINEA", shop.ninea), ("RCCM", shop.rccm)]
    return {
        "title": title,
        "language": language,
        "merchant": {
            "name": shop.name,
            "place": ", ".join(each for each in (shop.city, shop.country) if each),
            "numbers": [f"{name} {value}" for name, value in numbers if value],
        },
        "footer": f"Molam · {shop.name} · {shop.id}",
    }


_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "title": "Account statement",
        "movement": "Movement",
        "opening": "Opening balance on",
        "closing": "Closing balance on",
        "sales": "Sales",
        "fees": "Fees",
        "refunds": "Refunds",
        "fees_returned": "Fees returned",
        "disputes": "Disputes",
        "dispute_fees": "Dispute fees",
        "payouts": "Payouts",
        "adjustments": "Adjustments",
        "check": "Movements by the day they were posted. Checked: the closing balance is the "
        "ledger's at that moment.",
        "split": "Of the closing balance",
        "merchant_available": "Available",
        "merchant_reserved": "Promised to customers",
        "merchant_in_payout": "In payouts under way",
        "no-payouts": "No payout in this month.",
        "payout": "Payout",
        "state": "State",
        "day": "Date",
        "amount": "Amount",
        "scheduled": "Scheduled",
        "held": "Held",
        "pending": "Pending",
        "in_transit": "In transit",
        "paid": "Paid",
        "returned": "Returned",
        "failed": "Failed",
        "cancelled": "Cancelled",
    },
    "fr": {
        "title": "Relevé de compte",
        "movement": "Mouvement",
        "opening": "Solde d'ouverture au",
        "closing": "Solde de clôture au",
        "sales": "Ventes",
        "fees": "Frais",
        "refunds": "Remboursements",
        "fees_returned": "Frais restitués",
        "disputes": "Litiges",
        "dispute_fees": "Frais de litige",
        "payouts": "Versements",
        "adjustments": "Ajustements",
        "check": "Mouvements par date de comptabilisation. Contrôlé : le solde de clôture est "
        "celui du grand livre à cet instant.",
        "split": "Dont, dans le solde de clôture",
        "merchant_available": "Disponible",
        "merchant_reserved": "Promis aux clients",
        "merchant_in_payout": "En cours de versement",
        "no-payouts": "Aucun versement ce mois-ci.",
        "payout": "Versement",
        "state": "État",
        "day": "Date",
        "amount": "Montant",
        "scheduled": "Planifié",
        "held": "Retenu",
        "pending": "En attente",
        "in_transit": "En cours",
        "paid": "Payé",
        "returned": "Retourné",
        "failed": "Échoué",
        "cancelled": "Annulé",
    },
}
