"""An action's story told from its entries alone."""

from __future__ import annotations

from typing import Any

import pytest

from molam.audit.explain import explain, replay

RULES: dict[str, Any] = {
    "required_quorum": {"type": "role", "value": {"role": "finance_ops", "min_votes": 2}},
    "required_ratio": "3/5",
    "counting": "approvals",
}
ELECTORS = [{"id": each, "roles": ["finance_ops"]} for each in ("awa", "ben", "coumba")]


def _body(event: str, actor: str = "awa", **data: object) -> dict[str, Any]:
    return {
        "v": 1, "chain": "a", "seq": 0, "ts": "2026-01-05T08:00:00.000000Z", "event": event,
        "action_id": "a", "actor": {"kind": "user", "id": actor}, "intent_hash": None, "data": data,
    }  # fmt: skip


def _created(rules: dict[str, Any] = RULES) -> dict[str, Any]:
    return _body(
        "action.created",
        "sira-system",
        action_type="ADJUST_FLOAT",
        params={"adjustment": "top_up", "amount": {"currency": "XOF", "minor": 1_000_000}},
        target={"type": "agent", "id": "agent-123"},
        origin="sira",
        policy={"name": "float-topup", "version": 3, "rules": rules},
        electors=ELECTORS,
        expires_at="2026-01-06T08:00:00.000000Z",
    )


def _vote(voter: str, decision: str = "approve", **more: object) -> dict[str, Any]:
    return _body("vote.cast", voter, decision=decision, seat=voter, roles=["finance_ops"], **more)


def _approved(*voters: str) -> dict[str, Any]:
    counted = [{"voter": each, "seat": each} for each in voters]
    return _body("action.approved", voters[-1], counted=counted, state="approved")


def _told(*bodies: dict[str, Any]) -> str:
    return "\n".join(explain(bodies))


def test_an_approval_is_explained_by_the_votes_that_made_it():
    told = _told(
        _created(),
        _vote("awa"),
        _vote("ben", "reject", reason="the agent is closed"),
        _vote("coumba", reason="ab" * 32),
        _approved("awa", "coumba"),
    )

    assert "ADJUST_FLOAT on agent agent-123" in told
    assert "policy float-topup version 3" in told
    assert "ben reject [finance_ops]: 'the agent is closed'" in told
    assert "coumba approve [finance_ops]: reason with hash abababababababab..." in told
    assert "yes: 2 of finance_ops" in told
    assert "yes: 2 in favour, 1 against, at least 3/5 in favour" in told
    assert "counted: awa, coumba" in told
    assert "It is now: approved" in told
    assert "DOES NOT FOLLOW" not in told


def test_an_approval_that_the_votes_do_not_carry_is_said_to_be_none():
    told = _told(_created(), _vote("awa"), _approved("awa"))

    assert "NO: 2 of finance_ops" in told
    assert "THIS DOES NOT FOLLOW" in told


@pytest.mark.parametrize(
    ("quorum", "filled"),
    [
        ({"type": "percentage", "value": {"role": "finance_ops", "percentage": "2/3", "base": 3}}, True),
        ({"type": "percentage", "value": {"role": "finance_ops", "percentage": "3/4", "base": 3}}, False),
        ({"type": "specific_users", "value": {"users": ["awa", "ben"], "min_votes": 2}}, True),
        ({"type": "specific_users", "value": {"users": ["awa", "eve"], "min_votes": 2}}, False),
        ({"type": "role", "value": {"roles": ["cfo", "finance_ops"], "min_votes": 2}}, True),
    ],
)  # fmt: skip
def test_each_kind_of_quorum_is_counted_again(quorum: dict[str, Any], filled: bool):
    another = {"type": "role", "value": {"role": "cfo", "min_votes": 1}}

    def holds(quorum: dict[str, Any]) -> bool:
        rules = {**RULES, "required_quorum": quorum}
        votes = [_created(rules), _vote("awa"), _vote("ben")]
        return "DOES NOT FOLLOW" not in _told(*votes, _approved("awa", "ben"))

    assert holds(quorum) is filled
    assert holds({"type": "any_of", "value": [quorum, another]}) is filled
    assert not holds({"type": "all_of", "value": [quorum, another]})
    assert not holds({"type": "stages", "value": [another, quorum]})


def test_escalation_lets_more_roles_count():
    rules = {**RULES, "required_quorum": {"type": "role", "value": {"role": "cfo", "min_votes": 1}}}
    escalated = _body("action.escalated", "system", level=1, roles=["finance_ops"])

    assert "NO: 1 of cfo" in _told(_created(rules), _vote("awa"), _approved("awa"))
    assert "yes: 1 of cfo" in _told(_created(rules), escalated, _vote("awa"), _approved("awa"))


def test_floors_have_to_be_filled_as_well():
    floor = {"required_quorum": {"type": "role", "value": {"role": "cfo", "min_votes": 1}}}
    told = _told(_created({**RULES, "also": [floor]}), _vote("awa"), _vote("ben"), _approved("ben"))

    assert "yes: 2 of finance_ops" in told
    assert "NO: 1 of cfo" in told


def test_tampering_is_called_by_its_name():
    changed = _body("action.stale", "system", code="intent-changed", state="stale")
    moved = _body("action.stale", "system", code="precondition-changed", state="stale")

    assert "action.stale by system: code intent-changed" in _told(_created(), changed)
    assert "SOMEBODY CHANGED IT" in _told(_created(), changed).upper()
    assert "action.stale by system: code precondition-changed" in _told(_created(), moved)
    assert "SOMEBODY CHANGED IT" not in _told(_created(), moved).upper()


def test_replaying_gives_the_columns_of_the_row():
    row = replay(
        [
            _created(),
            _vote("awa"),
            _vote("awa", "reject"),
            _vote("ben"),
            _vote("ben", "withdrawn"),
            _vote("coumba", "abstain"),
            _body("action.escalated", "system", level=2, roles=[]),
            _body("action.blocked", "system", state="blocked"),
        ]
    ).as_row()

    assert row == {
        "state": "blocked",
        "level": 2,
        "votes_approve": 0,
        "votes_reject": 1,
        "votes_abstain": 1,
    }


def test_the_state_is_what_the_last_entry_with_one_says():
    verified = _body("execution.verified", state="verified")

    assert replay([_created(), verified, _body("break_glass.reviewed")]).state == "verified"
    assert replay([_created(), _vote("awa")]).state == "pending"


def test_nothing_is_explained_without_the_beginning():
    assert "not here" in _told(_vote("awa"))
