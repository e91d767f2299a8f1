"""JSON from strangers has one meaning, or none; and refusing never takes long or raises oddly."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.kernel.canonical import DEPTH_MAX, JsonMalformed, parse

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(documents, st.booleans())
def test_what_is_written_is_read_again(document: object, ascii_only: bool):
    written = json.dumps(document, ensure_ascii=ascii_only)

    assert parse(written.encode()) == document


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,30})\.[0-9]{1,30}", fullmatch=True))
def test_a_number_with_a_point_keeps_every_digit(written: str):
    found = parse(written.encode())

    assert isinstance(found, Decimal)
    assert f"{found:f}" == written


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_are_refused(body: bytes):
    try:
        found = parse(body)
    except JsonMalformed:
        return
    assert found == json.loads(body, parse_float=Decimal)


@given(st.text('[]{}",:\\u0d8e1.-+NaInfty ', max_size=60))
def test_anything_like_json_is_json_or_is_refused(text: str):
    try:
        found = parse(text.encode())
    except JsonMalformed:
        return
    assert found == json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": 1, "a": 1}', "'a' is given twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' is given twice"),
        (b'[{"b": {"a": 1, "a": 2}}]', "'a' is given twice"),
        (b"NaN", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b'{"a": Infinity}', "Infinity is not a JSON number"),
        (b'"\\u0000"', "cannot be stored"),
        (b'{"\\u0000": 1}', "cannot be stored"),
        (b'["a", {"b": "\\ud800"}]', "cannot be stored"),
        (b'"\\udc00\\ud800"', "cannot be stored"),
        (b'"\\\\\\u0000"', "cannot be stored"),
        (b'"\x00"', "Invalid control character"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"", "at character 0"),
        (b"{} {}", "at character 3"),
        (b"[1,]", "at character"),
        (b"{'a': 1}", "at character 1"),
        (b"01", "at character 1"),
        (b"1.", "at character 1"),
        (b".5", "at character 0"),
        (b"+1", "at character 0"),
        (b"9" * 5000, "too long"),
        (b"0." + b"9" * 64, "too long"),
        (b"1e99999999999999999999", "too long"),
        (b"-1e-99999999999999999999", "too long"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(body: bytes, reason: str):
    with pytest.raises(JsonMalformed) as refused:
        parse(body)

    assert reason in refused.value.detail


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'"\\\\u0000"', "\\u0000"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\xf0\x9f\x98\x80"', "\N{GRINNING FACE}"),
        (b"-0", 0),
        (b"9007199254740993", 9007199254740993),
        (b"0.1", Decimal("0.1")),
        (b"1e2", Decimal(100)),
        (b'{"a": {"a": 1}}', {"a": {"a": 1}}),
        (b" [ ] ", []),
    ],
)
def test_what_only_looks_odd_is_read(body: bytes, value: object):
    assert parse(body) == value


def test_a_number_with_a_point_is_never_a_float():
    assert type(parse(b"1.0")) is Decimal
    assert type(parse(b"1e0")) is Decimal
    assert type(parse(b"1")) is int


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_allowed_up_to_a_bound(opening: str, closing: str):
    def nested(levels: int) -> bytes:
        return (opening * levels + "1" + closing * levels).encode()

    assert parse(nested(DEPTH_MAX))
    with pytest.raises(JsonMalformed, match="Nest at most"):
        parse(nested(DEPTH_MAX + 1))
    with pytest.raises(JsonMalformed, match="Nest at most"):
        parse(nested(200_000))


def test_brackets_in_a_string_are_no_nesting():
    held = '"' + "[{" * 100

    assert parse(json.dumps([held]).encode()) == [held]
