"""What the documentation names exists: files, commands, targets, tests, metrics."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import click
from prometheus_client import REGISTRY

import molam
from molam.entrypoints.cli import cli
from molam.platform import telemetry
from molam.platform.web.site import Site

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "docs")
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)
SOURCES = (ROOT, ROOT / "src" / "molam", ROOT / "tests")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# A path of ours in a span, from the root or from the packages.
PATH = re.compile(
    r"^(?:docs|tests|src|migrations|assets|benchmarks|platform|merchant|payments|ledger|tenancy|kernel"
    r"|approvals|audit|notices|ops|entrypoints|simulator|sira|webhooks|\.ci)/[\w./-]*$|^[\w.-]+\.(?:md|toml)$"
)
COMMAND = re.compile(r"(?:^|[\s(\"])molam ((?:[a-z][\w-]*)(?: [^)|\"#;]*)?)")
TEST = re.compile(r"\b(test_[a-z0-9_]{12,})\b")
EMOJI = re.compile("[\u2190-\u21ff\u2600-\u27bf\U0001f000-\U0001faff]")


TEXTS = {path: path.read_text(encoding="utf-8") for path in PAGES}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _prose(text: str) -> str:
    return FENCE.sub("", text)


def _code(text: str) -> Iterator[str]:
    """Each line of code a page shows, in blocks and in sentences."""
    for block in FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from SPAN.findall(_prose(text))


def test_links_lead_somewhere():
    dead = [
        f"{_name(path)}: {link}"
        for path, text in TEXTS.items()
        for link in LINK.findall(_prose(text))
        if "://" not in link
        and not link.startswith("#")
        and not (path.parent / link.partition("#")[0]).exists()
    ]

    assert dead == []


def test_files_that_pages_name_exist():
    missing = [
        f"{_name(path)}: {span}"
        for path, text in TEXTS.items()
        for span in SPAN.findall(_prose(text))
        if PATH.match(span)
        and not any((folder / span).exists() for folder in (*SOURCES, path.parent))
    ]

    assert missing == []


def _follow(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """Follow *words* as far as they name subcommands; None where one does not exist."""
    found: click.Command = cli
    while isinstance(found, click.Group):
        if not words or words[0].startswith("-"):
            return found, words
        child = found.get_command(click.Context(found), words[0])
        if child is None:
            return None, words
        found, words = child, words[1:]
    return found, words


def _fault(said: str) -> str | None:
    command, rest = _follow(said.split())
    if command is None:
        return f"no command: molam {said}"
    known = {option for param in command.params for option in param.opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word not in known]
    return f"molam {said}: {unknown}" if unknown else None


def test_commands_and_their_options_exist():
    wrong = [
        f"{_name(path)}: {fault}"
        for path, text in TEXTS.items()
        for line in _code(text)
        for said in COMMAND.findall(line)
        if (fault := _fault(said)) is not None
    ]

    assert wrong == []


def test_a_wrong_command_would_be_noticed():
    assert _fault("wroker")
    assert _fault("serve mehs")
    assert _fault("worker --onyl kpi")
    assert _fault("worker --only kpi") is None


def test_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = {
        target
        for text in TEXTS.values()
        for line in _code(text)
        for target in re.findall(r"(?:^|\s)make ([a-z]+)", line)
    }

    assert {"up", "test"} <= named <= targets


def test_tests_that_pages_name_exist():
    files = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    existing = {path.stem for path in files} | {
        node.name
        for text in files.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    for text in TEXTS.values():
        assert set(TEST.findall(text)) <= existing
        for file, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", text):
            assert f"def {name}(" in files[ROOT / file], f"{file}::{name}"


def test_every_invariant_names_a_test():
    invariants = TEXTS[ROOT / "docs" / "invariants.md"].split("**INV-")[1:]

    assert len(invariants) > 30
    assert [each[:2] for each in invariants if "- `tests/" not in each] == []


def test_no_invariant_has_the_number_of_another():
    numbers = re.findall(r"\*\*INV-(\d+)\*\*", TEXTS[ROOT / "docs" / "invariants.md"])

    assert sorted(set(numbers)) == sorted(numbers)


def test_pages_say_it_in_words():
    assert [_name(path) for path, text in TEXTS.items() if EMOJI.search(text)] == []


def _exposed() -> set[str]:
    """The name of every metric as Prometheus shows it."""
    for found in pkgutil.walk_packages(molam.__path__, "molam."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    telemetry.request_metrics(Site.__dataclass_fields__["metrics_prefix"].default)
    for prefix in ("molam_ops", "molam_mesh", "molam_sira", "molam_identity"):
        telemetry.request_metrics(prefix)
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in REGISTRY.collect()
        if family.name.startswith("molam_")
    }


def test_metrics_that_the_guide_lists_are_those_of_the_code():
    guide = (ROOT / "docs" / "guide" / "monitoring.md").read_text(encoding="utf-8")
    heads = re.findall(r"^\| (`molam_[a-z_`, ]+) \|", guide, re.MULTILINE)
    listed = {name for head in heads for name in re.findall(r"`(molam_[a-z_]+)`", head)}
    roles = {"molam_web", "molam_ops", "molam_worker", "molam_refresh", "molam_app"}
    roles |= {"molam_connect", "molam_money"}

    assert listed == _exposed()
    assert set(re.findall(r"\b(molam_[a-z_]+)\b", guide)) - roles <= listed


def test_every_permission_and_route_of_the_api_is_in_the_integrators_guide():
    guide = (ROOT / "docs" / "guide" / "integrator.md").read_text(encoding="utf-8")
    matrix = (ROOT / "tests" / "http" / "authorization_matrix.txt").read_text(encoding="utf-8")

    routes = re.findall(r"^(GET|POST|PUT|DELETE) (/api/\S+) ", matrix, re.MULTILINE)

    assert routes
    assert [route for route in routes if f"{route[0]} {route[1]}" not in guide] == []
