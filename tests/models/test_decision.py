"""Counting votes: what approves, what rejects, what blocks, and what would complete it."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from itertools import combinations

import decision_oracle as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molam.approvals.policy.decision import (
    Ballot,
    Elector,
    Missing,
    Verdict,
    can_vote,
    completions,
    decide,
)
from molam.approvals.policy.quorum import (
    AllOf,
    AnyOf,
    Percentage,
    Quorum,
    Role,
    Stages,
    Users,
    widened,
)
from molam.approvals.policy.rules import Rules, read_ratio

FIN = frozenset({"fin"})
OPS = frozenset({"ops"})
CFO = frozenset({"cfo"})


def an_elector(id_: str, *roles: str) -> Elector:
    return Elector(id_, id_.title(), f"{id_}@example.com", frozenset(roles or ("fin",)))


def electors_of(**people: str) -> list[Elector]:
    """``ada="fin ops"``: who there is, and the roles they hold."""
    return [an_elector(id_, *roles.split()) for id_, roles in people.items()]


def ballots_of(**votes: str) -> list[Ballot]:
    return [Ballot(id_, id_, frozenset(), vote) for id_, vote in votes.items()]


def a_stand_in(voter: str, seat: str, vote: str, *roles: str) -> Ballot:
    return Ballot(voter, seat, frozenset(roles or ("fin",)), vote)


def crowd(size: int) -> list[Elector]:
    return [an_elector(f"p{i}") for i in range(size)]


def cast(approve: int, reject: int = 0, abstain: int = 0) -> list[Ballot]:
    words = ["approve"] * approve + ["reject"] * reject + ["abstain"] * abstain
    return [Ballot(f"p{i}", f"p{i}", FIN, word) for i, word in enumerate(words)]


def rules_of(quorum: Quorum, **more: object) -> Rules:
    return Rules(quorum=quorum, **{"ratio": Fraction(1, 2), **more})


def said(verdict: Verdict) -> str:
    return verdict.state if verdict.reason is None else f"{verdict.state}:{verdict.reason}"


TABLE = """
2 1/2 5  1 1 0  pending               approved
2 1/2 5  2 1 0  approved              approved
2 3/4 5  2 1 0  pending               pending
2 3/4 5  3 1 0  approved              approved
2 3/4 4  2 1 1  blocked:abstentions   blocked:abstentions
2 3/4 5  2 2 0  rejected:unreachable  rejected:unreachable
2 2/3 3  2 1 0  approved              approved
2 3/5 5  3 2 0  approved              approved
3 1   4  2 0 1  pending               pending
3 1   4  2 0 2  blocked:abstentions   blocked:abstentions
2 1/2 3  0 0 2  blocked:abstentions   blocked:abstentions
1 1/2 1  0 0 0  pending               pending
2 1/2 1  1 0 0  blocked:electorate    blocked:electorate
"""


@pytest.mark.parametrize("row", TABLE.strip().splitlines())
@pytest.mark.parametrize("counting", ["approvals", "participation"])
def test_the_table_of_decisions_holds(row: str, counting: str):
    least, ratio, size, approve, reject, abstain, *expected = row.split()
    rules = rules_of(Role(FIN, int(least)), ratio=Fraction(ratio), counting=counting)

    verdict = decide(rules, crowd(int(size)), cast(int(approve), int(reject), int(abstain)))

    assert said(verdict) == expected[counting == "participation"]


def test_two_of_three_are_two_thirds_and_not_the_decimals_near_it():
    electors, votes = crowd(3), cast(2, 1)

    def under(ratio: object) -> str:
        return decide(rules_of(Role(FIN, 2), ratio=read_ratio(ratio)), electors, votes).state

    assert under("2/3") == "approved"
    assert under(Decimal("0.6666")) == "approved"
    assert under(Decimal("0.6667")) == "rejected"
    assert under("0.67") == "rejected"


def test_a_share_of_twenty_nine_per_cent_of_a_hundred_is_twenty_nine_people():
    rules = rules_of(Percentage(FIN, (), Fraction("0.29")))

    assert decide(rules, crowd(100), cast(28)).state == "pending"
    assert decide(rules, crowd(100), cast(29)).state == "approved"


def test_a_share_of_seven_per_cent_of_a_hundred_is_seven_people():
    rules = rules_of(Percentage(FIN, (), Fraction("0.07")))

    assert decide(rules, crowd(100), cast(7)).state == "approved"


def test_a_ratio_of_nothing_still_wants_an_approval():
    rules = rules_of(Role(FIN, 1), ratio=Fraction(0), counting="participation")

    assert decide(rules, crowd(2), cast(0, 1)).state == "pending"


def test_a_shrinking_pool_does_not_lower_the_bar():
    rules = rules_of(Percentage(FIN, (), Fraction(1, 2), base=6))

    assert decide(rules, crowd(4), cast(2)).state == "pending"
    assert decide(rules, crowd(4), cast(3)).state == "approved"


def test_a_growing_pool_raises_the_bar():
    rules = rules_of(Percentage(FIN, (), Fraction(1, 2), base=2))

    assert decide(rules, crowd(6), cast(2)).state == "pending"


def test_a_pool_of_nobody_still_wants_somebody():
    rules = rules_of(Percentage(FIN, ("gone",), Fraction(1, 2)))

    assert said(decide(rules, [], [])) == "blocked:electorate"


def test_abstentions_are_not_in_the_ratio():
    rules = rules_of(Role(FIN, 2), ratio=Fraction(1))

    assert decide(rules, crowd(4), cast(2, 0, 2)).state == "approved"


def test_a_veto_rejects_at_once_even_from_outside_the_slots():
    electors = electors_of(ada="fin", bo="fin", cy="compliance")
    rules = rules_of(Role(FIN, 2), veto_roles=frozenset({"compliance"}))
    votes = ballots_of(ada="approve", bo="approve", cy="reject")

    assert said(decide(rules, electors, votes)) == "rejected:veto"


def test_who_fills_no_slot_neither_lifts_nor_lowers_the_ratio():
    electors = electors_of(ada="fin", bo="fin", cy="fin", di="compliance", ed="compliance")
    rules = rules_of(Role(FIN, 1), ratio=Fraction(3, 4), veto_roles=frozenset({"compliance"}))
    votes = ballots_of(ada="approve", bo="reject", di="approve", ed="approve")

    assert decide(rules, electors, votes).state != "approved"


def test_so_many_rejections_reject():
    rules = rules_of(Role(FIN, 2), ratio=Fraction(0), reject_threshold=2)

    assert decide(rules, crowd(9), cast(1, 1)).state == "pending"
    assert said(decide(rules, crowd(9), cast(5, 2))) == "rejected:threshold"


def test_a_vote_of_a_seat_outside_the_electorate_counts_nowhere():
    rules = rules_of(Role(FIN, 2), reject_threshold=1, veto_roles=FIN)
    votes = [
        *cast(1),
        Ballot("gone", "gone", FIN, "approve"),
        Ballot("left", "left", FIN, "reject"),
    ]

    assert decide(rules, crowd(2), votes).state == "pending"


def test_a_role_held_when_voting_and_lost_since_does_not_count():
    electors = electors_of(ada="fin", bo="ops")
    rules = rules_of(AnyOf((Role(FIN, 2), Role(OPS, 2))))
    votes = [Ballot("ada", "ada", FIN, "approve"), Ballot("bo", "bo", FIN, "approve")]

    assert said(decide(rules, electors, votes)) == "blocked:electorate"


def test_one_person_with_two_roles_fills_one_slot():
    electors = electors_of(ada="fin cfo", bo="fin", cy="cfo")
    rules = rules_of(AllOf((Role(FIN, 1), Role(CFO, 1))))

    assert decide(rules, electors, ballots_of(ada="approve")).state == "pending"
    assert decide(rules, electors, ballots_of(ada="approve", cy="approve")).state == "approved"


def test_people_are_placed_where_they_are_needed_and_not_where_they_come_first():
    electors = electors_of(ada="fin cfo", bo="fin", cy="cfo ops", di="ops")
    rules = rules_of(AllOf((Role(FIN, 1), Role(CFO, 1), Role(OPS, 1))))
    votes = ballots_of(ada="approve", bo="approve", cy="approve")

    assert decide(rules, electors, votes).state == "approved"


def test_an_alternative_inside_a_whole_still_takes_distinct_people():
    electors = electors_of(ada="fin cfo", bo="ops")
    rules = rules_of(AllOf((Role(FIN, 1), AnyOf((Role(CFO, 1), Role(OPS, 1))))))

    assert decide(rules, electors, ballots_of(ada="approve")).state == "pending"
    assert decide(rules, electors, ballots_of(ada="approve", bo="approve")).state == "approved"


def test_two_quorums_merged_by_strictness_may_be_filled_by_the_same_people():
    electors = electors_of(ada="fin cfo", bo="fin", cy="cfo")
    rules = rules_of(Role(FIN, 2), also=(Role(CFO, 1),))

    assert decide(rules, electors, ballots_of(ada="approve", bo="approve")).state == "approved"
    assert decide(rules, electors, ballots_of(bo="approve", cy="approve")).state == "pending"


def test_named_people_are_all_wanted():
    electors = electors_of(ada="", bo="", cy="")
    rules = rules_of(Users(("ada", "bo"), 2))

    assert decide(rules, electors, ballots_of(ada="approve", cy="approve")).state == "pending"
    assert decide(rules, electors, ballots_of(ada="approve", bo="approve")).state == "approved"


def test_an_escalated_quorum_is_filled_by_those_who_joined_without_growing():
    electors = electors_of(ada="fin", bo="cfo", cy="cfo")
    quorum = AllOf((Users(("ada", "gone"), 2), Percentage(FIN, (), Fraction(1, 2), base=2)))
    before, after = rules_of(quorum), rules_of(widened(quorum, CFO))

    assert said(decide(before, electors, [])) == "blocked:electorate"
    assert decide(after, electors, ballots_of(ada="approve", bo="approve")).state == "pending"
    everybody = ballots_of(ada="approve", bo="approve", cy="approve")
    assert decide(after, electors, everybody).state == "approved"


def test_a_stand_in_fills_the_seat_of_whom_they_stand_in_for():
    electors = electors_of(ada="fin", bo="fin")
    rules = rules_of(Role(FIN, 2))
    votes = [*ballots_of(ada="approve"), a_stand_in("zoe", "bo", "approve")]

    assert decide(rules, electors, votes).state == "approved"


def test_the_owners_own_vote_wins_over_a_stand_ins():
    electors = electors_of(ada="fin", bo="fin", cy="fin")
    rules = rules_of(Role(FIN, 2))
    votes = [*ballots_of(ada="approve", bo="abstain"), a_stand_in("zoe", "bo", "approve")]

    assert decide(rules, electors, votes).state == "pending"
    assert decide(rules, electors, votes[::-1]).state == "pending"


def test_a_stand_in_acts_only_in_the_role_that_was_delegated():
    electors = electors_of(ada="fin cfo", bo="fin")
    rules = rules_of(AllOf((Role(FIN, 1), Role(CFO, 1))))
    votes = [*ballots_of(bo="approve"), a_stand_in("zoe", "ada", "approve", "fin")]

    assert decide(rules, electors, votes).state != "approved"


def test_of_two_stand_ins_for_a_seat_the_stricter_counts_in_any_order():
    electors = electors_of(ada="fin", bo="fin")
    rules = rules_of(Role(FIN, 1), reject_threshold=1)
    votes = [a_stand_in("yan", "bo", "approve"), a_stand_in("zoe", "bo", "reject")]

    assert said(decide(rules, electors, votes)) == "rejected:threshold"
    assert said(decide(rules, electors, votes[::-1])) == "rejected:threshold"


def test_a_member_who_stands_in_for_another_counts_once():
    electors = electors_of(ada="fin", bo="fin", cy="fin")
    rules = rules_of(Role(FIN, 2))
    both = [*ballots_of(ada="approve"), a_stand_in("ada", "bo", "approve")]

    assert decide(rules, electors, both).state == "pending"
    assert completions(rules, electors, both[1:]) == [("cy",)]


def test_what_is_missing_is_named_by_place():
    electors = electors_of(ada="fin", bo="fin", cy="cfo", di="ops")
    rules = rules_of(Stages((Role(FIN, 2), AllOf((Role(CFO, 1), Users(("di",), 1))))))

    verdict = decide(rules, electors, ballots_of(ada="approve"))

    assert verdict.missing == (
        Missing(FIN, (), 1, stage=1),
        Missing(CFO, (), 1, stage=2),
        Missing(frozenset(), ("di",), 1, stage=2),
    )


def test_a_blocked_action_says_what_it_lacks_even_if_all_who_remain_approved():
    rules = rules_of(Role(FIN, 3))

    verdict = decide(rules, crowd(2), [])

    assert verdict == Verdict("blocked", "electorate", (Missing(FIN, (), 1),))


def test_what_the_ratio_lacks_is_counted():
    rules = rules_of(Role(FIN, 1), ratio=Fraction(3, 4))

    verdict = decide(rules, crowd(9), cast(1, 2))

    assert verdict.missing == (Missing(FIN, (), 5),)


def test_what_is_missing_is_of_a_way_that_is_open():
    electors = electors_of(ada="fin", bo="fin")
    rules = rules_of(AnyOf((Role(CFO, 1), Role(FIN, 2))))

    assert decide(rules, electors, []).missing == (Missing(FIN, (), 2),)


def test_only_the_first_unfinished_stage_is_asked():
    electors = electors_of(ada="fin", bo="fin", cy="cfo", di="ops")
    rules = rules_of(Stages((Role(FIN, 1), Role(CFO, 1))))
    one = ballots_of(ada="approve")

    assert can_vote(rules, electors, [], "ada") is None
    assert can_vote(rules, electors, [], "cy") == "not-your-stage"
    assert can_vote(rules, electors, one, "cy") is None
    assert can_vote(rules, electors, one, "bo") == "not-your-stage"
    assert can_vote(rules, electors, one, "ada") is None
    assert can_vote(rules, electors, one, "di") == "not-in-electorate"
    assert can_vote(rules, electors, one, "zoe") == "not-in-electorate"


def test_a_finished_stage_is_asked_again_where_that_frees_somebody_for_the_next():
    electors = electors_of(ada="fin cfo", bo="fin")
    rules = rules_of(Stages((Role(FIN, 1), Role(CFO, 1))))
    one = ballots_of(ada="approve")

    assert decide(rules, electors, one).state == "pending"
    assert can_vote(rules, electors, one, "bo") is None


def test_a_veto_need_not_wait_for_its_turn():
    electors = electors_of(ada="fin", cy="cfo")
    rules = rules_of(Stages((Role(FIN, 1), Role(CFO, 1))), veto_roles=CFO)

    assert can_vote(rules, electors, [], "cy") is None


def test_completions_are_the_smallest_sets_that_approve():
    electors = electors_of(ada="fin", bo="fin", cy="cfo", di="fin cfo")
    rules = rules_of(AnyOf((Role(CFO, 1), Role(FIN, 2))), ratio=Fraction(1))

    assert completions(rules, electors, []) == [("cy",), ("di",), ("ada", "bo")]
    assert completions(rules, electors, [], limit=1) in ([("cy",)], [("di",)])
    assert completions(rules, electors, ballots_of(cy="approve")) == []


def test_many_completions_are_listed_up_to_the_limit_and_quickly():
    rules = rules_of(AllOf((Percentage(FIN, (), Fraction(1, 2)), Role(FIN, 20))))

    found = completions(rules, crowd(100), [])

    assert len(found) == 20
    assert all(len(each) == 70 for each in found)


def test_completions_are_found_within_a_budget_where_everybody_differs():
    roles = [f"r{i}" for i in range(12)]
    electors = [
        an_elector(f"p{i}{j}", roles[i], roles[j]) for i in range(12) for j in range(i + 1, 12)
    ]
    rules = rules_of(AllOf(tuple(Role(frozenset({role}), 1) for role in roles)))

    found = completions(rules, electors, [])

    assert found
    for those in found:
        assert decide(rules, electors, ballots_of(**dict.fromkeys(those, "approve"))).state == (
            "approved"
        )


def a_case(rnd: random.Random) -> tuple[object, list[Elector], list[Ballot]]:
    people = [f"p{i}" for i in range(rnd.randint(1, 6))]
    electors = [
        an_elector(id_, *rnd.sample(oracle.ROLES, rnd.choice((1, 1, 2, 3))))
        for id_ in people
        if rnd.random() < 0.9
    ]
    voters = [*people, "zoe"]
    ballots = []
    for voter in rnd.sample(voters, rnd.randint(0, len(voters))):
        seat = rnd.choice(people) if voter == "zoe" or rnd.random() < 0.15 else voter
        roles = frozenset(rnd.sample(oracle.ROLES, rnd.choice((1, 2))))
        ballots.append(
            Ballot(voter, seat, roles, rnd.choice(("approve", "approve", "reject", "abstain")))
        )
    return oracle.rules_of(rnd, people), electors, ballots


CASES = st.randoms(use_true_random=False).map(a_case)


@settings(max_examples=200, deadline=None)
@given(CASES)
def test_every_decision_is_that_of_trying_everything(case):
    rules, electors, ballots = case

    verdict = decide(rules, electors, ballots)

    assert (verdict.state, verdict.reason) == oracle.judged(rules, electors, ballots)
    assert bool(verdict.missing) == (verdict.state in {"pending", "blocked"})


@settings(max_examples=120, deadline=None)
@given(CASES)
def test_each_completion_approves_and_no_part_of_it_does(case):
    rules, electors, ballots = case

    def after(people) -> str:
        more = [Ballot(id_, id_, frozenset(), "approve") for id_ in people]
        return decide(rules, electors, [*ballots, *more]).state

    found = completions(rules, electors, ballots)

    assert bool(found) == (decide(rules, electors, ballots).state == "pending")
    assert len(set(found)) == len(found)
    for those in found:
        assert after(those) == "approved"
        assert all(after(some) == "pending" for some in combinations(those, len(those) - 1))


@settings(max_examples=120, deadline=None)
@given(CASES)
def test_every_smallest_completion_is_found_where_they_are_few(case):
    rules, electors, ballots = case
    found = {frozenset(each) for each in completions(rules, electors, ballots, limit=10_000)}
    spoken = {each.voter for each in ballots} | {each.seat for each in ballots}
    silent = [each.id for each in electors if each.id not in spoken]

    for size in range(1, len(silent) + 1):
        for those in combinations(silent, size):
            more = [Ballot(id_, id_, frozenset(), "approve") for id_ in those]
            approves = decide(rules, electors, [*ballots, *more]).state == "approved"
            if decide(rules, electors, ballots).state == "pending":
                assert approves == any(each <= set(those) for each in found if each <= set(silent))


@settings(max_examples=120, deadline=None)
@given(CASES, st.randoms(use_true_random=False))
def test_a_pending_action_always_asks_somebody_until_it_is_approved(case, rnd):
    rules, electors, ballots = case
    own = [each for each in ballots if each.voter == each.seat]
    was = decide(rules, electors, own).state

    while decide(rules, electors, own).state == "pending":
        spoken = {each.voter for each in own}
        asked = [
            each.id
            for each in electors
            if each.id not in spoken and can_vote(rules, electors, own, each.id) is None
        ]
        voter = rnd.choice(asked)
        own.append(Ballot(voter, voter, frozenset(), "approve"))

    assert decide(rules, electors, own).state == ("approved" if was == "pending" else was)
