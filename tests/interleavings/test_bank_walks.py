"""Whatever the order of sending, silence, callbacks and inquiries: paid once, or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping

import bank_walk
import pytest

from bank_desk import BankDesk, Hasty, a_bank_desk
from molam.payments.banks.connectors.interface import Connector
from molam.payments.banks.teller import Patience

# One silence would otherwise rest a bank for a minute in the middle of a walk.
PATIENCE = Patience(lease_s=5, resend_after_s=0, asks_s=(0,), failures_max=10**6)


@pytest.fixture
async def desk(worker_db, db, tmp_path) -> AsyncIterator[BankDesk]:
    async with a_bank_desk(worker_db, db, tmp_path, patience=PATIENCE) as opened:
        yield opened


@pytest.mark.parametrize("seed", range(6))
async def test_payout_is_paid_once_or_failed_and_never_paid_and_failed(desk: BankDesk, seed: int):
    ids = await bank_walk.walk(desk, seed)
    await bank_walk.drain(desk, ids)

    ended = {id_: (await desk.state(id_), bank_walk.times_paid(desk, id_)) for id_ in ids}

    assert set(ended.values()) <= {("paid", 1), ("failed", 0)}, (seed, ended)


async def test_walk_notices_what_calls_a_timeout_a_failure(desk: BankDesk):
    """The control: the same walks double payouts when the safety is gone."""
    hasty: Mapping[str, Connector] = {
        kind: Hasty(connector) for kind, connector in desk.teller.connectors.items()
    }
    desk.teller = dataclasses.replace(desk.teller, connectors=hasty)

    ids = [id_ for seed in range(6) for id_ in await bank_walk.walk(desk, seed)]

    assert max(bank_walk.times_paid(desk, id_) for id_ in ids) > 1
