"""A question for the solver and its answer, and what an answer does to the accounts, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec

SHORT_BPS = 200.0
HOLD_BPS = 0.5
DRAW_BPS = 2.0
"""What a unit costs when it is missing; when it lies for a day; when it is a pool's, for a day."""


class Account(msgspec.Struct, frozen=True):
    """
    Our money at one bank in one currency, in minor units, day by day.

    *worth* is what a minor unit is worth in the unit that costs are compared in.
    """

    bank: str
    currency: str
    balance: int
    demand: list[int]
    coming: list[int]
    needed: list[int]
    """What must be there when each day ends."""
    worth: float = 1.0


class Arc(msgspec.Struct, frozen=True):
    """A way from one account to another, by their places in the list; *rate* is a fraction."""

    source: int
    target: int
    cost_bps: float
    lag: int = 0
    fixed: int = 0
    limit: int | None = None
    opens: int = 0
    """The first day it can be used: 1 where today's cut-off is past."""
    rate: tuple[int, int] = (1, 1)

    def arrives(self, amount: int) -> int:
        """Return what arrives of *amount*, rounded down as banks do."""
        return int(amount * Fraction(*self.rate))


class Pool(msgspec.Struct, frozen=True):
    """*rooms* says for each account that takes part how much more it may draw."""

    id: str
    free: int
    rooms: dict[int, int]
    max_single_draw: int | None = None
    daily_limit: int | None = None


class Problem(msgspec.Struct, frozen=True):
    days: int
    accounts: list[Account]
    arcs: list[Arc]
    pools: list[Pool] = []


class Move(msgspec.Struct, frozen=True):
    arc: int
    day: int
    amount: int


class Draw(msgspec.Struct, frozen=True):
    pool: int
    account: int
    day: int
    amount: int


class Shortage(msgspec.Struct, frozen=True):
    """What is missing at an account on a day, whatever is moved."""

    account: int
    day: int
    amount: int


class Solution(msgspec.Struct, frozen=True):
    """*prices* say for each account what one more unit today would save, as a share of it."""

    is_optimal: bool
    moves: list[Move] = []
    draws: list[Draw] = []
    shortages: list[Shortage] = []
    prices: list[float] = []
    cost: float = 0.0
    said: str = ""
    notes: list[str] = []


def held(
    problem: Problem, moves: Iterable[Move] = (), draws: Iterable[Draw] = ()
) -> list[list[int]]:
    """
    Say what each account holds at the end of each day, to the last unit.

    Nothing is lent: an account that runs short simply holds less than nothing.
    """
    change = [
        [come - go for come, go in zip(account.coming, account.demand, strict=True)]
        for account in problem.accounts
    ]
    for move in moves:
        arc = problem.arcs[move.arc]
        change[arc.source][move.day] -= move.amount
        change[arc.target][move.day + arc.lag] += arc.arrives(move.amount)
    for draw in draws:
        change[draw.account][draw.day] += draw.amount
    return [
        _running(account.balance, days)
        for account, days in zip(problem.accounts, change, strict=True)
    ]


def first_breach(account: Account, balances: Sequence[int]) -> int | None:
    """Return the first day that ends with less than is needed."""
    for day, (balance, needed) in enumerate(zip(balances, account.needed, strict=True)):
        if balance < needed:
            return day
    return None


def _running(start: int, changes: Sequence[int]) -> list[int]:
    found = []
    for change in changes:
        start += change
        found.append(start)
    return found
