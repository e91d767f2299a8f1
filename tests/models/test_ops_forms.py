"""Forms made from action types, and what people type into them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from molam.kernel.currency import CURRENCIES
from molam.ops.forms import Field, fields_of, fill
from molam.platform.actions import Amount

XOF, GHS = CURRENCIES["XOF"], CURRENCIES["GHS"]


class Everything(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent_id: Annotated[str, Meta(max_length=255)]
    adjustment: Literal["top_up", "sweep"]
    amount: Amount
    share: Decimal
    limit: Annotated[int, Meta(ge=1)]
    since: date
    loud: bool = False
    duration: str | None = None
    reason: Annotated[str, Meta(max_length=500)] | None = None


FIELDS = fields_of(Everything)
TYPED = {
    "agent_id": " agent-123 ",
    "adjustment": "sweep",
    "amount": "1 000 000",
    "share": "2,5",
    "limit": "1 200",
    "since": "2026-12-01",
    "loud": "yes",
}


def test_a_form_asks_for_each_parameter_in_its_own_way() -> None:
    assert [(each.name, each.kind, each.required) for each in FIELDS] == [
        ("agent_id", "text", True),
        ("adjustment", "choice", True),
        ("amount", "amount", True),
        ("share", "decimal", True),
        ("limit", "integer", True),
        ("since", "date", True),
        ("loud", "flag", False),
        ("duration", "duration", False),
        ("reason", "long", False),
    ]
    assert FIELDS[1].choices == ("top_up", "sweep")


def test_what_was_typed_becomes_raw_parameters_without_floats() -> None:
    filled = fill(FIELDS, TYPED, XOF)

    assert filled.errors == {}
    assert filled.params == {
        "agent_id": "agent-123",
        "adjustment": "sweep",
        "amount": {"currency": "XOF", "minor": 1_000_000},
        "share": "2.5",
        "limit": 1200,
        "since": "2026-12-01",
        "loud": True,
    }
    assert msgspec.convert(filled.params, Everything).amount.minor == 1_000_000


def test_an_amount_has_the_decimals_of_its_currency() -> None:
    filled = fill(FIELDS, TYPED | {"amount": "12.50"}, GHS)

    assert filled.params["amount"] == {"currency": "GHS", "minor": 1250}


def test_an_amount_without_a_known_currency_is_left_to_the_action() -> None:
    assert fill(FIELDS, TYPED, None).params["amount"] == 1_000_000


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("agent_id", "  ", "missing"),
        ("amount", "-5", "amount"),
        ("amount", "1e6", "amount"),
        ("amount", "12.5", "amount"),
        ("share", "NaN", "decimal"),
        ("share", "1e99", "decimal"),
        ("limit", "1.5", "number"),
        ("limit", "\u0661\u0662", "number"),
        ("since", "1 December", "date"),
    ],
)
def test_what_cannot_be_read_is_said_beside_its_field(name: str, text: str, error: str) -> None:
    filled = fill(FIELDS, TYPED | {name: text}, XOF)

    assert filled.errors == {name: error}


def test_a_blank_field_that_is_not_required_is_left_out() -> None:
    filled = fill((Field("reason", "long", required=False),), {"reason": " "}, None)

    assert filled.params == {}
    assert filled.errors == {}
