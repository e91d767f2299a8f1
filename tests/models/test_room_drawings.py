"""How banks stand in one word, what the first page says first, and how it is drawn."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.room.bank_store import GuessRow, StepRow
from molam.mesh.room.flow import flow_of
from molam.mesh.room.overview_store import RouteInForceRow, StandingRow
from molam.mesh.room.standing import finding, level_of, spark, standings
from molam.mesh.room.timeline import HEIGHT, WIDTH, Window, past_of

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
ROUTE = RouteInForceRow("XOF", "bank", 0, None, ["a", "b", "c"], "demo", NOW)


def a_bank(id_: str, **changed: object) -> StandingRow:
    row = StandingRow(
        bank_profile_id=id_,
        bank_name=f"Bank {id_.upper()}",
        country="SN",
        rail="bank",
        currency="XOF",
        regions=["CEDEAO"],
        is_member=True,
        is_usable=True,
        score=Decimal(99),
        score_low=Decimal(98),
        score_high=Decimal(100),
        p_down=0.001,
        signals=100,
        last_signal_at=NOW,
        last_failure_at=None,
        mode="serving",
        left_at=None,
        gate_is_open=True,
        gate_cause="",
        circuit="closed",
        outage_since=None,
        outage_until=None,
        short_of_funds_until=None,
        is_stale=False,
        waiting=0,
        waiting_value=0,
        under_way=0,
        under_way_value=0,
        trend=[],
    )
    return replace(row, **changed)  # type: ignore[arg-type]


def test_all_is_well_when_every_bank_in_a_route_delivers() -> None:
    found = finding(standings([a_bank("a"), a_bank("b")], [ROUTE]))

    assert (found.kind, found.watched, found.hue) == ("all-well", 2, "green")


def test_a_bank_in_no_route_troubles_nobody() -> None:
    found = finding(standings([a_bank("a"), a_bank("z", p_down=0.99)], [ROUTE]))

    assert found.kind == "all-well"


def test_the_worst_comes_first_and_names_who_takes_over() -> None:
    rows = [
        a_bank("a", mode="left", left_at=NOW, gate_is_open=False, p_down=0.99),
        a_bank("b", p_down=0.9),
        a_bank("c", p_down=0.3),
    ]
    found = finding(standings(rows, [ROUTE]))

    assert [(each.row.bank_profile_id, each.level) for each in found.troubles] == [
        ("a", "left"),
        ("b", "down"),
        ("c", "doubtful"),
    ]
    # It is handed to the next that is open, although that one fails as well.
    assert found.troubles[0].instead == "Bank B"


def test_a_bank_that_is_well_again_is_not_said_to_fail() -> None:
    away = {"mode": "left", "left_at": NOW, "gate_is_open": False}

    assert level_of(a_bank("a", **away)) == "returning"
    assert level_of(a_bank("a", **away, is_stale=True)) == "left"
    assert level_of(a_bank("a", **away, outage_since=NOW)) == "left"
    assert level_of(a_bank("a", gate_is_open=False)) == "left"


def test_after_a_shift_that_was_halted_payouts_still_go_to_the_bank() -> None:
    rows = [a_bank("a", mode="left", left_at=NOW), a_bank("b")]
    found = standings(rows, [ROUTE])
    flow = flow_of(found, [ROUTE])

    assert found[0].level == "partly"
    assert flow is not None
    assert [line.kind for line in flow.lines] == ["goes", "next"]


def test_a_gate_that_is_shut_for_some_amounts_is_neither_open_nor_shut() -> None:
    some = {"gate_is_open": False, "shut_from": [0], "shut_to": [5000]}

    assert level_of(a_bank("a", **some)) == "partly"
    assert level_of(a_bank("a", **some, p_down=0.9)) == "down"
    assert level_of(a_bank("a", **{**some, "shut_to": [None]})) == "left"


def test_a_gate_that_is_shut_for_all_that_others_carry_leads_everything_elsewhere() -> None:
    away = {"gate_is_open": False, "shut_from": [0], "shut_to": [5000], "p_down": 0.99}
    found = finding(standings([a_bank("a", **away, carried_elsewhere=5000), a_bank("b")], [ROUTE]))

    assert [(each.level, each.instead) for each in found.troubles] == [("left", "Bank B")]
    # It keeps more: some of what others carry, or a payout that none of them takes.
    assert level_of(a_bank("a", **away, carried_elsewhere=5001)) == "down"
    assert level_of(a_bank("a", **away, carried_elsewhere=5000, largest_waiting=5001)) == "down"


def test_money_that_waits_where_nothing_is_heard_needs_somebody() -> None:
    silent = a_bank("b", is_stale=True)
    waits = finding(
        standings([a_bank("a"), replace(silent, waiting=1, waiting_value=32_000_000)], [ROUTE])
    )

    assert (waits.kind, waits.hue, waits.watched) == ("trouble", "orange", 1)
    assert [each.row.bank_profile_id for each in waits.troubles] == ["b"]
    idle = finding(standings([a_bank("a"), silent], [ROUTE]))
    assert (idle.kind, idle.watched, idle.unheard) == ("all-well", 1, 1)


def test_a_bank_that_no_route_names_any_more_is_still_said_to_be_left() -> None:
    rows = [a_bank("z", mode="left", left_at=NOW, gate_is_open=False, p_down=0.99), a_bank("a")]
    found = finding(standings(rows, [ROUTE]))

    assert found.kind == "trouble"
    assert found.troubles[0].instead == "Bank A"


def test_nobody_takes_over_where_all_have_failed() -> None:
    rows = [a_bank("a", gate_is_open=False), a_bank("b", p_down=0.99)]

    assert standings(rows, [ROUTE])[0].instead is None


def test_silence_is_not_health() -> None:
    assert level_of(a_bank("a", is_stale=True)) == "unknown"
    assert level_of(a_bank("a", p_down=None, score=None, signals=0)) == "unknown"
    assert finding(standings([a_bank("a", is_stale=True)], [ROUTE])).kind == "nothing-known"


def test_no_line_goes_to_a_bank_that_was_left() -> None:
    rows = [
        a_bank("a", mode="left", left_at=NOW, gate_is_open=False),
        a_bank("b", waiting=2, waiting_value=10),
    ]
    flow = flow_of(standings(rows, [ROUTE]), [ROUTE])

    assert flow is not None
    assert [line.kind for line in flow.lines] == ["cut", "goes"]
    assert flow.lanes[0].waiting == 2


def test_a_route_without_choice_or_trouble_is_not_drawn() -> None:
    alone = replace(ROUTE, bank_profile_ids=["a"])

    assert flow_of(standings([a_bank("a")], [alone]), [alone]) is None


def test_a_score_alone_makes_no_line() -> None:
    assert spark([Decimal(90)]) == ""
    assert spark([Decimal(100), Decimal(0)]) == "0.0,2.0 100.0,30.0"


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-90, 90), st.integers(0, 100), st.integers(0, 50)), max_size=30),
    st.lists(st.tuples(st.integers(-90, 90), st.integers(0, 100)), max_size=10),
)
def test_nothing_is_drawn_outside_the_picture(
    steps: list[tuple[int, int, int]], guesses: list[tuple[int, int]]
) -> None:
    window = Window(NOW - timedelta(hours=1), NOW, timedelta(minutes=1))
    rows = [
        StepRow(
            at=NOW + timedelta(minutes=at),
            attempts=tries,
            failures=tries // 2,
            timeouts=0,
            late=0,
            not_its_fault=0,
            probes=1,
            probe_failures=0,
            latency_ms=None,
            volume=0,
            score=Decimal(score),
            p_down=0.0,
        )
        for at, score, tries in sorted(steps)
    ]
    foretold = [
        GuessRow(
            NOW + timedelta(minutes=at),
            NOW + timedelta(minutes=at + 10),
            Decimal(score),
            Decimal(score) / 2,
            Decimal(100),
        )
        for at, score in guesses
    ]
    past = past_of(window, steps=rows, guesses=foretold, outages=[], done=[])
    points = [
        tuple(map(float, point.split(",")))
        for line in (*past.scores, *past.guesses)
        for point in line.split()
    ]

    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    for box in (*past.bands, *past.tries, *past.fails):
        assert float(box.x) >= 0
        assert float(box.height) >= 0
