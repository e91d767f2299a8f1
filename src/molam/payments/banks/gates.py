"""Gates: whether payouts may be handed to a bank now, decided under one lock with whoever does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from molam.payments.banks import gate_store
from molam.payments.banks.gate_store import GateRow
from molam.platform.db import Tx

Ranges = Sequence[tuple[int, int | None]]
"""Amounts, in minor units: from, up to and including (None: without end)."""

EVERY_AMOUNT: Ranges = ((0, None),)
_GATES_MAX = 1000
_CAUSE_LENGTH_MAX = 300

# Note [Who closes a gate]
#
# A gate is closed by whoever leads payouts away from a bank, and held shut by people in
# an emergency. The two are kept apart: a controller that comes back to a bank does not
# open what people hold shut, and people who let go do not send payouts to a bank that
# was left.
#
# A bank is left for the amounts that others carry, and goes on serving those that nobody
# else does: a payout is better off with a bank that may fail than with none. So a gate is
# closed for ranges of amounts. All of them share one lock, and each payout asks for its own
# amount under it.


@dataclass(frozen=True, slots=True, order=True)
class Gate:
    """One way of our money out: a bank, a rail and a currency."""

    bank_profile_id: str
    rail: str
    currency: str


async def share(tx: Tx, gate: Gate, amount: int) -> bool:
    """
    Tell whether the gate is open for *amount*, and keep it as it is until *tx* ends.

    Others may share it at the same time; who closes it waits, and then sees what they
    did. It comes before the payout's own lock.
    """
    found = await tx.one(gate_store.SHARE_GATE, **asdict(gate), amount=amount)
    assert found is not None
    return found.is_open


async def close(
    tx: Tx, gate: Gate, *, cause: str, amounts: Ranges = EVERY_AMOUNT
) -> list[tuple[int, int | None]]:
    """
    Close a gate for *amounts* because its bank is left; return for which it had been open.

    Waits for whoever is handing payouts over now. Once this returns nobody can hand over
    such an amount before *tx* ends; afterwards they see the gate closed.
    """
    return await _set(tx, gate, amounts, is_open=False, cause=cause)


async def open_(
    tx: Tx, gate: Gate, *, cause: str, amounts: Ranges = EVERY_AMOUNT
) -> list[tuple[int, int | None]]:
    """Open a gate for *amounts*; return for which its bank had been left. Holds stay."""
    return await _set(tx, gate, amounts, is_open=True, cause=cause)


async def hold(
    tx: Tx, gates: Iterable[Gate], *, cause: str, hold_s: float | None = None
) -> list[Gate]:
    """
    Hold gates shut, for so long or until people let go; return those that were not held.

    Waits as `close` does.
    """
    said = cause[:_CAUSE_LENGTH_MAX]
    changed = []
    for gate in sorted(set(gates)):
        found = await tx.one(gate_store.HOLD_GATE, **asdict(gate), cause=said, hold_s=hold_s)
        assert found is not None
        if found.has_changed:
            changed.append(gate)
    return changed


async def let_go(tx: Tx, gates: Iterable[Gate], *, cause: str) -> list[Gate]:
    """Hold gates shut no longer; return those that were held. Banks that were left stay left."""
    changed = []
    for gate in sorted(set(gates)):
        found = await tx.one(
            gate_store.LET_GO_OF_GATE, **asdict(gate), cause=cause[:_CAUSE_LENGTH_MAX]
        )
        assert found is not None
        if found.has_changed:
            changed.append(gate)
    return changed


async def gates_of(
    tx: Tx,
    bank_profile_ids: Sequence[str] | None = None,
    *,
    rail: str | None = None,
    currency: str | None = None,
) -> list[GateRow]:
    """List every gate of these banks (None: of all), or those of a rail or a currency."""
    return await tx.all(
        gate_store.LIST_GATES,
        bank_profile_ids=None if bank_profile_ids is None else list(bank_profile_ids),
        rail=rail,
        currency=currency,
        limit=_GATES_MAX,
    )


def gate_of(row: GateRow) -> Gate:
    return Gate(row.bank_profile_id, row.rail, row.currency)


async def _set(
    tx: Tx, gate: Gate, amounts: Ranges, *, is_open: bool, cause: str
) -> list[tuple[int, int | None]]:
    rows = await tx.all(
        gate_store.CHANGE_GATE,
        **asdict(gate),
        is_open=is_open,
        cause=cause[:_CAUSE_LENGTH_MAX],
        lows=[low for low, _ in amounts],
        highs=[high for _, high in amounts],
    )
    return [(row.low, row.high) for row in rows]
