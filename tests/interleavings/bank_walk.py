"""A seeded walk over sending, asking and hearing, with banks that misbehave at random."""

from __future__ import annotations

import asyncio
import random

from bank_desk import BankDesk
from molam.payments.banks import commands

BANKS = ("bp_http", "bp_wave", "bp_orange")
TEMPERS: tuple[dict[str, object], ...] = (
    {},
    {"die": "after"},
    {"die": "before"},
    {"die": "after", "callbacks": "lost"},
    {"callbacks": "twice"},
    {"callbacks": "early"},
    {"callbacks": "reversed", "settle_after_s": 0.05},
    {"answers": "garbage"},
    {"answers": "huge", "callbacks": "lost"},
    {"reject_rate": 1.0},
    {"reject_rate": 0.5, "die": "after", "die_rate": 0.5},
    {"maintenance": True},
)


async def walk(desk: BankDesk, seed: int, *, payouts: int = 6, steps: int = 60) -> list[str]:
    """Do *steps* things in a seeded order, several at once now and then; return the payouts."""
    chance = random.Random(seed)
    ids = [f"po_{seed}_{number}" for number in range(payouts)]
    for id_ in ids:
        await desk.owned(id_, chance.randint(1, 900) * 100, bank=chance.choice(BANKS))
    for _ in range(steps):
        together = [_step(desk, chance.choice(ids), chance) for _ in range(chance.randint(1, 3))]
        await asyncio.gather(*together)
    return ids


async def drain(desk: BankDesk, ids: list[str]) -> None:
    """Let banks behave, and go on until nothing is open any more."""
    for bank in BANKS:
        desk.temper(bank)
    async with asyncio.timeout(60):
        while open_ := [id_ for id_ in ids if await desk.state(id_) not in {"paid", "failed"}]:
            await desk.take_callbacks()
            for id_ in open_:
                await _sent(desk, id_)
                await desk.inquire(id_)
    await desk.take_callbacks()


async def _step(desk: BankDesk, id_: str, chance: random.Random) -> None:
    what = chance.choice(("send", "send", "send", "ask", "ask", "hear", "temper", "again"))
    if what == "send":
        await _sent(desk, id_)
    elif what == "ask":
        await desk.inquire(id_)
    elif what == "hear":
        await desk.take_callbacks()
    elif what == "temper":
        desk.temper(chance.choice(BANKS), **chance.choice(TEMPERS))
    elif await desk.state(id_) == "failed":
        await desk.queue_again(id_)


async def _sent(desk: BankDesk, id_: str) -> None:
    try:
        await desk.send(id_)
    except commands.NotNow:
        return


def times_paid(desk: BankDesk, id_: str) -> int:
    """Count how often money left for a payout, at any bank and under any key of it."""
    return sum(
        1
        for bank in BANKS
        for transfer in desk.books.recent(bank, limit=10_000)
        if transfer.rejected_code is None
        and transfer.key.partition(".")[0].partition("~")[0] == f"payout-{id_}"
    )
