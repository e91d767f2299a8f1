"""Every field of every body and query of the mesh and of SIRA, with what nobody should send there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from callers import bearer, in_process
from mesh_site import PEER_KEY, Site, opened
from msgspec import inspect
from test_hostile_mesh import SLOW

from mesh_room import BETTER, FAILING, REGION
from molam.entrypoints.keys import sira_api_key, sira_signing_key
from molam.entrypoints.wiring_sira import sira_app
from molam.platform.settings import Secret, Settings
from molam.platform.web import Operation
from molam.simulator.issuer_keys import IssuerKeys

PROBLEMS = Path(__file__).parents[2] / "docs" / "problems"
JSON = {"Content-Type": "application/json"}
SIRA_KEY = "a-key-of-sira-that-nobody-is-told"
MEGABYTE = '"' + "x" * (1 << 20) + '"'
HOSTILE = (
    "null", "true", "-1", "1.5", "1e400", "9223372036854775808", "1" + "0" * 400,
    '""', '"\\u0000"', '"\\ud800"', '"a\\n\\u202eb"', "\"' or 1=1 --\"", '"../../etc/passwd"',
    '"9999-12-31T23:59:59-14:00"', '"NaN"', "[]", "{}", '[null, "x", 1e400]',
    '{"a": {"b": [1e400]}}', '"' + "9" * 400 + '"',
)  # fmt: skip
"""Each in place of each field."""
QUERIES = (
    "", "%00", "%ED%A0%80", "%FF%FE", "x" * 5000, "-1", "1e400", "9223372036854775808", "null",
    "' or 1=1 --", "a%0D%0AX-Injected: 1", "%F0%9F%92%A3",
)  # fmt: skip
GOOD: dict[str, Any] = {
    "mesh_region_id": REGION,
    "to_region_id": "region_eu",
    "bank_profile_id": FAILING,
    "participant_bank_profiles": [FAILING, BETTER],
    "currency": "XOF",
    "rail": "bank",
    "scope": "region:US",
    "path": ["CEDEAO", "US"],
    "reason": "A test.",
    "rules": {"value_cap_pct": 10},
    "action": "check",
    "module": "connect",
    "capabilities": {"supported_currencies": ["XOF"]},
    "historical_data": [{"at": datetime.now(UTC).timestamp(), "kind": "payout", "outcome": "ok"}],
}


@dataclass
class Target:
    """An app with its routes, who may use all of them, and what it must keep to itself."""

    client: httpx2.AsyncClient
    operations: Sequence[Operation]
    headers: dict[str, str]
    site: Site | None
    secrets: tuple[str, ...]

    def path(self, operation: Operation) -> str:
        return operation.template if self.site is None else self.site.path(operation)


@pytest.fixture(scope="module")
async def site(
    postgres: Any, _admin: Any, keys: IssuerKeys, jwks_url: str, issuer_home: Path
) -> AsyncIterator[Site]:
    async with opened(
        postgres, _admin, keys, jwks_url, issuer_home, sira_api_key=Secret(SIRA_KEY)
    ) as site:
        yield site


@pytest.fixture(params=["mesh", "sira"])
async def target(
    request: pytest.FixtureRequest, site: Site, keys: IssuerKeys, issuer_home: Path
) -> AsyncIterator[Target]:
    settings = Settings(
        database_url=site.database_url, molam_home=issuer_home, sira_api_key=Secret(SIRA_KEY)
    )
    hidden = (
        *(PEER_KEY, SIRA_KEY, sira_signing_key(settings).reveal()),
        *(site.database_url.reveal(), sira_api_key(settings).reveal()),
    )
    if request.param == "mesh":
        head = site.headers()
        yield Target(site.client, site.of_the_api, head, site, (*hidden, head["Authorization"][7:]))
        return
    app = sira_app(settings)
    head = {"X-API-Key": SIRA_KEY}
    async with app.router.lifespan_context(app), in_process(app, "http://localhost:8000") as client:
        api = [each for each in app.state.operations if each.path.startswith("/api/")]
        yield Target(client, api, head, None, hidden)


def structs(operation: Operation) -> inspect.StructType | None:
    if operation.body is None or operation.form or operation.path in SLOW:
        return None
    found = inspect.type_info(operation.body)
    return found if isinstance(found, inspect.StructType) else None


def a_good(field: inspect.Field) -> Any:
    if field.encode_name in GOOD:
        return GOOD[field.encode_name]
    return a_value(field.type)


def a_value(type_: inspect.Type) -> Any:
    """Something of a type, as small as it may be."""
    if isinstance(type_, inspect.Metadata):
        return a_value(type_.type)
    if isinstance(type_, inspect.UnionType):
        return a_value(type_.types[0])
    if isinstance(type_, inspect.StructType):
        return {each.encode_name: a_good(each) for each in type_.fields if each.required}
    if isinstance(type_, inspect.LiteralType):
        return type_.values[0]
    return SMALL.get(type(type_), lambda _: [])(type_)


SMALL: dict[type[inspect.Type], Callable[[Any], Any]] = {
    inspect.StrType: lambda type_: "x" * (type_.min_length or 1),
    inspect.IntType: lambda type_: max(type_.ge or 0, 1),
    inspect.FloatType: lambda _: 0.5,
    inspect.BoolType: lambda _: True,
    inspect.DateTimeType: lambda _: datetime.now(UTC).isoformat(),
    inspect.DictType: lambda _: {},
    inspect.AnyType: lambda _: {},
    inspect.NoneType: lambda _: None,
}


def good_of(body: inspect.StructType) -> dict[str, Any]:
    return {
        each.encode_name: a_good(each)
        for each in body.fields
        if each.required or each.encode_name in GOOD
    }


def bodies(body: inspect.StructType) -> Iterator[tuple[str, bytes]]:
    """The body with each field in turn replaced, left out, given twice, and with one too many."""
    good = good_of(body)
    longest = "nobody_knows"
    for field in body.fields:
        name = field.encode_name
        for value in HOSTILE:
            told = json.dumps({**good, name: "@@"}).replace('"@@"', value)
            yield f"{name}={value[:30]}", told.encode()
        yield f"no {name}", json.dumps({k: v for k, v in good.items() if k != name}).encode()
        twice = json.dumps({name: good.get(name)})[1:-1]
        yield f"{name} twice", f"{{{twice}, {twice}}}".encode()
        longest = name
    told = json.dumps({**good, longest: "@@"}).replace('"@@"', MEGABYTE)
    yield f"{longest} of a megabyte", told.encode()
    yield "one too many", json.dumps({**good, "nobody_knows": 1}).encode()


def wrong_with(target: Target, answer: httpx2.Response) -> str:
    """What an answer says or does that none may; empty where it is right."""
    if answer.status_code >= 500:
        return f"{answer.status_code}"
    if any(secret in answer.text for secret in target.secrets) or "Traceback" in answer.text:
        return "it tells what is to be kept"
    if any("injected" in name.lower() for name in answer.headers):
        return "a header was made up"
    if answer.status_code < 400:
        return ""
    if not answer.headers["content-type"].startswith("application/problem+json"):
        return f"{answer.status_code} without a problem"
    code = answer.json().get("code", "")
    return "" if (PROBLEMS / f"{code}.md").exists() else f"nobody describes {code!r}"


async def test_no_field_of_any_body_is_taken_on_trust(
    target: Target, capsys: pytest.CaptureFixture[str]
):
    failed, asked, beyond = [], 0, set()
    for operation in target.operations:
        body = structs(operation)
        if body is None:
            continue
        for what, content in bodies(body):
            answer = await target.client.request(
                operation.method,
                target.path(operation),
                content=content,
                headers=target.headers | JSON,
            )
            asked += 1
            wrong = wrong_with(target, answer)
            if wrong:
                failed.append((operation.method, operation.path, what, wrong))
            # Whatever came past the reading of it, so that more than that was tried.
            if answer.status_code not in {400, 413}:
                beyond.add(operation.path)
    written = "".join(capsys.readouterr())

    assert failed == []
    assert asked > (800 if target.site else 200)
    assert len(beyond) >= (15 if target.site else 2), beyond
    assert not [secret for secret in target.secrets if secret in written]


async def test_no_part_of_any_query_is_taken_on_trust(target: Target):
    failed, asked = [], 0
    for operation in target.operations:
        if operation.query is None or operation.method != "GET":
            continue
        for name in operation.query.__struct_encode_fields__:
            for value in QUERIES:
                path = f"{target.path(operation)}?{name}={value if '%' in value else quote(value)}"
                answer = await target.client.get(path, headers=target.headers)
                asked += 1
                wrong = wrong_with(target, answer)
                if wrong:
                    failed.append((path[:90], wrong))

    assert failed == []
    assert asked > 200 or target.site is None


async def test_forged_and_expired_tokens_open_no_route(site: Site, keys: IssuerKeys):
    stale = bearer(
        keys, sub="treasury_ops", roles=["treasury_ops"], merchant_id=None, exp=1_700_000_000
    )
    good = site.headers()["Authorization"]
    altered = {"Authorization": good[:-6] + "AAAAAA"}
    head, claims, _ = good[7:].split(".")
    unsigned = {"Authorization": f"Bearer {head}.{claims}."}
    opened_by = []
    for operation in site.of_the_api:
        if operation.path.endswith("federation/messages"):
            continue  # Opened by its own signature, and by no token.
        for who in (stale, altered, unsigned, {"X-API-Key": SIRA_KEY}, {}):
            answer = await site.client.request(
                operation.method, site.path(operation), headers=who | JSON, content=b"{}"
            )
            if answer.status_code != 401:
                opened_by.append((operation.path, answer.status_code))

    assert opened_by == []


async def test_the_control_an_answer_that_tells_a_secret_is_found(target: Target):
    def said(status: int, content: str, kind: str = "application/json") -> httpx2.Response:
        return httpx2.Response(status, text=content, headers={"Content-Type": kind})

    problem = "application/problem+json"
    assert wrong_with(target, said(200, f"key: {target.secrets[0]}"))
    assert wrong_with(target, said(500, "{}", problem))
    assert wrong_with(target, said(400, "{}"))
    assert wrong_with(target, said(400, '{"code": "nobody-wrote-it"}', problem))
    assert not wrong_with(target, said(400, '{"code": "body-malformed"}', problem))
