"""The development issuer's process serves the simulated banks, and neither in production."""

from __future__ import annotations

import dataclasses

import pytest
from callers import in_process

from molam.entrypoints.bank_desk import secrets_of
from molam.entrypoints.serve_identity import with_banks
from molam.platform.settings import Secret, SettingsRefused

ORDER = {
    "key": "payout-po_1",
    "amount": "75000",
    "currency": "XOF",
    "beneficiary": {"holder": "Awa Diop", "iban": "SN08SN0100152000048500003035"},
    "reference": "PAYOUT-20261116-0001",
}


@pytest.fixture
async def identity(settings, tmp_path):
    app = with_banks(dataclasses.replace(settings, molam_home=tmp_path))
    async with app.router.lifespan_context(app), in_process(app) as client:
        yield client


async def test_order_is_booked_once_under_its_key(identity, settings, tmp_path):
    home = dataclasses.replace(settings, molam_home=tmp_path)
    key = secrets_of(home).of("bp_123").api_key.reveal()
    headers = {"Authorization": f"Bearer {key}"}

    answers = [
        await identity.post("/banks/bp_123/transfers", json=ORDER, headers=headers)
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]


async def test_stranger_orders_nothing(identity):
    answer = await identity.post("/banks/bp_123/transfers", json=ORDER)

    assert answer.status_code == 401


@pytest.mark.parametrize("format_", ["camt053", "mt940", "csv", "wave", "xlsx"])
async def test_statement_comes_in_every_format(identity, format_):
    answer = await identity.get(f"/banks/bp_123/statements?format={format_}")

    assert answer.status_code == 200
    assert answer.content


async def test_issuer_still_answers_beside_the_banks(identity):
    assert (await identity.get("/.well-known/openid-configuration")).status_code == 200


def test_production_has_no_simulated_banks(settings, tmp_path):
    production = dataclasses.replace(
        settings,
        molam_env="production",
        molam_home=tmp_path,
        molam_secret_key=Secret("a key of production, which is long"),
    )

    with pytest.raises(SettingsRefused):
        with_banks(production)
