"""Leaving and returning: noise moves nothing for long, and every refusal to act has its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.mesh.control import hysteresis
from molam.mesh.control.hysteresis import Limits, Place
from molam.mesh.control.judging import judge, limits_of, may_eject, next_share
from molam.mesh.control.looking import log_ratio
from molam.mesh.control.world import Bank, Shift, Verdict, World
from molam.mesh.members.rules import Rules

LIMITS = Limits()
AT = 1_800_000_000.0
AUTO = Rules(mode="auto", auto_failover_enabled=True)


def bank(id_: str = "a", p_down: float = 0.001, **fields: object) -> Bank:
    usual: dict[str, object] = {"place": Place(), "capacity": 100, "domains": frozenset({id_})}
    return Bank(id=id_, p_down=p_down, **{**usual, **fields})  # type: ignore[arg-type]


def world(*banks: Bank, **fields: object) -> World:
    usual: dict[str, object] = {"at": AT, "rules": AUTO, "may_act_alone": True}
    return World(banks=banks, **{**usual, **fields})  # type: ignore[arg-type]


DOWN = bank("a", 0.995, is_first=True, waiting=10)
LIKELY = bank("a", 0.9, is_first=True, waiting=10)
WELL = bank("b")
AWAY = Place(mode="left", left_at=AT - 900, penalty=1000, penalty_at=AT - 900)
LEFT = replace(DOWN, place=AWAY, is_open=False, is_first=False)
FIT = bank(
    "a", 0.1, place=replace(AWAY, better_since=AT - 600), probes_ok=5, is_open=False, prefer_order=1
)
FIRST = bank("b", is_first=True, prefer_order=2)


class Replay:
    """One bank and its stand-in, as the controller would treat them, minute by minute."""

    def __init__(self) -> None:
        self.place = Place()
        self.switches: list[float] = []

    def see(self, p_down: float, at: float) -> None:
        self.place = hysteresis.watched(self.place, p_down, at, LIMITS)
        last = self.switches[-1] if self.switches else None
        recent = [each for each in self.switches if at - each < 3600]
        serves = self.place.mode == "serving"
        found = judge(
            world(
                bank(
                    "a",
                    p_down,
                    place=self.place,
                    is_first=serves,
                    is_open=serves,
                    probes_ok=9,
                    prefer_order=1,
                ),
                bank("b", is_first=not serves),
                at=at,
                last_apply_at=last,
                applies_last_hour=len(recent),
            )
        )
        if found.word == "move":
            self.place = hysteresis.left(self.place, at, LIMITS)
        elif found.word == "return":
            self.place = hysteresis.returned(self.place)
        else:
            return
        self.switches.append(at)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.001, 0.15, 0.5, 0.85, 0.995]), st.integers(1, 12)),
        min_size=1,
        max_size=60,
    )
)
def test_no_signal_whatever_makes_more_than_five_switches_an_hour(
    seen: list[tuple[float, int]],
) -> None:
    replay, at = Replay(), AT
    for p_down, minutes in seen:
        for _ in range(minutes):
            at += 60
            replay.see(p_down, at)
    for begun in replay.switches:
        within = [each for each in replay.switches if begun <= each < begun + 3600]
        assert len(within) <= AUTO.applies_per_hour


def test_a_signal_that_alternates_for_a_day_ends_up_with_people() -> None:
    replay, at = Replay(), AT
    for minute in range(24 * 60):
        at += 60
        replay.see(0.995 if minute // 8 % 2 == 0 else 0.001, at)
    assert len(replay.switches) < 70, "of 180 changes"
    assert hysteresis.hold_s(replay.place, at, LIMITS) >= LIMITS.hold_s


def test_a_signal_between_both_thresholds_moves_nothing() -> None:
    replay = Replay()
    for minute in range(600):
        replay.see(0.21 if minute % 2 else 0.79, AT + 60 * minute)
    assert replay.switches == []


def test_each_departure_doubles_the_wait_until_eight_times() -> None:
    place, waits = Place(), []
    for _ in range(6):
        place = hysteresis.left(place, AT, LIMITS)
        waits.append(hysteresis.hold_s(place, AT, LIMITS))
    assert waits == [300, 600, 1200, 2400, 2400, 2400]
    assert hysteresis.is_suppressed(place, AT, LIMITS)
    later = AT + 4 * 3600 - 1
    assert hysteresis.is_suppressed(replace(place, penalty_at=later), later, LIMITS)
    assert not hysteresis.is_suppressed(place, AT + 4 * 3600, LIMITS)


@pytest.mark.parametrize(
    ("seen", "word", "reason"),
    [
        (world(DOWN, WELL), "move", "surely_down"),
        (world(LIKELY, WELL), "move", "likely_down"),
        (world(replace(LIKELY, p_down=0.79), WELL), "stay", "well"),
        (world(replace(LIKELY, p_down=0.4, strikes=3), WELL), "move", "another_is_better"),
        (world(), "stay", "no_members"),
        (world(DOWN, WELL, stopped="global"), "stay", "kill_switch"),
        (world(DOWN, bank("b", 0.6)), "stay", "last_healthy"),
        (world(DOWN, bank("b", is_open=False)), "stay", "last_healthy"),
        (world(DOWN, WELL, may_act_alone=False), "ask", "approval_required"),
        (world(DOWN, WELL, is_enforced=False), "stay", "shadow"),
        (world(LIKELY, WELL, last_apply_at=AT - 899), "stay", "cooldown"),
        (world(LIKELY, WELL, last_apply_at=AT - 900), "move", "likely_down"),
        (world(DOWN, WELL, last_apply_at=AT - 1), "move", "surely_down"),
        (world(DOWN, WELL, applies_last_hour=5), "ask", "too_many_applies"),
        (world(LEFT, WELL, last_apply_at=AT - 60), "stay", "cooldown"),
        (world(LEFT, WELL, last_apply_at=AT - 900), "move", "leftovers"),
        (world(replace(LEFT, waiting=0), WELL), "stay", "well"),
        (world(replace(LEFT, p_down=0.1), WELL), "stay", "well"),
        (world(replace(LEFT, left_by_hand=True), WELL), "stay", "well"),
        (world(LEFT, WELL, applies_last_hour=5), "ask", "too_many_applies"),
        (world(replace(DOWN, is_stopped=True), WELL), "stay", "kill_switch"),
        (world(DOWN, replace(WELL, is_stopped=True)), "stay", "last_healthy"),
        (world(FIT, FIRST), "return", "well_again"),
        (world(FIT, FIRST, last_apply_at=AT - 60), "stay", "cooldown"),
        (world(FIT, FIRST, applies_last_hour=5), "ask", "too_many_applies"),
        (world(FIT, FIRST, may_act_alone=False), "ask", "approval_required"),
        (world(FIT, FIRST, is_enforced=False), "stay", "shadow"),
        (world(replace(FIT, prefer_order=3), FIRST), "readmit", "fit_again"),
        (world(replace(FIT, prefer_order=3, is_stopped=True), FIRST), "stay", "well"),
        (world(replace(FIT, prefer_order=3), FIRST, is_enforced=False), "stay", "well"),
        (world(replace(FIT, prefer_order=3), FIRST, last_apply_at=AT), "readmit", "fit_again"),
        (world(replace(FIT, baseline=0.014), FIRST), "readmit", "fit_again"),
        (world(replace(FIT, prefer_order=3, baseline=0.006), FIRST), "return", "well_again"),
        (world(FIT, replace(DOWN, id="b")), "readmit", "fit_again"),
        (world(replace(FIT, is_open=True, is_first=True), WELL), "readmit", "fit_again"),
        (
            world(DOWN, WELL, may_act_alone=False, asked=frozenset({("a", "failover")})),
            "stay",
            "waiting_for_people",
        ),
        (
            world(
                replace(DOWN, place=Place(penalty=6500, penalty_at=AT, suppressed_since=AT)), WELL
            ),
            "ask",
            "flapping",
        ),
        (
            world(
                replace(DOWN, degraded_since=AT - 60),
                replace(DOWN, id="c", degraded_since=AT),
                WELL,
            ),
            "freeze",
            "common_mode",
        ),
        (
            world(
                replace(DOWN, degraded_since=AT - 600),
                replace(DOWN, id="c", degraded_since=AT),
                WELL,
            ),
            "move",
            "surely_down",
        ),
    ],
)
def test_every_decision_has_its_reason(seen: World, word: str, reason: str) -> None:
    found = judge(seen)
    assert (found.word, found.reason) == (word, reason)


def _ill_together(*domains: set[str]) -> World:
    """Banks of *domains* fall ill at once, among many that are well."""
    ill = [
        replace(DOWN, id=f"ill{at}", degraded_since=AT, domains=frozenset(names))
        for at, names in enumerate(domains)
    ]
    return world(*ill, *(bank(f"well{at}") for at in range(9)))


def test_three_banks_that_share_nothing_and_fall_ill_at_once_freeze_the_routes() -> None:
    assert judge(_ill_together({"core:a"}, {"core:b"}, {"core:c"})).reason == "common_mode"
    # One host takes two of them along, or one country's switch all three.
    assert judge(_ill_together({"core:a"}, {"core:a"}, {"core:c"})).word == "move"
    shared = judge(_ill_together({"core:a", "switch:sn"}, {"core:b", "switch:sn"}, {"switch:sn"}))
    assert shared.word == "move"


def test_a_bank_that_is_surely_down_is_left_whole_and_a_likely_one_in_steps() -> None:
    assert judge(world(DOWN, WELL)).share == 100
    assert judge(world(LIKELY, WELL)).share == 5
    steps, share = [], 0
    while share < 100:
        share = next_share(AUTO, share)
        steps.append(share)
    assert steps == [5, 25, 50, 75, 100], "no step moves more than a quarter at once"


def test_one_member_may_be_left_or_a_third_of_the_capacity() -> None:
    gone = bank("c", 0.9, place=AWAY, is_open=False)
    assert may_eject(world(DOWN, WELL), DOWN)
    assert not may_eject(world(DOWN, WELL, gone), DOWN)
    large = replace(WELL, capacity=10_000)
    assert may_eject(world(DOWN, large, gone), DOWN)
    asked = judge(world(DOWN, WELL, gone))
    assert (asked.word, asked.reason) == ("ask", "too_many_ejected")


def test_of_six_banks_that_carry_alike_two_may_be_left_and_not_three() -> None:
    for capacity in (100, 0):
        six = [bank(id_, capacity=capacity) for id_ in "bcde"]
        gone = bank("f", 0.9, place=AWAY, is_open=False, capacity=capacity)
        down = replace(DOWN, capacity=capacity)
        assert may_eject(world(down, gone, *six), down)
        assert not may_eject(world(down, gone, replace(gone, id="e"), *six[:3]), down)


def test_a_bank_that_was_readmitted_or_is_still_being_left_is_not_gone() -> None:
    for other in (
        bank("c", place=Place(penalty=1000, penalty_at=AT)),
        bank("c", 0.9, place=AWAY, is_open=True),
    ):
        assert may_eject(world(DOWN, WELL, other), DOWN)


def test_a_bank_that_waits_for_people_holds_up_no_other() -> None:
    flapping = replace(DOWN, place=Place(penalty=6500, penalty_at=AT, suppressed_since=AT))
    other = replace(DOWN, id="c", waiting=1)
    asked = frozenset({("a", "failover")})
    found = judge(world(flapping, other, WELL, bank("d"), asked=asked))
    assert (found.word, found.from_bank) == ("move", "c")


def test_a_bank_that_fails_is_left_before_one_that_is_only_beaten() -> None:
    beaten = bank("a", is_first=True, waiting=9_000, strikes=3)
    failing = bank("c", 0.9, waiting=1)
    found = judge(world(beaten, failing, WELL))
    assert (found.word, found.from_bank, found.reason) == ("move", "c", "likely_down")
    down = replace(failing, id="d", p_down=0.999)
    assert judge(world(beaten, failing, down, WELL)).from_bank == "d"


def test_what_was_put_to_people_holds_up_nothing_where_the_controller_may_act_alone() -> None:
    asked = frozenset({("a", "failover")})
    other = replace(DOWN, id="c", waiting=1)
    assert judge(world(DOWN, other, WELL, bank("d"), asked=asked)).from_bank == "c"
    beaten = bank("e", is_first=True, strikes=3, prefer_order=2)
    asked = frozenset({("e", "failover")})
    assert judge(world(beaten, FIT, WELL, asked=asked)).word == "return"
    alone = judge(world(DOWN, WELL, asked=frozenset({("a", "failover")})))
    assert (alone.word, alone.from_bank) == ("move", "a"), "it may have become sure meanwhile"


def test_a_bank_that_is_left_again_after_a_halted_shift_goes_step_by_step() -> None:
    halted = replace(LIKELY, place=AWAY)
    found = judge(world(halted, WELL))
    assert (found.word, found.reason, found.share) == ("move", "likely_down", 5)
    assert judge(world(replace(halted, p_down=0.5), WELL)).word == "stay"


def test_a_return_waits_for_health_time_and_probes() -> None:
    place = Place(mode="left", left_at=AT - 900, better_since=AT - 300, penalty=1000, penalty_at=AT)
    well = replace(FIT, place=place)
    assert judge(world(well, FIRST)).word == "return"
    for not_yet in (
        replace(well, probes_ok=4),
        replace(well, p_down=0.21),
        replace(well, place=replace(place, better_since=AT - 299)),
        replace(well, left_by_hand=True),
    ):
        assert judge(world(not_yet, FIRST)).word == "stay"


def test_a_shift_goes_on_when_nothing_speaks_against_it() -> None:
    shift = Shift(
        proposal_id="p",
        from_bank_id="a",
        to_bank_id="b",
        share=5,
        is_due=False,
        outcomes=0,
        failures=0,
        log_ratio=0.0,
    )

    def said(**fields: object) -> Verdict:
        return judge(world(replace(LIKELY), WELL, shift=replace(shift, **fields)))  # type: ignore[arg-type]

    assert said().reason == "shift_under_way"
    fell = judge(world(replace(LIKELY, p_down=0.2), WELL, shift=shift))
    assert (fell.word, fell.reason) == ("halt", "left_is_well")
    beaten = judge(world(replace(LIKELY, p_down=0.2, strikes=3), WELL, shift=shift))
    assert beaten.reason == "shift_under_way"
    assert (said(is_due=True).word, said(is_due=True).share) == ("step", 25)
    usual = log_ratio(200, 0, 0.005)
    assert usual < -2.25
    assert said(outcomes=200, log_ratio=usual).reason == "target_does_well"
    ill = log_ratio(20, 4, 0.005)
    assert ill > 2.89
    assert said(outcomes=20, log_ratio=ill).word == "halt"
    assert limits_of(AUTO) == LIMITS
