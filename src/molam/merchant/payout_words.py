"""Why money is not there yet, in sentences for clients of the API; pages have their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from molam.payments.payouts import settings
from molam.payments.payouts.queries import Why

_SENTENCES: Mapping[str, Callable[[Why], str]] = MappingProxyType(
    {
        "no_destination": lambda _: "Nobody has said where to pay: set a payout destination.",
        "held_frozen": lambda _: "The account is frozen.",
        "held_paused": lambda _: "Operations have paused this account's payouts.",
        "held_hold": lambda _: "This payout is held for a check.",
        "held_destination_changed": lambda _: (
            f"The destination was changed less than {settings.CHANGE_HOLD_HOURS} hours ago."
        ),
        "held_destination_refused": lambda _: (
            "The bank refuses this destination: name another account."
        ),
        "held_no_bank_route": lambda _: "No bank in use now reaches this destination.",
        "weekend": lambda why: f"{why.day} is a weekend; banks open on the next working day.",
        "holiday": lambda why: f"Banks are closed on {why.day}: {why.text}.",
        "delay": lambda why: f"What came in within the last {why.count} days waits for its day.",
        "negative": lambda _: "More was refunded or disputed than came in; new sales pay it first.",
        "below_minimum": lambda why: f"There is less than the minimum of {why.amount}.",
        "nothing_yet": lambda _: "There is nothing to pay out yet.",
        "holds": lambda _: "Some payments are held for a check and are left out.",
        "by_hand": lambda _: "Payouts are made when somebody asks for one.",
        "waits_for_hour": lambda _: "It is sent when banks open, and can be cancelled until then.",
        "about_to_be_sent": lambda _: "It is being handed to the bank.",
        "in_doubt": lambda _: (
            "The bank's answer was lost. We ask it under the same number, and never send twice."
        ),
        "bank_slow": lambda _: "The bank has had it for longer than a day.",
        "with_bank": lambda _: "It is with the bank.",
        "refused_by_bank": lambda why: f"The bank refused it: {why.text or 'no reason given'}.",
        "came_back": lambda why: f"The bank sent it back: {why.text or 'no reason given'}.",
        "cancelled": lambda _: "It was cancelled, and its money is in the balance again.",
    }
)


def sentence(why: Why) -> str:
    """Say one reason in English."""
    return _SENTENCES[why.code](why)
