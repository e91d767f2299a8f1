"""The guides on approvals say what the code does: routes, types, rules, criteria, statuses."""

from __future__ import annotations

import re
from pathlib import Path

from babel.messages.pofile import read_po

from molam.alerts import routes as alerts
from molam.approvals import aftermath_endpoints as aftermath
from molam.approvals import (
    delegation_endpoints,
    endpoints,
    engine,
    figures_endpoints,
    freeze_endpoints,
    passkey_endpoints,
)
from molam.approvals.client import Client
from molam.approvals.lifecycle import State, status_of
from molam.approvals.policy import criteria, fields, lint, operands, quorum, rules
from molam.approvals.policy import endpoints as policy_endpoints
from molam.approvals.risk import endpoints as risk_endpoints
from molam.audit import endpoints as audit
from molam.entrypoints.registry import registry
from molam.mesh import routes as mesh
from molam.mesh.control import controller, judging
from molam.mesh.members.rules import Rules
from molam.notices import endpoints as notices
from molam.notices.model import FOR_MERCHANTS, Kind
from molam.ops.dashboard import endpoints as dashboard
from molam.ops.dashboard import recommendation_endpoints, widget_endpoints
from molam.platform.web import Routes

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
APPROVALS = (GUIDE / "approvals.md").read_text(encoding="utf-8")
TYPES = (GUIDE / "action-types.md").read_text(encoding="utf-8")
POLICIES = (GUIDE / "policies.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "tests" / "use_cases" / "test_new_action_type.py"

LINES_MAX = 60

OPERATIONS: tuple[Routes, ...] = (
    endpoints.routes,
    aftermath.routes,
    figures_endpoints.routes,
    policy_endpoints.routes,
    delegation_endpoints.routes,
    freeze_endpoints.routes,
    passkey_endpoints.routes,
    risk_endpoints.routes,
    audit.routes,
    notices.routes,
)


def _column(page: str, head: str) -> list[str]:
    """The first cells of the table whose head begins with *head*, without their code marks."""
    for block in page.split("\n\n"):
        if block.startswith(f"| {head} |"):
            return [line.split("|")[1].strip() for line in block.splitlines()[2:]]
    raise AssertionError(f"no table {head}")


def _spans(cells: list[str]) -> set[str]:
    return {span for cell in cells for span in re.findall(r"`([^`]+)`", cell)}


def test_the_example_of_an_action_type_is_the_test_and_is_short():
    source = EXAMPLE.read_text(encoding="utf-8")
    shown = next(
        block
        for block in re.findall(r"^```python\n(.*?)^```", TYPES, re.MULTILINE | re.DOTALL)
        if "ActionType(" in block
    )

    assert source.endswith(shown)
    assert len([line for line in source.splitlines() if line]) < LINES_MAX


def test_every_route_of_operations_is_in_the_guide():
    called = [
        f"{operation.method} {re.sub(r':[a-z]+}', '}', operation.path)}"
        for routes in OPERATIONS
        for operation in routes.operations
    ]

    assert called
    assert [each for each in called if f"`{each}`" not in APPROVALS] == []


def test_action_types_are_those_that_are_registered():
    assert _spans(_column(TYPES, "type")) == {each.name for each in registry()}


def test_every_function_of_the_engine_is_in_the_guide():
    named = {name for name in vars(engine.Engine) if name.startswith(("create_", "vote_", "get_"))}
    over_http = {name for name in vars(Client) if not name.startswith("_")}

    assert [name for name in named | over_http if f"`{name}`" not in APPROVALS] == []


def test_statuses_of_actions_are_those_of_the_code():
    page = (GUIDE / "statuses.md").read_text(encoding="utf-8")
    table = page.split("| state of an action |")[1].split("\n\n")[0].splitlines()[2:]
    listed = {
        cells[0]: cells[1]
        for cells in (re.findall(r"`(\w+)`", line.rsplit("|", 2)[0]) for line in table)
    }

    assert listed == {state.value: status_of(state, 0, 0) for state in State} | {
        "blocked": status_of(State.BLOCKED, 0, 1)
    }


def test_rules_of_a_policy_are_those_that_are_read():
    assert _spans(_column(POLICIES, "key")) == set(rules.rules_json(rules.DEFAULT))


def test_quorums_are_those_that_are_read():
    try:
        quorum.read_quorum({"type": ""})
    except quorum.PolicyMalformed as refused:
        known = set(refused.detail.removesuffix(".").split(" is one of ")[1].split(", "))

    assert _spans(_column(POLICIES, "`type`")) == known


def test_paths_of_criteria_are_those_of_the_code():
    listed = _spans(_column(POLICIES, "path"))

    assert listed == fields.COMMON.keys() | {fields.CONFIDENCE, "params.NAME"}


def test_operators_are_those_that_are_compiled():
    source = Path(criteria.__file__).read_text(encoding="utf-8")
    beside = set(re.findall(r'"(\$[a-z_]+)"', source))
    known = operands.OPERANDS.keys() | set(operands.LISTS) | beside

    assert _spans(_column(POLICIES, "operator")) == known


def test_codes_of_the_linter_are_those_of_the_code():
    source = Path(lint.__file__).read_text(encoding="utf-8")
    used = set(re.findall(r'(?:_warning|_error|make)\(\s*"([a-z-]+)"', source))

    assert _spans(_column(POLICIES, "code")) == used


def test_words_of_the_guide_for_operations_are_those_on_the_pages():
    with (ROOT / "src/molam/locale/fr/LC_MESSAGES/messages.po").open("rb") as file:
        catalogue = read_po(file)
    french = {str(each.id): str(each.string).replace("\u00a0", " ") for each in catalogue}
    heads = [("page", "page"), ("part", "partie"), ("word", "mot")]
    english_page = (GUIDE / "ops.md").read_text(encoding="utf-8")
    french_page = (GUIDE / "ops.fr.md").read_text(encoding="utf-8")

    for english, translated in heads:
        said = _column(english_page, english)

        assert [french.get(each) for each in said] == _column(french_page, translated)


def test_words_of_the_guide_to_the_control_room_are_those_on_the_pages():
    with (ROOT / "src/molam/locale/fr/LC_MESSAGES/messages.po").open("rb") as file:
        catalogue = read_po(file)
    french = {
        str(each.id): str(each.string).replace("\u00a0", " ").replace("\u202f", " ")
        for each in catalogue
    }
    english_page = (GUIDE / "control-room.md").read_text(encoding="utf-8")
    french_page = (GUIDE / "control-room.fr.md").read_text(encoding="utf-8")

    for english, translated in (("page", "page"), ("part", "partie")):
        said = _column(english_page, english)

        assert [french.get(each) for each in said] == _column(french_page, translated)


def test_every_route_of_the_mesh_is_in_its_guide():
    guide = (GUIDE / "mesh-api.md").read_text(encoding="utf-8")

    called = [
        f"{operation.method} {re.sub(r':[a-z]+}', '}', operation.path)}"
        for routes in mesh.API
        for operation in routes.operations
    ]

    assert called
    assert [each for each in called if f"`{each}`" not in guide] == []


def test_every_route_of_alerts_and_the_dashboard_is_in_their_guide():
    guide = (GUIDE / "alerts-api.md").read_text(encoding="utf-8")
    shown = (dashboard.routes, recommendation_endpoints.routes, widget_endpoints.routes)

    called = [
        f"{operation.method} {re.sub(r':[a-z]+}', '}', operation.path)}"
        for routes in (*alerts.API, *shown)
        for operation in routes.operations
    ]

    assert called
    assert [each for each in called if f"`{each}`" not in guide] == []


def test_reasons_of_the_controller_are_explained():
    source = "".join(
        Path(module.__file__).read_text(encoding="utf-8") for module in (judging, controller)
    )
    listed = _spans(_column((GUIDE / "mesh.md").read_text(encoding="utf-8"), "Reason"))
    given = re.findall(
        r'(?:reason=|_because\(\w+, "[a-z]+", (?:\w+ or )?|return )"([a-z_]+)"', source
    )

    assert given
    assert set(given) <= listed
    assert [each for each in listed if f'"{each}"' not in source] == []


def test_rules_of_mesh_policies_are_those_that_are_read():
    guide = (GUIDE / "mesh-members.md").read_text(encoding="utf-8")
    listed = _spans(_column(guide, "Rules"))

    assert listed == set(Rules.__struct_fields__) | {"min_confidence_for_auto"}


def test_kinds_of_notices_are_those_of_the_code():
    guide = (GUIDE / "notices.md").read_text(encoding="utf-8")
    listed = guide.split("`kind` is one of ")[1].split("Kinds and fields")[0]

    assert set(re.findall(r"`(\w+)`", listed)) == set(Kind) - FOR_MERCHANTS


def test_jobs_by_the_clock_are_those_of_the_code():
    schedule = (GUIDE / "schedule.md").read_text(encoding="utf-8")
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    known = {name for text in sources for name in re.findall(r'Cron\(\s*"([a-z_.]+)"', text)}

    assert _spans(_column(schedule, "job")) == known
