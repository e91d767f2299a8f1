"""What each export calls its columns, and which statement fills them."""

from __future__ import annotations

from molam.merchant import report_rows_store as store
from molam.merchant.accounting import journal
from molam.merchant.report_model import Asked, Kind
from molam.payments import list_store as lists
from molam.payments import queries as payments
from molam.platform.db import Tx
from molam.platform.exports.cells import Column
from molam.platform.exports.copying import Selection

_COUNTED_MAX = 2**31

_OCCURRED = Column("moment", "Date", "Date")
_CURRENCY = Column("text", "Currency", "Devise")
_STATUS = Column("text", "Status", "Statut")
_STATE = Column("text", "State", "État", printed=False)
_AMOUNT = Column("amount", "Amount", "Montant")
_REASON = Column("text", "Reason", "Motif")
_PAYOUT = Column("text", "Payout", "Versement")
_PAYOUT_DAY = Column("day", "Payout date", "Date du versement")
_CUSTOMER = Column("text", "Customer", "Client")
_PROVIDER = Column("text", "Provider", "Opérateur")

COLUMNS: dict[Kind, tuple[Column, ...]] = {
    "transactions": (
        _OCCURRED,
        Column("text", "Transaction", "Transaction"),
        Column("text", "Type", "Type"),
        _STATUS,
        _STATE,
        _AMOUNT,
        _CURRENCY,
        Column("amount", "Fee", "Frais"),
        Column("amount", "Net", "Net"),
        Column("amount", "Refunded", "Remboursé", printed=False),
        Column("text", "Channel", "Canal", printed=False),
        _PROVIDER,
        Column("text", "Reference", "Référence"),
        _CUSTOMER,
        Column("text", "E-mail", "E-mail", printed=False),
        Column("text", "Phone", "Téléphone", printed=False),
        Column("text", "Original payment", "Paiement d'origine", printed=False),
        _REASON,
        _PAYOUT,
        _PAYOUT_DAY,
        Column("text", "Payout state", "État du versement", printed=False),
    ),
    "refunds": (
        _OCCURRED,
        Column("text", "Refund", "Remboursement"),
        Column("text", "Payment", "Paiement"),
        _STATUS,
        _STATE,
        _AMOUNT,
        _CURRENCY,
        Column("amount", "Fee returned", "Frais restitués"),
        _REASON,
        Column("text", "Requested by", "Demandé par"),
        Column("text", "Approved by", "Approuvé par"),
        _CUSTOMER,
        _PROVIDER,
        _PAYOUT,
        _PAYOUT_DAY,
    ),
    "payouts": (
        _OCCURRED,
        _PAYOUT,
        Column("text", "State", "État"),
        _AMOUNT,
        _CURRENCY,
        Column("amount", "Payout fee", "Frais de versement"),
        Column("amount", "Sales", "Ventes"),
        Column("amount", "Fees", "Frais"),
        Column("amount", "Refunds", "Remboursements"),
        Column("amount", "Disputes", "Litiges"),
        Column("amount", "Adjustments", "Ajustements", printed=False),
        Column("number", "Lines", "Lignes"),
        Column("moment", "Planned", "Prévu", printed=False),
        Column("moment", "Sent", "Envoyé", printed=False),
        Column("moment", "Ended", "Terminé"),
        Column("text", "Reference", "Référence"),
        Column("text", "Bank's reference", "Référence de la banque", printed=False),
        Column("text", "Failure", "Échec"),
    ),
    "payout_lines": (
        _PAYOUT,
        Column("text", "Payout state", "État du versement", printed=False),
        _PAYOUT_DAY,
        _OCCURRED,
        Column("text", "Movement", "Mouvement"),
        Column("text", "Of", "Objet"),
        _AMOUNT,
        _CURRENCY,
    ),
    "disputes": (
        _OCCURRED,
        Column("text", "Dispute", "Litige"),
        Column("text", "Transaction", "Transaction"),
        _STATUS,
        _STATE,
        Column("number", "Stage", "Étape"),
        _AMOUNT,
        _CURRENCY,
        Column("amount", "Fee", "Frais"),
        _REASON,
        Column("moment", "Answer due", "Réponse avant"),
        Column("moment", "Resolved", "Résolu"),
    ),
    "ledger": (
        Column("moment", "Posted", "Comptabilisé"),
        _OCCURRED,
        Column("text", "Movement", "Mouvement"),
        Column("text", "Of", "Objet"),
        Column("text", "Account", "Compte"),
        Column("text", "Other account", "Contrepartie"),
        _AMOUNT,
        _CURRENCY,
        Column("text", "Transfer", "Écriture", printed=False),
    ),
    "journal": journal.COLUMNS,
}

TITLES: dict[Kind, tuple[str, str]] = {
    "transactions": ("Transactions", "Transactions"),
    "refunds": ("Refunds", "Remboursements"),
    "payouts": ("Payouts", "Versements"),
    "payout_lines": ("Payout lines", "Lignes de versements"),
    "disputes": ("Disputes", "Litiges"),
    "ledger": ("Ledger", "Grand livre"),
    "journal": ("Journal", "Journal comptable"),
    "statement": ("Statement", "Relevé de compte"),
}


def selection(asked: Asked, *, merchant_id: str, timezone: str) -> Selection:
    """Choose the statement whose rows *asked* wants, in the order of their list."""
    if asked.kind in {"transactions", "refunds"}:
        params = payments.filtering(merchant_id, asked.filters) | {"timezone": timezone}
        return _listed(asked, params)
    params = {
        "merchant_id": merchant_id,
        "timezone": timezone,
        "currency": asked.currency,
        "from_at": asked.from_at or payments.BEGINNING,
        "to_at": asked.to_at or payments.END,
    }
    match asked.kind:
        case "payouts":
            return Selection.of(store.PAYOUTS, **params, status=asked.status)
        case "disputes":
            return Selection.of(store.DISPUTES, **params, status=asked.status)
        case "payout_lines":
            return Selection.of(store.PAYOUT_LINES, **params)
        case "ledger":
            return Selection.of(store.LEDGER, **params)
        case _:
            assert asked.kind == "journal", asked.kind
            return Selection.of(store.FACTS, **params)


async def count_rows(tx: Tx, asked: Asked, *, merchant_id: str) -> int | None:
    """Count the rows to come, or None where that is as much work as writing them."""
    if asked.kind not in {"transactions", "refunds"}:
        return None
    params = payments.filtering(merchant_id, asked.filters)
    if asked.search is not None:
        query = lists.COUNT_FOUND
    else:
        query = lists.COUNT_ALL if asked.status is None else lists.COUNT_STATUS
    row = await tx.one(query, **params, limit=_COUNTED_MAX)
    assert row is not None
    return row.count


def _listed(asked: Asked, params: dict[str, object]) -> Selection:
    """Choose as payments.list_transactions does, so that the rows are the list's."""
    refunds = asked.kind == "refunds"
    if asked.search is not None:
        if refunds:
            return Selection.of(store.REFUNDS_FOUND, **params)
        return Selection.of(store.TRANSACTIONS_FOUND, **params)
    if asked.status is not None:
        if refunds:
            return Selection.of(store.REFUNDS_OF_STATUS, **params)
        return Selection.of(store.TRANSACTIONS_OF_STATUS, **params)
    if refunds:
        return Selection.of(store.REFUNDS_ALL, **params)
    return Selection.of(store.TRANSACTIONS_ALL, **params)
