"""Audit entries: the text that is hashed, and the hash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from molam.audit.chain import GENESIS, entry_of, written
from molam.audit.commands import conceal
from molam.kernel.digests import canonical_bytes

INTENT = "c568e95da74bd73a5ca586b63034e9ea956b7a1ab9d2b0de3661561e17a93d14"
ACTION = "01JGT3Z8Q0000000000000000A"
CREATED = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
VOTED = datetime(2026, 1, 5, 8, 4, 10, tzinfo=UTC)


def _created():
    return entry_of(
        chain="ops", seq=0, prev=GENESIS, ts=CREATED, event="action.created", action_id=ACTION,
        actor_kind="service", actor_id="sira-system", intent_hash=INTENT,
        data={"policy": "float-topup@3"},
    )  # fmt: skip


def _voted(prev: bytes):
    return entry_of(
        chain="ops", seq=1, prev=prev, ts=VOTED, event="vote.cast", action_id=ACTION,
        actor_kind="user", actor_id="u-awa", intent_hash=INTENT,
        data={"decision": "approve", "slot": "finance_ops"},
    )  # fmt: skip


def test_entries_have_the_bytes_and_hashes_of_the_golden_vectors():
    first = _created()
    second = _voted(first.hash)

    assert len(first.body) == 291
    assert first.hash.hex() == "594d24d3926999f69d6a79872a46e89ee3d85f493dd3b28cd3ad85a7c74e3208"
    assert len(second.body) == 294
    assert second.hash.hex() == "3ced03d4ed4e9d2098d2795a1b2c16655a44eaa340a4a99f49dd90d29629e1d2"


def test_the_hash_of_an_entry_covers_the_one_before():
    assert _voted(GENESIS).body == _voted(_created().hash).body
    assert _voted(GENESIS).hash != _voted(_created().hash).hash


def test_events_are_called_what_the_specification_calls_them():
    assert (_created().action, _voted(GENESIS).action) == ("created", "voted")


def test_times_are_written_in_utc_with_microseconds():
    niamey = timezone(timedelta(hours=1))

    assert written(CREATED) == "2026-01-05T08:00:00.000000Z"
    assert written(datetime(2026, 1, 5, 9, 0, 0, 7, tzinfo=niamey)) == "2026-01-05T08:00:00.000007Z"


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(AssertionError):
        written(CREATED.replace(tzinfo=None))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | _INTEGERS
    | _TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=20,
)


@given(st.dictionaries(_TEXT, _JSON))
def test_the_fast_way_writes_the_same_bytes_as_rfc_8785(value):
    assert canonical_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value",
    [{"n": 2**53}, {"n": Decimal("1.5")}, {"at": CREATED}, {"raw": b"x"}, {"n": float("nan")}],
    ids=str,
)
def test_what_rfc_8785_cannot_write_is_not_written(value):
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_bytes(value)


def test_a_concealed_value_cannot_be_guessed_without_its_salt():
    one = conceal("awa.diop@example.com", person="u-awa")
    two = conceal("awa.diop@example.com", person="u-awa")

    assert one.digest != two.digest
    assert sha256(one.salt + b"awa.diop@example.com").hexdigest() == one.shown
