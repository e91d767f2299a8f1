"""The engine over HTTP: the specification's paths, envelopes, roles and refusals."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from callers import bearer, claims, in_process
from fastapi import FastAPI

import builders
from molam.approvals import execution
from molam.approvals.execution import Ending
from molam.platform.auth import AAL1, AAL2, sessions
from molam.platform.auth.tokens import Identity
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys

URL = "http://localhost:3136"
TOP_UP: dict[str, Any] = {
    "origin": "ops_ui",
    "action_type": "ADJUST_FLOAT",
    "params": {"agent_id": "agent-123", "adjustment": "top_up", "amount": 1_000_000},
}
FREEZE: dict[str, Any] = {
    "origin": "ops_ui",
    "action_type": "FREEZE_MERCHANT",
    "params": {"merchant_id": "merchant-123", "reason": "refunds", "duration": "24h"},
}
WHY = "Vu avec le demandeur ce matin."
CREATOR = "pay-admin-1"
BUDGETS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@dataclass
class Api:
    """The API as people of `builders.OPERATIONS` call it."""

    client: httpx2.AsyncClient
    keys: IssuerKeys
    db: Database
    app: FastAPI

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str | None = CREATOR,
        headers: dict[str, str] | None = None,
        **claims_: Any,
    ) -> httpx2.Response:
        sent = {} if who is None else self.headers(who, **claims_)
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        return await self.client.request(
            method, f"/api/ops{path}", content=content, headers={**sent, **(headers or {})}
        )

    def headers(self, who: str, **changed: Any) -> dict[str, str]:
        roles = list(builders.OPERATIONS.get(who, ()))
        good = {"sub": who, "roles": roles, "merchant_id": None, "name": who, "acr": AAL2}
        return bearer(self.keys, **{**good, **changed})

    async def get(self, path: str, **how: Any) -> httpx2.Response:
        return await self.call("GET", path, **how)

    async def post(self, path: str, body: Any = None, **how: Any) -> httpx2.Response:
        return await self.call("POST", path, body, **how)

    async def ask(self, body: dict[str, Any] = TOP_UP, **changed: Any) -> str:
        answer = await self.post("/actions", {**body, **changed})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["action"]["id"])

    async def vote(
        self, id_: str, who: str, vote: str = "approve", *, claims_: Any = None, **body: Any
    ) -> httpx2.Response:
        return await self.post(
            f"/actions/{id_}/vote", {"vote": vote, **body}, who=who, **(claims_ or {})
        )

    async def approved(self, body: dict[str, Any] = TOP_UP) -> str:
        id_ = await self.ask(body)
        for who in ("finance-user-1", "finance-user-2"):
            assert (await self.vote(id_, who)).status_code == 200
        return id_

    async def count(self, table: str) -> int:
        async with self.db.transaction("tests.count", readonly=True) as tx:
            return int(await tx.connection.fetchval(f"select count(*) from {table}"))


@pytest.fixture
async def api(
    ops_site: FastAPI, db: Database, keys: IssuerKeys, settings: Settings
) -> AsyncIterator[Api]:
    await builders.operations(db)
    await builders.a_policy(db)
    await builders.a_merchant(db)
    await builders.an_agent(db, id_="agent-123", balance=500_000)
    async with in_process(ops_site, URL) as client:
        yield Api(client, keys, db, ops_site)


def is_problem(answer: httpx2.Response, status: int, code: str) -> bool:
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json()["code"] == code
    )


async def test_an_action_is_asked_for_voted_on_carried_out_and_told(api: Api):
    created = await api.post("/actions", {**TOP_UP, "idempotency_key": "k-1"})
    id_ = created.json()["action"]["id"]
    first = await api.vote(id_, "finance-user-1", comment="Vu")
    second = await api.vote(id_, "finance-user-2")
    done = await api.post(f"/actions/{id_}/execute", who="ops-admin-1")
    audit = await api.get(f"/actions/{id_}/audit")

    action = created.json()["action"]
    assert created.status_code == 201
    assert created.json()["success"] is True
    assert (action["status"], action["idempotency_key"]) == ("requested", "k-1")
    assert action["target_tenant_type"] == "agent"
    assert (
        first.json()["approval"] | {"vote": "approve", "comment": "Vu"} == first.json()["approval"]
    )
    assert first.json()["action"]["status"] == "pending_approval"
    assert second.json()["action"]["status"] == "approved"
    assert done.json() | {"success": True} == done.json()
    assert done.json()["result"]["adjusted"] is True
    assert [each["action"] for each in audit.json()["audit"]] == [
        "created", "voted", "voted", "approved", "executing", "executed",
    ]  # fmt: skip
    assert audit.json()["count"] == 6


async def test_the_detail_has_the_fields_of_the_specification(api: Api):
    id_ = await api.ask()
    await api.vote(id_, "finance-user-1")

    answer = await api.get(f"/actions/{id_}")

    action = answer.json()["action"]
    assert answer.headers["etag"] == f'"{action["version"]}"'
    expected = {
        "votes_approve": 1, "votes_reject": 0, "votes_abstain": 0, "votes_total": 1,
        "approval_ratio": "1.0000", "quorum_satisfied": False, "required_ratio": "3/4",
        "timeout_seconds": 7200, "escalation_role": "cfo", "auto_execute": False,
        "origin": "ops_ui", "created_by": CREATOR, "risk_level": "high",
    }  # fmt: skip
    assert {name: action[name] for name in expected} == expected
    assert [each["voter_id"] for each in action["votes"]] == ["finance-user-1"]
    assert action["missing"] == [{"roles": ["finance_ops"], "users": [], "count": 1, "stage": None}]


async def test_lists_figures_and_histories_have_their_envelopes(api: Api):
    id_ = await api.ask()
    await api.vote(id_, "finance-user-1")
    who = "finance-user-2"

    actions = (await api.get("/actions", who=who)).json()
    mine = (await api.get("/actions?mine=votable", who=who)).json()
    voted = (await api.get("/actions?mine=votable", who="finance-user-1")).json()
    others = (await api.get("/actions", who="pay-admin-2")).json()
    past = (await api.get("/actions/history?status=pending_approval&limit=5", who=who)).json()
    none = (await api.get("/actions/history?created_by=nobody", who=who)).json()
    stats = (await api.get("/stats", who=who)).json()
    summary = (await api.get("/pending-summary", who=who)).json()
    asked = (await api.get(f"/users/{CREATOR}/actions", who=who)).json()
    votes = (await api.get("/users/finance-user-1/votes?limit=1", who=who)).json()

    listed = [each["actions"] for each in (actions, mine, voted, others, past, none, asked)]
    assert [len(each) for each in listed] == [1, 1, 0, 0, 1, 0, 1]
    assert actions["count"] == 1
    assert stats["stats"][0]["total_actions"] == 1
    assert summary["summary"][0]["status"] == "pending_approval"
    assert (votes["count"], votes["votes"][0]["vote"]) == (1, "approve")


async def test_the_engine_says_that_it_is_healthy_to_anybody(api: Api):
    answer = await api.get("/health", who=None)

    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
    assert answer.json()["timestamp"].endswith("Z")


async def test_a_view_has_the_hash_that_a_vote_carries(api: Api):
    id_ = await api.ask()
    view = (await api.get(f"/actions/{id_}/view", who="finance-user-1")).json()["view"]
    bound = {"intent_hash": view["intent_hash"], "view_hash": view["view_hash"]}

    good = await api.vote(id_, "finance-user-1", **bound)
    weak = await api.vote(id_, "finance-user-2", "abstain")
    stale = await api.vote(id_, "finance-user-3", **(bound | {"view_hash": "0" * 64}))

    assert view["can"]["approve"] is None
    assert (good.json()["binding"], weak.json()["binding"]) == ("shown", "weak")
    assert is_problem(stale, 409, "stale-view")


async def test_what_it_would_take_lists_people(api: Api):
    id_ = await api.ask()
    await api.vote(id_, "finance-user-1")

    told = (await api.get(f"/actions/{id_}/completions", who="finance-user-2")).json()

    assert told["missing"][0]["roles"] == ["finance_ops"]
    assert sorted(told["completions"]) == [["finance-user-2"], ["finance-user-3"]]


async def test_a_rehearsal_tells_and_stores_nothing(api: Api):
    body = {"action_type": TOP_UP["action_type"], "params": TOP_UP["params"]}

    answer = await api.post("/actions/rehearse", body)

    assert answer.status_code == 200
    change = answer.json()["plan"]["changes"][0]
    assert (change["before"]["minor"], change["after"]["minor"]) == (500_000, 1_500_000)
    assert await api.count("approvals.ops_actions") == 0


async def test_a_key_is_given_in_the_header_or_the_body(api: Api):
    body = {**TOP_UP, "idempotency_key": "k-1"}
    first = await api.post("/actions", body)
    header = {"Idempotency-Key": "k-1"}

    again = await api.post("/actions", TOP_UP, headers=header)
    both = await api.post("/actions", body, headers=header)
    differ = await api.post("/actions", body, headers={"Idempotency-Key": "k-2"})
    other = await api.post("/actions", FREEZE, headers=header)

    assert [first.status_code, again.status_code, both.status_code] == [201, 200, 200]
    assert again.json()["action"]["id"] == first.json()["action"]["id"]
    assert is_problem(differ, 400, "action-fields-refused")
    assert is_problem(other, 422, "idempotency-mismatch")


async def test_a_twin_is_refused_with_the_first_ones_id(api: Api):
    id_ = await api.ask()

    answer = await api.post("/actions", TOP_UP)

    assert is_problem(answer, 409, "action-twin-open")
    assert answer.json()["action_id"] == id_


def _with(**params: Any) -> dict[str, Any]:
    return {**TOP_UP, "params": {**TOP_UP["params"], **params}}


HOSTILE: list[bytes | dict[str, Any] | list[Any]] = [
    b"",
    b"null",
    b"[]",
    b'"ADJUST_FLOAT"',
    b"{",
    b'{"origin": NaN}',
    b'{"origin": "ops_ui", "origin": "sira"}',
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b"\xff\xfe{}",
    json.dumps(_with()).replace("1000000", "NaN").encode(),
    json.dumps(_with()).replace("1000000", "Infinity").encode(),
    json.dumps(_with()).replace("1000000", "1e6").encode(),
    json.dumps(_with()).replace("1000000", "1000000.0").encode(),
    json.dumps(_with()).replace("1000000", "1" * 5000).encode(),
    json.dumps(_with()).replace("1000000", "1" * 30).encode(),
    json.dumps(_with()).replace("1000000", '1000000, "amount": 1').encode(),
    json.dumps(_with()).replace("agent-123", "agent\\u0000").encode(),
    json.dumps(_with()).replace("agent-123", "\\ud800").encode(),
    _with(amount=-5),
    _with(amount=0),
    _with(amount="1000000"),
    _with(amount=True),
    _with(amount=None),
    _with(amount=2**53),
    _with(amount={"currency": "XOF", "minor": 1.5}),
    _with(amount={"currency": "EUR", "minor": 1}),
    _with(amount={"currency": "XOF"}),
    _with(adjustment="steal"),
    _with(agent_id="nobody"),
    _with(agent_id={"$ne": ""}),
    _with(agent_id="e\u0301"),
    _with(extra=1),
    {**TOP_UP, "params": {}},
    {**TOP_UP, "params": []},
    {**TOP_UP, "origin": "me"},
    {**TOP_UP, "origin": "sira"},
    {**TOP_UP, "created_by": "ops-admin-1"},
    {**TOP_UP, "action_type": "NO_SUCH_TYPE"},
    {**TOP_UP, "action_type": "x" * 300},
    {**TOP_UP, "target_tenant_type": "merchant", "target_tenant_id": "merchant-123"},
    {**TOP_UP, "required_quorum": {"type": "role"}},
    {**TOP_UP, "required_quorum": {"type": "percentage", "value": {"percentage": 7}}},
    {**TOP_UP, "required_ratio": 1.5},
    {**TOP_UP, "timeout_seconds": 59},
    {**TOP_UP, "timeout_seconds": 60.5},
    {**TOP_UP, "not_before": "2026-12-01T08:00:00"},
    {**TOP_UP, "not_before": "0001-01-01T00:00:00Z"},
    {**TOP_UP, "supersedes": "nothing"},
    {**TOP_UP, "idempotency_key": ""},
    {**TOP_UP, "voter_roles": ["finance_ops"]},
    {**TOP_UP, "compensates": "019b8c5a-0000-7000-8000-000000000001"},
    {**TOP_UP, "on_behalf_of": "ops-admin-1"},
]


async def test_hostile_bodies_are_refused_with_a_code_and_none_is_stored(api: Api):
    answers = [await api.post("/actions", body) for body in HOSTILE]

    odd = [
        (str(body)[:120], answer.status_code, answer.text[:200])
        for body, answer in zip(HOSTILE, answers, strict=True)
        if not 400 <= answer.status_code < 500
        or answer.headers["content-type"] != "application/problem+json"
    ]
    assert odd == []
    assert await api.count("approvals.ops_actions") == 0


async def test_an_amount_with_a_point_is_refused_by_a_sentence_about_minor_units(api: Api):
    body = json.dumps(TOP_UP).replace("1000000", "1000000.0").encode()

    answer = await api.post("/actions", body)

    assert is_problem(answer, 422, "action-params-refused")
    assert "minor units" in answer.json()["detail"]


async def test_a_ratio_is_read_from_its_text_exactly(api: Api):
    body = json.dumps({**TOP_UP, "required_ratio": "RATIO"}).replace('"RATIO"', "0.95").encode()

    answer = await api.post("/actions", body)

    assert answer.json()["action"]["required_ratio"] == "19/20"


async def test_services_may_ask_for_somebody_who_then_does_not_vote(api: Api):
    service = {"roles": ["service"]}
    body = {**TOP_UP, "origin": "sira", "created_by": "finance-user-1"}

    answer = await api.post("/actions", body, who="service:sira", **service)
    id_ = answer.json()["action"]["id"]
    vote = await api.vote(id_, "finance-user-1")
    own = await api.vote(id_, "service:sira", claims_=service)

    assert answer.status_code == 201
    assert answer.json()["action"]["on_behalf_of"] == "finance-user-1"
    assert is_problem(vote, 403, "not-eligible")
    assert is_problem(own, 403, "forbidden")


VOTES: list[tuple[Any, int, str]] = [
    ({"vote": "yes"}, 400, "body-malformed"),
    ({}, 400, "body-malformed"),
    ({"vote": "approve", "voter_roles": ["finance_ops"]}, 400, "body-malformed"),
    ({"vote": "approve", "voter_id": "finance-user-2"}, 400, "body-malformed"),
    ({"vote": "approve", "view_hash": "short"}, 400, "body-malformed"),
    ({"vote": "approve", "comment": "x" * 4001}, 400, "body-malformed"),
    ({"vote": "approve", "comment": ""}, 400, "body-malformed"),
    ({"vote": "approve", "signed_jwt": "not.a.token"}, 400, "action-fields-refused"),
    ({"vote": "reject"}, 422, "reason-required"),
    ({"vote": "reject", "comment": "no"}, 422, "reason-required"),
]


async def test_what_is_no_vote_is_refused_and_not_kept(api: Api):
    id_ = await api.ask()

    found = []
    for body, _, _ in VOTES:
        answer = await api.post(f"/actions/{id_}/vote", body, who="finance-user-1")
        found.append((body, answer.status_code, answer.json()["code"]))

    assert found == VOTES
    assert await api.count("approvals.ops_approvals") == 0


async def test_a_vote_may_be_signed_by_its_voter_and_only_the_fingerprint_is_kept(api: Api):
    id_ = await api.ask()
    ours, theirs = (
        api.headers(who)["Authorization"].removeprefix("Bearer ")
        for who in ("finance-user-1", "finance-user-2")
    )

    forged = await api.vote(id_, "finance-user-1", signed_jwt=theirs)
    signed = await api.vote(id_, "finance-user-1", signed_jwt=ours)

    assert is_problem(forged, 400, "action-fields-refused")
    approval = signed.json()["approval"]
    assert (approval["signed_jwt"], len(approval["jwt_fingerprint"])) == (None, 64)
    assert approval["voter_email"] == "finance-user-1@example.com"


async def test_money_takes_a_second_factor_and_the_answer_says_how(api: Api):
    id_ = await api.ask()
    old = {"auth_time": claims()["auth_time"] - 400}

    weak = await api.vote(id_, "finance-user-1", claims_={"acr": AAL1})
    stale = await api.vote(id_, "finance-user-1", claims_=old)
    rejected = await api.vote(id_, "finance-user-1", "reject", comment=WHY, claims_={"acr": AAL1})

    for answer in (weak, stale):
        assert is_problem(answer, 401, "step-up-required")
        assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
        assert answer.json()["max_age"] == 300
    assert rejected.status_code == 200


QUORUMS: dict[str, Any] = {
    "role": {"role": "pay_admin", "min_votes": 2},
    "percentage": {"percentage": 0.5, "pool": ["cfo-1", "compliance-1", "ops-admin-1"]},
    "specific_users": {"users": ["cfo-1", "compliance-1"]},
    "all_of": [
        {"type": "role", "value": {"role": "cfo", "min_votes": 1}},
        {"type": "role", "value": {"role": "compliance", "min_votes": 1}},
    ],
    "any_of": [
        {"type": "role", "value": {"role": "cfo", "min_votes": 1}},
        {"type": "role", "value": {"role": "compliance", "min_votes": 1}},
    ],
    "stages": [
        {"type": "role", "value": {"role": "cfo", "min_votes": 1}},
        {"type": "role", "value": {"role": "compliance", "min_votes": 1}},
    ],
}
FILLED_BY = {
    "role": ["pay-admin-2", "pay-admin-3"],
    "any_of": ["cfo-1"],
}


async def test_a_quorum_asked_for_is_demanded_besides_the_policys(api: Api):
    states: dict[str, list[str]] = {}
    for n, (kind, value) in enumerate(QUORUMS.items()):
        await builders.an_agent(api.db, id_=f"agent-{n}", name=f"Kiosque {n}")
        quorum = {"type": kind, "value": value}
        id_ = await api.ask(_with(agent_id=f"agent-{n}"), required_quorum=quorum)
        voters = FILLED_BY.get(kind, ["cfo-1", "compliance-1"])
        seen = []
        for who in ("finance-user-1", "finance-user-2", *voters):
            answer = await api.vote(id_, who)
            assert answer.status_code == 200, answer.text
            seen.append(answer.json()["action"]["state"])
        states[kind] = seen

    assert {kind: tuple(seen[-2:]) for kind, seen in states.items()} == dict.fromkeys(
        QUORUMS, ("pending", "approved")
    )


async def test_a_vote_is_changed_and_taken_back(api: Api):
    id_ = await api.ask()

    await api.vote(id_, "finance-user-1")
    changed = await api.vote(id_, "finance-user-1", "abstain")
    back = await api.vote(id_, "finance-user-1", "withdrawn")

    counts = [
        (answer.json()["action"]["votes_approve"], answer.json()["action"]["votes_abstain"])
        for answer in (changed, back)
    ]
    assert counts == [(0, 1), (0, 0)]


async def test_only_whom_the_policy_names_may_vote_and_anybody_of_operations_may_comment(api: Api):
    id_ = await api.ask()

    vote = await api.vote(id_, "ops-admin-1")
    comment = await api.post(f"/actions/{id_}/comments", {"text": "Pourquoi ?"}, who="ops-admin-1")
    empty = await api.post(f"/actions/{id_}/comments", {"text": ""}, who="ops-admin-1")

    assert is_problem(vote, 403, "not-eligible")
    assert vote.json()["required_roles"]
    assert comment.status_code == 201
    assert is_problem(empty, 400, "body-malformed")


async def test_an_execution_before_approval_is_a_conflict_that_says_the_state(api: Api):
    id_ = await api.ask()

    answer = await api.post(f"/actions/{id_}/execute", who="ops-admin-1")

    assert is_problem(answer, 409, "action-not-in-state")
    assert answer.json()["state"] == "pending"


async def test_an_execution_that_fails_answers_500_and_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    async def fails(*_: Any) -> Any:
        return Ending("permanent", error="The bank says no.", code="bank-refused")

    id_ = await api.approved()
    monkeypatch.setattr(execution, "run", _ending_with(fails))

    answer = await api.post(f"/actions/{id_}/execute", who="ops-admin-1")

    assert answer.status_code == 500
    assert answer.json() == {
        "success": False,
        "state": "failed",
        "error": "The bank says no.",
        "error_code": "bank-refused",
        "message": "Action not executed",
    }


def _ending_with(ending: Any) -> Any:
    async def run(runtime: Any, claim: Any) -> Any:
        return await execution.finish(runtime, claim, await ending())

    return run


async def test_if_match_is_honoured(api: Api):
    id_ = await api.approved()
    version = (await api.get(f"/actions/{id_}")).headers["etag"]
    who = "ops-admin-1"

    old = await api.post(f"/actions/{id_}/execute", who=who, headers={"If-Match": '"1"'})
    odd = await api.post(f"/actions/{id_}/cancel", {}, headers={"If-Match": "x"})
    good = await api.post(f"/actions/{id_}/execute", who=who, headers={"If-Match": version})

    assert is_problem(old, 409, "stale-version")
    assert is_problem(odd, 409, "stale-version")
    assert good.status_code == 200


async def test_cancelling_answers_with_the_status_it_now_has(api: Api):
    id_ = await api.ask()

    other = await api.post(f"/actions/{id_}/cancel", {}, who="finance-user-1")
    answer = await api.post(f"/actions/{id_}/cancel", {"reason": "plus utile"})
    again = await api.post(f"/actions/{id_}/cancel", {})

    assert is_problem(other, 403, "same-hands")
    action = answer.json()["action"]
    assert (action["state"], action["status"]) == ("cancelled", "cancelled")
    assert is_problem(again, 409, "action-not-in-state")


async def test_a_new_version_replaces_the_old_one(api: Api):
    first = await api.ask()

    second = await api.post("/actions", {**_with(amount=5), "supersedes": first})

    assert second.status_code == 201
    old = (await api.get(f"/actions/{first}")).json()["action"]
    assert (old["state"], old["superseded_by"]) == ("superseded", second.json()["action"]["id"])


async def test_undoing_is_asked_for_by_its_own_path(api: Api):
    id_ = await api.approved()
    early = await api.post(f"/actions/{id_}/compensate", {"reason": WHY})
    await api.post(f"/actions/{id_}/execute", who="ops-admin-1")

    undoing = await api.post(f"/actions/{id_}/compensate", {"reason": WHY})

    assert is_problem(early, 422, "action-not-undoable")
    assert undoing.status_code == 201
    assert undoing.json()["action"]["compensates"] == id_
    assert undoing.json()["action"]["params"]["adjustment"] == "sweep"


async def test_an_emergency_is_for_super_admins_and_reviewed_by_others(api: Api):
    id_ = await api.ask(FREEZE)
    body = {"reason": WHY}

    denied = await api.post(f"/actions/{id_}/break-glass", body, who="ops-admin-1")
    weak = await api.post(f"/actions/{id_}/break-glass", body, who="super-admin-1", acr=AAL1)
    done = await api.post(f"/actions/{id_}/break-glass", body, who="super-admin-1")
    review = await api.post(f"/actions/{id_}/review", body, who="compliance-1")
    again = await api.post(f"/actions/{id_}/review", body, who="cfo-1")

    assert is_problem(denied, 403, "forbidden")
    assert is_problem(weak, 401, "step-up-required")
    assert done.json()["result"]["frozen"] is True
    assert review.status_code == 200
    assert is_problem(again, 404, "review-absent")


async def test_an_unknown_outcome_is_reconciled_by_two(api: Api):
    id_ = await api.approved()
    async with api.db.transaction("tests.unknown") as tx:
        await tx.connection.execute(
            "update approvals.ops_actions set state = 'execution_unknown' where id = $1", id_
        )
    body = {"outcome": "executed", "evidence": WHY}

    first = await api.post(f"/actions/{id_}/reconcile", body, who="ops-admin-1")
    same = await api.post(f"/actions/{id_}/reconcile", body, who="ops-admin-1")
    second = await api.post(f"/actions/{id_}/reconcile", body, who="finance-user-3")

    assert (first.json()["agreed"], second.json()["agreed"]) == (False, True)
    assert is_problem(same, 403, "same-hands")
    assert second.json()["action"]["status"] == "executed"


PATHS: list[tuple[str, str, Any]] = [
    ("GET", "/actions/{id}", None),
    ("GET", "/actions/{id}/view", None),
    ("GET", "/actions/{id}/completions", None),
    ("GET", "/actions/{id}/audit", None),
    ("POST", "/actions/{id}/vote", {"vote": "approve"}),
    ("POST", "/actions/{id}/comments", {"text": "Bonjour"}),
    ("POST", "/actions/{id}/execute", None),
    ("POST", "/actions/{id}/cancel", {}),
    ("POST", "/actions/{id}/reconcile", {"outcome": "failed", "evidence": WHY}),
    ("POST", "/actions/{id}/break-glass", {"reason": WHY}),
    ("POST", "/actions/{id}/review", {"reason": WHY}),
]


async def test_an_action_that_does_not_exist_is_not_found_whatever_is_asked_of_it(api: Api):
    found = {}
    for id_ in ("019b8c5a-0000-7000-8000-000000000001", "not-an-id", "0" * 200):
        for method, path, body in PATHS:
            who = "super-admin-1" if "break" in path else "ops-admin-1"
            answer = await api.call(method, path.format(id=id_), body, who=who)
            found[id_, path] = (answer.status_code, answer.json()["code"])

    assert set(found.values()) == {(404, "action-absent")}


OTHERS: list[tuple[str, str]] = [
    ("GET", "/actions"),
    ("POST", "/actions"),
    ("GET", "/actions/history"),
    ("POST", "/actions/rehearse"),
    ("POST", "/actions/{id}/compensate"),
    ("GET", "/policies"),
    ("POST", "/policies"),
    ("GET", "/stats"),
    ("GET", "/pending-summary"),
    ("GET", "/users/awa.diop/actions"),
    ("GET", "/users/awa.diop/votes"),
]


async def test_merchants_and_strangers_see_nothing(api: Api):
    id_ = await api.ask()
    await builders.a_person(api.db)
    found: dict[str, set[int]] = {"merchant": set(), "nobody": set(), "claimed": set()}
    for method, path in [*OTHERS, *((method, path) for method, path, _ in PATHS)]:
        for who, asker in (("merchant", "awa.diop"), ("nobody", None), ("claimed", "awa.diop")):
            roles = ["ops_admin"] if who == "claimed" else ["merchant_admin"]
            answer = await api.call(
                method, path.format(id=id_), who=asker, roles=roles, merchant_id="merchant-123"
            )
            found[who].add(answer.status_code)

    assert found == {"merchant": {403}, "nobody": {401}, "claimed": {403}}


async def test_every_answer_says_what_is_left_of_the_hour(api: Api):
    id_ = await api.ask()

    reads = [await api.get(path, who="ops-admin-1") for path in ("/actions", f"/actions/{id_}")]
    vote = await api.vote(id_, "finance-user-1")
    created = await api.post("/actions", FREEZE)

    limits = [int(each.headers[BUDGETS[0]]) for each in (*reads, vote, created)]
    left = [int(each.headers[BUDGETS[1]]) for each in (*reads, vote, created)]
    assert limits == [1000, 1000, 500, 100]
    assert left == [999, 998, 499, 98]
    assert all(int(each.headers[BUDGETS[2]]) > 1_700_000_000 for each in reads)


async def test_beyond_the_hours_limit_nothing_is_done(api: Api):
    async with api.db.transaction("tests.limits") as tx:
        await tx.connection.execute(
            "insert into platform.rate_limits (name, per_hour, changed_by)"
            " values ('ops.create', 1, 'tests')"
        )
    await api.ask()

    answer = await api.post("/actions", FREEZE)
    other = await api.post("/actions", FREEZE, who="pay-admin-2")

    assert is_problem(answer, 429, "rate-limited")
    assert 0 < int(answer.headers["retry-after"]) <= 3600
    assert answer.json()["limit"] == 1
    assert other.status_code == 201
    assert await api.count("approvals.ops_actions") == 2


async def test_a_revoked_role_is_refused_at_the_next_request(api: Api):
    assert (await api.get("/actions", who="finance-user-1")).status_code == 200
    async with api.db.transaction("tests.revoke") as tx:
        await tx.connection.execute(
            "update tenancy.role_grants set revoked_at = now() where person_id = 'finance-user-1'"
        )

    # The app hears of it from PostgreSQL, which takes a moment.
    until = time.monotonic() + 5
    answer = await api.get("/actions", who="finance-user-1")
    while answer.status_code == 200 and time.monotonic() < until:
        answer = await api.get("/actions", who="finance-user-1")

    assert is_problem(answer, 403, "forbidden")


async def test_methods_and_media_types_are_kept_apart(api: Api):
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    wrong = await api.call("DELETE", "/actions")
    media = await api.post("/actions", b"origin=ops_ui", headers=form)
    query = await api.get("/actions?limit=0")
    many = await api.get("/actions?limit=101")
    odd = await api.get("/actions?surprise=1")

    assert is_problem(wrong, 405, "method-not-allowed")
    assert is_problem(media, 415, "unsupported-media-type")
    for answer in (query, many, odd):
        assert answer.json()["code"] == "query-malformed"


async def test_a_session_votes_only_from_our_own_page_with_its_token(api: Api):
    id_ = await api.ask(FREEZE)
    who = Identity(
        sub="ops-admin-1",
        exp=time.time() + 300,
        name="Ops",
        merchant_id=None,
        roles=("ops_admin",),
    )
    cookie = await sessions.start_session(api.app.state.db, app="ops", identity=who, replaces=None)
    async with api.db.transaction("tests.csrf", readonly=True) as tx:
        csrf = await tx.connection.fetchval("select csrf from platform.sessions")
    signed_in = {"Cookie": f"molam_ops_3136={cookie}"}
    own, token = {"Sec-Fetch-Site": "same-origin"}, {"X-CSRF-Token": csrf}
    path, vote = f"/actions/{id_}/vote", {"vote": "approve", "confirmation": "-123"}

    refused = [
        await api.post(path, vote, who=None, headers=signed_in | headers)
        for headers in (
            {},
            own,
            token,
            token | {"Sec-Fetch-Site": "cross-site"},
            token | {"Origin": "http://localhost:3001"},
            token | {"Origin": "null"},
        )
    ]
    accepted = await api.post(path, vote, who=None, headers=signed_in | own | token)

    assert all(is_problem(each, 403, "cross-site-request") for each in refused)
    assert accepted.status_code == 200, accepted.text
    assert accepted.json()["approval"]["channel"] == "web"
