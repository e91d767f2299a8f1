"""Every field of alerts, their remedies, what is measured and the dashboard, with what nobody should send."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import pytest
import test_hostile_fields as fields
from callers import ISSUER, bearer, in_process
from test_hostile_money import IDS

import builders
from alerting import one
from databases import fresh_database
from molam.entrypoints.wiring_ops import ops_app
from molam.platform.auth import AAL2
from molam.platform.db import Database, ProcessRole, open_database
from molam.platform.settings import Secret, Settings
from molam.platform.web import Operation
from molam.simulator.issuer_keys import IssuerKeys
from molam.simulator.seed import seed_demo

OURS = re.compile("/api/(alerts|remediation-policies|ops/metrics|dashboard)")
ROLES = ["ops_admin", "finance_ops", "pay_admin"]
JSON = {"Content-Type": "application/json"}
EVENTS, RULES = "/api/ops/metrics/events", "/api/alerts/rules"
NOW = datetime.now(UTC).isoformat()
EVENT: dict[str, Any] = {
    "metric": "float_available",
    "value": 1_000_000,
    "tenant_type": "agent",
    "tenant_id": "agent-123",
    "timestamp": NOW,
}
RULE: dict[str, Any] = {
    "alert_type": "float_low",
    "metric": "float_available",
    "tenant_type": "agent",
    "currency": "XOF",
}
GOOD = {
    **EVENT,
    **RULE,
    "source": {"alert_type": "fraud_score_high"},
    "target": {"alert_type": "refund_spike"},
    "matcher": {"severity": "warning"},
    "ends_at": NOW,
    "enabled": False,
    "vote": "approve",
}
NO_NUMBERS = (
    "1e999", "-1e999", "1e400", "NaN", "Infinity", "-Infinity", "1" + "0" * 40, "-1" + "0" * 40,
    "1" + "0" * 5000, "1e999999999", "-1e-999999999999999999999", "9223372036854775808", '"5"', "true", "[1]", "0x10", "1_000", "+1", "٣",
)  # fmt: skip


class Site:
    """The operations app over the demo, with an alert, and somebody who may do everything."""

    def __init__(self, client: httpx2.AsyncClient, db: Database, keys: IssuerKeys, app: Any):
        self.client = client
        self.db = db
        self.objects: dict[str, str] = {}
        said = {"sub": "everybody", "roles": ROLES, "merchant_id": None, "acr": AAL2}
        self.headers = bearer(keys, **said)
        self.operations: list[Operation] = [
            each for each in app.state.operations if OURS.match(each.path) and not each.page
        ]

    def path(self, operation: Operation, id_: str | None = None) -> str:
        return re.sub(
            r"\{(\w+)\}", lambda found: id_ or self.objects.get(found[1], "x"), operation.template
        )

    async def send(self, method: str, path: str, body: bytes) -> httpx2.Response:
        head = self.headers | JSON
        return await self.client.request(method, path, content=body, headers=head)


@pytest.fixture(scope="module")
async def site(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Site]:
    async with fresh_database(postgres, _admin) as dsn:
        settings = Settings(
            database_url=Secret(dsn),
            molam_home=issuer_home,
            jwt_issuer=ISSUER,
            jwt_public_key_url=jwks_url,
            molam_db_connections_max=4,
        )
        db = await open_database(settings.database_dsn, ProcessRole.OWNER, application="tests")
        worker = await open_database(settings.database_dsn, ProcessRole.WORKER, application="tests")
        try:
            await seed_demo(db, datetime.now(UTC))
            await builders.a_person(db, id_="everybody", roles=ROLES, merchant_id=None)
            async with db.transaction("tests.limits") as tx:
                await tx.connection.execute(
                    "insert into platform.rate_limits (name, per_hour, changed_by) select name, 1000000,"
                    " 'tests' from unnest(array['ops.create', 'ops.vote', 'ops.execute', 'ops.read']) name"
                )
            app = ops_app(settings)
            async with (
                app.router.lifespan_context(app),
                in_process(app, "http://localhost:3136") as client,
            ):
                site = Site(client, db, keys, app)
                alert = await one(worker)
                widgets = (await client.get("/api/dashboard/widgets", headers=site.headers)).json()
                site.objects = {
                    "alert_id": str(alert.id),
                    "alertId": str(alert.id),
                    "alertType": "float_low",
                    "inhibition_id": "critical-quiets-warning",
                    "metric": "gmv",
                    "widget_id": widgets["widgets"][0]["id"],
                }
                yield site
        finally:
            await worker.close()
            await db.close()


@pytest.fixture
def target(site: Site) -> fields.Target:
    return fields.Target(
        site.client, site.operations, site.headers, None, (site.headers["Authorization"],)
    )


def bodies(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, bytes]]:
    body = fields.structs(operation)
    if body is not None:
        monkeypatch.setattr(fields, "GOOD", GOOD)
        yield from fields.bodies(body)


async def test_no_field_of_any_body_is_taken_on_trust(
    site: Site, target: fields.Target, monkeypatch: pytest.MonkeyPatch
):
    failed, asked, beyond = [], 0, set()
    for operation in site.operations:
        for what, content in bodies(operation, monkeypatch):
            answer = await site.send(operation.method, site.path(operation), content)
            asked += 1
            if wrong := fields.wrong_with(target, answer):
                failed.append((operation.method, operation.path, what, wrong))
            if answer.status_code not in {400, 413}:
                beyond.add(operation.path)

    assert failed == []
    assert asked > 1000, asked
    assert len(beyond) >= 12, beyond


async def test_no_part_of_any_query_and_no_id_is_taken_on_trust(site: Site, target: fields.Target):
    failed, asked = [], 0
    for operation in site.operations:
        paths = [
            site.path(operation, quote(id_, safe="%")) for id_ in IDS[::5] if "{" in operation.path
        ]
        if operation.query is not None and operation.method == "GET":
            paths += [
                f"{site.path(operation)}?{name}={value if '%' in value else quote(value)}"
                for name in operation.query.__struct_encode_fields__
                for value in (*fields.QUERIES[::2], "NaN", "9" * 40)
            ]
        for path in paths:
            answer = await site.send(operation.method, path, b"{}" if operation.body else b"")
            asked += 1
            if wrong := fields.wrong_with(target, answer):
                failed.append((operation.method, path[:90], wrong))

    assert failed == []
    assert asked > 300, asked


LOOSEN = {"origin": "ops_ui", "action_type": "UPDATE_RISK_THRESHOLD"}
NUMBERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "value": ("POST", EVENTS, EVENT),
    "threshold": ("POST", EVENTS, EVENT),
    "deep": ("POST", EVENTS, {**EVENT, "context": {"a": [{"b": "deep"}]}}),
    "fire_at": ("PUT", RULES, RULE),
    "clear_at": ("PUT", RULES, RULE),
    "critical_at": ("PUT", RULES, RULE),
    "for_s": ("PUT", RULES, RULE),
    "no_data_s": ("PUT", RULES, RULE),
    "auto_threshold": ("PUT", "/api/remediation-policies/float_low", {}),
    "share_of_targets": ("PUT", "/api/remediation-policies/float_low", {}),
    "cooldown_seconds": ("PUT", "/api/remediation-policies/float_low", {}),
    "params.threshold": ("POST", "/api/ops/actions", LOOSEN),
    "params.clear_at": ("POST", "/api/dashboard/ops/actions", LOOSEN),
    "minutes": ("POST", "/api/alerts/{alert_id}/silence", {"reason": "A test."}),
}
AS_SENT = {"deep": {'"5"', "true", "[1]"}, "params.threshold": {'"5"'}, "params.clear_at": {'"5"'}}
"""Where these are something that may be said."""


@pytest.mark.parametrize("name", NUMBERS)
async def test_what_is_no_number_is_refused_and_nothing_is_stored(site: Site, name: str):
    method, path, body = NUMBERS[name]
    path = path.format(**site.objects)
    text = json.dumps({**body, name: "@"})
    if name == "deep":
        text = json.dumps(body).replace('"deep"', '"@"')
    if name.startswith("params."):
        level = {"threshold": 900_000, name.removeprefix("params."): "@"}
        text = json.dumps({**body, "params": {**RULE, **level}})
    taken = []
    before = await _stored(site)
    for number in NO_NUMBERS:
        if number in AS_SENT.get(name, ()):
            continue
        answer = await site.send(method, path, text.replace('"@"', number).encode())
        if answer.status_code not in {400, 422} or "code" not in answer.json():
            taken.append((number[:30], answer.status_code, answer.text[:80]))

    assert taken == []
    assert await _stored(site) == before


UNKNOWN = {"currency": "ZZZ"}
"""Well-formed, and none of ours."""
SILENCE = {"reason": "A test.", "ends_at": NOW}
CURRENCIES: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", RULES, {**RULE, **UNKNOWN}),
    ("POST", EVENTS, {**EVENT, **UNKNOWN}),
    ("POST", EVENTS, {"events": [EVENT, {**EVENT, **UNKNOWN}]}),
    ("POST", "/api/alerts/silences", {**SILENCE, "matcher": UNKNOWN}),
    ("POST", "/api/alerts/silences/preview", {"matcher": UNKNOWN}),
    ("PUT", "/api/alerts/inhibitions/x", {"source": UNKNOWN, "target": {"severity": "warning"}}),
    ("PUT", "/api/alerts/inhibitions/x", {"source": {"severity": "warning"}, "target": UNKNOWN}),
    ("POST", "/api/ops/actions", {**LOOSEN, "params": {**RULE, **UNKNOWN, "threshold": 900_000}}),
]


async def test_a_currency_that_is_none_of_ours_is_refused_wherever_one_may_be_said(site: Site):
    before = await _stored(site)
    for method, path, body in CURRENCIES:
        answer = await site.send(method, path, json.dumps(body).encode())
        said = answer.json()
        assert answer.status_code in {400, 422}, (path, answer.text)
        assert "unknown-currency" in {said["code"], said.get("cause")}, (path, said)
    asked = [each for each in site.operations if each.query and each.method == "GET"]
    asked = [each for each in asked if "currency" in each.query.__struct_encode_fields__]
    for operation in asked:
        of = "&tenantType=platform" if "dashboard" in operation.path else ""
        answer = await site.send("GET", f"{site.path(operation)}?currency=ZZZ{of}", b"")
        assert answer.status_code < 500, (operation.path, answer.text)

    assert len(asked) >= 4
    assert {each.path for each in site.operations if _says_currency(each)} <= {
        each[1].replace("inhibitions/x", "inhibitions/{inhibition_id}") for each in CURRENCIES
    }
    assert await _stored(site) == before


def _says_currency(operation: Operation) -> bool:
    body = fields.structs(operation)
    return body is not None and '"currency"' in json.dumps(msgspec.json.schema(body.cls))


async def test_zero_has_one_writing_and_what_is_whole_is_whole(site: Site):
    before = await _stored(site)
    for number in ("-0", "-0.0", "0e5", "0.000"):
        text = json.dumps(EVENT).replace("1000000", number)
        assert (await site.send("POST", EVENTS, text.encode())).status_code == 202
    for number in ("0.5", "1e-1", "100000.000001", "1.5e0"):
        text = json.dumps(EVENT).replace("1000000", number)
        assert (await site.send("POST", EVENTS, text.encode())).json()["code"] == "metric-malformed"

    after = await _stored(site)
    assert after[: len(before)] == before
    assert {value for value, _ in after[len(before) :]} == {"0"}


async def test_a_level_that_is_typed_is_bounded_before_it_is_counted_out(site: Site):
    for typed in ("1e999999999", "-1e999999999", "NaN", "Infinity", "9" * 40, "x", "1e-400000"):
        for rule in ("dlq_growth", "refund_spike", "float_low"):
            form = {"id": rule, "fire_at": typed}
            answer = await site.client.post("/alerts/rules/edit", data=form, headers=site.headers)
            assert answer.status_code in {400, 422}, (typed, rule, answer.status_code)


async def _stored(site: Site) -> list[tuple[str, str]]:
    async with site.db.transaction("tests.stored") as tx:
        rows = await tx.connection.fetch(
            "select payload -> 'data' ->> 'value', payload::text from platform.events"
            " where topic = 'metric_events' order by id"
        )
        rules = await tx.connection.fetch(
            "select id, version::text from alerts.metric_rules order by 1"
        )
    return [tuple(row) for row in (*rules, *rows)]
