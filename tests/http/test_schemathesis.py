"""Requests made up from the OpenAPI document: no server error, and no answer it does not describe."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from callers import bearer, served
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from mesh_site import PEERS, furnished
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from builders import OPERATIONS, a_merchant, a_transaction, an_agent, an_alert, operations
from molam.entrypoints.wiring import merchant_app
from molam.entrypoints.wiring_mesh import mesh_app
from molam.entrypoints.wiring_ops import ops_app
from molam.entrypoints.wiring_sira import sira_app
from molam.platform.auth import AAL2
from molam.platform.db import Database
from molam.platform.settings import Settings
from molam.simulator.issuer_keys import IssuerKeys

# Whoever is let in nowhere is refused before a request is read.
EXAMPLES = {"merchant_admin": 15, "service": 6, None: 2}
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
# A stream never ends; test_live_streams.py reads those.
NEVER_ENDING = frozenset({"/api/merchant/stream"})
OF_ALERTS = re.compile("/api/(alerts|remediation-policies|ops/metrics|dashboard)")
# These work for seconds whatever they are asked; test_hostile_mesh.py asks them wrongly.
SLOW = frozenset({"/api/mesh/liquidity/forecasts/generate", "/api/mesh/liquidity/plans"})


@pytest.fixture
async def _objects(db: Database) -> None:
    await a_merchant(db)
    await a_transaction(db)
    await an_alert(db)


@pytest.mark.usefixtures("_objects")
@pytest.mark.parametrize("role", ["merchant_admin", "service", None])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_made_up_requests_meet_no_server_error(
    settings: Settings, keys: IssuerKeys, role: str | None
):
    headers = {} if role is None else bearer(keys, sub=f"made-up {role}", roles=[role])

    effort = settings_for(EXAMPLES[role])
    asked = _try_all(merchant_app(settings), headers, effort)

    assert len(asked) >= 6


@pytest.fixture
async def _operations(db: Database) -> None:
    await operations(db)
    await a_merchant(db)
    await an_agent(db, balance=500_000)
    async with db.transaction("tests.limits") as tx:
        await tx.connection.execute(
            "insert into platform.rate_limits (name, per_hour, changed_by) select name, 1000000, 'tests'"
            " from unnest(array['ops.create', 'ops.vote', 'ops.execute', 'ops.read']) as name"
        )


@pytest.mark.usefixtures("_operations")
@pytest.mark.parametrize("who", ["ops-admin-1", "super-admin-1"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_made_up_requests_to_operations_meet_no_server_error(
    settings: Settings, keys: IssuerKeys, who: str
):
    headers = bearer(keys, sub=who, roles=list(OPERATIONS[who]), acr=AAL2, merchant_id=None)

    asked = _try_all(ops_app(settings), headers, settings_for(3))

    assert len(asked) >= 30
    assert len([each for each in asked if OF_ALERTS.match(each)]) >= 35


@pytest.fixture
async def _mesh(db: Database) -> None:
    await furnished(db)


@pytest.mark.usefixtures("_mesh")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_made_up_requests_to_the_mesh_meet_no_server_error(settings: Settings, keys: IssuerKeys):
    headers = bearer(keys, sub="treasury_ops", roles=["treasury_ops"], acr=AAL2, merchant_id=None)

    asked = _try_all(mesh_app(replace(settings, mesh_peers=PEERS)), headers, settings_for(5))

    assert len(asked) >= 45


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_made_up_requests_to_sira_meet_no_server_error(settings: Settings, keys: IssuerKeys):
    headers = bearer(keys, sub="service:mesh", roles=["service"], merchant_id=None)

    asked = _try_all(sira_app(settings), headers, settings_for(30))

    assert {"/api/score", "/api/predict/health"} <= set(asked)


def settings_for(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def _try_all(app: FastAPI, headers: dict[str, str], effort: Any) -> list[str]:
    asked: list[str] = []
    failed: list[str] = []
    with served(app) as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path in NEVER_ENDING | SLOW:
                continue
            try:
                _try(operation, url, headers, effort)
            except (FailureGroup, Failure) as failure:
                failed.append(f"{operation.label}: {failure} {getattr(failure, 'exceptions', '')}")
            asked.append(operation.path)
    assert not failed, "\n\n".join(failed)
    return asked


def _try(
    operation: schemathesis.APIOperation, url: str, headers: dict[str, str], effort: Any
) -> None:
    @effort
    @given(case=operation.as_strategy())
    def call(case: schemathesis.Case) -> None:
        answer = case.call(base_url=url, headers=headers, timeout=10)
        case.validate_response(answer, checks=CHECKS)

    call()
