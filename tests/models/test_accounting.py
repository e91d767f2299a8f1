"""A merchant's books balance, agree with the ledger, and are read by other programs."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molam.merchant.accounting import journal
from molam.merchant.accounting.chart import SLOTS, Account, AccountingRefused, Chart, check
from molam.merchant.accounting.entries import Entry, Fact, entries_of

CHART = Chart.of([], "en")
INSIDE = ["available", "reserved", "in_payout"]
OUTSIDE = [
    *("customers:wallet", "molam:fees", "disputes:held", "banks:bp_123", "payouts:sent"),
    *("treasury:float", "somewhere:new"),
]
CAUSES = [
    "payment",
    "payment_fee",
    "refund",
    "refund_reserved",
    "dispute",
    "payout_reserved",
    "news",
]


def a_fact(source: str, target: str, amount: int = 500, **changed: object) -> Fact:
    return Fact(
        **{
            "transfer_id": str(UUID(int=1)),
            "day": date(2026, 11, 16),
            "cause": "payment",
            "cause_id": "tx_123",
            "source": source,
            "target": target,
            "amount": amount,
            "currency": "XOF",
            "exponent": 0,
            "provider": "wave",
            "shares": {},
        }
        | changed
    )


def booked(fact: Fact) -> list[tuple[str, list[tuple[str, int]]]]:
    """The entries of a fact, as (journal, [(account, debit or -credit)])."""
    return [
        (entry.journal, [(line.account.code, line.amount) for line in entry.lines])
        for entry in entries_of(fact, CHART)
    ]


FACTS = {
    "a sale": (
        a_fact("customers:wallet", "available"),
        [("VT", [("411", 500), ("701", -500)]), ("ME", [("5521", 500), ("411", -500)])],
    ),
    "a sale taken back": (
        a_fact("available", "customers:wallet"),
        [("VT", [("411", -500), ("701", 500)]), ("ME", [("5521", -500), ("411", 500)])],
    ),
    "a fee": (
        a_fact("available", "molam:fees", 12, cause="payment_fee"),
        [("ME", [("5521", -12), ("6317", 12)])],
    ),
    "a fee given back": (
        a_fact("molam:fees", "available", 12, cause="refund_fee"),
        [("ME", [("5521", 12), ("6317", -12)])],
    ),
    "a promise": (a_fact("available", "reserved", cause="refund_reserved"), []),
    "a refund": (
        a_fact("reserved", "customers:wallet", cause="refund"),
        [("VT", [("411", -500), ("701", 500)]), ("ME", [("5521", -500), ("411", 500)])],
    ),
    "a dispute": (
        a_fact("available", "disputes:held", cause="dispute"),
        [("ME", [("5521", -500), ("411", 500)])],
    ),
    "a dispute won": (
        a_fact("disputes:held", "available", cause="dispute"),
        [("ME", [("5521", 500), ("411", -500)])],
    ),
    "a dispute lost": (
        a_fact("disputes:held", "customers:wallet", cause="dispute_settled"),
        [("VT", [("411", -500), ("701", 500)])],
    ),
    "a payout prepared": (
        a_fact("available", "in_payout", cause="payout_reserved", provider=""),
        [("BQ", [("585", 500), ("552", -500)])],
    ),
    "a payout of two providers": (
        a_fact(
            *("available", "in_payout"),
            cause="payout_reserved",
            provider="",
            shares={"wave": 600, "orange_money": -100},
        ),
        [("BQ", [("585", 500), ("5522", 100), ("5521", -600)])],
    ),
    "a payout cancelled": (
        a_fact("in_payout", "available", cause="payout_released", provider=""),
        [("BQ", [("585", -500), ("552", 500)])],
    ),
    "a payout sent": (
        a_fact("in_payout", "banks:bp_123", cause="payout_sent", provider=""),
        [("BQ", [("585", -500), ("521", 500)])],
    ),
    "a payout returned": (
        a_fact("banks:bp_123", "available", cause="payout_returned", provider=""),
        [("BQ", [("552", 500), ("521", -500)])],
    ),
    "something new": (
        a_fact("treasury:float", "available", cause="manual_credit", provider=""),
        [("OD", [("552", 500), ("471", -500)])],
    ),
}


@pytest.mark.parametrize("name", FACTS)
def test_each_fact_has_its_entries(name: str):
    fact, expected = FACTS[name]

    assert booked(fact) == expected


ENDS = st.sampled_from([*INSIDE, *OUTSIDE])
ANY_FACT = st.builds(
    a_fact,
    ENDS,
    ENDS,
    st.integers(1, 2**53 - 1),
    cause=st.sampled_from(CAUSES),
    cause_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    provider=st.sampled_from(["", "wave", "orange_money", "unheard_of"]),
    day=st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    transfer_id=st.uuids().map(str),
).filter(lambda fact: fact.source != fact.target)


@given(facts=st.lists(ANY_FACT, max_size=30))
def test_books_balance_and_agree_with_the_ledger(facts: list[Fact]):
    ledger: Counter[str] = Counter()
    books: Counter[str] = Counter()
    for fact in facts:
        ledger[fact.source] -= fact.amount
        ledger[fact.target] += fact.amount
        for entry in entries_of(fact, CHART):
            assert sum(line.amount for line in entry.lines) == 0
            for line in entry.lines:
                books[line.account.code] += line.amount

    wallets = sum(amount for code, amount in books.items() if code.startswith("552"))
    assert wallets == ledger["available"] + ledger["reserved"]
    assert books["585"] == ledger["in_payout"]


@given(facts=st.lists(ANY_FACT, max_size=10))
def test_fees_are_never_netted_into_sales(facts: list[Fact]):
    for fact in facts:
        for entry in entries_of(fact, CHART):
            codes = {line.account.code for line in entry.lines}
            assert not {"701", "6317"} <= codes


def test_amounts_are_written_in_the_currencys_own_units():
    assert journal.decimal(75_000, 0) == "75000"
    assert journal.decimal(12_505, 2) == "125.05"
    assert journal.decimal(5, 2) == "0.05"
    assert journal.decimal(-5, 2) == "-0.05"


def all_entries(facts: list[Fact]) -> list[Entry]:
    return list(journal.entries(facts, CHART))


NASTY = [
    "tx;1",
    "tx|1",
    'tx"1',
    "tx\n2026-01-01 * x",
    "tx\\",
    "; x",
    "2026/01/01",
    "é  b",
    "=1+1",
    ")",
]


def test_hledger_text_keeps_every_entry_whatever_ids_hold():
    facts = [a_fact("customers:wallet", "available", cause_id=text) for text in NASTY]
    target = io.StringIO()

    count = journal.write_hledger(all_entries(facts), target, "fr")

    lines = target.getvalue().splitlines()
    assert count == 2 * len(NASTY)
    assert len([line for line in lines if line.startswith("2026-11-16 * (")]) == count
    assert len([line for line in lines if line.startswith("    ")]) == 2 * count


def test_beancount_reads_the_books_and_agrees_with_them(tmp_path):
    pytest.importorskip("beancount")
    facts = [fact for fact, _ in FACTS.values()]
    facts += [a_fact("customers:wallet", "available", cause_id=text) for text in NASTY]
    facts += [a_fact("customers:wallet", "available", 505, currency="GHS", exponent=2)]
    target = tmp_path / "books.beancount"
    with target.open("w", encoding="utf-8") as text:
        journal.write_beancount(all_entries(facts), text, "fr")
    # In a process of its own: it warns about its own dependencies.
    script = (
        "import sys; from beancount import loader; from beancount.core import data;"
        "found, errors, _ = loader.load_file(sys.argv[1]);"
        "print(len(errors), sum(isinstance(each, data.Transaction) for each in found))"
    )
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(target)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert said.stdout.split() == ["0", str(len(all_entries(facts)))]


@pytest.mark.parametrize(
    "changed",
    [
        {"sales": Account("70a", "x")},
        {"sales": Account("7", "x")},
        {"sales": Account("0701", "x")},
        {"sales": Account("7" * 13, "x")},
        {"sales": Account("\u0667\u0660\u0661", "x")},
        {"sales": Account("701", "  ")},
        {"sales": Account("701", "a\nb")},
        {"sales": Account("701", "x" * 81)},
        {"sales": Account("411", "x"), "customers": Account("411", "x")},
        {"wallet": Account("552", "a"), "wallet:wave": Account("552", "b")},
        {"payroll": Account("661", "x")},
    ],
    ids=str,
)
def test_accounts_nobody_could_book_on_are_refused(changed: dict[str, Account]):
    with pytest.raises(AccountingRefused):
        check(changed)


def test_default_accounts_are_accepted_in_both_languages():
    for language in ("en", "fr"):
        mapping = {slot: each.account(language) for slot, each in SLOTS.items()}
        check(mapping)
        assert len({account.label for account in mapping.values()}) == len(SLOTS)
