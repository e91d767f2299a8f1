"""ARCHITECTURE.md says what is there: packages in the order of the arrow, processes and ports."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from molam.entrypoints.local import IDENTITY_PORT, MERCHANT_PORT
from molam.entrypoints.up import TOGETHER, WORKER_PORTS
from molam.entrypoints.workers import PARTS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "molam"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

LINES_MAX = 340


def _table(*head: str) -> list[list[str]]:
    for block in PAGE.split("\n\n"):
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        ]
        if rows[0] == list(head):
            return rows[2:]
    raise AssertionError(f"no table {head}")


def _arrow() -> list[str]:
    """The packages of .importlinter that exist, from the top down."""
    linter = configparser.ConfigParser()
    linter.read(ROOT / ".importlinter")
    layers = linter["importlinter:contract:arrow"]["layers"].split("\n")
    named = [name.strip(" ()") for layer in layers for name in layer.split("|") if name.strip()]
    return [name for name in named if (SOURCE / name / "__init__.py").exists()]


def test_the_page_can_be_read_in_one_sitting():
    assert len(PAGE.splitlines()) <= LINES_MAX


def test_packages_are_those_that_exist_in_the_order_of_the_arrow():
    listed = [package.strip("`") for package, _ in _table("package", "what it holds")]
    existing = {path.parent.name for path in SOURCE.glob("*/__init__.py")}

    assert listed == _arrow()
    assert set(listed) == existing


def test_processes_and_ports_are_those_of_the_code():
    rows = _table("command", "process title", "port", "what it does")
    ports = {command.strip("`"): port for command, _, port, _ in rows}
    only = {part for command in ports for part in re.findall(r"--only (\w+)", command)}

    assert ports["molam serve merchant"] == str(MERCHANT_PORT)
    assert ports["molam serve identity"] == str(IDENTITY_PORT)
    together = {part for parts in TOGETHER.values() for part in parts.split(",")}
    assert only == PARTS == WORKER_PORTS.keys() | together
    assert f"{min(WORKER_PORTS.values())} to\n{max(WORKER_PORTS.values())}" in PAGE
