"""No pattern on what strangers write lets a line break in behind what it allows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

import molam
from molam.merchant.team_model import Email
from molam.payments.banks.model import Destination
from molam.platform.web.wire import CurrencyCode

ACCOUNT = {
    "type": "bank_account",
    "holder": "Boutique Sandaga",
    "country": "SN",
    "iban": "SN08SN0100152000048500003035",
    "account_number": "0001 5200-35",
    "bic": "CBAOSNDA",
}
WALLET = {"type": "wallet", "provider": "wave", "phone": "+221770000001", "holder": "Awa"}


def patterns() -> Iterator[tuple[str, str]]:
    """Find every pattern that a struct of ours puts on a field."""
    root = Path(molam.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.keyword(arg="pattern", value=ast.Constant(value=str(pattern))):
                    yield f"{path.relative_to(root)}:{node.value.lineno}", pattern


def test_no_pattern_ends_where_a_line_break_may_follow():
    found = dict(patterns())

    assert len(found) >= 15
    assert {where for where, pattern in found.items() if not pattern.endswith(r"\Z")} == set()


@pytest.mark.parametrize(
    ("written", "field"),
    [
        *((ACCOUNT, name) for name in ("country", "iban", "account_number", "bic")),
        *((WALLET, name) for name in ("provider", "phone")),
    ],
)
def test_no_line_break_follows_what_a_destination_says(written: dict[str, str], field: str):
    assert msgspec.convert(written, Destination)

    with pytest.raises(msgspec.ValidationError, match="regex"):
        msgspec.convert({**written, field: written[field] + "\n"}, Destination)


@pytest.mark.parametrize(("kind", "good"), [(CurrencyCode, "XOF"), (Email, "awa@example.com")])
def test_no_line_break_follows_a_currency_or_an_address(kind: type[str], good: str):
    assert msgspec.convert(good, kind) == good

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good + "\n", kind)


def test_a_dollar_lets_a_line_break_in():
    loose = Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{6,14}$")]

    assert msgspec.convert(WALLET["phone"] + "\n", loose).endswith("\n")
