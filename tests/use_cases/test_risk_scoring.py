"""A score that is missing, late, broken or unsigned makes an approval harder, never easier."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import builders
from molam.approvals.model import Actor
from molam.approvals.risk.commands import Desk, weigh
from molam.approvals.risk.decisions import override
from molam.approvals.risk.jobs import tell_outcomes
from molam.approvals.risk.model import ApprovalNotReady
from molam.approvals.risk.queries import detail
from molam.kernel import canonical
from molam.kernel.clock import SystemClock
from molam.platform.db import Database
from molam.platform.settings import Secret
from molam.platform.web.wire import convert
from molam.sira import scoring, signatures
from molam.sira.scoring import ScoreRequest
from risk import SIGNING_KEY, a_desk, an_approval, asked, events_of

Answer = Callable[[ScoreRequest], tuple[int, Any]]


class Sira:
    """A service that answers as the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = honest
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.release = threading.Event()
        self.release.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append(json.loads(body))
                outer.headers = {name.lower(): value for name, value in self.headers.items()}
                outer.release.wait(5)
                status, said = outer.answer(convert(canonical.parse(body), ScoreRequest))
                sent = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def honest(request: ScoreRequest, *, key: Secret = SIGNING_KEY, score: int = 30) -> tuple[int, Any]:
    advice = scoring.advice_of(
        score, (scoring.Contribution("velocity", "12 an hour", score),), model_version="gbm-7"
    )
    return 200, {
        "score": advice.score,
        "model_version": advice.model_version,
        "tags": list(advice.tags),
        "reason": advice.reason,
        "recommended_approvals": advice.recommended_approvals,
        "recommended_channels": list(advice.recommended_channels),
        "confidence": 0.8,
        "contributions": [{"name": "velocity", "value": "12 an hour", "weight": score}],
        "signature": signatures.sign(advice, request, key=key, now=SystemClock().now()),
    }


def without(name: str) -> Answer:
    def answer(request: ScoreRequest) -> tuple[int, Any]:
        status, said = honest(request)
        del said[name]
        return status, said

    return answer


def changed(**values: Any) -> Answer:
    def answer(request: ScoreRequest) -> tuple[int, Any]:
        status, said = honest(request)
        return status, {**said, **values}

    return answer


def replayed(_request: ScoreRequest) -> tuple[int, Any]:
    """Genuine, and about something harmless."""
    return honest(ScoreRequest(action="refund.large", amount=1, currency="XOF"), score=0)


UNTRUSTED: dict[str, Answer] = {
    "an error": lambda _: (500, {}),
    "no JSON": lambda _: (200, b"<html>"),
    "no score": without("score"),
    "no signature": without("signature"),
    "a score that is text": changed(score="0"),
    "a score below zero": changed(score=-1),
    "another score than it signed": changed(score=0),
    "another model than it signed": changed(model_version="gbm-8"),
    "another's key": lambda request: honest(request, key=Secret("x" * 32), score=0),
    "an answer to another question": replayed,
    "nothing": lambda _: (200, b""),
}


@pytest.fixture
def sira() -> Iterator[Sira]:
    made = Sira()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.release.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
async def desk(db: Database, ops_db: Database, tmp_path: Path, sira: Sira) -> Desk:
    await builders.operations(db)
    return a_desk(ops_db, tmp_path, url=sira.url, timeout_s=0.5, api_key=Secret("a-key"))


async def failure_of(db: Database, approval_id: Any) -> tuple[int, str | None]:
    async with db.transaction("tests.failure") as tx:
        row = await tx.connection.fetchrow(
            "select score, failure from sira.sira_scoring_audit where approval_id = $1",
            approval_id,
        )
    assert row is not None
    return row["score"], row["failure"]


async def weighed(desk: Desk, people: str = "none") -> Any:
    opened = await an_approval(desk, people)
    await weigh(desk, opened.row.id)
    return (await detail(desk.runtime.db, opened.row.id)).row


async def test_request_is_held_until_the_service_has_answered(desk: Desk, sira: Sira, db: Database):
    opened = await an_approval(desk)

    assert (opened.row.status, opened.row.sira_score) == ("held", None)
    assert sira.asked == []
    async with db.transaction("tests.jobs") as tx:
        waiting = await tx.connection.fetchval(
            "select count(*) from jobs.pgqueuer where entrypoint = 'approvals.weigh_risk'"
        )
    assert waiting == 1


async def test_signed_score_decides(desk: Desk, sira: Sira):
    row = await weighed(desk)

    assert (row.status, row.sira_score, row.required_approvals) == ("pending", 30, 1)
    assert (row.sira_model_version, row.sira_tags) == ("gbm-7", ["velocity"])
    assert sira.asked[0]["action"] == "refund.large"
    assert sira.headers["x-api-key"] == "a-key"
    assert sira.headers["x-model-version"] == "fallback-heuristic-v1"


async def test_low_signed_score_approves_at_once(desk: Desk, sira: Sira, db: Database):
    sira.answer = lambda request: honest(request, score=3)

    row = await weighed(desk, "three")

    assert row.status == "auto_approved"
    assert [topic for topic, _ in await events_of(db, row.id)] == ["approval.completed"]


@pytest.mark.parametrize("trouble", UNTRUSTED)
async def test_score_that_cannot_be_trusted_counts_as_the_highest(
    desk: Desk, sira: Sira, db: Database, trouble: str
):
    sira.answer = UNTRUSTED[trouble]

    row = await weighed(desk)

    assert (row.status, row.sira_score, row.required_approvals) == ("pending", 100, 3)
    assert row.evidence_required
    score, failure = await failure_of(db, row.id)
    assert score == 100
    assert failure


async def test_without_checking_signatures_a_forged_score_would_pass(
    desk: Desk, sira: Sira, monkeypatch: pytest.MonkeyPatch
):
    def believe(_token: str, request: ScoreRequest, **_: Any) -> Any:
        return signatures.Claims(
            "molam-sira", "gbm-7", 0, signatures.request_hash(request), 0, 2**40
        )

    monkeypatch.setattr(signatures, "verify", believe)
    sira.answer = changed(score=0)

    assert (await weighed(desk, "three")).status == "auto_approved"


async def test_late_score_counts_as_the_highest(desk: Desk, sira: Sira, db: Database):
    sira.release.clear()

    row = await weighed(desk)

    assert (row.sira_score, row.required_approvals) == (100, 3)
    assert (await failure_of(db, row.id))[1] == "SIRA did not answer"


async def test_service_that_is_gone_counts_as_the_highest(desk: Desk, sira: Sira):
    sira.server.server_close()

    assert (await weighed(desk)).required_approvals == 3


async def test_weighing_twice_asks_for_one_decision(desk: Desk, sira: Sira, db: Database):
    row = await weighed(desk)
    await weigh(desk, row.id)

    async with db.transaction("tests.count") as tx:
        assert await tx.connection.fetchval("select count(*) from approvals.ops_actions") == 1


async def test_request_nobody_can_decide_ends_with_the_reason_told(
    desk: Desk, sira: Sira, db: Database
):
    opened = await an_approval(desk)
    async with db.transaction("tests.empty") as tx:
        await tx.connection.execute("update approvals.approvals_pool set active = false")

    await weigh(desk, opened.row.id)

    row = (await detail(desk.runtime.db, opened.row.id)).row
    assert (row.status, row.reason) == ("rejected", "policy-unsatisfiable")
    [(topic, data)] = await events_of(db, row.id)
    assert (topic, data["reason"]) == ("approval.rejected", "policy-unsatisfiable")


async def test_what_is_not_scored_yet_is_not_overridden(desk: Desk):
    opened = await an_approval(desk)
    boss = Actor("super-admin-1", frozenset({"super_admin"}))

    with pytest.raises(ApprovalNotReady):
        await override(
            desk, opened.row.id, decision="approve", reason="I cannot wait for it.", actor=boss
        )


async def test_request_that_is_never_scored_expires(desk: Desk, db: Database):
    opened = await an_approval(desk)
    async with db.transaction("tests.late") as tx:
        await tx.connection.execute(
            "update approvals.approvals_action set expires_at = now() - interval '1 minute'"
        )

    await tell_outcomes(desk.runtime.db)

    assert (await detail(desk.runtime.db, opened.row.id)).row.status == "expired"
    assert [topic for topic, _ in await events_of(db, opened.row.id)] == ["approval.expired"]


async def test_scoring_that_is_switched_off_counts_as_the_highest(
    ops_db: Database, db: Database, tmp_path: Path
):
    await builders.operations(db)
    desk = a_desk(ops_db, tmp_path, may_fall_back=False)

    row = (await an_approval(desk, "none")).row

    assert (row.sira_score, row.required_approvals) == (100, 3)
    assert (await failure_of(db, row.id))[1] == "scoring is switched off"


async def test_amount_in_a_currency_without_a_rate_is_never_approved_by_itself(
    ops_db: Database, db: Database, tmp_path: Path
):
    await builders.operations(db)
    desk = a_desk(ops_db, tmp_path)

    pounds = await an_approval(desk, payload={"amount": 1, "currency": "GBP"})
    nothing = await an_approval(desk, payload={"amount": 1}, origin_entity_id="tx_1")

    assert [each.row.sira_tags for each in (pounds, nothing)] == [["unknown_amount"]] * 2
    assert pounds.row.status == "pending"
    assert asked("none").payload["currency"] == "XOF"
