"""Votes: of the right people, once each, of what they saw, counted under the row's lock."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

import builders
from approving import CREATOR, VOTERS, WHY, Ops, role_policy, signed_in, together
from molam.approvals import store, voting
from molam.approvals.lifecycle import TransitionRefused
from molam.approvals.model import (
    Actor,
    ConfirmationRequired,
    IdempotencyMismatch,
    NotEligible,
    ReasonRequired,
    StaleView,
    Unsatisfiable,
)
from molam.platform.auth.step_up import StepUpRequired
from molam.platform.auth.tokens import AAL1, AAL2
from molam.platform.db import Query

ADMINS = ("ops-admin-1", "ops-admin-2", "ops-admin-3")
FINANCE = ("finance-user-1", "finance-user-2", "finance-user-3")
TRIALS = 30


def role(name: str, votes: int = 1) -> dict[str, Any]:
    return {"type": "role", "value": {"role": name, "min_votes": votes}}


QUORUMS: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "role": (role("ops_admin", 2), ("ops-admin-1", "ops-admin-2")),
    "all_of": (
        {"type": "all_of", "value": [role("ops_admin"), role("finance_ops")]},
        ("ops-admin-1", "finance-user-1"),
    ),
    "any_of": (
        {"type": "any_of", "value": [role("ops_admin", 2), role("cfo", 1)]},
        ("ops-admin-1", "ops-admin-2"),
    ),
    "percentage": (
        {"type": "percentage", "value": {"role": "finance_ops", "percentage": "2/3"}},
        ("finance-user-1", "finance-user-2"),
    ),
    "specific_users": (
        {"type": "specific_users", "value": {"users": ["cfo-1", "compliance-1"]}},
        ("cfo-1", "compliance-1"),
    ),
}


async def _decided_by(ops: Ops, quorum: dict[str, Any], **rest: Any) -> None:
    await builders.a_policy(
        ops.db,
        criteria={"action_type": "COUNT"},
        policy={"required_quorum": quorum, "required_ratio": "1", **rest},
    )


async def _race(ops: Ops, voters: tuple[str, str]) -> Counter[str]:
    """Let the last two votes of many actions arrive at the same moment."""
    outcomes: Counter[str] = Counter()
    for trial in range(TRIALS):
        id_ = await ops.ask(params={"counter": f"c{trial}"})
        answers = await together(*(ops.vote(id_, voter) for voter in voters))
        broken = any(isinstance(each, BaseException) for each in answers)
        approvals = (await ops.events(id_)).count("action.approved")
        outcomes[f"{await ops.state(id_)}, {approvals} times{', raised' if broken else ''}"] += 1
    return outcomes


@pytest.mark.parametrize("kind", QUORUMS)
async def test_two_last_votes_at_once_approve_exactly_once(ops: Ops, kind: str):
    quorum, voters = QUORUMS[kind]
    await _decided_by(ops, quorum)

    assert await _race(ops, voters) == {"approved, 1 times": TRIALS}


async def test_without_the_row_lock_two_last_votes_go_wrong(
    ops: Ops, monkeypatch: pytest.MonkeyPatch
):
    unlocked = store.LOCK_ACTIONS.sql.replace("for update", "")
    monkeypatch.setattr(store, "LOCK_ACTIONS", Query(unlocked, row=store.ActionRow))

    outcomes = await _race(ops, QUORUMS["role"][1])

    assert outcomes["approved, 1 times"] < TRIALS


async def test_votes_and_an_execution_at_once_execute_only_what_is_approved(ops: Ops):
    outcomes: Counter[tuple[str, int]] = Counter()
    for trial in range(TRIALS):
        counter = f"c{trial}"
        id_ = await ops.ask(params={"counter": counter})
        await ops.vote(id_, VOTERS[0])
        await together(ops.vote(id_, VOTERS[1], "reject"), ops.execute(id_))
        outcomes[await ops.state(id_), await ops.value(counter)] += 1

    assert set(outcomes) == {("rejected", 0)}


async def test_a_person_of_two_roles_fills_one_slot(ops: Ops):
    await builders.a_person(
        ops.db, id_="both", roles=["ops_admin", "finance_ops"], merchant_id=None
    )
    await _decided_by(ops, QUORUMS["all_of"][0])
    id_ = await ops.ask()

    alone = await ops.vote(id_, "both")
    with_another = await ops.vote(id_, "finance-user-1")

    assert (alone.row.state, with_another.row.state) == ("pending", "approved")


async def test_a_person_of_two_roles_fills_one_stage(ops: Ops):
    await builders.a_person(
        ops.db, id_="both", roles=["ops_admin", "finance_ops"], merchant_id=None
    )
    await _decided_by(ops, {"type": "stages", "value": [role("ops_admin"), role("finance_ops")]})
    id_ = await ops.ask()
    with pytest.raises(NotEligible) as early:
        await ops.vote(id_, "finance-user-1")

    first = await ops.vote(id_, "both")
    second = await ops.vote(id_, "finance-user-1")

    assert early.value.facts["why"] == "not-your-stage"
    assert (first.row.state, second.row.state) == ("pending", "approved")


async def test_another_name_of_a_person_is_the_same_person(ops: Ops):
    await ops.sql("insert into tenancy.person_aliases values ('whatsapp:+221', 'ops-admin-1')")
    id_ = await ops.ask()

    await ops.vote(id_, "ops-admin-1")
    again = await ops.vote(id_, "whatsapp:+221")

    assert (again.row.state, again.row.votes_approve) == ("pending", 1)
    assert {each.voter_id for each in (await ops.counted(id_)).votes} == {"ops-admin-1"}


async def _delegate(ops: Ops, giver: str, taker: str, role_: str = "ops_admin") -> None:
    await ops.sql(
        "insert into approvals.delegations (id, delegator_id, delegate_id, role, starts_at,"
        " ends_at, reason, created_at) values (gen_random_uuid(), $1, $2, $3,"
        " now() - interval '1 hour', now() + interval '1 day', 'leave', now())",
        *(giver, taker, role_),
    )


async def test_a_stand_in_fills_the_seat_of_whom_they_stand_in_for(ops: Ops):
    await _delegate(ops, "ops-admin-1", "cfo-1")
    id_ = await ops.ask()

    await ops.vote(id_, "cfo-1")
    both = await ops.vote(id_, "ops-admin-1")
    third = await ops.vote(id_, "ops-admin-2")

    assert (both.row.state, third.row.state) == ("pending", "approved")
    assert {(v.voter_id, v.seat) for v in (await ops.counted(id_)).votes} >= {
        ("cfo-1", "ops-admin-1")
    }


async def _excluded(ops: Ops) -> dict[str, tuple[UUID, str]]:
    """For each way of being involved, an action and who is involved in it."""
    admin = "ops-admin-1"
    await ops.sql("insert into tenancy.person_aliases values ('chat:77', $1)", admin)
    await builders.a_person(ops.db, id_="sira-bot", roles=[], merchant_id=None)
    await ops.sql(
        "update tenancy.people set is_service = true, owner_id = $1 where id = 'sira-bot'", admin
    )
    await builders.a_person(ops.db, id_="helper", roles=["ops_admin"], merchant_id=None)
    await _delegate(ops, admin, "helper")

    async def ask(**how: Any) -> UUID:
        return await ops.ask(
            params={"counter": f"c{next(numbers)}", **how.pop("params", {})}, **how
        )

    numbers = itertools.count()
    return {
        "creator": (await ask(by=admin), admin),
        "creator by another name": (await ask(by="chat:77"), admin),
        "another name of the creator": (await ask(by=admin), "chat:77"),
        "delegate of the creator": (await ask(by=admin), "helper"),
        "on behalf of": (await ask(on_behalf_of=admin), admin),
        "on behalf of, by another name": (await ask(on_behalf_of="chat:77"), admin),
        "delegate of on behalf of": (await ask(on_behalf_of="chat:77"), "helper"),
        "beneficiary": (await ask(params={"beneficiary": admin}), admin),
        "beneficiary by another name": (await ask(params={"beneficiary": "chat:77"}), admin),
        "owner of the service that asks": (await ask(by="sira-bot"), admin),
        "delegate of that owner": (await ask(by="sira-bot"), "helper"),
    }


async def test_whoever_asks_or_gains_does_not_decide(ops: Ops):
    refused: dict[str, str | None] = {}
    cases = await _excluded(ops)
    for how, (id_, who) in cases.items():
        try:
            await ops.vote(id_, who)
            refused[how] = None
        except NotEligible as refusal:
            refused[how] = str(refusal.facts["why"])

    assert refused == dict.fromkeys(cases, "excluded")


async def test_whoever_may_not_vote_may_comment(ops: Ops):
    id_ = await ops.ask()

    row = await voting.comment(ops.runtime.db, id_, Actor(CREATOR), text="C'est urgent.")

    assert (row.state, row.votes_cast) == ("pending", 0)
    assert (await ops.events(id_))[-1] == "comment.added"


async def test_roles_a_caller_claims_are_ignored(ops: Ops):
    id_ = await ops.ask()

    with pytest.raises(NotEligible):
        await ops.engine.vote_on_action(str(id_), "nobody", ["ops_admin"], "approve")

    with pytest.raises(NotEligible):
        await ops.vote(id_, Actor("nobody", roles=frozenset({"ops_admin"})))


async def test_a_changed_vote_is_added_and_the_latest_counts(ops: Ops):
    await _decided_by(ops, role("ops_admin", 2), required_ratio="1/2")
    id_ = await ops.ask()

    await ops.vote(id_, "ops-admin-1", "reject")
    changed = await ops.vote(id_, "ops-admin-1")

    votes = await ops.engine.get_user_vote_history("ops-admin-1")
    assert (changed.row.votes_approve, changed.row.votes_reject) == (1, 0)
    assert [each["vote"] for each in votes] == ["approve", "reject"]
    assert votes[0]["prev_vote_id"] == votes[1]["id"]


async def test_a_withdrawn_reject_does_not_bring_back_an_older_approval(ops: Ops):
    await _decided_by(ops, role("ops_admin", 2), required_ratio="1/2")
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    await ops.vote(id_, "ops-admin-1", "reject")

    withdrawn = await ops.vote(id_, "ops-admin-1", "withdrawn")
    last = await ops.vote(id_, "ops-admin-2")

    row = withdrawn.row
    assert (row.votes_approve, row.votes_reject, row.votes_abstain) == (0, 0, 0)
    assert last.row.state == "pending"


async def test_no_vote_is_taken_once_it_is_decided(ops: Ops):
    ends = {
        "approved": await ops.approved(params={"counter": "a"}),
        "executed": await ops.approved(params={"counter": "b"}),
        "rejected": await ops.ask(params={"counter": "c"}),
        "superseded": await ops.ask(params={"counter": "d"}),
    }
    await ops.execute(ends["executed"])
    await ops.vote(ends["rejected"], "ops-admin-1", "reject")
    await ops.create(params={"counter": "d", "by": 2}, supersedes=str(ends["superseded"]))

    refused = set()
    for end, id_ in ends.items():
        for word in ("approve", "reject", "abstain"):
            with pytest.raises(TransitionRefused) as refusal:
                await ops.vote(id_, "ops-admin-2", word)
            refused.add((end, refusal.value.facts["state"]))

    assert refused == {(end, end) for end in ends}


async def test_a_vote_for_something_else_than_was_shown_is_refused(ops: Ops):
    id_ = await ops.ask()
    shown = await ops.engine.get_action_with_votes(str(id_))
    for fields in (
        {"intent_hash": "0" * 64},
        {"view_hash": "0" * 64},
        {"intent_hash": shown["intent_hash"], "view_hash": "f" * 64},
    ):
        with pytest.raises(StaleView):
            await ops.vote(id_, "ops-admin-1", **fields)

    for voter, locale in zip(VOTERS, ("fr", "en"), strict=True):
        cast = await ops.vote(
            id_, voter, intent_hash=shown["intent_hash"], view_hash=shown["view_hash"][locale]
        )
    assert (cast.bound, cast.row.state) == (True, "approved")


async def test_an_escalation_between_look_and_vote_makes_the_view_stale(ops: Ops):
    await _decided_by(ops, role("ops_admin", 2), escalation_role="cfo", timeout_seconds=3600)
    id_ = await ops.ask()
    shown = await ops.engine.get_action_with_votes(str(id_))
    await ops.later(id_, hours=1.5)

    with pytest.raises(StaleView) as refused:
        await ops.vote(id_, "ops-admin-1", view_hash=shown["view_hash"]["fr"])

    assert refused.value.facts["what"] == "view"


async def test_a_rejection_says_why(ops: Ops):
    id_ = await ops.ask()

    for comment in (None, "no", "          x", "         "):
        with pytest.raises(ReasonRequired):
            await ops.vote(id_, "ops-admin-1", "reject", comment=comment)

    assert (await ops.row(id_)).votes_cast == 0


async def test_what_is_critical_is_approved_by_typing_it(ops: Ops):
    id_ = await ops.ask("COUNT_CRITICAL")
    person = signed_in("ops-admin-1", acr=AAL2)
    for typed in (None, "", "ort", "NORTH"):
        with pytest.raises(ConfirmationRequired):
            await ops.vote(id_, person, confirmation=typed)

    assert (await ops.vote(id_, person, confirmation="orth")).row.votes_approve == 1


async def test_money_takes_a_fresh_second_factor_and_the_record_keeps_it(ops: Ops):
    id_ = await ops.ask("COUNT_MONEY")
    for weak in (
        signed_in("ops-admin-1", acr=AAL1),
        signed_in("ops-admin-1", acr=AAL2, age_s=301),
    ):
        with pytest.raises(StepUpRequired):
            await ops.vote(id_, weak)
    assert (await ops.vote(id_, signed_in("ops-admin-2", acr=AAL1), "reject")).row.votes_reject == 1

    second = await ops.ask("COUNT_MONEY")
    await ops.vote(second, signed_in("ops-admin-1", acr=AAL2, age_s=200))

    auth = await ops.one(
        "select auth from approvals.ops_approvals where ops_action_id = $1", second
    )
    assert auth["acr"] == AAL2
    assert auth["auth_time"]


async def test_a_reject_that_makes_it_unreachable_ends_it(ops: Ops):
    id_ = await ops.ask()

    cast = await ops.vote(id_, "ops-admin-1", "reject")

    assert (cast.row.state, cast.row.reason) == ("rejected", "unreachable")


async def test_a_veto_ends_it_at_once(ops: Ops):
    await _decided_by(ops, role("ops_admin", 2), required_ratio="1/2", veto_roles=["compliance"])
    id_ = await ops.ask()

    cast = await ops.vote(id_, "compliance-1", "reject")

    assert (cast.row.state, cast.row.reason) == ("rejected", "veto")


async def test_abstentions_block_until_somebody_changes_their_mind(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1", "abstain")
    blocked = await ops.vote(id_, "ops-admin-2", "abstain")

    changed = await ops.vote(id_, "ops-admin-2")
    approved = await ops.vote(id_, "ops-admin-3")

    states = [(each.row.state, each.row.status) for each in (blocked, changed, approved)]
    assert states == [
        ("blocked", "pending_approval"),
        ("pending", "pending_approval"),
        ("approved", "approved"),
    ]
    assert blocked.row.reason == "abstentions"


async def test_of_a_blocked_action_a_programs_request_administrators_hear(ops: Ops):
    id_ = await ops.ask(by=Actor("sira-system", kind="service"))
    await ops.vote(id_, "ops-admin-1", "abstain")
    await ops.vote(id_, "ops-admin-2", "abstain")

    told = await ops.told("action_blocked")

    assert await ops.state(id_) == "blocked"
    assert {"ops-admin-1", "ops-admin-2", "ops-admin-3"} <= set(told)


async def test_two_of_three_is_two_thirds_and_not_sixty_seven_hundredths(ops: Ops):
    states = {}
    for ratio in ("2/3", "0.67", "0.6667"):
        type_ = {"2/3": "COUNT", "0.67": "COUNT_VERIFIED", "0.6667": "COUNT_UNDONE_BY_CALL"}[ratio]
        await builders.a_policy(
            ops.db,
            name=ratio,
            criteria={"action_type": type_},
            policy=role_policy(votes=2, required_ratio=ratio),
        )
        id_ = await ops.ask(type_)
        await ops.vote(id_, "ops-admin-1")
        await ops.vote(id_, "ops-admin-2")
        states[ratio] = await ops.state(id_)
        second = await ops.ask(type_, params={"counter": "south"})
        await ops.vote(second, "ops-admin-1", "abstain")
        await ops.vote(second, "ops-admin-2")
        await ops.vote(second, "ops-admin-3")
        states[f"{ratio} of the rest"] = await ops.state(second)

    assert set(states.values()) == {"approved"}


async def test_a_revoked_role_stops_counting_at_once(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    await ops.revoke("ops-admin-1", "ops_admin")

    second = await ops.vote(id_, "ops-admin-2")
    third = await ops.vote(id_, "ops-admin-3")

    assert (second.row.state, third.row.state) == ("pending", "approved")


async def test_a_role_stuffed_for_one_vote_does_not_count(ops: Ops):
    await _decided_by(ops, role("ops_admin", 2), required_ratio="3/5")
    id_ = await ops.ask()
    for n in range(5):
        await builders.a_person(
            ops.db,
            id_=f"new-{n}",
            roles=["ops_admin"],
            merchant_id=None,
            granted_at=await _now(ops),
        )

    refused = 0
    for n in range(5):
        try:
            await ops.vote(id_, f"new-{n}")
        except NotEligible:
            refused += 1

    assert refused == 5
    assert await ops.state(id_) == "pending"


async def _now(ops: Ops) -> Any:
    return await ops.one("select now()")


async def test_new_holders_do_not_lower_a_percentage_nor_do_leavers(ops: Ops):
    await _decided_by(ops, QUORUMS["percentage"][0], min_role_age_s=0)
    id_ = await ops.ask()
    for each in ("finance-user-2", "finance-user-3"):
        await ops.revoke(each, "finance_ops")

    cast = await ops.vote(id_, "finance-user-1")

    assert cast.row.state == "blocked"


async def test_programs_never_vote(ops: Ops):
    await builders.a_person(ops.db, id_="robot", roles=["ops_admin"], merchant_id=None)
    await ops.sql("update tenancy.people set is_service = true where id = 'robot'")
    id_ = await ops.ask()

    for each in ("robot", "sira-system", "system", "alert"):
        with pytest.raises(NotEligible):
            await ops.vote(id_, each)


async def test_the_same_vote_sent_twice_is_one_vote(ops: Ops):
    id_ = await ops.ask()

    twice = await together(
        *(ops.vote(id_, "ops-admin-1", client_vote_id="click") for _ in range(2))
    )
    await ops.vote(id_, "ops-admin-1")

    assert twice[0].vote_id == twice[1].vote_id
    assert await ops.count("approvals.ops_approvals") == 2
    row = await ops.row(id_)
    assert (row.state, row.votes_approve) == ("pending", 1)


async def test_votes_of_people_who_left_stay_readable_and_distinct(ops: Ops):
    id_ = await ops.approved()
    await ops.sql(
        "update tenancy.people set deactivated_at = now() where id = any($1)", list(VOTERS)
    )

    found = await ops.engine.get_action_with_votes(str(id_))

    assert {each["voter_name"] for each in found["votes"]} == {"Ops-Admin-1", "Ops-Admin-2"}
    assert (found["votes_approve"], len(found["votes"])) == (2, 2)


@pytest.mark.parametrize("change", ["update", "delete"])
async def test_votes_are_never_changed_nor_removed(ops: Ops, change: str):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")
    statement = {
        "update": "update approvals.ops_approvals set vote = 'reject'",
        "delete": "delete from approvals.ops_approvals",
    }[change]

    with pytest.raises(Exception, match="append-only"):
        await ops.sql(statement)


async def test_what_it_would_take_names_slots_and_people(ops: Ops):
    await _decided_by(ops, QUORUMS["all_of"][0])
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1")

    counted = await ops.counted(id_)

    assert [(sorted(each.roles), each.count) for each in counted.missing] == [(["finance_ops"], 1)]
    assert not counted.quorum_satisfied


async def test_nobody_is_asked_for_more_than_there_are(ops: Ops):
    await _decided_by(ops, role("ops_admin", 4))

    with pytest.raises(Unsatisfiable):
        await ops.ask()


async def test_an_objection_in_time_stops_what_was_approved(ops: Ops):
    await _decided_by(ops, role("ops_admin", 2), objection_window_s=3600)
    id_ = await ops.ask()
    for voter in VOTERS:
        await ops.vote(id_, voter)
    assert await ops.state(id_) == "scheduled"

    cast = await ops.vote(id_, "ops-admin-3", "reject", comment=WHY)

    assert (cast.row.state, cast.row.reason) == ("rejected", "objection")


async def test_one_client_vote_id_stands_for_one_vote_only(ops: Ops):
    id_ = await ops.ask()
    await ops.vote(id_, "ops-admin-1", "abstain", client_vote_id="click-1")

    with pytest.raises(IdempotencyMismatch):
        await ops.vote(
            id_,
            "ops-admin-1",
            "reject",
            comment="This is a different decision",
            client_vote_id="click-1",
        )

    row = await ops.row(id_)
    assert (row.votes_abstain, row.votes_reject, row.votes_cast) == (1, 0, 1)
