"""The plan that is found is the cheapest there is, and says what is missing where there is none."""

from __future__ import annotations

from datetime import date

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from molam.mesh.liquidity.planning import steps_of
from molam.mesh.liquidity.problem import (
    SHORT_BPS,
    Account,
    Arc,
    Move,
    Pool,
    Problem,
    Solution,
    first_breach,
    held,
)
from molam.mesh.liquidity.solver_process import solve


def an_account(
    bank: str, balance: int, *demand: int, needed: int = 0, currency: str = "XOF"
) -> Account:
    days = len(demand)
    return Account(bank, currency, balance, list(demand), [0] * days, [needed] * days)


def test_money_goes_where_it_is_missing_by_the_cheapest_way() -> None:
    problem = Problem(
        1,
        [an_account("a", 900, 0), an_account("b", 900, 0), an_account("c", 100, 400, needed=200)],
        [Arc(0, 2, 8.0), Arc(1, 2, 3.0)],
    )
    solution = solve(problem)
    assert [(each.arc, each.amount) for each in solution.moves] == [(1, 500)]
    assert held(problem, solution.moves) == [[900], [400], [200]]
    assert solution.shortages == []


def test_a_way_that_takes_a_day_is_begun_a_day_before() -> None:
    problem = Problem(
        3,
        [an_account("a", 1_000, 0, 0, 0), an_account("b", 100, 50, 300, 0)],
        [Arc(0, 1, 2.0, lag=1)],
    )
    solution = solve(problem)
    assert [(each.day, each.amount) for each in solution.moves] == [(0, 250)]
    assert all(
        first_breach(account, balances) is None
        for account, balances in zip(problem.accounts, held(problem, solution.moves), strict=True)
    )


def test_each_step_says_what_would_be_missing_without_it_and_when() -> None:
    problem = Problem(
        3,
        [an_account("a", 1_000, 0, 0, 0), an_account("b", 100, 150, 0, 300, needed=10)],
        [Arc(0, 1, 2.0, limit=200)],
    )
    solution = Solution(is_optimal=True, moves=[Move(0, 0, 60), Move(0, 2, 200), Move(0, 1, 100)])
    whys = [each["why"] for each in steps_of(problem, solution, date(2026, 11, 22))]
    # After the other two: 60 less from the first day on, 100 less or 200 less on the third.
    assert [(each["day"].day, each["would_hold"]) for each in whys] == [
        (22, -50),
        (24, -90),
        (24, -190),
    ]
    passed = Problem(1, [an_account(bank, 100, 0) for bank in "ab"], [Arc(0, 1, 2.0)])
    [step] = steps_of(passed, Solution(is_optimal=True, moves=[Move(0, 0, 5)]), date(2026, 11, 22))
    assert step["why"] == {"code": "on_the_way"}


def test_what_no_way_can_bring_is_a_shortage_and_no_failure() -> None:
    problem = Problem(2, [an_account("a", 100, 150, 50), an_account("b", 0, 0, 0)], [])
    solution = solve(problem)
    assert solution.is_optimal
    assert sum(each.amount for each in solution.shortages) == 100
    assert solution.prices[0] > SHORT_BPS / 10_000 - 0.001


def test_a_pool_is_drawn_within_its_limits() -> None:
    account = an_account("a", 0, 500, 500)
    pool = Pool("p", free=900, rooms={0: 800}, max_single_draw=450, daily_limit=400)
    problem = Problem(2, [account], [], [pool])
    solution = solve(problem)
    by_day = [sum(each.amount for each in solution.draws if each.day == day) for day in (0, 1)]
    assert all(amount <= 400 for amount in by_day)
    assert sum(by_day) == 800
    assert sum(each.amount for each in solution.shortages) == 200


def test_exchanging_costs_its_rate_and_arrives_in_the_other_currency() -> None:
    problem = Problem(
        1,
        [
            Account("a", "EUR", 10_000, [0], [0], [0], worth=6.55957),
            Account("a", "XOF", 0, [655_957], [0], [0], worth=1.0),
        ],
        [Arc(0, 1, 50.0, rate=(655_957, 100_000))],
    )
    solution = solve(problem)
    [move] = solution.moves
    assert (move.amount, problem.arcs[0].arrives(move.amount)) == (10_000, 65_595)
    [missing] = solution.shortages
    assert 655_957 - 65_595 - 1 <= missing.amount <= 655_957 - 65_595


def test_a_charge_for_each_order_keeps_orders_few() -> None:
    accounts = [an_account(bank, 10**6, 0) for bank in "ab"] + [an_account("c", 0, 900_000)]
    limit = 600_000
    free = solve(Problem(1, accounts, [Arc(0, 2, 2.0, limit=limit), Arc(1, 2, 3.0)]))
    charged = solve(
        Problem(1, accounts, [Arc(0, 2, 2.0, limit=limit, fixed=80), Arc(1, 2, 3.0, fixed=80)])
    )
    assert len(free.moves) == 2
    assert [(each.arc, each.amount) for each in charged.moves] == [(1, 900_000)]


@st.composite
def networks(draw: st.DrawFn) -> Problem:
    count = draw(st.integers(2, 5))
    accounts = [
        an_account(f"b{at}", draw(st.integers(0, 10**6)), draw(st.integers(0, 5 * 10**5)))
        for at in range(count)
    ]
    arcs = [
        Arc(source, target, float(draw(st.integers(1, 40))))
        for source in range(count)
        for target in range(count)
        if source != target and draw(st.booleans())
    ]
    return Problem(1, accounts, arcs)


@settings(max_examples=40, deadline=None)
@given(networks())
def test_one_day_in_one_currency_is_a_minimum_cost_flow(problem: Problem) -> None:
    """The same optimum as the textbook's formulation by node balances, written down anew."""
    solution = solve(problem)
    supply = [each.balance - each.demand[0] for each in problem.accounts]
    size = len(problem.arcs) + 2 * len(supply)
    cost = np.zeros(size)
    balance = np.zeros((len(supply), size))
    for at, arc in enumerate(problem.arcs):
        cost[at] = arc.cost_bps / 1e4
        balance[arc.source, at], balance[arc.target, at] = 1, -1
    for node in range(len(supply)):
        keep, short = len(problem.arcs) + node, len(problem.arcs) + len(supply) + node
        cost[keep], cost[short] = 0.5 / 1e4, SHORT_BPS / 1e4
        balance[node, keep], balance[node, short] = 1, -1
    known = linprog(cost, A_eq=balance, b_eq=supply, method="highs")
    assert abs(known.fun - solution.cost) <= 1e-6 * max(1.0, abs(known.fun))


@settings(max_examples=40, deadline=None)
@given(networks())
def test_what_is_planned_in_whole_units_leaves_nobody_short_who_was_not(problem: Problem) -> None:
    solution = solve(problem)
    missing = [0] * len(problem.accounts)
    for each in solution.shortages:
        missing[each.account] += each.amount
    slack = len(problem.arcs) + 1  # Each amount is rounded up by less than one unit.
    for at, balances in enumerate(held(problem, solution.moves, solution.draws)):
        assert balances[0] + missing[at] >= -slack


def test_prices_are_what_one_more_unit_would_save() -> None:
    def cost(more: int) -> float:
        accounts = [an_account("a", 1_000_000, 0), an_account("b", more, 500_000)]
        return solve(Problem(1, accounts, [Arc(0, 1, 7.0)])).cost

    accounts = [an_account("a", 1_000_000, 0), an_account("b", 0, 500_000)]
    [_, price] = solve(Problem(1, accounts, [Arc(0, 1, 7.0)])).prices
    assert abs(price - (cost(0) - cost(10_000)) / 10_000) < 1e-9
