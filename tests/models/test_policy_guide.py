"""The policies of the guide are policies, and its tables name every key, operator and remark."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from molam.approvals.policy import lint, operands, rules
from molam.approvals.policy.criteria import compile_criteria, criteria_json
from molam.approvals.policy.document import document_of, read_draft
from molam.approvals.policy.templates import TEMPLATES, Template
from molam.entrypoints.registry import registry
from molam.kernel.canonical import parse
from molam.platform.web.l10n import LANGUAGES

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "policies.md").read_text()
EXAMPLES: list[Any] = [
    parse(text.encode()) for text in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
]


@pytest.mark.parametrize("body", [each for each in EXAMPLES if "policy" in each])
def test_an_example_of_a_policy_is_read_and_written_in_one_form(body: dict[str, Any]):
    draft = read_draft(body, registry())

    assert read_draft(document_of(draft), registry()) == draft


@pytest.mark.parametrize("body", [each for each in EXAMPLES if "policy" not in each])
def test_an_example_of_criteria_compiles(body: dict[str, Any]):
    criteria = compile_criteria(body, registry())

    assert compile_criteria(criteria_json(criteria), registry()) == criteria


@pytest.mark.parametrize("name", sorted({*rules._KEYS, *operands.OPERANDS, *operands.LISTS}))
def test_every_key_and_operator_is_in_the_guide(name: str):
    assert f"`{name}`" in GUIDE


@pytest.mark.parametrize(
    "code", re.findall(r'(?:_warning|_error|make)\(\s*"([a-z-]+)"', inspect.getsource(lint))
)
def test_every_remark_of_the_linter_is_in_the_guide(code: str):
    assert f"| `{code}` |" in GUIDE


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: each.key)
def test_a_template_is_a_policy_once_its_action_types_are_here(template: Template):
    known = registry()
    written = template.as_json(known)
    body = {"name": template.name[1]} | {
        key: written[key] for key in ("criteria", "policy", "priority")
    }

    if written["missing_action_types"]:
        assert template.key == "high-value-payout"
        return
    draft = read_draft(body, known)
    assert all(rules.sentence(draft.rules, language) for language in LANGUAGES)
