"""``molam drill float-low``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import click
import httpx2

from molam.entrypoints.local import StartRefused, read_settings, running, stop_on_signals
from molam.kernel.clock import Instant, SystemClock
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import Settings
from molam.platform.web.l10n import Formats
from molam.simulator import float_drill
from molam.simulator.float_drill import AGENT, LOW_MINOR
from molam.simulator.float_drill_store import FloatTimelineRow
from molam.simulator.issuer import mint_development_token

_LOOK_S = 0.5
_OPENS_WITHIN_S = 90.0
_APPROVERS = ("finance-user-1", "finance-user-2")
_EXECUTOR = "ops-admin-1"
_OPEN = frozenset({"pending", "blocked"})
_WHY = MappingProxyType(
    {
        "disabled": "the policy is off",
        "low_confidence": "SIRA is not sure enough",
        "cooldown": "the same agent was acted on a short while ago",
        "blast_radius": "too many agents alert at once; one action for all of them is asked for",
        "breaker": "two actions were without effect, and people have to look",
        "twin_open": "the same action is under way already",
        "over": "the alert was over",
        "alert_over": "the alert was over",
        "acted_on": "something else was done about it",
        "silenced": "the alert is silenced",
        "inhibited": "another alert keeps it quiet",
        "maintenance": "the agent is in maintenance",
        "flapping": "the alert comes and goes",
        "ineffective": "the action was carried out, and the float is as low as before",
        "ended": "the action came to nothing",
    }
)


@click.command("float-low")
@click.option(
    "--approve",
    is_flag=True,
    help="Let two people of the demo's finance approve, and a third carry it out.",
)
@click.option(
    "--minutes",
    type=click.IntRange(1, 240),
    default=15,
    show_default=True,
    help="How long to wait for it all.",
)
def float_low(*, approve: bool, minutes: int) -> None:
    """
    Drain an agent's float, and print the timeline until it is full again and verified.

    Needs `molam up`. Without --approve it waits for people in the console.
    """
    settings = running(read_settings())
    if settings.is_production:
        raise StartRefused("no float is drained on purpose in production")
    raise SystemExit(asyncio.run(_drill(settings, approve=approve, wait_s=minutes * 60)))


async def _drill(settings: Settings, *, approve: bool, wait_s: float) -> int:
    stop = asyncio.Event()
    stop_on_signals(stop)
    db = await open_database(
        settings.database_dsn, ProcessRole.WORKER, application="molam drill", connections_max=2
    )
    try:
        began = SystemClock().now()
        before = await float_drill.drain(db, began)
        _say(began, began, drained(before))
        return await _watch(settings, db, began, approve=approve, wait_s=wait_s, stop=stop)
    finally:
        await db.close()


def drained(before: int) -> str:
    """Say what became of the float, which may have been low already."""
    money = Formats("en").money
    low = money(LOW_MINOR, AGENT.currency)
    if before == LOW_MINOR:
        return f"the float of {AGENT.name} is at {low} already, and is not moved"
    return f"the float of {AGENT.name} goes from {money(before, AGENT.currency)} to {low}"


async def _watch(
    settings: Settings,
    db: Database,
    began: Instant,
    *,
    approve: bool,
    wait_s: float,
    stop: asyncio.Event,
) -> int:
    """Print each step as it happens; 0 once the alert is remediated."""
    said: set[str] = set()
    waited_s = 0.0
    since = began
    while not stop.is_set() and waited_s < wait_s:
        now = await float_drill.look(db, since=since)
        if now is None and waited_s > _OPENS_WITHIN_S:
            raise StartRefused("no alert opened: start `molam up`, or molam worker")
        if now is not None:
            since = now.opened_at  # It is the one we watch, even once it is over.
            for name, at, text in _steps(settings, now):
                if at is not None and name not in said:
                    said.add(name)
                    _say(began, max(at, began), text)
            if now.settled == "verified" and now.status == "auto_remediated":
                return await _sum_up(settings, now)
            if _has_failed(now):
                click.echo(
                    f"nothing more happens by itself: {held_back(now.skipped or now.settled or '')}"
                )
                return 1
            if approve and now.action_id is not None:
                await _go_on(settings, now.action_id, now.action_state or "")
        await asyncio.sleep(_LOOK_S)
        waited_s += _LOOK_S
    click.echo("stopped watching; the action waits in the console")
    return 130


def _has_failed(now: FloatTimelineRow) -> bool:
    return now.settled in {"ineffective", "ended"} or (
        now.action_id is None and now.skipped is not None
    )


def held_back(code: str) -> str:
    """Say in words why nothing more happens; what went wrong is a sentence already."""
    if code.startswith("action_"):
        return f"the action was not carried out: it is {code.removeprefix('action_')}"
    return _WHY.get(code, code)


def _steps(settings: Settings, now: FloatTimelineRow) -> Sequence[tuple[str, datetime | None, str]]:
    sure = "" if now.confidence is None else f", {now.confidence:.0%} sure"
    where = f"{settings.ops_url}/ops/actions/{now.action_id}"
    alert = f"{settings.ops_url}/alerts/{now.alert_id}"
    money = Formats("en").money(now.balance, AGENT.currency)
    first = now.voted_at if now.votes else None
    done = now.executed_at
    verified = now.settled_at if now.settled == "verified" else None
    return (
        (
            "opened",
            now.opened_at,
            f"a {now.severity} alert: {alert}",
        ),
        ("suggested", now.suggested_at, f"SIRA recommends to fill it{sure}"),
        ("asked", now.asked_at, f"an action waits for two of finance: {where}"),
        (f"voted-{now.votes}", first, f"{now.votes} of 2 votes"),
        ("approved", now.decided_at, "it is approved"),
        ("executed", done, f"it is carried out: the float is {money}"),
        ("verified", verified, "the float was measured again: the alert is remediated"),
    )


def _say(began: Instant, at: datetime, text: str) -> None:
    click.echo(f"{(at - began).total_seconds():8.1f} s  {text}")


async def _go_on(settings: Settings, action_id: UUID, state: str) -> None:
    """Vote and carry out as people of the demo would, through the API."""
    if state in _OPEN:
        for person in _APPROVERS:
            await _post(settings, person, action_id, "vote", body={"vote": "approve"})
    elif state == "approved":
        await _post(settings, _EXECUTOR, action_id, "execute")


async def _post(
    settings: Settings,
    person: str,
    action_id: UUID,
    what: str,
    *,
    body: dict[str, str] | None = None,
) -> None:
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        answer = await client.post(
            f"{settings.ops_url}/api/ops/actions/{action_id}/{what}",
            json=body,
            headers=await _bearer(settings, person),
        )
    if answer.is_error:
        click.echo(f"{person} could not {what}: {answer.text[:200]}", err=True)


async def _sum_up(settings: Settings, now: FloatTimelineRow) -> int:
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        answer = await client.get(
            f"{settings.ops_url}/api/ops/actions/{now.action_id}/audit",
            headers=await _bearer(settings, _EXECUTOR),
        )
        answer.raise_for_status()
    trail = [each["action"] for each in answer.json()["audit"]]
    click.echo(f"the audit trail: {', '.join(trail)}")
    return 0


async def _bearer(settings: Settings, person: str) -> dict[str, str]:
    token = await mint_development_token(
        settings, roles=(), merchant_id=None, subject=person, aal2=True
    )
    return {"Authorization": f"Bearer {token}"}
