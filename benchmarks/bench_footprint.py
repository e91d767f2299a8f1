"""
What `molam up` costs while nothing happens, how soon it is there, and what a page weighs.

Memory is the proportional share (PSS) of every process of the tree, PostgreSQL
included, a minute after the start. Bytes are those that came over the wire to a
Chromium with an empty cache, headers and all, until the overview was drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import BrowserContext, Page, async_playwright

PORT_OFFSET = 22_000
MERCHANT_URL = f"http://localhost:{3001 + PORT_OFFSET}"
IDLE_S = 60
READY_S_MAX = 180
STOP_S_MAX = 30

MEMORY_LIMIT_MIB = 700
FIRST_LOAD_LIMIT_KB = 100
NEXT_PAGE_LIMIT_KB = 15

PERSON, PASSWORD = "awa.diop", "molam-demo"


@dataclass(frozen=True, slots=True)
class Up:
    """One run of `molam up`, and how long it took to be ready."""

    process: subprocess.Popen
    ready_s: float


@contextlib.contextmanager
def up(home: Path) -> Iterator[Up]:
    ours = ("MOLAM_", "DATABASE_", "KAFKA_", "JWT_")
    settings = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    said = home / "up.out"
    began = time.perf_counter()
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "molam.entrypoints.cli", "up", "--no-traffic"],
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **settings,
                "MOLAM_HOME": str(home / "data"),
                "MOLAM_PORT_OFFSET": str(PORT_OFFSET),
            },
        )
    try:
        while "is ready" not in said.read_text():
            assert process.poll() is None, said.read_text()
            assert time.perf_counter() - began < READY_S_MAX, said.read_text()
            time.sleep(0.05)
        yield Up(process, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S_MAX)


def tree(root: int) -> list[int]:
    """List a process and everything it has started, and they in turn."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            parents[int(status.parent.name)] = int(fields[1])
    found, last = [root], [root]
    while last := [pid for pid, parent in parents.items() if parent in last]:
        found += last
    return found


def memory_mib(root: int) -> dict[str, float]:
    """Return the PSS of each process of the tree by what it calls itself."""
    shares: dict[str, float] = {}
    for pid in tree(root):
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            name = "PostgreSQL" if "postgres" in title else title[:60]
            pss = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
            assert pss is not None
            shares[name] = shares.get(name, 0) + int(pss[1]) / 1024
    return shares


async def page_weights() -> tuple[int, int]:
    """Sign in, then weigh the overview with an empty cache, and the page one click further."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        signing_in = await browser.new_context()
        await _sign_in(await signing_in.new_page())
        cookies = await signing_in.cookies()
        # A context of its own has an empty cache; it inherits nothing but the session.
        visiting = await browser.new_context()
        await visiting.add_cookies(cookies)
        weights = await _visit(visiting)
        await browser.close()
    return weights


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    sys.exit("no Chromium here: apt install chromium")


async def _sign_in(page: Page) -> None:
    await page.goto(f"{MERCHANT_URL}/auth/sign-in?next=/alerts")
    await page.locator("#username").fill(PERSON)
    await page.locator("#password").fill(PASSWORD)
    await page.locator("main form button").click()
    await page.wait_for_url(f"{MERCHANT_URL}/**")


async def _visit(context: BrowserContext) -> tuple[int, int]:
    page = await context.new_page()
    devtools = await context.new_cdp_session(page)
    await devtools.send("Network.enable")
    received: list[int] = []
    devtools.on("Network.loadingFinished", lambda e: received.append(e["encodedDataLength"]))

    async def weigh(path: str) -> int:
        received.clear()
        await page.goto(f"{MERCHANT_URL}{path}", wait_until="load")
        await page.wait_for_timeout(2000)  # The live stream stays open, so nothing says "done".
        return int(sum(received))

    return await weigh("/"), await weigh("/transactions")


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=IDLE_S, help="seconds before memory is read")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="molam-bench-"))
    home.chmod(0o711)
    try:
        with up(home) as cold:
            pass
        with up(home) as warm:
            time.sleep(given.idle)
            shares = memory_mib(warm.process.pid)
            first, following = asyncio.run(page_weights())
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"ready after {cold.ready_s:.1f} s at first, {warm.ready_s:.1f} s the second time")
    for name, mib in sorted(shares.items(), key=lambda share: -share[1]):
        print(f"  {mib:6.1f} MiB  {name}")
    reached = [
        report("idle, PSS of all processes", sum(shares.values()), MEMORY_LIMIT_MIB, "MiB"),
        report("first load of the overview", first / 1000, FIRST_LOAD_LIMIT_KB, "kB"),
        report("the page after it", following / 1000, NEXT_PAGE_LIMIT_KB, "kB"),
    ]
    return all(reached)


def report(name: str, ours: float, limit: float, unit: str) -> bool:
    verdict = "ok" if ours <= limit else "ABOVE"
    print(
        f"{name}: ours {ours:.1f} {unit}, ratio {ours / limit:.2f} (at most {limit} {unit})"
        f" {verdict}",
        flush=True,
    )
    return ours <= limit


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
