"""The risk API that other services ask: POST /api/score."""

from __future__ import annotations

import time
from decimal import Decimal

import msgspec
from prometheus_client import Counter, Histogram
from starlette.requests import Request

from molam.kernel import canonical
from molam.platform.web import Caller, Permission, Routes
from molam.sira import scoring, signatures

routes = Routes()

SCORE = Permission(
    "sira.score",
    frozenset({"service", "ops_admin", "finance_ops", "pay_admin", "compliance", "treasury_ops"}),
)


_SCORES = Histogram(
    "molam_sira_score", "Scores given.", buckets=(0, 25, 50, 60, 70, 80, 85, 90, 95, 100)
)
_SECONDS = Histogram("molam_sira_scoring_seconds", "Time to score.")
_ASKED_FOR_ANOTHER = Counter(
    "molam_sira_other_version_total", "Requests that named another model than the one in use."
)


class ScoreAnswer(msgspec.Struct):
    """The score, what it is made of, and SIRA's signature under it."""

    score: int
    tags: tuple[str, ...]
    reason: str
    recommended_approvals: int
    recommended_channels: tuple[str, ...]
    confidence: Decimal
    model_version: str
    contributions: tuple[scoring.Contribution, ...]
    signature: str


@routes.post(
    "/api/score",
    needs=SCORE,
    body=scoring.ScoreRequest,
    answers=ScoreAnswer,
    refuses=(canonical.JsonMalformed,),
)
async def score(request: Request, _caller: Caller, body: scoring.ScoreRequest) -> ScoreAnswer:
    """
    Score a request from 0 to 100 and say why.

    X-Model-Version may name the model the caller was made for; the answer says which
    one it was.
    """
    began = time.perf_counter()
    state = request.app.state
    amount_xof = None
    if body.amount is not None:
        amount_xof = await state.in_francs(body.amount, body.currency)
    advice = scoring.advise(body, amount_xof=amount_xof)
    if request.headers.get("x-model-version") not in {None, advice.model_version}:
        _ASKED_FOR_ANOTHER.inc()
    _SCORES.observe(advice.score)
    _SECONDS.observe(time.perf_counter() - began)
    return ScoreAnswer(
        **{name: getattr(advice, name) for name in advice.__struct_fields__},
        signature=signatures.sign(advice, body, key=state.signing_key, now=state.clock.now()),
    )
