"""Cursors open only what they were sealed for."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.platform.settings import Secret
from molam.platform.web import CursorRefused, Cursors

KEY = Secret("a key that is long enough")


class Position(msgspec.Struct, frozen=True):
    at: datetime
    id: str


class Filters(msgspec.Struct):
    status: str | None = None
    amount_min: int | None = None


HERE = Position(datetime(2026, 11, 16, 12, 0, 0, 123456, tzinfo=UTC), "tx_123")
CURSORS = Cursors(KEY, purpose="transactions")


def test_a_cursor_opens_to_what_was_sealed():
    cursor = CURSORS.seal(HERE, filters=["m-1", Filters("succeeded")])

    opened = CURSORS.open(cursor, Position, filters=["m-1", Filters("succeeded")])

    assert opened == HERE
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&? ")


@pytest.mark.parametrize(
    "filters",
    [["m-2", Filters("succeeded")], ["m-1", Filters("failed")], ["m-1", Filters()], [], None],
)
def test_other_filters_do_not_open_it(filters: object):
    cursor = CURSORS.seal(HERE, filters=["m-1", Filters("succeeded")])

    with pytest.raises(CursorRefused):
        CURSORS.open(cursor, Position, filters=filters)


@pytest.mark.parametrize(
    "cursors",
    [
        Cursors(Secret("another key, as long"), purpose="transactions"),
        Cursors(KEY, purpose="alerts"),
    ],
)
def test_another_key_or_list_does_not_open_it(cursors: Cursors):
    with pytest.raises(CursorRefused):
        cursors.open(CURSORS.seal(HERE, filters=1), Position, filters=1)


def test_a_position_of_another_release_is_refused():
    cursor = CURSORS.seal(["tx_123"], filters=1)

    with pytest.raises(CursorRefused):
        CURSORS.open(cursor, Position, filters=1)


@given(st.text(max_size=200))
def test_what_somebody_made_up_is_refused(cursor: str):
    with pytest.raises(CursorRefused):
        CURSORS.open(cursor, Position, filters=1)


@given(st.data())
def test_every_changed_character_is_noticed(data: st.DataObject):
    cursor = CURSORS.seal(HERE, filters=1)
    # The last character carries bits beyond the last byte, which decoding ignores.
    at = data.draw(st.integers(0, len(cursor) - 2))
    other = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda char: char != cursor[at]))

    with pytest.raises(CursorRefused):
        CURSORS.open(cursor[:at] + other + cursor[at + 1 :], Position, filters=1)
