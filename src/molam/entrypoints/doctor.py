"""``molam doctor``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from http import HTTPStatus
from typing import Any

import asyncpg
import click
import confluent_kafka
import httpx2

from molam.entrypoints.keys import sira_api_key, sira_signing_key
from molam.entrypoints.local import migrations_folder, read_settings
from molam.kernel.clock import SystemClock
from molam.kernel.refusals import Outage
from molam.platform.binaries import EmbeddedRefused, find_binaries
from molam.platform.db import ProcessRole, migrations, open_database
from molam.platform.embedded import running_dsn
from molam.platform.events import Kafka
from molam.platform.events.overview import list_standings
from molam.platform.files import check_store, open_store
from molam.platform.settings import Secret, Settings, SettingsRefused
from molam.sira import health_client, recommending_client
from molam.sira.health_client import RemoteSira
from molam.sira.health_messages import HealthRequest
from molam.sira.recommending import Situation
from molam.sira.recommending_messages import RecommendRequest
from molam.sira.signing import AdviceRefused

_POSTGRES_MIN = 150_000
_BEHIND_WARN_S = 60.0
_TIMEOUT_S = 5.0


class Level(Enum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do if it is not well."""

    subject: str
    level: Level
    said: str
    advice: str = ""


Check = Callable[[Settings], AsyncIterator[Finding]]


@click.command("doctor")
def command() -> None:
    """Check database, migrations, broker, storage and keys, and say what to do. Changes nothing."""
    findings = asyncio.run(examine(read_settings()))
    for finding in findings:
        click.echo(f"{finding.level.value:<5} {finding.subject:<12} {finding.said}")
        if finding.advice:
            click.echo(f"{'':<5} {'':<12} -> {finding.advice}")
    if any(finding.level is Level.FAIL for finding in findings):
        sys.exit(1)


async def examine(given: Settings) -> list[Finding]:
    """Look at every dependency; a check that needs the database is left out without one."""
    findings = [_settings(given)]
    settings, found = _locate(given)
    findings += found
    checks: list[Check] = [_broker, _storage, _keys, _sira]
    if settings.database_url:
        checks = [_database, _migrations, _events, *checks]
    for check in checks:
        findings += [finding async for finding in check(settings)]
    return findings


def _settings(given: Settings) -> Finding:
    home = given.molam_home.absolute()
    said = f"{given.molam_env}, MOLAM_HOME {home}"
    if given.database_url and given.s3_bucket:
        return Finding("settings", Level.OK, said)
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(place, os.W_OK):
        return Finding("settings", Level.FAIL, said, f"{place} is not writable: set MOLAM_HOME")
    return Finding("settings", Level.OK, said)


def _locate(given: Settings) -> tuple[Settings, list[Finding]]:
    """Fill in the embedded database's URL if it runs."""
    if given.database_url:
        return given, []
    dsn = running_dsn(given.molam_home)
    if dsn is not None:
        return replace(given, database_url=Secret(dsn)), []
    version = given.molam_home / "postgres" / "data" / "PG_VERSION"
    try:
        binaries = find_binaries(version.read_text().strip() if version.exists() else None)
    except (EmbeddedRefused, OSError) as error:
        return given, [Finding("database", Level.FAIL, str(error))]
    said = f"the embedded PostgreSQL {binaries.major} is not running"
    return given, [Finding("database", Level.WARN, said, "molam up, or set DATABASE_URL")]


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    try:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            settings.database_dsn, timeout=_TIMEOUT_S
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        yield Finding("database", Level.FAIL, _one_line(error), "check DATABASE_URL and the server")
        return
    try:
        number = int(await connection.fetchval("show server_version_num"))
        name = await connection.fetchval("show server_version")
    finally:
        await connection.close()
    if number < _POSTGRES_MIN:
        yield Finding("database", Level.FAIL, f"PostgreSQL {name}", "15 or newer is needed")
    else:
        yield Finding("database", Level.OK, f"PostgreSQL {name}")
    if not settings.molam_refresh_database_url and settings.is_production:
        yield Finding(
            "database",
            Level.WARN,
            "no log-in for molam_refresh: refreshes of the view delay events",
            "set MOLAM_REFRESH_DATABASE_URL",
        )


async def _migrations(settings: Settings) -> AsyncIterator[Finding]:
    try:
        missing = await migrations.pending(settings.database_dsn, migrations_folder())
    except migrations.MigrationRefused as error:
        yield Finding("migrations", Level.FAIL, str(error))
    except (Outage, asyncpg.PostgresError):
        return  # The database check has said so.
    else:
        if missing:
            yield Finding("migrations", Level.FAIL, f"{len(missing)} missing", "molam migrate")
        else:
            yield Finding("migrations", Level.OK, "up to date")


async def _events(settings: Settings) -> AsyncIterator[Finding]:
    try:
        db = await open_database(
            settings.database_dsn,
            ProcessRole.OWNER,
            application="molam doctor",
            connections_max=1,
        )
    except (Outage, asyncpg.PostgresError):
        return
    try:
        standings = await list_standings(db)
    except asyncpg.UndefinedTableError:
        return  # Not migrated, which has been said.
    finally:
        await db.close()
    if not standings:
        yield Finding("events", Level.WARN, "no consumer has run yet", "molam worker")
    for standing in standings:
        late = standing.behind_s > _BEHIND_WARN_S
        said = f"{standing.group}: {standing.behind} behind"
        said += f", the oldest by {standing.behind_s:.0f} s" if late else ""
        advice = "is its worker running? molam worker" if late else ""
        yield Finding("events", Level.WARN if late else Level.OK, said, advice)
        if standing.dead_letters:
            yield Finding(
                "events",
                Level.WARN,
                f"{standing.group}: {standing.dead_letters} dead letters",
                "select reason, payload from dead_letters where requeued_at is null",
            )


async def _broker(settings: Settings) -> AsyncIterator[Finding]:
    kafka = Kafka.of(settings)
    if kafka is None:
        yield Finding("broker", Level.OK, "none set: the events table carries events alone")
        return
    try:
        client = kafka.consumer("molam-doctor")
        try:
            brokers = client.list_topics(timeout=_TIMEOUT_S).brokers
        finally:
            client.close()
    except (Outage, confluent_kafka.KafkaException) as error:
        yield Finding("broker", Level.FAIL, _one_line(error), "check KAFKA_BROKERS")
    else:
        yield Finding("broker", Level.OK, f"Kafka, {len(brokers)} brokers")


async def _storage(settings: Settings) -> AsyncIterator[Finding]:
    where = f"bucket {settings.s3_bucket}" if settings.s3_bucket else "a folder of MOLAM_HOME"
    advice = "check S3_BUCKET, S3_REGION and AWS_*" if settings.s3_bucket else "check MOLAM_HOME"
    try:
        await check_store(open_store(settings))
    except (Outage, OSError) as error:
        yield Finding("storage", Level.FAIL, _one_line(error), advice)
    else:
        yield Finding("storage", Level.OK, where)


async def _keys(settings: Settings) -> AsyncIterator[Finding]:
    url = settings.jwks_url
    down = Level.FAIL if settings.is_production else Level.WARN
    advice = (
        "check JWT_PUBLIC_KEY_URL" if settings.jwt_public_key_url else "molam up starts the issuer"
    )
    try:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S) as client:
            answer = await client.get(url)
        keys = answer.json()["keys"] if answer.status_code == HTTPStatus.OK else []
    except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
        yield Finding("keys", down, f"{url}: {_one_line(error)}", advice)
        return
    if keys:
        yield Finding("keys", Level.OK, f"{len(keys)} at {url}")
    else:
        yield Finding("keys", down, f"{url} answers {answer.status_code} and no keys", advice)


async def _sira(settings: Settings) -> AsyncIterator[Finding]:
    yield await _heard(settings.sira_api_url, "predictions", settings, _predicts)
    yield await _heard(settings.sira_url, "scores and recommendations", settings, _recommends)


async def _heard(
    url: str, what: str, settings: Settings, ask: Callable[[Settings], Awaitable[str]]
) -> Finding:
    if not url:
        return Finding("sira", Level.OK, f"none set: {what} are made in each process")
    advice = "is it running, with our SIRA_SIGNING_KEY and SIRA_API_KEY? molam serve sira"
    try:
        said = await ask(settings)
    except SettingsRefused as refused:
        return Finding("sira", Level.FAIL, _one_line(refused))
    except (Outage, AdviceRefused) as error:
        return Finding("sira", Level.WARN, f"{url}, {what}: {_one_line(error)}", advice)
    return Finding("sira", Level.OK, f"{url} {said}")


async def _predicts(settings: Settings) -> str:
    asked = RemoteSira(
        url=settings.sira_api_url,
        signing_key=sira_signing_key(settings),
        clock=SystemClock(),
        api_key=sira_api_key(settings),
        timeout_s=_TIMEOUT_S,
    )
    heard = await health_client.ask(asked, HealthRequest(bank_profile_id="molam-doctor"))
    return f"predicts ({heard.forecast.served_by}, {heard.forecast.model_version})"


async def _recommends(settings: Settings) -> str:
    """Ask about an alert that no rule of SIRA's speaks of; scores come from there as well."""
    nothing = Situation(
        alert_id="molam-doctor",
        alert_type="molam-doctor",
        severity="info",
        tenant_type="platform",
        metric="molam-doctor",
        value=Decimal(0),
        fire_at=Decimal(0),
        clear_at=Decimal(0),
    )
    asked = RecommendRequest(nothing)
    said = await recommending_client.there(
        settings.sira_url.rstrip("/"),
        asked,
        api_key=sira_api_key(settings),
        timeout_s=_TIMEOUT_S,
    )
    made = recommending_client.believed(
        asked, said, key=sira_signing_key(settings), clock=SystemClock()
    )
    return f"recommends ({made.explanation.model})"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
