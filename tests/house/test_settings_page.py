"""docs/guide/settings.md is written from Settings and .env.example, and is up to date."""

from __future__ import annotations

import os
import re
from dataclasses import MISSING, fields
from pathlib import Path

from molam.platform.settings import Secret, Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "settings.md"

HEAD = """# Settings

Every process reads them from the environment, and from a `.env` file in the folder it is
started in; the environment wins. `NAME_FILE` names a file to read a value from, for secrets.
An unknown name that begins with `MOLAM_` stops the start. With none set, `molam up` runs
everything on embedded defaults.

This page is written from `platform/settings.py` and `.env.example` by
`WRITE_SETTINGS=1 .venv/bin/pytest tests/house/test_settings_page.py`.
"""

_SECTION = re.compile(r"^# --- (.+) ---$")
_SETTING = re.compile(r"^#?([A-Z0-9_]+)=")


def _explained() -> dict[str, list[tuple[str, str]]]:
    """What .env.example says of each setting, by section: the comment right above it."""
    sections: dict[str, list[tuple[str, str]]] = {}
    rows: list[tuple[str, str]] = []
    said: list[str] = []
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        if section := _SECTION.match(line):
            rows = sections.setdefault(section[1], [])
            said = []
        elif setting := _SETTING.match(line):
            rows.append((setting[1], " ".join(said)))
            said = []
        else:
            said = [*said, line.removeprefix("#").strip()] if line.startswith("# ") else []
    return sections


def _default(name: str) -> str:
    field = next(each for each in fields(Settings) if each.name == name.lower())
    assert field.default is not MISSING
    if isinstance(field.default, Secret) or field.default == "":
        return ""
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"


def _written() -> str:
    parts = [HEAD]
    for section, rows in _explained().items():
        parts.append(f"## {section}\n\n| setting | default | |\n|---|---|---|")
        parts.extend(f"| `{name}` | {_default(name)} | {said} |" for name, said in rows)
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def test_every_setting_is_explained_and_nothing_else():
    rows = [row for section in _explained().values() for row in section]

    assert sorted(name for name, _ in rows) == sorted(
        field.name.upper() for field in fields(Settings)
    )
    assert [name for name, said in rows if not said] == []


def test_the_page_is_up_to_date():
    if os.environ.get("WRITE_SETTINGS"):
        PAGE.write_text(_written(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == _written()
