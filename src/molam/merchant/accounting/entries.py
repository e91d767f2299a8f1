"""From a movement of the ledger to the entries of a merchant's books. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Literal

from molam.merchant.accounting.chart import Account, Chart

# Note [What each movement becomes]
#
# What a merchant has at Molam is its electronic money: what it can be paid, and what it
# has promised to customers and can still be paid if the refund fails. Money of a payout
# under way is neither there nor at the bank. So
#
#   available, reserved   a wallet account (552), by provider
#   in_payout             transfers under way (585)
#
# and a movement is judged by its two ends, never by its name alone, because corrections
# run backwards under the same name. Every fact that changes what a customer owes is two
# entries: the claim (411 with 701), and the money (552 with 411). Fees are entries of
# their own, never taken off sales.

Journal = Literal["VT", "ME", "BQ", "OD"]
"""Sales, electronic money, bank, and everything else (opérations diverses)."""

_OWN = frozenset({"available", "reserved"})
_TRANSIT = "in_payout"
_FEES = "molam:fees"
_CUSTOMERS = "customers:wallet"
_HELD = "disputes:held"
_AT_BANKS = ("banks:", "payouts:")
_INSIDE = frozenset({"own", "transit"})
# Against which account, and in which journal, money comes and goes.
_AGAINST: Mapping[str, tuple[Journal, str]] = MappingProxyType(
    {
        "customers": ("ME", "customers"),
        "held": ("ME", "customers"),
        "fees": ("ME", "fees"),
        "bank": ("BQ", "banks"),
    }
)
_SUSPENSE: tuple[Journal, str] = ("OD", "suspense")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One transfer of the ledger, its ends by their short names."""

    transfer_id: str
    day: date
    cause: str
    cause_id: str
    source: str
    target: str
    amount: int
    currency: str
    exponent: int
    provider: str
    shares: Mapping[str, int]
    """Of a payout: what of it came by which provider."""


@dataclass(frozen=True, slots=True)
class Line:
    """One side of an entry: minor units, a debit when positive and a credit when negative."""

    account: Account
    amount: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Lines that belong together; they always add up to zero."""

    journal: Journal
    fact: Fact
    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        assert sum(line.amount for line in self.lines) == 0, (
            f"{self.fact.transfer_id} is unbalanced"
        )


def entries_of(fact: Fact, chart: Chart) -> list[Entry]:
    """Write *fact* into the journals; what moves nothing in the books gives no entry."""
    assert fact.amount > 0, "the ledger moves money forward"
    source, target = _place(fact.source), _place(fact.target)
    if source == target:
        return []
    # Read from the merchant's side: what came in is positive, wherever it stood.
    if target in _INSIDE and source not in _INSIDE:
        inside, outside, amount = target, source, fact.amount
    else:
        inside, outside, amount = source, target, -fact.amount
    if inside not in _INSIDE:
        return _of_held(fact, source, target, chart)
    if outside in _INSIDE:
        return [_between(fact, source, chart)]
    own = inside == "own"
    money = _own_lines(fact, amount, chart) if own else [Line(chart["transit"], amount)]
    journal, slot = _AGAINST.get(outside, _SUSPENSE)
    moved = _entry(journal, fact, [*money, Line(chart[slot], -amount)])
    return [_sale(fact, amount, chart), moved] if outside == "customers" else [moved]


def _place(account: str) -> str:
    if account in _OWN:
        return "own"
    if account.startswith(_AT_BANKS):
        return "bank"
    places = {_TRANSIT: "transit", _FEES: "fees", _CUSTOMERS: "customers", _HELD: "held"}
    return places.get(account, "elsewhere")


def _of_held(fact: Fact, source: str, target: str, chart: Chart) -> list[Entry]:
    """Undo a sale whose money was held and went back to the customer for good."""
    if {source, target} != {"held", "customers"}:
        return []
    return [_sale(fact, -fact.amount if source == "held" else fact.amount, chart)]


def _sale(fact: Fact, amount: int, chart: Chart) -> Entry:
    return _entry("VT", fact, [Line(chart["customers"], amount), Line(chart["sales"], -amount)])


def _between(fact: Fact, source: str, chart: Chart) -> Entry:
    into_transit = fact.amount if source == "own" else -fact.amount
    own = _own_lines(fact, -into_transit, chart)
    return _entry("BQ", fact, [Line(chart["transit"], into_transit), *own])


def _own_lines(fact: Fact, amount: int, chart: Chart) -> list[Line]:
    """Share *amount* over the wallets it came from; a payout's, by what it is made of."""
    if sum(fact.shares.values()) != fact.amount:
        return [Line(chart.wallet(fact.provider), amount)]
    sign = 1 if amount > 0 else -1
    shared: dict[Account, int] = {}
    for provider, share in sorted(fact.shares.items()):
        account = chart.wallet(provider)
        shared[account] = shared.get(account, 0) + sign * share
    return [Line(account, share) for account, share in shared.items()]


def _entry(journal: Journal, fact: Fact, lines: list[Line]) -> Entry:
    return Entry(journal, fact, tuple(line for line in lines if line.amount))
