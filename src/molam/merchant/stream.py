"""Live figures for API clients: the summary again whenever it changes, by SSE or WebSocket."""

from __future__ import annotations

import msgspec
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from molam.kernel.currency import currency
from molam.merchant import endpoints, model, permissions, queries, views
from molam.platform.web import Caller, Routes, sse

routes = Routes()


class StreamQuery(msgspec.Struct, forbid_unknown_fields=True):
    period: views.PeriodText = "today"
    currency: views.Currency | None = None


@routes.get("/api/merchant/stream", needs=permissions.VIEW_KPIS, query=StreamQuery)
async def stream(request: Request, caller: Caller, query: StreamQuery) -> Response:
    """Stream the summary as server-sent events named ``summary``, one now and one per change."""
    period, code = await _asked(request.app.state, caller, query)
    render = _render(request.app.state, caller.merchant, period, code, framed=True)
    view = ("api", "sse", str(period), code)
    return sse.stream(
        request, request.app.state.hub, topic=caller.merchant, view=view, render=render
    )


@routes.websocket("/api/merchant/stream", needs=permissions.VIEW_KPIS, query=StreamQuery)
async def socket(websocket: WebSocket, caller: Caller, query: StreamQuery) -> None:
    """Send the same summaries over a WebSocket, one JSON text message each."""
    period, code = await _asked(websocket.app.state, caller, query)
    render = _render(websocket.app.state, caller.merchant, period, code, framed=False)
    view = ("api", "websocket", str(period), code)
    await sse.serve_socket(
        websocket, websocket.app.state.hub, topic=caller.merchant, view=view, render=render
    )


async def _asked(state: State, caller: Caller, query: StreamQuery) -> tuple[model.Period, str]:
    period = model.parse_period(query.period)
    code = query.currency
    if code is None:
        code = (await queries.settings_of(state.db, merchant_id=caller.merchant)).default_currency
    return period, currency(code).code


def _render(
    state: State, merchant_id: str, period: model.Period, code: str, *, framed: bool
) -> sse.Render:
    async def render(changed: frozenset[str]) -> bytes:
        if "kpi" not in changed:
            return b""
        _, view = await endpoints.summarise(
            state, merchant_id=merchant_id, period=period, code=code
        )
        text = views.encode(view)
        return sse.event(text.decode(), name="summary") if framed else text

    return render
