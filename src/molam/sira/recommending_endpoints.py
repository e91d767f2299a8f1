"""The API that alerting asks what to do: POST /v1/recommend."""

from __future__ import annotations

from prometheus_client import Counter
from starlette.requests import Request

from molam.kernel import canonical
from molam.platform.web import Caller, Permission, Routes
from molam.sira import recommending
from molam.sira import recommending_messages as messages
from molam.sira.recommending_messages import Recommended, RecommendRequest

routes = Routes()

RECOMMEND = Permission("sira.recommend", frozenset({"service", "ops_admin", "finance_ops"}))
_BODY_BYTES_MAX = 256 * 1024

RECOMMENDATIONS = Counter(
    "molam_sira_recommendations_total", "What SIRA recommended about alerts.", ["action"]
)


@routes.post(
    "/v1/recommend",
    needs=RECOMMEND,
    body=RecommendRequest,
    answers=Recommended,
    body_bytes_max=_BODY_BYTES_MAX,
    refuses=(canonical.JsonMalformed,),
)
async def recommend(request: Request, _caller: Caller, body: RecommendRequest) -> Recommended:
    """Say what an alert calls for, how sure that is, and why; `manual_review` is for people."""
    state = request.app.state
    made = recommending.recommend(body.alert, body.evidence)
    RECOMMENDATIONS.labels(made.action).inc()
    return messages.signed(body.alert, made, key=state.signing_key, now=state.clock.now())
