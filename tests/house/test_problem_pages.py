"""Every refusal has a code of its own, a page that explains it, and a sentence in French."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import molam
from molam.kernel.refusals import Refusal
from molam.platform.web.catalogue import FRENCH
from molam.platform.web.problems import STATUS

PAGES = Path(__file__).parents[2] / "docs" / "problems"

# Codes that are no Refusal's: the router's, an outage's and a bug's.
OTHERS = {"method-not-allowed": 405, "try-again": 503, "unforeseen": 500}


def _subclasses(of: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in of.__subclasses__():
        if each.__module__.startswith("molam."):
            yield each
            yield from _subclasses(each)


def _refusals() -> list[type[Refusal]]:
    for found in pkgutil.walk_packages(molam.__path__, "molam."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    return sorted(set(_subclasses(Refusal)), key=lambda each: each.code)


REFUSALS = _refusals()


def test_codes_are_unique():
    shared = {code for code, count in Counter(each.code for each in REFUSALS).items() if count > 1}

    assert {each for each in REFUSALS if each.code in shared} == set()


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.code)
def test_refusal_is_explained(refusal: type[Refusal]):
    page = (PAGES / f"{refusal.code}.md").read_text(encoding="utf-8").splitlines()

    assert page[0] == f"# {refusal.title}"
    assert page[2] == f"`{refusal.code}` · HTTP {STATUS[refusal.kind].value}"


def test_no_page_or_sentence_outlives_its_refusal():
    codes = {each.code for each in REFUSALS} | OTHERS.keys()

    assert {page.stem for page in PAGES.glob("*.md")} == codes
    assert FRENCH.keys() == codes
