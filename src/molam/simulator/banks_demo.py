"""The demo's banks and wallets, and which way each payment takes."""

from __future__ import annotations

from dataclasses import dataclass

from molam.kernel.clock import Instant
from molam.platform.db import Database
from molam.simulator import banks_store

DEFAULT_URL = "http://localhost:3100/banks"


@dataclass(frozen=True, slots=True)
class DemoBank:
    id: str
    name: str
    country: str
    bic: str | None
    currency: str
    rails: tuple[str, ...]
    connector: str
    flat_fee: int = 0
    percent_fee: str = "0"
    avg_delay_sec: int = 20
    risk_score: str = "0.05"
    account: str = ""

    @property
    def provider_type(self) -> str:
        return "bank" if "bank" in self.rails else "wallet"


# Names of their own: nothing here is a statement about any real bank.
BANKS = (
    DemoBank(
        "bp_123",
        "Banque du Plateau",
        "SN",
        "BPLTSNDA",
        "XOF",
        ("bank",),
        "http_bank",
        flat_fee=300,
        account="SN08SN0100152000048500003035",
    ),
    DemoBank(
        "bp_teranga",
        "Banque Teranga",
        "SN",
        "BTRGSNDA",
        "XOF",
        ("bank",),
        "http_bank",
        flat_fee=250,
        percent_fee="0.1",
        account="SN08SN0110152000048500003137",
    ),
    DemoBank(
        "bp_lagune",
        "Banque de la Lagune",
        "CI",
        "BLAGCIAB",
        "XOF",
        ("bank",),
        "http_bank",
        flat_fee=350,
        avg_delay_sec=60,
        account="CI93CI0080111301134291200589",
    ),
    # Takes files: what is sent there waits for the next one.
    DemoBank(
        "bp_tresor",
        "Banque du Trésor Ouest",
        "SN",
        "BTROSNDA",
        "XOF",
        ("bank",),
        "pain001",
        flat_fee=1000,
        avg_delay_sec=600,
        account="SN08SN0220152000048500003239",
    ),
    DemoBank(
        "bp_wave_sn", "Wave Sénégal", "SN", None, "XOF", ("wallet:wave",), "wave", percent_fee="1"
    ),
    DemoBank(
        "bp_orange_sn",
        "Orange Money Sénégal",
        "SN",
        None,
        "XOF",
        ("wallet:orange_money",),
        "orange_money",
        percent_fee="1",
    ),
    DemoBank(
        "bp_mtn_ci",
        "MTN MoMo Côte d'Ivoire",
        "CI",
        None,
        "XOF",
        ("wallet:mtn_momo",),
        "http_bank",
        percent_fee="1",
    ),
    DemoBank(
        "bp_moov_ci",
        "Moov Money Côte d'Ivoire",
        "CI",
        None,
        "XOF",
        ("wallet:moov_money",),
        "http_bank",
        percent_fee="1",
        risk_score="0.12",
    ),
    DemoBank(
        "bp_free_sn",
        "Free Money Sénégal",
        "SN",
        None,
        "XOF",
        ("wallet:free_money",),
        "http_bank",
        percent_fee="1",
    ),
    DemoBank(
        "bp_volta",
        "Volta Commercial Bank",
        "GH",
        "VOLTGHAC",
        "GHS",
        ("bank", "wallet:mtn_momo", "wallet:telecel_cash", "wallet:airteltigo"),
        "http_bank",
        flat_fee=500,
    ),
    DemoBank(
        "bp_marina",
        "Marina Trust Bank",
        "NG",
        "MRNANGLA",
        "NGN",
        ("bank", "wallet:opay", "wallet:palmpay", "wallet:mtn_momo"),
        "http_bank",
        flat_fee=5000,
    ),
)


@dataclass(frozen=True, slots=True)
class DemoRoute:
    currency: str
    rail: str
    bank_profile_ids: tuple[str, ...]
    min_amount: int = 0


_LARGE = 10_000_000

ROUTES = (
    DemoRoute("XOF", "bank", ("bp_123", "bp_teranga", "bp_lagune")),
    DemoRoute("XOF", "bank", ("bp_tresor", "bp_123"), _LARGE),
    *(
        DemoRoute(bank.currency, rail, (bank.id,))
        for bank in BANKS
        for rail in bank.rails
        if rail != "bank" or bank.currency != "XOF"
    ),
)

SETTLEMENT_DAYS = 1


async def seed_banks(db: Database, now: Instant, *, banks_url: str = DEFAULT_URL) -> None:
    """Set up the demo's banks at *banks_url*. Safe to repeat; what exists stays."""
    del now  # They have always been there.
    async with db.transaction("simulator.seed_banks") as tx:
        for bank in BANKS:
            await tx.run(
                banks_store.PUT_BANK,
                id=bank.id,
                name=bank.name,
                country=bank.country,
                bic=bank.bic,
                currency_codes=[bank.currency],
                rails=list(bank.rails),
                provider_type=bank.provider_type,
                fees={"flat": bank.flat_fee, "percent": bank.percent_fee},
                flat_fee=bank.flat_fee,
                percent_fee=bank.percent_fee,
                avg_delay_sec=bank.avg_delay_sec,
                risk_score=bank.risk_score,
                sla_settlement_days=SETTLEMENT_DAYS,
                connector=bank.connector,
                endpoint_url=f"{banks_url}/{bank.id}",
                cut_off=None,
                timezone="Africa/Lagos" if bank.country == "NG" else "Africa/Dakar",
            )
            await tx.run(
                banks_store.PUT_TREASURY_ACCOUNT,
                id=f"ta_{bank.id.removeprefix('bp_')}_{bank.currency.lower()}",
                bank_profile_id=bank.id,
                account_reference=bank.account or f"MOLAM-{bank.id.upper()}",
                currency=bank.currency,
            )
        for route in ROUTES:
            await tx.run(
                banks_store.PUT_ROUTE,
                currency=route.currency,
                rail=route.rail,
                min_amount=route.min_amount,
                bank_profile_ids=list(route.bank_profile_ids),
            )
