"""What the pages of webhooks show, whatever led to them."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.refusals import Kind, Refusal
from molam.merchant import frame, proofs, queries
from molam.merchant.webhook_forms import EndpointForm
from molam.merchant.webhook_snippets import SNIPPETS
from molam.platform.auth.step_up import StepUpRequired, sign_in_address, step_up_address
from molam.platform.settings import Secret
from molam.platform.web import Caller, catalogue
from molam.platform.web.templating import language_of
from molam.webhooks import queries as webhooks
from molam.webhooks.log_store import DeliveryRow
from molam.webhooks.model import EVENTS
from molam.webhooks.store import EndpointRow
from molam.webhooks.subscriptions import ENDPOINTS_MAX, OVERLAP_HOURS

ROOT = "/settings/webhooks"

_PAGE_ROWS = 30
_SHOWN_ON_PAGE = frozenset({Kind.CONFLICT, Kind.BROKEN_RULE, Kind.MALFORMED, Kind.FORBIDDEN})

Said = Literal[
    "changed", "enabled", "disabled", "deleted", "replayed", "nothing-to-replay", "confirm-again"
]


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: Said | None = None


class DetailQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["waiting", "delivered", "dead", "skipped"] | None = None
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    tested: UUID | None = None
    said: Said | None = None


async def show_list(
    request: Request,
    caller: Caller,
    *,
    said: Said | None = None,
    refused: Refusal | None = None,
    form: EndpointForm | None = None,
) -> Response:
    """Show all endpoints, and the form that adds one."""
    db, merchant_id = request.app.state.db, caller.merchant
    rows = await webhooks.endpoints(db, merchant_id)
    response = await frame.page(
        request,
        caller,
        "webhooks.html",
        place="settings",
        shop=await queries.settings_of(db, merchant_id=merchant_id),
        endpoints=rows,
        health=await webhooks.health(db, merchant_id),
        events=EVENTS,
        form=form or EndpointForm(),
        is_full=len(rows) >= ENDPOINTS_MAX,
        endpoints_max=ENDPOINTS_MAX,
        said=said,
        refused=_words(request, caller, refused),
        step_up=_step_up(request, caller, ROOT),
    )
    return _with_status(response, refused)


@dataclass(frozen=True, slots=True)
class Extra:
    """What an endpoint's page shows beside the endpoint, because of what was just asked."""

    secret: Secret | None = None
    """Shown this once."""
    rotated: bool = False
    refused: Refusal | None = None
    form: EndpointForm | None = None
    """What was typed, when it was refused."""


async def show(
    request: Request,
    caller: Caller,
    id_: str,
    *,
    query: DetailQuery | None = None,
    extra: Extra | None = None,
) -> Response:
    """Show one endpoint with its log."""
    state, merchant_id = request.app.state, caller.merchant
    asked, beside = query or DetailQuery(), extra or Extra()
    row = await webhooks.endpoint(state.db, merchant_id, id_)
    log, older = await _log(request, merchant_id, row, asked)
    tested = None
    if asked.tested is not None:
        tested, _ = await webhooks.delivery(state.db, merchant_id, asked.tested)
    response = await frame.page(
        request,
        caller,
        "webhook.html",
        place="settings",
        shop=await queries.settings_of(state.db, merchant_id=merchant_id),
        endpoint=row,
        health=(await webhooks.health(state.db, merchant_id)).get(row.id),
        events=EVENTS,
        snippets=SNIPPETS,
        form=beside.form or EndpointForm.of(row),
        log=log,
        older=older,
        narrowed=asked.state,
        tested=tested,
        said=asked.said,
        overlap_hours=OVERLAP_HOURS,
        secret=None if beside.secret is None else beside.secret.reveal(),
        rotated=beside.rotated,
        refused=_words(request, caller, beside.refused),
        step_up=_step_up(request, caller, f"{ROOT}/{row.id}"),
    )
    if beside.secret is not None:
        response.headers["Cache-Control"] = "no-store"
    return _with_status(response, beside.refused)


async def _log(
    request: Request, merchant_id: str, row: EndpointRow, asked: DetailQuery
) -> tuple[list[DeliveryRow], str | None]:
    cursors = request.app.state.cursors
    scope = ("webhooks page", merchant_id, row.id, asked.state)
    beyond = None
    if asked.cursor is not None:
        beyond = cursors.open(asked.cursor, int, filters=scope)
    log = await webhooks.deliveries(
        request.app.state.db,
        merchant_id,
        row.id,
        webhooks.Narrowing(asked.state),
        beyond=beyond,
        limit=_PAGE_ROWS,
    )
    if not log.has_more:
        return log.rows, None
    cursor = cursors.seal(log.rows[-1].sequence, filters=scope)
    following = {"state": asked.state, "cursor": cursor}
    return log.rows, "?" + urlencode({key: value for key, value in following.items() if value})


async def show_delivery(
    request: Request, caller: Caller, *, refused: Refusal | None = None
) -> Response:
    """Show one delivery: what was sent, and every attempt."""
    db, merchant_id = request.app.state.db, caller.merchant
    row, attempts = await webhooks.delivery(db, merchant_id, request.path_params["id"])
    response = await frame.page(
        request,
        caller,
        "webhook_delivery.html",
        place="settings",
        shop=await queries.settings_of(db, merchant_id=merchant_id),
        delivery=row,
        attempts=attempts,
        body=await webhooks.body(db, merchant_id, row.event_id),
        refused=_words(request, caller, refused),
    )
    return _with_status(response, refused)


async def show_refused(
    request: Request,
    caller: Caller,
    id_: str,
    refusal: Refusal,
    *,
    form: EndpointForm | None = None,
) -> Response:
    """Show the page again with why nothing was done, or ask for a fresh proof of identity."""
    if isinstance(refusal, StepUpRequired):
        return sign_in_again(f"{ROOT}/{id_}")
    return await show(request, caller, id_, extra=Extra(refused=refusal, form=form))


def _words(request: Request, caller: Caller, refusal: Refusal | None) -> dict[str, str] | None:
    if refusal is None:
        return None
    if refusal.kind not in _SHOWN_ON_PAGE:
        raise refusal
    language = language_of(request, caller)
    title = catalogue.sentence(refusal.code, fallback=refusal.title, locale=language)
    return {"title": title, "detail": refusal.detail if language == "en" else ""}


def _with_status(response: Response, refusal: Refusal | None) -> Response:
    if refusal is not None:
        response.status_code = HTTPStatus.CONFLICT
    return response


def _step_up(request: Request, caller: Caller, path: str) -> str | None:
    """Say where to confirm first who one is; None when that was done just now."""
    return step_up_address(request, caller, _again(path))


def sign_in_again(path: str) -> Response:
    """Ask for a fresh proof of identity, and come back to *path*."""
    return proofs.see(sign_in_address(_again(path)))


def _again(path: str) -> str:
    return f"{path}?said=confirm-again"
