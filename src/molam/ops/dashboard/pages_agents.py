"""Agents by float: where money runs low, as a map and as a ranked list, or around a place."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from molam.kernel.currency import UnknownCurrency, currency
from molam.ops.dashboard import pages_draw as draw
from molam.ops.dashboard import permissions, queries
from molam.ops.dashboard.model import PLATFORM, TenantRefused
from molam.ops.dashboard.pages import CurrencyCode
from molam.ops.shell import framed
from molam.platform.web import Caller, Routes
from molam.platform.web.l10n import Formats
from molam.platform.web.templating import language_of

routes = Routes()

PAGE_ROWS = 50
NEARBY_MAX = 100
MAP_MAX = 300


class AgentsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: CurrencyCode | None = None
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")] | None = None
    region: Annotated[str, Meta(pattern=r"^[A-Z]{2,16}\Z")] | None = None
    page: Annotated[int, Meta(ge=1, le=1000)] = 1
    lat: Annotated[float, Meta(ge=-90, le=90)] | None = None
    lon: Annotated[float, Meta(ge=-180, le=180)] | None = None
    km: Annotated[float, Meta(gt=0, le=2000)] = 50

    @property
    def is_near(self) -> bool:
        return self.lat is not None and self.lon is not None

    def address(self, **changed: object) -> str:
        """Return the address of the same list, but for what is *changed*."""
        pairs = msgspec.structs.asdict(self) | changed
        usual = {"page": 1, "km": 50}
        given = {
            key: value
            for key, value in pairs.items()
            if value is not None and value != usual.get(key)
        }
        return f"/agents?{urlencode(given)}" if given else "/agents"


@routes.get(
    "/agents",
    needs=permissions.VIEW,
    page=True,
    query=AgentsQuery,
    refuses=(UnknownCurrency, TenantRefused),
)
async def agents(request: Request, caller: Caller, query: AgentsQuery) -> Response:
    """Rank agents by what they hold against their floor, or list those around a place."""
    if query.currency is not None:
        currency(query.currency)
    formats = Formats(language_of(request, caller))
    async with request.app.state.db.transaction("dashboard.agents", readonly=True) as tx:
        whose = await queries.narrowed(tx, PLATFORM, country=query.country, region=query.region)
        if query.lat is not None and query.lon is not None:
            found = await queries.agents_nearby(
                tx, query.lat, query.lon, radius_km=query.km, limit=NEARBY_MAX
            )
            mapped = found
        else:
            found = await queries.agents(
                tx,
                whose,
                currency=query.currency,
                limit=PAGE_ROWS + 1,
                offset=(query.page - 1) * PAGE_ROWS,
            )
            mapped = await queries.agents(tx, whose, currency=query.currency, limit=MAP_MAX)
        currencies = await queries.currencies_of(tx, whose)
    more = len(found) > PAGE_ROWS and not query.is_near
    return await framed(
        request,
        caller,
        "agents.html",
        place="agents",
        query=query,
        rows=found if query.is_near else found[:PAGE_ROWS],
        dots=draw.scatter(mapped),
        low=sum(draw.level_of(each) == "low" for each in mapped),
        is_sample=len(mapped) == MAP_MAX,
        currencies=currencies,
        inside=formats.country(query.country) if query.country else query.region,
        newer=query.address(page=query.page - 1) if query.page > 1 else None,
        older=query.address(page=query.page + 1) if more else None,
    )
