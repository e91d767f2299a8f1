"""A database that cannot be had is an outage, whatever the reason; nobody meets the driver's error."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from molam.kernel.refusals import Outage
from molam.platform.db import ProcessRole, migrations, open_database
from molam.platform.web.health import migrations_applied

FOLDER = Path(__file__).parents[2] / "migrations"


@pytest.fixture(params=["no such database", "no such person", "nobody listens", "odd option"])
def unreachable(shared_dsn: str, request: pytest.FixtureRequest) -> str:
    parts = urlsplit(shared_dsn)
    match request.param:
        case "no such database":
            return parts._replace(path="/nowhere").geturl()
        case "no such person":
            at = parts.netloc.rpartition("@")[2]
            return parts._replace(netloc=f"nobody:wrong@{at}").geturl()
        case "nobody listens":
            return "postgresql://molam:wrong@127.0.0.1:1/molam"
        case _:
            return f"{parts._replace(query='').geturl()}?sslmode=banana"


async def test_opening_it_is_an_outage(unreachable: str):
    with pytest.raises(Outage):
        await open_database(unreachable, ProcessRole.OWNER, application="tests")


async def test_migrating_it_is_an_outage(unreachable: str):
    with pytest.raises(Outage):
        await migrations.migrate(unreachable, FOLDER)
    with pytest.raises(Outage):
        await migrations.pending(unreachable, FOLDER)


async def test_readiness_meets_an_outage(unreachable: str):
    check = migrations_applied(unreachable, FOLDER)

    with pytest.raises(Outage):
        await check()
