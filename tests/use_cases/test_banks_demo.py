"""The demo's banks: every wallet and account has a way, and amounts choose outcomes."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import msgspec
import pytest

from bank_desk import ROOT_SECRET, served
from molam.payments.banks import queries
from molam.payments.banks.model import BankAccount, NoRoute, Wallet
from molam.payments.banks.secrets import BankSecrets
from molam.simulator.banks.app import SimulatedBanks
from molam.simulator.banks.books_store import Books
from molam.simulator.banks.temper import ENDINGS, Temper
from molam.simulator.banks_demo import BANKS, seed_banks

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
ACCOUNT = BankAccount("Awa Diop", "SN", iban="SN08SN0100152000048500003035")


async def route(db, destination, amount: int = 75_000, currency: str = "XOF") -> str:
    async with db.transaction("tests.route") as tx:
        return (await queries.route_for(tx, currency, destination, amount)).bank_profile_id


async def test_every_demo_rail_has_a_route(db):
    await seed_banks(db, NOW)
    await seed_banks(db, NOW)

    found = {await route(db, ACCOUNT), await route(db, ACCOUNT, 10_000_000)}
    for provider in ("wave", "orange_money", "mtn_momo", "moov_money", "free_money"):
        found.add(await route(db, Wallet(provider, "+221771234567", "Awa Diop")))

    assert found == {
        "bp_123",
        "bp_tresor",
        "bp_wave_sn",
        "bp_orange_sn",
        "bp_mtn_ci",
        "bp_moov_ci",
        "bp_free_sn",
    }


async def test_route_passes_over_a_bank_that_is_not_in_use(db):
    await seed_banks(db, NOW)
    async with db.transaction("tests.suspend") as tx:
        await tx.connection.execute(
            "update payments.bank_profiles set status = 'suspended' where id = 'bp_123'"
        )

    assert await route(db, ACCOUNT) == "bp_teranga"


async def test_payment_that_nobody_carries_has_no_route(db):
    await seed_banks(db, NOW)

    with pytest.raises(NoRoute):
        await route(db, Wallet("unheard_of", "+221771234567", "Awa Diop"))


async def test_seeding_at_another_address_moves_only_simulated_banks(db):
    await seed_banks(db, NOW)
    async with db.transaction("tests.real") as tx:
        await tx.connection.execute(
            "update payments.bank_profiles set metadata = '{}' where id = 'bp_123'"
        )

    await seed_banks(db, NOW, banks_url="http://localhost:4100/banks")

    async with db.transaction("tests.urls") as tx:
        rows = await tx.connection.fetch(
            "select id from payments.bank_profiles where endpoint_url like '%:4100/%'"
        )
    assert {row["id"] for row in rows} == {bank.id for bank in BANKS} - {"bp_123"}


async def test_treasury_shows_what_the_ledger_has_at_each_bank(db, ops_db):
    await seed_banks(db, NOW)

    accounts = await queries.treasury(ops_db)

    assert len(accounts) == len(BANKS)
    assert {(each.balance, each.reserved) for each in accounts} == {(0, 0)}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_a_temper_that_exists(ending: int):
    said, how = ENDINGS[ending]

    assert said
    assert msgspec.convert(how, Temper) != Temper()


async def test_temper_is_set_over_http_and_refused_when_misspelt(tmp_path):
    books = Books(tmp_path / "banks.sqlite")
    banks = SimulatedBanks(books, BankSecrets(root=ROOT_SECRET), callbacks_url="")
    async with served(banks.app) as url, httpx2.AsyncClient() as client:
        right = await client.put(f"{url}/bp_1/temper", json={"die": "after", "latency_s": 1})
        wrong = await client.put(f"{url}/bp_1/temper", json={"dye": "after"})
        shown = await client.get(f"{url}/bp_1/temper")
    books.close()

    assert (right.status_code, wrong.status_code) == (200, 400)
    assert shown.json()["die"] == "after"


async def test_books_outlive_the_bank(tmp_path):
    path, order = (
        tmp_path / "banks.sqlite",
        {
            "key": "payout-po_1",
            "amount": "75000",
            "currency": "XOF",
            "beneficiary": {},
            "reference": "Payout",
        },
    )
    secrets = BankSecrets(root=ROOT_SECRET)
    headers = {"Authorization": f"Bearer {secrets.of('bp_1').api_key.reveal()}"}
    statuses = []
    for _ in range(2):
        books = Books(path)
        banks = SimulatedBanks(books, secrets, callbacks_url="")
        async with served(banks.app) as url, httpx2.AsyncClient(headers=headers) as client:
            statuses.append((await client.get(f"{url}/bp_1/transfers/payout-po_1")).status_code)
            await client.post(f"{url}/bp_1/transfers", json=order)
        books.close()

    assert statuses == [404, 200]
