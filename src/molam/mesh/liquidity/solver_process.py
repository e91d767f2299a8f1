"""The process that solves one plan by linear programming: HiGHS and numpy live here alone."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field

import msgspec
import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, linprog, milp
from scipy.sparse import csr_matrix

from molam.mesh.liquidity.problem import (
    DRAW_BPS,
    HOLD_BPS,
    SHORT_BPS,
    Draw,
    Move,
    Problem,
    Shortage,
    Solution,
)
from molam.platform.exports import child

MODULE = "molam.mesh.liquidity.solver_process"
MEMORY_BYTES_MAX = 3 * 1024**3
SECONDS_MAX = 50.0
BINARIES_MAX = 200
_BP = 1e-4
_SIZE = 1e4
"""Amounts are scaled, currency by currency, to be at most about this: solvers think in doubles."""
_NEARLY = 0.01

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(slots=True)
class _Columns:
    """The variables, one after another: cost and bounds of each."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(self, cost: float, low: float = 0.0, high: float = math.inf) -> int:
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        return len(self.cost) - 1


@dataclass(slots=True)
class _Rows:
    """A sparse matrix under construction, with its right-hand side."""

    at: list[tuple[int, int, float]] = field(default_factory=list)
    right: list[float] = field(default_factory=list)

    def add(self, right: float, *cells: tuple[int, float]) -> int:
        row = len(self.right)
        self.right.append(right)
        self.at.extend((row, column, value) for column, value in cells)
        return row

    def put(self, row: int, column: int, value: float) -> None:
        self.at.append((row, column, value))

    def matrix(self, columns: int) -> csr_matrix | None:
        if not self.right:
            return None
        rows, cols, values = zip(*self.at, strict=True) if self.at else ((), (), ())
        return csr_matrix((values, (rows, cols)), shape=(len(self.right), columns))


class _Program:
    """The linear program of a problem, and where each of its quantities stands in it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.scale = _scales(problem)
        self.columns = _Columns()
        self.equal, self.most = _Rows(), _Rows()
        self.moves: dict[tuple[int, int], int] = {}
        self.draws: dict[tuple[int, int, int], int] = {}
        self.shorts: dict[tuple[int, int], int] = {}
        self._balances()
        self._arcs()
        self._pools()

    def size(self, account: int) -> float:
        return self.scale[self.problem.accounts[account].currency]

    def _value(self, account: int) -> float:
        return self.size(account) * self.problem.accounts[account].worth

    def _row(self, account: int, day: int) -> int:
        return account * self.problem.days + day

    def _balances(self) -> None:
        """One row for each account and day: what it has next is what it had, and what changed."""
        for number, account in enumerate(self.problem.accounts):
            size, before = self.size(number), -1
            for day in range(self.problem.days):
                hold = self.columns.add(
                    HOLD_BPS * _BP * self._value(number), low=account.needed[day] / size
                )
                short = self.columns.add(SHORT_BPS * _BP * self._value(number))
                self.shorts[number, day] = short
                right = account.coming[day] - account.demand[day]
                if day == 0:
                    right += account.balance
                row = self.equal.add(right / size, (hold, 1.0), (short, -1.0))
                if day:
                    self.equal.put(row, before, -1.0)
                before = hold

    def _arcs(self) -> None:
        days = self.problem.days
        for number, arc in enumerate(self.problem.arcs):
            source, target = self.size(arc.source), self.size(arc.target)
            high = math.inf if arc.limit is None else arc.limit / source
            ratio = arc.rate[0] / arc.rate[1] * source / target
            # What would arrive after the last day is left to a later plan.
            for day in range(arc.opens, days - arc.lag):
                column = self.columns.add(arc.cost_bps * _BP * self._value(arc.source), high=high)
                self.equal.put(self._row(arc.source, day), column, 1.0)
                self.equal.put(self._row(arc.target, day + arc.lag), column, -ratio)
                self.moves[number, day] = column

    def _pools(self) -> None:
        days = self.problem.days
        for number, pool in enumerate(self.problem.pools):
            daily: dict[int, list[int]] = {day: [] for day in range(days)}
            for account, room in pool.rooms.items():
                size, single = self.size(account), pool.max_single_draw
                high = min(room, pool.free if single is None else min(pool.free, single)) / size
                for day in range(days):
                    cost = DRAW_BPS * _BP * (days - day) * self._value(account)
                    column = self.columns.add(cost, high=high)
                    self.equal.put(self._row(account, day), column, -1.0)
                    self.draws[number, account, day] = column
                    daily[day].append(column)
                mine = [self.draws[number, account, day] for day in range(days)]
                self.most.add(room / size, *((column, 1.0) for column in mine))
            if not pool.rooms:
                continue
            size = self.size(next(iter(pool.rooms)))
            everything = [column for each in daily.values() for column in each]
            self.most.add(pool.free / size, *((column, 1.0) for column in everything))
            if pool.daily_limit is not None:
                for each in daily.values():
                    self.most.add(pool.daily_limit / size, *((column, 1.0) for column in each))

    def solve(self) -> OptimizeResult:
        count = len(self.columns.cost)
        return linprog(
            self.columns.cost,
            A_eq=self.equal.matrix(count),
            b_eq=self.equal.right,
            A_ub=self.most.matrix(count),
            b_ub=self.most.right or None,
            bounds=np.column_stack([self.columns.low, self.columns.high]),
            method="highs",
            options={"time_limit": SECONDS_MAX},
        )

    def choose(self) -> list[str]:
        """Decide which ways with a charge of their own are used at all, and close the others."""
        charged = [
            (key, column)
            for key, column in self.moves.items()
            if self.problem.arcs[key[0]].fixed > 0
        ]
        if not charged:
            return []
        if len(charged) > BINARIES_MAX:
            return ["fixed_costs_left_out"]
        most = self._most()
        first = len(self.columns.cost)
        cost = [*self.columns.cost]
        limits = _Rows(at=[*self.most.at], right=[*self.most.right])
        for place, ((number, _day), column) in enumerate(charged):
            arc = self.problem.arcs[number]
            cost.append(arc.fixed * self.problem.accounts[arc.source].worth)
            high = min(self.columns.high[column], most / self.size(arc.source))
            limits.add(0.0, (column, 1.0), (first + place, -high))
        for column in self._unused(cost, limits, [column for _, column in charged]):
            self.columns.high[column] = 0.0
        return []

    def _unused(self, cost: list[float], limits: _Rows, charged: list[int]) -> list[int]:
        count, first = len(cost), len(self.columns.cost)
        whole = np.zeros(count)
        whole[first:] = 1
        found = milp(
            cost,
            integrality=whole,
            bounds=Bounds(
                np.array([*self.columns.low, *[0.0] * len(charged)]),
                np.array([*self.columns.high, *[1.0] * len(charged)]),
            ),
            constraints=[
                LinearConstraint(self.equal.matrix(count), self.equal.right, self.equal.right),
                LinearConstraint(limits.matrix(count), -np.inf, limits.right),
            ],
            options={"time_limit": SECONDS_MAX / 2, "mip_rel_gap": 1e-6},
        )
        if found.x is None:
            return []
        return [column for at, column in enumerate(charged) if found.x[first + at] < _NEARLY]

    def _most(self) -> float:
        """Return more than any one transfer could be."""
        return float(
            sum(
                abs(each.balance) + sum(map(abs, each.demand)) + sum(each.coming) + max(each.needed)
                for each in self.problem.accounts
            )
        )

    def answer(self, result: OptimizeResult, notes: list[str]) -> Solution:
        if result.x is None:
            return Solution(is_optimal=False, said=str(result.message)[:200], notes=notes)
        arcs, value = self.problem.arcs, result.x
        prices = [
            float(-result.eqlin.marginals[self._row(number, 0)] / self._value(number))
            for number in range(len(self.problem.accounts))
        ]
        return Solution(
            is_optimal=result.status == 0,
            moves=[
                Move(arc, day, amount)
                for (arc, day), column in self.moves.items()
                if (amount := _whole(value[column] * self.size(arcs[arc].source)))
            ],
            draws=[
                Draw(pool, account, day, amount)
                for (pool, account, day), column in self.draws.items()
                if (amount := _whole(value[column] * self.size(account)))
            ],
            shortages=[
                Shortage(account, day, amount)
                for (account, day), column in self.shorts.items()
                if (amount := _whole(value[column] * self.size(account)))
            ],
            prices=prices,
            cost=float(result.fun),
            said=str(result.message)[:200],
            notes=notes,
        )


def solve(problem: Problem) -> Solution:
    """Find the cheapest plan; what cannot be covered at all comes back as a shortage."""
    if not problem.accounts:
        return Solution(is_optimal=True)
    program = _Program(problem)
    notes = program.choose()
    return program.answer(program.solve(), notes)


def main() -> int:
    child.limit_memory(MEMORY_BYTES_MAX)
    problem = msgspec.json.decode(sys.stdin.buffer.read(), type=Problem)
    sys.stdout.buffer.write(msgspec.json.encode(solve(problem)))
    return 0


def _scales(problem: Problem) -> dict[str, float]:
    largest: dict[str, int] = {}
    for account in problem.accounts:
        amounts = (account.balance, *account.demand, *account.coming, *account.needed)
        seen = max(abs(each) for each in amounts)
        largest[account.currency] = max(seen, largest.get(account.currency, 0))
    return {code: max(1.0, amount / _SIZE) for code, amount in largest.items()}


def _whole(amount: float) -> int:
    """Round up to a whole unit, but not for the dust of floating point."""
    return max(0, math.ceil(amount - _NEARLY))


if __name__ == "__main__":
    sys.exit(main())
