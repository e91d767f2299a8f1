"""The sentences of a prepared answer, in the languages that networks here read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from molam.payments.disputes import reasons
from molam.platform.web.l10n import Language

_FR = {
    "opening": "{merchant} conteste le litige {case} portant sur {amount}.",
    "reason_not_received": (
        "Le client dit n'avoir rien reçu. La commande a été remise ; les pièces jointes le "
        "montrent."
    ),
    "reason_not_as_described": (
        "Le client dit que l'article n'est pas conforme. La description qui lui a été "
        "donnée et l'article remis correspondent ; voir les pièces jointes."
    ),
    "reason_unrecognised": (
        "Le client dit ne pas reconnaître ce paiement. Il l'a validé avec son propre moyen "
        "de paiement ; voir le reçu et les pièces jointes."
    ),
    "reason_fraudulent": (
        "Le paiement est signalé comme frauduleux. Il a été validé par son titulaire, à qui"
        " la commande a été remise ; voir les pièces jointes."
    ),
    "reason_duplicate": (
        "Le client dit avoir été débité deux fois. Chaque paiement correspond à une "
        "commande distincte ; voir les reçus."
    ),
    "reason_credit_not_processed": (
        "Le client dit attendre un remboursement. Les pièces jointes montrent ce qui lui a "
        "été rendu, et selon quelles conditions."
    ),
    "reason_subscription_cancelled": (
        "Le client dit avoir résilié. Les conditions qu'il a acceptées et nos échanges sont joints."
    ),
    "reason_incorrect_amount": (
        "Le client conteste le montant. La facture jointe montre ce qu'il a accepté."
    ),
    "reason_general": (
        "Le client conteste ce paiement. Les pièces jointes montrent ce qu'il a acheté et reçu."
    ),
    "payment": "Paiement : {amount}, le {day}, par {method}, référence {reference}.",
    "customer": "Client tel que l'opérateur l'a identifié : {who}.",
    "delivery": "Livraison, selon notre système : {said}.",
    "what_carrier": "transporteur {value}",
    "what_tracking_number": "colis {value}",
    "what_tracking_url": "suivi {value}",
    "what_shipped_at": "expédiée le {value}",
    "what_delivered_at": "remise le {value}",
    "what_delivery_address": "à l'adresse {value}",
    "what_delivery_phone": "téléphone {value}",
    "what_delivery_signature": "signée par {value}",
    "what_delivery_status": "état {value}",
    "what_ip_address": "commandée depuis {value}",
    "phones": "Le numéro à qui la commande a été livrée est celui qui a payé.",
    "history": (
        "Ce même client a déjà payé {count} fois chez nous sans contester, depuis le {since}."
    ),
    "refund": "Remboursement déjà fait : {amount}, le {day}.",
    "closing": "Nous demandons que ce litige soit tranché en notre faveur.",
}
_EN = {
    "opening": "{merchant} contests dispute {case} over {amount}.",
    "reason_not_received": (
        "The customer says that nothing was received. The order was handed over; the "
        "exhibits show it."
    ),
    "reason_not_as_described": (
        "The customer says that the item is not as described. The description they were "
        "given and the item they got agree; see the exhibits."
    ),
    "reason_unrecognised": (
        "The customer does not recognise this payment. They approved it with their own "
        "means of payment; see the receipt and the exhibits."
    ),
    "reason_fraudulent": (
        "The payment is reported as fraudulent. Its holder approved it and was handed the "
        "order; see the exhibits."
    ),
    "reason_duplicate": (
        "The customer says that they were charged twice. Each payment is for an order of "
        "its own; see the receipts."
    ),
    "reason_credit_not_processed": (
        "The customer says that a refund is outstanding. The exhibits show what was given "
        "back, and under which terms."
    ),
    "reason_subscription_cancelled": (
        "The customer says that they cancelled. The terms they accepted and our exchanges "
        "are attached."
    ),
    "reason_incorrect_amount": (
        "The customer contests the amount. The invoice attached shows what they agreed to."
    ),
    "reason_general": (
        "The customer contests this payment. The exhibits show what they bought and received."
    ),
    "payment": "Payment: {amount}, on {day}, by {method}, reference {reference}.",
    "customer": "Customer as the operator identified them: {who}.",
    "delivery": "Delivery, as our system has it: {said}.",
    "what_carrier": "carrier {value}",
    "what_tracking_number": "parcel {value}",
    "what_tracking_url": "tracked at {value}",
    "what_shipped_at": "shipped {value}",
    "what_delivered_at": "handed over {value}",
    "what_delivery_address": "at {value}",
    "what_delivery_phone": "phone {value}",
    "what_delivery_signature": "signed by {value}",
    "what_delivery_status": "state {value}",
    "what_ip_address": "ordered from {value}",
    "phones": "The telephone the order was delivered to is the one that paid.",
    "history": (
        "The same customer has paid us {count} times before without disputing, since {since}."
    ),
    "refund": "Refund already made: {amount}, on {day}.",
    "closing": "We ask for this dispute to be decided in our favour.",
}
WORDS: Mapping[Language, Mapping[str, str]] = MappingProxyType({"fr": _FR, "en": _EN})
assert _FR.keys() == _EN.keys()
assert {f"reason_{code}" for code in reasons.REASONS} <= _FR.keys()
