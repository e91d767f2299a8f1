"""How a simulated bank behaves: by its temper, and by how an amount ends."""

from __future__ import annotations

import random
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_LUCK = random.SystemRandom()

_Seconds = Annotated[float, Meta(ge=0, le=600)]
_Share = Annotated[float, Meta(ge=0, le=1)]

Die = Literal["never", "before", "after"]
Callbacks = Literal["once", "twice", "lost", "late", "early", "reversed"]
Recalls = Literal["by_age", "accept", "reject", "silent"]
Answers = Literal["right", "garbage", "huge", "wrong_amount"]


class Temper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `PUT /banks/{id}/temper` takes; everything left out is well behaved."""

    latency_s: _Seconds = 0.0
    """Waited after booking and before answering."""
    reject_rate: _Share = 0.0
    reject_code: Annotated[str, Meta(min_length=1, max_length=64)] = "limit-exceeded"
    fail_rate: _Share = 0.0
    """Of all requests: refused by 503 or not answered, and some orders booked all the same."""
    die: Die = "never"
    """Close the connection instead of answering: before booking, or after."""
    die_rate: _Share = 1.0
    callbacks: Callbacks = "once"
    """`early` comes before the answer; `reversed` tells the end first, then the beginning."""
    late_s: _Seconds = 90.0
    answers: Answers = "right"
    settle_after_s: _Seconds = 1.0
    return_after_s: _Seconds | None = None
    """After settling, the money comes back."""
    recalls: Recalls = "by_age"
    """`by_age` gives back what was paid in the last minutes; `silent` never answers."""
    recall_after_s: _Seconds = 2.0
    """What was paid already is given back, or refused, after this; the rest at once."""
    recall_code: Annotated[str, Meta(min_length=1, max_length=64)] = "beneficiary-refuses"
    maintenance: bool = False
    by_amount: bool = True
    """Whether the last two digits of an amount choose an outcome, as `ENDINGS` says."""


# By the last two digits of the amount in major units. Prices rarely end so, and a test
# or a demonstration can ask for what it wants without changing anybody's temper.
ENDINGS: dict[int, tuple[str, dict[str, object]]] = {
    1: ("rejected: the account is closed", {"reject_rate": 1.0, "reject_code": "account-closed"}),
    2: ("rejected: over the limit", {"reject_rate": 1.0}),
    3: ("booked, then no answer", {"die": "after", "die_rate": 1.0}),
    4: ("no answer, nothing booked", {"die": "before", "die_rate": 1.0}),
    5: ("answered after 30 seconds", {"latency_s": 30.0}),
    6: ("the callback is lost", {"callbacks": "lost"}),
    7: ("the callback comes twice", {"callbacks": "twice"}),
    8: ("the callback comes before the answer", {"callbacks": "early", "settle_after_s": 0.0}),
    9: ("paid, then returned", {"return_after_s": 2.0}),
    11: ("booked, then garbage", {"answers": "garbage"}),
    12: ("the answer names another amount", {"answers": "wrong_amount"}),
    13: ("the callback is 90 seconds late", {"callbacks": "late"}),
    14: ("a recall is refused", {"recalls": "reject"}),
    15: ("a recall is granted, whenever it is asked for", {"recalls": "accept"}),
}


def mood(temper: Temper, amount_major: int) -> Temper:
    """Say how one payment is treated."""
    ending = ENDINGS.get(amount_major % 100) if temper.by_amount else None
    if ending is None:
        return temper
    return msgspec.structs.replace(temper, **ending[1])


def happens(rate: float) -> bool:
    return _LUCK.random() < rate
