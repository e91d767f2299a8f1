"""``molam drill``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import click
import httpx2

from molam.entrypoints.drill_float import float_low
from molam.entrypoints.local import StartRefused, read_settings, running, stop_on_signals
from molam.kernel.clock import SystemClock
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import Settings
from molam.platform.web.l10n import Formats
from molam.simulator import drill as drills
from molam.simulator.drill import Wish
from molam.simulator.drill_store import DrillRow, TimelineRow
from molam.simulator.issuer import mint_development_token
from molam.simulator.profiles import DRILLED

_LOOK_S = 0.5
_BEGINS_WITHIN_S = 15.0
_SETTLES_WITHIN_S = 600.0
"""How long after the outage is waited for the last payout."""

_APPROVERS = ("binta.toure", "ibrahima.ba")


@click.group("drill")
def command() -> None:
    """Break something of the demo on purpose, and watch what the product does about it."""


command.add_command(float_low)


@command.command("outage")
@click.option("--bank", required=True, metavar="B", help="A simulated bank: bp_123.")
@click.option(
    "--severity",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="The share of requests that fail.",
)
@click.option("--minutes", type=click.IntRange(1, 240), default=3, show_default=True)
@click.option(
    "--payouts",
    type=click.IntRange(1, 500),
    default=40,
    show_default=True,
    help="How many payouts are on their way meanwhile.",
)
@click.option(
    "--approve", is_flag=True, help="Let two people of the demo approve the route, as they would."
)
def outage(*, bank: str, severity: float, minutes: int, payouts: int, approve: bool) -> None:
    """
    Break a simulated bank, and print the timeline from the first failure to the last payout.

    Needs `molam up`. Ctrl-C ends the outage at once.
    """
    settings = running(read_settings())
    if settings.is_production:
        raise StartRefused("no bank is broken on purpose in production")
    wish = Wish(bank, Decimal(str(severity)).quantize(Decimal("0.001")), minutes, payouts)
    raise SystemExit(asyncio.run(_drill(settings, wish, approve=approve)))


async def _drill(settings: Settings, wish: Wish, *, approve: bool) -> int:
    stop = asyncio.Event()
    stop_on_signals(stop)
    db = await open_database(
        settings.database_dsn, ProcessRole.WORKER, application="molam drill", connections_max=2
    )
    try:
        drill_id = await drills.start(db, SystemClock(), wish)
        try:
            return await _watch(settings, db, drill_id, approve=approve, stop=stop)
        finally:
            await drills.stop(db, drill_id)
    finally:
        await db.close()


async def _watch(
    settings: Settings, db: Database, drill_id: str, *, approve: bool, stop: asyncio.Event
) -> int:
    """Print each step as it happens; 0 once every payout is accounted for."""
    drill = await _begun(db, drill_id)
    assert drill.began_at is not None
    _say(drill, drill.began_at, f"{drill.bank_name} fails {drill.severity:.0%} of requests")
    said: set[tuple[str, datetime]] = set()
    while not stop.is_set():
        now = await drills.timeline(db, drill_id)
        assert now is not None
        for name, at, text in _steps(settings, now):
            if at is not None and (name, at) not in said:
                said.add((name, at))
                _say(drill, at, text)
        if approve and now.proposal_status in {"proposed", "simulated"}:
            await _approve(settings, now.proposal_id or "")
        if now.applied_at is not None and now.moved == now.reconciled and now.paid == now.made:
            _sum_up(drill, now)
            return 0
        current = await drills.find(db, drill_id)
        assert current is not None
        over_s = 0.0 if current.ended_at is None else (now.now - current.ended_at).total_seconds()
        if over_s > _SETTLES_WITHIN_S:
            click.echo(f"{now.made - now.paid} of {now.made} payouts are still under way")
            return 1
        await asyncio.sleep(_LOOK_S)
    ended = await drills.find(db, drill_id)
    if ended is not None and ended.ended_at is not None:
        left = await drills.timeline(db, drill_id)
        assert left is not None
        click.echo(
            "no longer watched; the outage was over, and "
            f"{left.paid} of {left.made} payouts were paid"
        )
    else:
        click.echo("the outage was ended before its time")
    return 130


async def _begun(db: Database, drill_id: str) -> DrillRow:
    waited_s = 0.0
    while waited_s < _BEGINS_WITHIN_S:
        drill = await drills.find(db, drill_id)
        assert drill is not None
        if drill.state == "failed":
            raise StartRefused(f"the drill failed: {drill.reason}")
        if drill.began_at is not None:
            return drill
        await asyncio.sleep(_LOOK_S)
        waited_s += _LOOK_S
    raise StartRefused("no worker began the drill: start `molam up`, or molam worker --only jobs")


def _steps(settings: Settings, now: TimelineRow) -> Sequence[tuple[str, datetime | None, str]]:
    # In auto mode a route is simulated for a moment as well, and asks nobody.
    waits = now.asks_people and now.applied_at is None
    asks = f"; it waits for two people: {settings.mesh_url}/proposals/{now.proposal_id}"
    return (
        ("failed", now.first_failure_at, "the first payout fails"),
        ("detected", now.detected_at, "SIRA holds the bank to be down"),
        ("decided", now.decided_at, f"a route is proposed{asks if waits else ''}"),
        ("applied", now.applied_at, f"{now.moved} payouts are led to another bank"),
    )


def _say(drill: DrillRow, at: datetime, text: str) -> None:
    assert drill.began_at is not None
    click.echo(f"{(at - drill.began_at).total_seconds():8.1f} s  {text}")


def _sum_up(drill: DrillRow, now: TimelineRow) -> None:
    if now.reconciled_at is not None:
        _say(drill, now.reconciled_at, f"the last of {now.reconciled} is reconciled")
    spans = (
        ("detection", now.first_failure_at, now.detected_at),
        ("decision", now.detected_at, now.decided_at),
        ("apply", now.decided_at, now.applied_at),
        ("reconciliation", now.applied_at, now.reconciled_at),
    )
    for name, start, end in spans:
        if start is not None and end is not None:
            click.echo(f"{name:>16}: {(end - start).total_seconds():.1f} s")
    money = Formats("en").money(now.moved_value, DRILLED.currency)
    back = f", {now.taken_back} brought back by a rollback" if now.taken_back else ""
    click.echo(
        f"{now.paid} of {now.made} payouts paid, {now.moved} through another bank "
        f"({money}){back}, {now.left_behind} left on the broken one"
    )


async def _approve(settings: Settings, proposal_id: str) -> None:
    """Vote as two of the demo's people would, through the API."""
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        for person in _APPROVERS:
            token = await mint_development_token(
                settings, roles=(), merchant_id=None, subject=person, aal2=True
            )
            answer = await client.post(
                f"{settings.mesh_url}/api/mesh/proposals/{proposal_id}/approve",
                headers={"Authorization": f"Bearer {token}"},
            )
            if answer.is_error:
                click.echo(f"{person} could not approve: {answer.text[:200]}", err=True)
