"""Risk-aware approvals from the score to the event, on the engine and its database."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import builders
from molam.approvals import queries, voting
from molam.approvals.aftermath import break_glass
from molam.approvals.engine import Engine
from molam.approvals.model import (
    Actor,
    Auth,
    IdempotencyMismatch,
    NotEligible,
    SameHands,
    TwinOpen,
    Unsatisfiable,
    VoteRequest,
)
from molam.approvals.risk.commands import Desk, create
from molam.approvals.risk.decisions import Decided, consume, override
from molam.approvals.risk.evidence import Evidence, upload
from molam.approvals.risk.jobs import tell_outcomes
from molam.approvals.risk.links import TokenExpired, TokenNotFound, TokenUsed
from molam.approvals.risk.model import (
    AlreadyVoted,
    ApprovalDecided,
    ApprovalExpired,
    EvidenceRefused,
    EvidenceRequired,
    PayloadRefused,
)
from molam.approvals.risk.queries import detail, view_of_link
from molam.approvals.store import FIND_ACTION
from molam.kernel.clock import SystemClock
from molam.platform.actions import PreconditionChanged
from molam.platform.auth import AAL2, StepUpRequired
from molam.platform.auth.tokens import AAL1
from molam.platform.db import Database
from molam.tenancy import commands as tenancy
from risk import EVIDENCE, SERVICE, a_desk, an_approval, asked, events_of, link_of, signed

PDF = Evidence(file_name="invoice.pdf", file_type="application/pdf", content=EVIDENCE)
SUPER = Actor("super-admin-1", frozenset({"super_admin"}))


@pytest.fixture
async def desk(db: Database, ops_db: Database, tmp_path: Path) -> Desk:
    await builders.operations(db)
    return a_desk(ops_db, tmp_path)


async def status_of(desk: Desk, approval_id: Any) -> tuple[str, int, int]:
    row = (await detail(desk.runtime.db, approval_id)).row
    return row.status, row.approved_count, row.rejected_count


async def scored(db: Database, approval_id: Any) -> list[asyncpg.Record]:
    async with db.transaction("tests.scored") as tx:
        return await tx.connection.fetch(
            "select * from sira.sira_scoring_audit where approval_id = $1", approval_id
        )


async def run(db: Database, sql: str, *arguments: object) -> None:
    async with db.transaction("tests.run") as tx:
        await tx.connection.execute(sql, *arguments)


async def test_harmless_request_is_approved_at_once_and_told(desk: Desk, db: Database):
    opened = await an_approval(desk, "none")

    assert (opened.row.status, opened.row.sira_score, opened.approvers) == ("auto_approved", 0, [])
    assert opened.row.ops_action_id is None
    [(topic, data)] = await events_of(db, opened.row.id)
    assert topic == "approval.completed"
    assert (data["status"], data["required_approvals"]) == ("auto_approved", 0)


@pytest.mark.parametrize(
    ("people", "score", "required", "evidence"),
    [("one", 40, 1, False), ("two", 65, 2, False), ("three", 85, 3, True)],
)
async def test_score_says_how_many_must_agree(
    desk: Desk, people: str, score: int, required: int, evidence: bool
):
    row = (await an_approval(desk, people)).row

    assert (row.sira_score, row.required_approvals) == (score, required)
    assert (row.status, row.evidence_required) == ("pending", evidence)


async def test_first_pool_with_enough_people_decides(desk: Desk):
    one = await an_approval(desk, "one")
    two = await an_approval(desk, "two")

    assert (one.row.pool_name, [each.id for each in one.approvers]) == (
        "Compliance Team",
        ["compliance-1"],
    )
    assert two.row.pool_name == "Global Ops Approvers"
    assert len(two.approvers) == 7


async def test_score_is_kept_with_what_made_it_and_its_signature(desk: Desk, db: Database):
    row = (await an_approval(desk, "two")).row

    [kept] = await scored(db, row.id)
    assert (kept["score"], kept["failure"]) == (65, None)
    assert kept["signature"].count(".") == 2
    assert [each["name"] for each in kept["contributions"]] == [
        "high_amount",
        "high_historical_risk",
    ]


async def test_link_decides_and_the_yes_is_told_once(desk: Desk, db: Database):
    row = (await an_approval(desk)).row
    link = await link_of(desk, row.id, "compliance-1", "approve")

    consumed = await consume(desk, link, Decided(ip="10.0.0.1"))
    await tell_outcomes(desk.runtime.db)

    assert (consumed.row.status, consumed.row.approved_count) == ("approved", 1)
    [(topic, data)] = await events_of(db, row.id)
    assert topic == "approval.completed"
    assert data["status"] == "approved"
    assert data["decided_at"] is not None
    [vote] = (await detail(desk.runtime.db, row.id)).votes
    assert (vote.approver_id, vote.decision) == ("compliance-1", "approve")


async def test_two_people_are_needed_where_two_are_asked_for(desk: Desk):
    row = (await an_approval(desk, "two")).row

    first = await consume(
        desk, await link_of(desk, row.id, "finance-user-1", "approve"), signed("finance-user-1")
    )
    second = await consume(
        desk, await link_of(desk, row.id, "pay-admin-1", "approve"), signed("pay-admin-1")
    )

    assert (first.row.status, first.row.approved_count) == ("pending", 1)
    assert (second.row.status, second.row.approved_count) == ("approved", 2)


@pytest.mark.parametrize("people", ["two", "three"])
async def test_link_alone_does_not_approve_what_takes_several(desk: Desk, people: str):
    row = (await an_approval(desk, people)).row
    await upload(desk.runtime.db, desk.files, row.id, PDF, by="service:wallet")
    link = await link_of(desk, row.id, "finance-user-1", "approve")
    page = f"/ops/actions/{row.ops_action_id}"

    for weak in (Decided(), signed("finance-user-1", AAL1), signed("pay-admin-1")):
        with pytest.raises(StepUpRequired) as refused:
            await consume(desk, link, weak)
        assert refused.value.facts["page"] == page

    assert await status_of(desk, row.id) == ("pending", 0, 0)
    assert (await consume(desk, link, signed("finance-user-1"))).row.approved_count == 1


async def test_link_alone_does_not_approve_a_high_risk_that_one_person_decides(
    desk: Desk, db: Database
):
    await run(db, "update approvals.approvals_policy set max_approvals = 1")
    row = (await an_approval(desk, "two")).row
    assert row.required_approvals == 1

    with pytest.raises(StepUpRequired):
        await consume(desk, await link_of(desk, row.id, "compliance-1", "approve"), Decided())


async def test_link_alone_rejects_anything(desk: Desk):
    row = (await an_approval(desk, "three")).row
    link = await link_of(desk, row.id, "finance-user-1", "reject")

    assert (await consume(desk, link, Decided())).row.status == "rejected"


async def test_vote_in_the_console_takes_a_second_factor_where_several_must_agree(desk: Desk):
    row = (await an_approval(desk, "two")).row
    assert row.ops_action_id is not None
    weak = Actor("finance-user-1", auth=Auth(AAL1, SystemClock().now()))

    with pytest.raises(StepUpRequired):
        await voting.vote(desk.runtime, row.ops_action_id, VoteRequest(vote="approve"), weak)


@pytest.mark.parametrize(
    ("people", "risk"), [("one", "medium"), ("two", "high"), ("three", "critical")]
)
async def test_risk_of_the_action_is_the_band_of_its_score(
    desk: Desk, db: Database, people: str, risk: str
):
    row = (await an_approval(desk, people)).row

    [action] = await db.read(FIND_ACTION, id=row.ops_action_id)
    assert action.risk_level == risk


@pytest.mark.parametrize("payload", [{}, {"amount": None}, {"amuont": 5_000_000}])
async def test_request_that_says_no_amount_is_not_approved_by_nobody(
    desk: Desk, payload: dict[str, Any]
):
    row = (await an_approval(desk, payload=payload)).row

    assert (row.status, row.sira_score, row.required_approvals) == ("pending", 60, 2)
    assert row.sira_tags == ["unknown_amount"]


@pytest.mark.parametrize("payload", [{"amount": 0}, {"amount": 0, "currency": "GBP"}])
async def test_request_that_says_no_money_moves_has_no_amount_to_weigh(
    desk: Desk, payload: dict[str, Any]
):
    row = (await an_approval(desk, payload=payload)).row

    assert (row.status, row.sira_score) == ("auto_approved", 0)


async def test_one_no_ends_it(desk: Desk, db: Database):
    row = (await an_approval(desk, "two")).row
    await consume(
        desk, await link_of(desk, row.id, "finance-user-1", "approve"), signed("finance-user-1")
    )

    ended = await consume(
        desk,
        await link_of(desk, row.id, "pay-admin-1", "reject"),
        Decided(comment="The invoice is of another shop."),
    )

    assert (ended.row.status, ended.row.rejected_count) == ("rejected", 1)
    assert [topic for topic, _ in await events_of(db, row.id)] == ["approval.rejected"]


async def test_link_works_once(desk: Desk):
    row = (await an_approval(desk, "two")).row
    link = await link_of(desk, row.id, "finance-user-1", "approve")
    await consume(desk, link, signed("finance-user-1"))

    with pytest.raises(TokenUsed):
        await consume(desk, link, signed("finance-user-1"))


async def test_other_link_of_the_same_person_does_not_change_their_mind(desk: Desk):
    row = (await an_approval(desk, "two")).row
    await consume(
        desk, await link_of(desk, row.id, "finance-user-1", "approve"), signed("finance-user-1")
    )

    with pytest.raises(AlreadyVoted):
        await consume(desk, await link_of(desk, row.id, "finance-user-1", "reject"), Decided())
    assert await status_of(desk, row.id) == ("pending", 1, 0)


async def test_link_dies_with_its_time(desk: Desk, db: Database):
    row = (await an_approval(desk)).row
    link = await link_of(desk, row.id, "compliance-1", "approve")
    await run(db, "update approvals.approvals_tokens set expires_at = now()")

    with pytest.raises(TokenExpired):
        await consume(desk, link, Decided())


async def test_link_dies_with_its_holders_role(desk: Desk, db: Database):
    row = (await an_approval(desk, "two")).row
    link = await link_of(desk, row.id, "finance-user-1", "approve")
    async with db.transaction("tests.revoke") as tx:
        await tenancy.revoke_role(
            tx, person_id="finance-user-1", role="finance_ops", merchant_id=None
        )

    with pytest.raises(NotEligible):
        await consume(desk, link, signed("finance-user-1"))
    assert await status_of(desk, row.id) == ("pending", 0, 0)


@pytest.mark.parametrize("part", [1, 2, 3, 4])
async def test_link_with_one_part_changed_is_none(desk: Desk, part: int):
    row = (await an_approval(desk, "two")).row
    parts = (await link_of(desk, row.id, "finance-user-1", "reject")).split("|")
    parts[part] = {1: "pay-admin-1", 2: "approve", 3: "1", 4: "0" * 32}[part]

    with pytest.raises(TokenNotFound):
        await consume(desk, "|".join(parts), Decided())


async def test_link_of_one_approval_does_not_decide_another(desk: Desk):
    one = (await an_approval(desk)).row
    other = (await an_approval(desk, origin_entity_id="tx_1")).row
    link = await link_of(desk, one.id, "compliance-1", "approve")

    with pytest.raises(TokenNotFound):
        await consume(desk, link, Decided(), approval_id=other.id)


async def test_database_holds_no_link(desk: Desk, db: Database):
    row = (await an_approval(desk)).row
    link = await link_of(desk, row.id, "compliance-1", "approve")

    async with db.transaction("tests.dump") as tx:
        dumped = await tx.connection.fetchval(
            "select string_agg(t::text, ' ') from approvals.approvals_tokens as t"
        )
        told = await tx.connection.fetchval(
            "select coalesce(string_agg(n::text, ' '), '') from notices.notices as n"
        )
    nonce = link.rsplit("|", 1)[1]
    assert nonce not in dumped + told
    assert desk.links.hash(link) in dumped


async def test_yes_waits_for_evidence_and_the_link_survives_the_no(desk: Desk, db: Database):
    row = (await an_approval(desk, "three")).row
    link = await link_of(desk, row.id, "finance-user-1", "approve")

    with pytest.raises(EvidenceRequired):
        await consume(desk, link, signed("finance-user-1"))
    await upload(desk.runtime.db, desk.files, row.id, PDF, by="service:wallet")
    consumed = await consume(desk, link, signed("finance-user-1"))

    assert (consumed.row.status, consumed.row.approved_count) == ("pending", 1)


async def test_no_needs_no_evidence(desk: Desk):
    row = (await an_approval(desk, "three")).row

    ended = await consume(desk, await link_of(desk, row.id, "pay-admin-1", "reject"), Decided())

    assert ended.row.status == "rejected"


async def test_evidence_may_come_with_the_link(desk: Desk):
    row = (await an_approval(desk, "three")).row
    link = await link_of(desk, row.id, "finance-user-1", "approve")

    await consume(desk, link, signed("finance-user-1", evidence=PDF))

    found = await detail(desk.runtime.db, row.id)
    assert found.row.evidence_uploaded
    [kept] = found.evidence
    assert (kept.uploaded_by, kept.file_size) == ("finance-user-1", len(EVIDENCE))


async def test_vote_in_the_console_needs_the_evidence_too(desk: Desk):
    row = (await an_approval(desk, "three")).row
    assert row.ops_action_id is not None

    with pytest.raises(EvidenceRequired):
        await voting.vote(
            desk.runtime,
            row.ops_action_id,
            VoteRequest(vote="approve"),
            Actor("finance-user-1"),
        )


async def test_console_says_that_evidence_is_missing_as_the_engine_would(desk: Desk):
    row = (await an_approval(desk, "three")).row
    assert row.ops_action_id is not None
    voter = Actor("finance-user-1", frozenset({"finance_ops"}))

    async def shown(who: Actor) -> str | None:
        assert row.ops_action_id is not None
        found = await queries.action_page(desk.runtime, row.ops_action_id, who, locale="fr")
        return found.can["approve"]

    before = await shown(voter)
    stranger = await shown(Actor("cfo-1", frozenset({"cfo"})))
    await upload(desk.runtime.db, desk.files, row.id, PDF, by="a")

    assert (before, stranger, await shown(voter)) == ("evidence-required", "not-eligible", None)


async def test_same_file_twice_is_one_piece_of_evidence(desk: Desk):
    row = (await an_approval(desk, "three")).row

    first = await upload(desk.runtime.db, desk.files, row.id, PDF, by="a")
    again = await upload(desk.runtime.db, desk.files, row.id, PDF, by="b")

    assert first == again


@pytest.mark.parametrize(
    "changed",
    [
        {"content": b"MZ not a pdf"},
        {"content": b""},
        {"file_type": "text/html"},
        {"file_type": "text/plain", "content": b"\xff\xfe"},
        {"file_name": "../../etc/passwd"},
        {"description": "x" * 1001},
    ],
)
async def test_what_is_no_evidence_is_refused(desk: Desk, changed: dict[str, Any]):
    row = (await an_approval(desk, "three")).row

    with pytest.raises(EvidenceRefused):
        await upload(desk.runtime.db, desk.files, row.id, replace(PDF, **changed), by="a")


async def test_whoever_asks_does_not_decide(desk: Desk):
    asker = Actor("finance-user-1", frozenset({"finance_ops"}))
    by_person = await an_approval(desk, "two", by=asker)
    by_service = await an_approval(
        desk, "two", on_behalf_of="finance-user-2", origin_entity_id="tx_1"
    )

    assert "finance-user-1" not in {each.id for each in by_person.approvers}
    assert "finance-user-2" not in {each.id for each in by_service.approvers}


async def test_same_request_under_the_same_key_is_the_same_approval(desk: Desk, db: Database):
    first = await an_approval(desk, idempotency_key="k-1")
    again = await an_approval(desk, idempotency_key="k-1")

    assert (again.row.id, again.is_new) == (first.row.id, False)
    assert [each.id for each in again.approvers] == ["compliance-1"]
    with pytest.raises(IdempotencyMismatch):
        await an_approval(desk, "two", idempotency_key="k-1")
    assert len(await scored(db, first.row.id)) == 1


async def test_same_thing_is_not_asked_for_twice_at_a_time(desk: Desk):
    await an_approval(desk, origin_entity_id="tx_123")

    with pytest.raises(TwinOpen):
        await an_approval(desk, "two", origin_entity_id="tx_123")


async def test_request_nobody_could_approve_is_refused_and_leaves_no_trace(
    desk: Desk, db: Database
):
    await run(db, "update approvals.approvals_pool set roles = '{finance_lead}'")

    with pytest.raises(Unsatisfiable):
        await an_approval(desk)
    async with db.transaction("tests.count") as tx:
        assert await tx.connection.fetchval("select count(*) from approvals.approvals_action") == 0


async def test_requester_may_only_shorten_the_time(desk: Desk):
    short = (await an_approval(desk, expires_in_minutes=5)).row
    long = (await an_approval(desk, expires_in_minutes=600, origin_entity_id="tx_1")).row

    assert (short.expires_at - short.created_at).total_seconds() <= 300
    assert (long.expires_at - long.created_at).total_seconds() <= 3600


@pytest.mark.parametrize("amount", [Decimal("10.5"), -5, -5_000_000])
async def test_amount_that_is_none_is_refused(desk: Desk, amount: object):
    with pytest.raises(PayloadRefused):
        await create(desk, asked(payload={"amount": amount, "currency": "XOF"}), SERVICE)


ALTERED = "update approvals.approvals_action set payload = jsonb_set(payload, '{amount}', '9')"


async def test_altered_payload_is_voted_on_no_more(desk: Desk, db: Database):
    row = (await an_approval(desk)).row
    link = await link_of(desk, row.id, "compliance-1", "approve")
    await run(db, ALTERED)

    with pytest.raises(PreconditionChanged):
        await consume(desk, link, Decided())


async def test_payload_altered_after_the_last_vote_is_never_carried_out(desk: Desk, db: Database):
    row = (await an_approval(desk)).row
    engine = Engine(desk.runtime)
    await engine.vote_on_action(str(row.ops_action_id), "compliance-1", [], "approve")
    await run(db, ALTERED)

    await engine.auto_execute_approved_actions()
    await tell_outcomes(desk.runtime.db)

    assert (await status_of(desk, row.id))[0] == "rejected"
    assert [topic for topic, _ in await events_of(db, row.id)] == ["approval.rejected"]


async def test_time_ends_it_and_it_is_told(desk: Desk, db: Database):
    row = (await an_approval(desk)).row
    link = await link_of(desk, row.id, "compliance-1", "approve")
    await run(
        db,
        "update approvals.ops_actions set created_at = now() - interval '2 hours',"
        " expires_at = now() - interval '1 hour'",
    )
    await run(db, "update approvals.approvals_action set expires_at = now() - interval '1 hour'")

    with pytest.raises(ApprovalExpired):
        await consume(desk, link, Decided())
    await Engine(desk.runtime).escalate_expired_actions()
    await tell_outcomes(desk.runtime.db)

    assert (await status_of(desk, row.id))[0] == "expired"
    [(topic, data)] = await events_of(db, row.id)
    assert topic == "approval.expired"
    assert data["expired_at"] is not None


async def test_decision_in_the_console_is_followed_and_told(desk: Desk, db: Database):
    row = (await an_approval(desk)).row
    engine = Engine(desk.runtime)

    await engine.vote_on_action(
        str(row.ops_action_id), "compliance-1", [], "reject", "Not the amount agreed upon."
    )
    await tell_outcomes(desk.runtime.db)

    assert await status_of(desk, row.id) == ("rejected", 0, 1)
    assert [topic for topic, _ in await events_of(db, row.id)] == ["approval.rejected"]


@pytest.mark.parametrize(
    ("decision", "topic"), [("approve", "approval.completed"), ("reject", "approval.rejected")]
)
async def test_override_says_which_way_and_is_told_and_reviewed(
    desk: Desk, db: Database, decision: str, topic: str
):
    row = (await an_approval(desk, "three")).row

    done = await override(
        desk, row.id, decision=decision, reason="The supplier waits at the door.", actor=SUPER
    )
    await tell_outcomes(desk.runtime.db)

    assert (done.status, done.override_decision, done.override_by) == (
        "overridden",
        decision,
        "super-admin-1",
    )
    [(told, data)] = await events_of(db, row.id)
    assert (told, data["decision"]) == (topic, decision)
    async with db.transaction("tests.review") as tx:
        due = await tx.connection.fetchval(
            "select review_due - used_at from approvals.break_glass_uses where ops_action_id = $1",
            row.ops_action_id,
        )
        state = await tx.connection.fetchval(
            "select state from approvals.ops_actions where id = $1", row.ops_action_id
        )
    assert due.total_seconds() == 24 * 3600
    assert state == {"approve": "executed", "reject": "rejected"}[decision]


async def test_what_is_decided_is_not_overridden(desk: Desk):
    row = (await an_approval(desk)).row
    await consume(desk, await link_of(desk, row.id, "compliance-1", "reject"), Decided())

    with pytest.raises(ApprovalDecided):
        await override(desk, row.id, decision="approve", reason="I want it anyway.", actor=SUPER)


async def test_nobody_overrides_what_they_asked_for(desk: Desk):
    row = (await an_approval(desk, by=SUPER)).row

    with pytest.raises(SameHands):
        await override(desk, row.id, decision="approve", reason="I want it anyway.", actor=SUPER)


async def test_looking_at_a_link_changes_nothing(desk: Desk, db: Database):
    row = (await an_approval(desk)).row
    link = await link_of(desk, row.id, "compliance-1", "approve")

    views = [await view_of_link(desk, link, locale="fr") for _ in range(3)]

    assert views[0].links.keys() == {"approve", "reject"}
    assert views[0].links["approve"] == link
    assert await status_of(desk, row.id) == ("pending", 0, 0)
    assert (
        await consume(desk, link, Decided(view_hash=views[2].view_hash))
    ).row.status == "approved"


async def test_scores_and_evidence_cannot_be_rewritten(desk: Desk, db: Database):
    row = (await an_approval(desk, "three")).row
    await upload(desk.runtime.db, desk.files, row.id, PDF, by="a")

    for sql in (
        "update sira.sira_scoring_audit set score = 0",
        "delete from sira.sira_scoring_audit",
        "truncate sira.sira_scoring_audit",
        "delete from approvals.approvals_evidence",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await run(db, sql)


async def test_breaking_the_glass_needs_no_evidence(desk: Desk, db: Database):
    row = (await an_approval(desk, "three")).row
    assert row.ops_action_id is not None
    proved = replace(SUPER, auth=Auth(AAL2, SystemClock().now()))

    await break_glass(
        desk.runtime.db, row.ops_action_id, proved, reason="The supplier waits at the door."
    )
    await Engine(desk.runtime).auto_execute_approved_actions()

    assert (await status_of(desk, row.id))[0] == "approved"
    assert [topic for topic, _ in await events_of(db, row.id)] == ["approval.completed"]


async def test_approval_without_the_evidence_is_caught_when_it_is_carried_out(
    desk: Desk, db: Database
):
    row = (await an_approval(desk, "three")).row
    await upload(desk.runtime.db, desk.files, row.id, PDF, by="a")
    engine = Engine(desk.runtime)
    for voter in ("finance-user-1", "finance-user-2", "pay-admin-1"):
        await engine.vote_on_action(str(row.ops_action_id), voter, [], "approve")
    await run(db, "update approvals.approvals_action set evidence_uploaded = false")

    await engine.auto_execute_approved_actions()

    assert (await status_of(desk, row.id))[0] == "rejected"
