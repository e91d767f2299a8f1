"""What each answer of a bank says about the bank itself: noted where it is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from molam.kernel.clock import Instant
from molam.kernel.ids import uuid7
from molam.kernel.refusals import Outage
from molam.payments.banks.attempt_store import AttemptRow
from molam.payments.banks.connectors.pain001 import WAITING
from molam.payments.banks.http import NotReached
from molam.payments.banks.model import (
    AMOUNT_DIFFERS,
    Destination,
    Outcome,
    OutcomeState,
    SurprisingAnswer,
)
from molam.payments.banks.queries import rail_of
from molam.platform.db import Tx
from molam.platform.events import Event, cloud_event, publish
from molam.sira.health_signal import OutcomeClass, Signal, SignalKind

TOPIC = "bank_signals"
EVENT_TYPE = "bank.signal"
SOURCE = "molam/payments"

NO_ANSWER = "no-answer"
NOT_REACHED = "not-reached"
SURPRISING = "surprising-answer"
SENDER_LOST = "sender-lost"

BANK = "bank"
"""Who observed what the bank told us itself: its delay is that of the payment's end."""

By = Literal["answer", "callback", "polling", "statement"]

KIND_OF: Mapping[By, SignalKind] = {
    "answer": "payout",
    "callback": "payout",
    "polling": "status_inquiry",
    "statement": "settlement_file",
}

# Note [Whose fault]
#
# A payment that fails says something about the bank only if the bank failed. Whoever
# adds a code that a bank may give says here whose fault it is:
#
# - "customer": the beneficiary's account, name or limit. The bank did its work.
# - "compliance": somebody at the bank, or the law, said no. It did its work too.
# - "liquidity": our account there is short. The bank is well, and still cannot pay.
# - "bank_technical": it answered, and wrongly, or lost what it was given.
# - "bank_timeout_unknown": it did not answer in time. Whether it paid is asked later and
#   decides nothing here: silence is evidence about the bank, never about the money.
# - "network_local": the request never left, so the bank may not even know of it.
# - None: the bank was not asked, or has only repeated that it will see to it.
#
# A rejection whose code is in no list counts against the bank. Those that every bank
# gives now and then are in its usual share of failures, which is what it is measured
# by; a sudden wave of codes that nobody knows is what an outage looks like.
_UNKNOWN: Mapping[str, OutcomeClass | None] = {
    NO_ANSWER: "bank_timeout_unknown",
    NOT_REACHED: "network_local",
    SURPRISING: "bank_technical",
    AMOUNT_DIFFERS: "bank_technical",
    SENDER_LOST: None,
}

_OURS = frozenset({"not-a-wallet", "not-an-account", "account-missing", "currency-not-served"})

_CUSTOMER = frozenset(
    {
        "account-closed",
        "account-unknown",
        "account-blocked",
        "name-mismatch",
        "limit-exceeded",
        "recipient-account-inactive",
        "recipient-unknown",
        "recipient-limit-exceeded",
        "recipient-minor",
        "expired",
        # ISO 20022, ExternalStatusReason1Code.
        *("AC01", "AC02", "AC03", "AC04", "AC05", "AC06", "AC07", "AC13", "AC14"),
        *("AM02", "AM14", "AM21", "BE01", "BE04", "BE05", "BE06", "BE07", "MD07", "RC01", "RC04"),
    }
)

_COMPLIANCE = frozenset(
    {
        "compliance",
        "sanctioned",
        "fraud-suspected",
        "kyc-required",
        *("AG01", "FRAD", "LEGL", "RR01", "RR02", "RR03", "RR04", "RR05", "RR06", "SL01"),
    }
)

_LIQUIDITY = frozenset({"insufficient-funds", "account-short", "AM04", "AM23"})


def blame(state: OutcomeState, code: str | None) -> OutcomeClass | None:
    """Say whose doing an outcome is; None when it says nothing about the bank."""
    code = code or ""
    if state == "unknown":
        return _UNKNOWN.get(code, "bank_timeout_unknown")
    if code == WAITING or code in _OURS:
        return None
    if state in {"accepted", "settled"}:
        return "ok"
    return _fault(code) if state == "rejected" else _fault(code, otherwise="customer")


def code_of(silence: Outage | SurprisingAnswer) -> str:
    """Name what came instead of an answer."""
    if isinstance(silence, SurprisingAnswer):
        return SURPRISING
    return NOT_REACHED if isinstance(silence, NotReached) else NO_ANSWER


def _fault(code: str, *, otherwise: OutcomeClass = "bank_technical") -> OutcomeClass:
    if code in _LIQUIDITY:
        return "liquidity"
    if code in _COMPLIANCE:
        return "compliance"
    return "customer" if code in _CUSTOMER else otherwise


@dataclass(frozen=True, slots=True)
class Seen:
    """By what way something was told, when it was recorded, when it was so, after how long."""

    by: By
    now: Instant
    at: Instant
    latency_ms: int | None = None


async def note_heard(tx: Tx, row: AttemptRow, outcome: Outcome, seen: Seen) -> None:
    """Note what an outcome of an attempt says about its bank, if anything."""
    fault = blame(outcome.state, outcome.code)
    if fault is not None:
        await note(tx, [_signal(row, fault, seen)], now=seen.now)


async def note_silence(tx: Tx, row: AttemptRow, code: str, seen: Seen) -> None:
    """Note that a bank did not answer, or not properly, when asked about an attempt."""
    fault = blame("unknown", code)
    assert fault is not None
    await note(tx, [_signal(row, fault, seen)], now=seen.now)


def _signal(row: AttemptRow, fault: OutcomeClass, seen: Seen) -> Signal:
    return Signal(
        bank_profile_id=row.bank_profile_id,
        rail=rail_of(msgspec.convert(row.destination, type=Destination)),
        currency=row.currency,
        kind=KIND_OF[seen.by],
        outcome=fault,
        at=seen.at.timestamp(),
        latency_ms=seen.latency_ms,
        amount=row.amount,
        observed_by=BANK if seen.by == "callback" else "molam",
    )


async def note(tx: Tx, signals: Sequence[Signal], *, now: Instant) -> None:
    """Let the mesh hear *signals* if, and only if, *tx* commits."""
    await publish(tx, [_event(signal, now) for signal in signals])


def _event(signal: Signal, now: Instant) -> Event:
    return Event(
        topic=TOPIC,
        key=signal.bank_profile_id,
        payload=cloud_event(
            id_=str(uuid7(now)),
            source=SOURCE,
            type_=EVENT_TYPE,
            subject=signal.bank_profile_id,
            time=now,
            data=msgspec.to_builtins(signal),
        ),
    )
