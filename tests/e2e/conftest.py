"""The web apps as people meet them: real processes' code, a real database, a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from console import VOTER
from playwright.async_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    async_playwright,
    expect,
)
from shop import ADMIN, Open, Product, type_password

from databases import fresh_database
from mesh_room import furnish
from molam.entrypoints.serve_identity import with_banks as identity_app
from molam.entrypoints.wiring import merchant_app
from molam.entrypoints.wiring_mesh import mesh_app
from molam.entrypoints.wiring_ops import ops_app
from molam.entrypoints.workers import run_worker
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import Secret, Settings
from molam.platform.web import assets
from molam.simulator.seed import backfill, seed_demo

CHROMIUM = Path("/usr/bin/chromium")
HAS_CHROMIUM = CHROMIUM.exists()
HAS_ASSETS = (assets.BUILT / "manifest.json").is_file()
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HISTORY_DAYS = 3
TREASURER = "selorm.agbeko"
WAIT_MS = 20_000


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave Ctrl-C to pytest."""
        yield


@pytest.fixture(scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    # A busy machine is slow, not wrong.
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as started:
        yield started


@pytest.fixture(scope="session")
async def chromium(playwright: Playwright) -> AsyncIterator[Browser]:
    if not HAS_CHROMIUM:
        reason = f"there is no {CHROMIUM}; apt install chromium"
        if os.environ.get("MOLAM_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    await browser.close()


@pytest.fixture(scope="session")
async def product(
    postgres: Any, _admin: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """The merchant app, its worker and the issuer, over a few days of a shop's trade."""
    if not HAS_ASSETS:
        pytest.fail("the browser files are missing; run make assets")
    async with fresh_database(postgres, _admin) as dsn:
        settings = Settings(
            database_url=Secret(dsn),
            molam_home=tmp_path_factory.mktemp("home"),
            molam_port_offset=_free_offset(),
        )
        db = await open_database(settings.database_dsn, ProcessRole.OWNER, application="e2e")
        now = datetime.now(UTC)
        await seed_demo(db, now)
        await backfill(db, now, days=HISTORY_DAYS)

        stop = asyncio.Event()
        worker = asyncio.create_task(run_worker(settings, frozenset({"intake", "kpi"}), stop))
        async with (
            _served(identity_app(settings), settings.port(3100)),
            _served(merchant_app(settings), settings.port(3001)),
        ):
            await _caught_up(db)
            yield Product(settings.merchant_url, db, settings)
        stop.set()
        await worker
        await db.close()


def _free_offset() -> int:
    for offset in random.sample(range(1_000, 20_000), 100):
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in (3001, 3100, 3136, 3138):
                held.enter_context(socket.create_server(("127.0.0.1", port + offset)))
            return offset
    raise AssertionError("no four free ports")


@contextlib.asynccontextmanager
async def _served(app: Any, port: int) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.02)
    yield
    server.should_exit = True
    await task


async def _caught_up(db: Database) -> None:
    """Wait until both consumers have nothing left to read."""
    async with asyncio.timeout(60):
        while True:
            async with db.transaction("e2e.progress") as tx:
                behind = await tx.connection.fetchval(
                    """
                    select count(*) from platform.events e
                      cross join (values ('intake'), ('kpi')) as c(name)
                      left join platform.consumer_progress p
                             on p."group" = c.name and p.topic = 'events' and p.part = e.part
                     where coalesce((p.xid, p.pos) < (e.xid, e.id), true)
                    """
                )
            if behind == 0:
                return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _demo(postgres: Any, admin: Any, home: Path) -> AsyncIterator[tuple[Settings, Database]]:
    """The demo's people, merchants and agents, in a database of their own."""
    if not HAS_ASSETS:
        pytest.fail("the browser files are missing; run make assets")
    async with fresh_database(postgres, admin) as dsn:
        settings = Settings(
            database_url=Secret(dsn),
            molam_home=home,
            molam_port_offset=_free_offset(),
        )
        db = await open_database(settings.database_dsn, ProcessRole.OWNER, application="e2e")
        await seed_demo(db, datetime.now(UTC))
        yield settings, db
        await db.close()


@pytest.fixture(scope="session")
async def console(
    postgres: Any, _admin: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """The ops console and the issuer, over the demo's people, merchants and agents."""
    async with (
        _demo(postgres, _admin, tmp_path_factory.mktemp("home")) as (settings, db),
        _served(identity_app(settings), settings.port(3100)),
        _served(ops_app(settings), settings.port(3136)),
    ):
        yield Product(settings.ops_url, db, settings)


@pytest.fixture(scope="session")
async def room(
    postgres: Any, _admin: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """The mesh's control room and the issuer, over a mesh that has had a bad hour."""
    async with _demo(postgres, _admin, tmp_path_factory.mktemp("home")) as (settings, db):
        await furnish(db)
        async with (
            _served(identity_app(settings), settings.port(3100)),
            _served(mesh_app(settings), settings.port(3138)),
        ):
            yield Product(settings.mesh_url, db, settings)


@pytest.fixture
async def visit(chromium: Browser, product: Product) -> AsyncIterator[Open]:
    """Open a page of the merchant app as somebody, in a browser of their own."""
    contexts: list[BrowserContext] = []
    yield _opening(chromium, product, contexts, usual=ADMIN, start="/alerts")
    for context in contexts:
        await context.close()


@pytest.fixture
async def sit_down(chromium: Browser, console: Product) -> AsyncIterator[Open]:
    """Open a page of the ops console as somebody, in a browser of their own."""
    contexts: list[BrowserContext] = []
    yield _opening(chromium, console, contexts, usual=VOTER, start="/ops/audit")
    for context in contexts:
        await context.close()


@pytest.fixture
async def enter(chromium: Browser, room: Product) -> AsyncIterator[Open]:
    """Open a page of the control room as somebody, in a browser of their own."""
    contexts: list[BrowserContext] = []
    yield _opening(chromium, room, contexts, usual=TREASURER, start="/drill")
    for context in contexts:
        await context.close()


def _opening(
    chromium: Browser,
    product: Product,
    contexts: list[BrowserContext],
    *,
    usual: str,
    start: str,
) -> Open:
    async def open_page(
        path: str,
        *,
        who: str | None = usual,
        width: int = 1366,
        language: str = "en",
        theme: str = "light",
        **options: Any,
    ) -> Page:
        phone = width < 640
        context = await chromium.new_context(
            base_url=product.url,
            viewport={"width": width, "height": 844 if phone else 900},
            has_touch=phone,
            is_mobile=phone,
            **options,
        )
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        await context.add_cookies(
            [
                {"name": "molam_lang", "value": language, "url": product.url},
                {"name": "molam_theme", "value": theme, "url": product.url},
            ]
        )
        if who is not None:
            await context.add_cookies(await _session(chromium, product, who, start))
        page = await context.new_page()
        await page.goto(path)
        return page

    return open_page


_sessions: dict[tuple[str, str], list[Any]] = {}


async def _session(chromium: Browser, product: Product, who: str, start: str) -> list[Any]:
    """Sign somebody in by the issuer's own page, once for all tests."""
    key = (product.url, who)
    if key not in _sessions:
        context = await chromium.new_context(base_url=product.url)
        page = await context.new_page()
        await page.goto(f"/auth/sign-in?next={start}")
        await type_password(page, who)
        await page.wait_for_url(f"{product.url}/**")
        _sessions[key] = [
            cookie
            for cookie in await context.cookies()
            if cookie["name"].startswith(("molam_merchant", "molam_ops", "molam_mesh"))
        ]
        await context.close()
    return _sessions[key]
