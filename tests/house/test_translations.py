"""Every word on a page exists in French and in English, and nothing is left behind."""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po
from jinja2 import Environment

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "molam"
TEMPLATES = sorted(SOURCE.glob("**/templates/*.html"))
FRENCH = SOURCE / "locale" / "fr" / "LC_MESSAGES" / "messages.po"

PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")
CALL = re.compile(r"""(?<![\w.])(?:_|gettext|ngettext)\(""")
# Names, and the switch to the other language, which is written in that language.
UNTRANSLATED = {"Molam Connect", "Molam ID", "EN", "FR", "English", "Français", "F"}


def extracted() -> dict[str, tuple[str, ...]]:
    """What `pybabel extract` finds: each message, with its plural if it has one."""
    with (ROOT / "assets" / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    found = {}
    for _, _, message, _, _ in extract_from_dir(str(SOURCE), methods, options):
        forms = message if isinstance(message, tuple) else (message,)
        found[forms[0]] = forms
    return found


def french() -> Catalog:
    with FRENCH.open("rb") as file:
        return read_po(file, locale="fr")


def prose(source: str) -> list[str]:
    """The words that a template writes itself instead of asking the catalogue for them."""
    tokens = Environment(extensions=["jinja2.ext.i18n"]).lex(source)
    # Anything computed becomes a mark that is no letter, so that tags stay whole.
    text = "".join(value if kind == "data" else "\x00" for _, kind, value in tokens)
    attributes = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', text)
    between_tags = re.sub(r"<[^>]*>", "\n", text).split("\n")
    said = (
        html.unescape(each).replace("\x00", " ").strip(" ·-") for each in between_tags + attributes
    )
    return [each for each in said if re.search(r"[^\W\d_]{2}", each) and each not in UNTRANSLATED]


def test_there_is_something_to_translate() -> None:
    assert len(TEMPLATES) > 5
    assert len(extracted()) > 100


def test_no_string_is_missing_or_doubtful_in_french() -> None:
    catalog = french()
    missing = []
    for message in extracted():
        entry = catalog.get(message)
        said = (
            ()
            if entry is None
            else entry.string
            if isinstance(entry.string, tuple)
            else (entry.string,)
        )
        if not said or not all(said) or (entry is not None and entry.fuzzy):
            missing.append(message)

    assert missing == []


def test_the_catalogue_holds_nothing_that_no_page_says() -> None:
    known = extracted()

    assert [entry.id for entry in french() if entry.id and _first(entry.id) not in known] == []
    assert not french().obsolete


def test_translations_keep_every_placeholder() -> None:
    wrong = []
    for entry in french():
        if not entry.id:
            continue
        originals = entry.id if isinstance(entry.id, tuple) else (entry.id,)
        strings = entry.string if isinstance(entry.string, tuple) else (entry.string,)
        wanted = {found for each in originals for found in PLACEHOLDER.findall(each)}
        wrong += [each for each in strings if set(PLACEHOLDER.findall(each)) != wanted]

    assert wrong == []


def test_french_punctuation_does_not_break_over_lines() -> None:
    # A plain space before the sign, or none at all.
    breakable = re.compile(r"(?: |(?<=[^\W\d]))[:;?!»](?=\s|$)|«(?!\u00a0)")
    strings = [
        each
        for entry in french()
        if entry.id
        for each in (entry.string if isinstance(entry.string, tuple) else (entry.string,))
    ]

    assert [each for each in strings if breakable.search(each)] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_by_itself(template: Path) -> None:
    assert prose(template.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "bare",
    ["<p>Pay now</p>", '<input placeholder="Your name">', "{% if a %}Late{% endif %}"],
)
def test_a_bare_word_would_be_noticed(bare: str) -> None:
    assert prose(bare) != []


def test_every_call_in_a_template_is_extracted() -> None:
    with (ROOT / "assets" / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    counts = {
        folder: Counter(name for name, *_ in extract_from_dir(str(folder), methods, options))
        for folder in {template.parent.parent for template in TEMPLATES}
    }
    for template in TEMPLATES:
        source = re.sub(r"\{#.*?#\}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)
        calls = counts[template.parent.parent][f"templates/{template.name}"]

        assert calls == len(CALL.findall(source)), template.name


def _first(id_: str | tuple[str, ...]) -> str:
    return id_[0] if isinstance(id_, tuple) else id_
