"""Our ids are UUIDs of version 7: their bits are as the standard says, their order is time's."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from molam.kernel.ids import show, uuid7

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A UUID counts milliseconds; Python's clock reads microseconds.
instants = st.timedeltas(timedelta(0), timedelta(days=2_900_000)).map(EPOCH.__add__)
entropies = st.integers(0, 2**74 - 1)


@given(instants, entropies)
def test_version_and_variant_are_where_the_standard_puts_them(now: datetime, entropy: int):
    made = uuid7(now, entropy=entropy)

    assert made.version == 7
    assert made.variant == uuid.RFC_4122


@given(instants, entropies)
def test_every_bit_of_time_and_chance_is_kept(now: datetime, entropy: int):
    made = uuid7(now, entropy=entropy).int

    assert made >> 80 == (now - EPOCH) // timedelta(milliseconds=1)
    assert ((made >> 64) & 0xFFF) << 62 | made & (2**62 - 1) == entropy


@given(instants, st.integers(1, 10**9), entropies, entropies)
def test_a_later_millisecond_sorts_later_whatever_the_chance(
    now: datetime, later_ms: int, first: int, second: int
):
    earlier = uuid7(now, entropy=first)
    later = uuid7(now + timedelta(milliseconds=later_ms), entropy=second)

    assert earlier < later
    assert str(earlier) < str(later)


def test_ids_of_one_instant_differ():
    now = datetime(2026, 11, 16, tzinfo=UTC)

    assert len({uuid7(now) for _ in range(10_000)}) == 10_000


def test_an_id_is_shown_with_what_it_names():
    # The example of RFC 9562, appendix A.6.
    made = uuid7(
        datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC), entropy=0xCC3 << 62 | 0x18C4DC0C0C07398F
    )

    assert show("al", made) == "al_017f22e279b07cc398c4dc0c0c07398f"
