"""The limit for /summary: a Starlette route that runs one primary-key SELECT and answers JSON."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def _nothing(_connection: object) -> None:
    pass


async def answer(request: Request) -> Response:
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(
            "select merchant_id, version from merchant.kpi_heads where merchant_id = $1",
            "merchant-0007",
        )
    return Response(msgspec.json.encode(dict(row)), media_type="application/json")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.pool = await asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=1, max_size=10, reset=_nothing
    )
    yield
    await app.state.pool.close()


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route("/", answer)], lifespan=lifespan),
        port=int(sys.argv[1]),
        log_level="error",
        access_log=False,
    )
