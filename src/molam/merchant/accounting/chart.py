"""The accounts of a merchant's books, SYSCOHADA's unless the merchant says otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from molam.kernel.refusals import Kind, Refusal
from molam.kernel.shown import plain
from molam.platform.web.l10n import Language

CODE = re.compile(r"[1-9][0-9]{1,11}", re.ASCII)
LABEL_LENGTH_MAX = 80
WALLET = "wallet"


class AccountingRefused(Refusal):
    code = "accounting-refused"
    kind = Kind.BROKEN_RULE
    title = "These accounts cannot be used"


@dataclass(frozen=True, slots=True)
class Account:
    code: str
    label: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Something that needs an account: SYSCOHADA's own, and what to call it."""

    code: str
    en: str
    fr: str

    def account(self, language: Language) -> Account:
        return Account(self.code, self.fr if language == "fr" else self.en)


SLOTS: Mapping[str, Slot] = MappingProxyType(
    {
        WALLET: Slot("552", "Mobile money held at Molam", "Monnaie électronique chez Molam"),
        "wallet:wave": Slot("5521", "Mobile money: Wave", "Monnaie électronique : Wave"),
        "wallet:orange_money": Slot(
            "5522", "Mobile money: Orange Money", "Monnaie électronique : Orange Money"
        ),
        "wallet:mtn_momo": Slot(
            "5523", "Mobile money: MTN MoMo", "Monnaie électronique : MTN MoMo"
        ),
        "wallet:free_money": Slot(
            "5524", "Mobile money: Free Money", "Monnaie électronique : Free Money"
        ),
        "wallet:moov_money": Slot(
            "5525", "Mobile money: Moov Money", "Monnaie électronique : Moov Money"
        ),
        "customers": Slot("411", "Customers", "Clients"),
        "sales": Slot("701", "Sales of goods", "Ventes de marchandises"),
        "fees": Slot(
            "6317", "Fees on electronic money", "Frais sur instruments de monnaie électronique"
        ),
        "transit": Slot("585", "Transfers under way", "Virements de fonds"),
        "banks": Slot("521", "Banks", "Banques locales"),
        "cash": Slot("571", "Cash", "Caisse"),
        "suspense": Slot("471", "To be cleared", "Comptes d'attente"),
    }
)


@dataclass(frozen=True, slots=True)
class Chart:
    """Which account each slot has; a provider without one shares the main wallet's."""

    accounts: Mapping[str, Account]

    @classmethod
    def of(cls, own: Iterable[tuple[str, str, str]], language: Language) -> Chart:
        """Put a merchant's own accounts, as (slot, code, label), over the defaults."""
        accounts = {slot: each.account(language) for slot, each in SLOTS.items()}
        accounts |= {slot: Account(code, label) for slot, code, label in own if slot in SLOTS}
        return cls(MappingProxyType(accounts))

    def wallet(self, provider: str) -> Account:
        return self.accounts.get(f"{WALLET}:{provider}") or self.accounts[WALLET]

    def __getitem__(self, slot: str) -> Account:
        return self.accounts[slot]


def check(mapping: Mapping[str, Account]) -> None:
    """
    Refuse accounts that no bookkeeper could use.

    Raises:
        AccountingRefused: an unknown slot, a code that is not 2 to 12 digits, a label
            that is blank or too long, or one code under two names.
    """
    named: dict[str, str] = {}
    for slot, account in mapping.items():
        if slot not in SLOTS:
            raise AccountingRefused(f"{slot[:64]} is not one of {', '.join(SLOTS)}.", field="slot")
        if not CODE.fullmatch(account.code):
            raise AccountingRefused(
                "An account is 2 to 12 digits that begin with its class, 1 to 9.", field=slot
            )
        if not 1 <= len(account.label.strip()) <= LABEL_LENGTH_MAX:
            raise AccountingRefused(
                f"Give each account a name of 1 to {LABEL_LENGTH_MAX} characters.", field=slot
            )
        if plain(account.label) != account.label:
            raise AccountingRefused("An account's name is plain text on one line.", field=slot)
        # Two slots may share an account, and then it has one name.
        if named.setdefault(account.code, account.label) != account.label:
            raise AccountingRefused(f"Account {account.code} has two names.", field=slot)
    # Sales, fees and the money itself must be told apart, or nothing can be checked.
    kinds = ("sales", "fees", WALLET, "banks", "customers", "transit")
    codes = [mapping[kind].code for kind in kinds if kind in mapping]
    if len(set(codes)) != len(codes):
        raise AccountingRefused(
            "Sales, fees, wallets, banks, customers and transfers each need their own account.",
            field="account",
        )
