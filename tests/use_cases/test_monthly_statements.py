"""A month's statement balances with the ledger, or is not printed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import hypothesis
import pytest
from hypothesis import strategies as st
from obstore.store import MemoryStore

from builders import a_merchant
from export_runs import NOW, a_list, asked_for, file_of, rows_of, written
from molam.merchant import report_statement
from molam.merchant.report_model import StatementRefused
from molam.merchant.report_statement import Statement, document, statement_of
from molam.merchant.report_store import MerchantRow
from molam.platform.db import Database

AVAILABLE = "merchant:merchant-123:available:XOF"
RESERVED = "merchant:merchant-123:reserved:XOF"
IN_PAYOUT = "merchant:merchant-123:in_payout:XOF"
KINDS = {
    AVAILABLE: "merchant_available",
    RESERVED: "merchant_reserved",
    IN_PAYOUT: "merchant_in_payout",
}
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Moved:
    source: str
    target: str
    amount: int
    cause: str
    day: int
    """Days from the first of October, before it when negative."""


def sale(amount: int, day: int = 3) -> Moved:
    return Moved("customers:wallet:XOF", AVAILABLE, amount, "payment", day)


@pytest.fixture(autouse=True)
async def shop(db: Database) -> None:
    await a_merchant(db)
    async with db.transaction("tests.numbers") as tx:
        await tx.connection.execute(
            "update tenancy.merchants set ninea = '00123456', rccm = 'SN-DKR-2020-B-1'"
        )


async def _post(db: Database, moves: Sequence[Moved]) -> None:
    """Write transfers with the days they were posted on, and the balances that follow."""
    async with db.transaction("tests.post") as tx:
        for account in {end for move in moves for end in (move.source, move.target)}:
            await tx.connection.execute(
                "insert into ledger.accounts (id, kind, owner_id, currency) values ($1, $2, $3, 'XOF')"
                " on conflict do nothing",
                *(
                    account,
                    KINDS.get(account, "outside"),
                    "merchant-123" if account in KINDS else None,
                ),
            )
        await tx.connection.executemany(
            "insert into ledger.transfers (id, source, target, amount, currency, merchant_id, cause,"
            " cause_id, occurred_at, posted_at) values ($1, $2, $3, $4, 'XOF', 'merchant-123', $5,"
            " 'tx', $6, $6)",
            [
                (
                    uuid4(),
                    *(move.source, move.target, move.amount, move.cause),
                    OCTOBER + timedelta(days=move.day),
                )
                for move in moves
            ],
        )
        await tx.connection.execute(
            "update ledger.accounts a set balance = (select coalesce(sum(case when t.target = a.id"
            " then t.amount else -t.amount end), 0) from ledger.transfers t"
            " where a.id in (t.source, t.target))"
        )


async def _statement(db: Database, month: str = "2026-10", now: datetime = NOW) -> Statement:
    async with db.transaction("tests.statement", isolation="repeatable_read") as tx:
        return await statement_of(
            tx,
            merchant_id="merchant-123",
            currency="XOF",
            month=month,
            timezone="Africa/Dakar",
            now=now,
        )


async def test_month_begins_with_what_was_there_and_ends_with_what_the_ledger_holds(
    db: Database,
):
    await _post(
        db,
        [
            sale(10_000, day=-5),
            sale(5_000, day=0),
            Moved(AVAILABLE, "molam:fees:XOF", 100, "payment_fee", 0),
            Moved(AVAILABLE, RESERVED, 1_000, "refund_reserved", 10),
            Moved(RESERVED, "customers:wallet:XOF", 400, "refund", 11),
            Moved(AVAILABLE, IN_PAYOUT, 2_000, "payout_reserved", 20),
            Moved(IN_PAYOUT, "banks:bp_123:XOF", 1_500, "payout_sent", 21),
            sale(700, day=31),
        ],
    )

    found = await _statement(db)

    moved = {each.group: each.amount for each in found.movements}
    assert found.opening == 10_000
    assert moved == {"sales": 5_000, "fees": -100, "refunds": -400, "payouts": -1_500}
    assert found.closing == 13_000
    assert found.split == {
        "merchant_available": 11_900,
        "merchant_in_payout": 500,
        "merchant_reserved": 600,
    }


ENDS = [AVAILABLE, RESERVED, IN_PAYOUT, "customers:wallet:XOF", "molam:fees:XOF", "banks:b:XOF"]
MOVES = st.lists(
    st.builds(
        Moved,
        st.sampled_from(ENDS),
        st.sampled_from(ENDS),
        st.integers(1, 1000),
        st.sampled_from(["payment", "payment_fee", "refund", "dispute", "payout_sent", "news"]),
        st.integers(-40, 70),
    ).filter(lambda move: move.source != move.target),
    max_size=12,
)


@hypothesis.settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(moves=MOVES)
async def test_each_month_ends_with_what_the_next_begins_with(db: Database, moves: list[Moved]):
    async with db.transaction("tests.empty") as tx:
        # The walls are in the way of months in any order; the sums do not need them.
        for table in ("transfers", "accounts"):
            await tx.connection.execute(f"alter table ledger.{table} disable trigger user")
        await tx.connection.execute("delete from ledger.transfers")
        await tx.connection.execute("delete from ledger.accounts")
    await _post(db, moves)

    months = [
        await _statement(db, month, NOW + timedelta(days=90))
        for month in ("2026-08", "2026-09", "2026-10", "2026-11", "2026-12")
    ]

    for before, after in itertools.pairwise(months):
        assert before.closing == after.opening
    assert months[0].opening == 0
    for each in months:
        assert each.opening + sum(move.amount for move in each.movements) == each.closing
        assert sum(each.split.values()) == each.closing


async def test_nothing_is_printed_while_the_ledger_does_not_balance(
    db: Database, worker_db: Database
):
    await _post(db, [sale(5_000)])
    async with db.transaction("tests.break") as tx:
        await tx.connection.execute(
            "update ledger.accounts set balance = balance + 1 where id = $1", AVAILABLE
        )

    with pytest.raises(StatementRefused):
        await _statement(db)
    asked = a_list(kind="statement", format="pdf", month="2026-10", currency="XOF")
    row = await written(worker_db, await asked_for(db, asked), MemoryStore())

    assert (row.state, row.reason) == ("failed", "unbalanced")


async def test_month_that_is_not_over_has_no_statement(db: Database, worker_db: Database):
    asked = a_list(kind="statement", format="pdf", month="2026-11", currency="XOF")

    row = await written(worker_db, await asked_for(db, asked), MemoryStore())

    assert (row.state, row.reason) == ("failed", "month-not-over")


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_statement_is_a_document_with_the_merchants_numbers(
    db: Database, worker_db: Database, language: str
):
    await _post(db, [sale(5_000)])
    asked = a_list(
        kind="statement", format="pdf", month="2026-10", currency="XOF", language=language
    )

    content = await file_of(db, worker_db, asked)

    assert content.startswith(b"%PDF-")
    assert b"pdfaid" in content


def test_document_names_the_merchant_by_its_tax_and_trade_numbers():
    shop = MerchantRow(
        id="merchant-123",
        name="*Boutique* #eval(1)",
        city="Dakar",
        country="SN",
        ninea="00123456",
        rccm=None,
        timezone="Africa/Dakar",
        currency="XOF",
    )

    head = report_statement.head(shop, "fr", title="Relevé")

    assert head["merchant"] == {
        "name": "*Boutique* #eval(1)",
        "place": "Dakar, SN",
        "numbers": ["NINEA 00123456"],
    }


async def test_every_word_of_a_statement_is_known_in_both_languages(db: Database):
    shop = MerchantRow("m", "M", None, "SN", None, None, "Africa/Dakar", "XOF")
    await _post(db, [sale(1), Moved("treasury:x:XOF", AVAILABLE, 5, "news", 2)])
    found = await _statement(db)

    english, french = (document(found, shop, language) for language in ("en", "fr"))

    assert english.keys() == french.keys()
    assert {each["label"] for each in english["movements"]} >= {"Sales", "Adjustments"}
    assert {each["label"] for each in french["movements"]} >= {"Ventes", "Ajustements"}


async def test_journal_of_a_month_balances_and_counts_as_the_statement_does(
    db: Database, worker_db: Database
):
    await _post(
        db,
        [
            sale(5_000),
            Moved(AVAILABLE, "molam:fees:XOF", 100, "payment_fee", 3),
            Moved(AVAILABLE, IN_PAYOUT, 2_000, "payout_reserved", 20),
            Moved(IN_PAYOUT, "banks:bp_123:XOF", 2_000, "payout_sent", 21),
        ],
    )
    statement = await _statement(db)

    rows = rows_of(
        await file_of(
            db,
            worker_db,
            a_list(
                kind="journal", from_at=OCTOBER, to_at=OCTOBER + timedelta(days=31), language="fr"
            ),
        ),
        ";",
    )

    pieces: dict[str, int] = {}
    accounts: dict[str, int] = {}
    for row in rows:
        amount = int(row["Débit"] or 0) - int(row["Crédit"] or 0)
        pieces[row["Pièce"]] = pieces.get(row["Pièce"], 0) + amount
        accounts[row["Compte"]] = accounts.get(row["Compte"], 0) + amount
    assert set(pieces.values()) == {0}
    assert accounts["552"] == statement.closing - statement.opening
    assert (accounts["701"], accounts["6317"], accounts["521"]) == (-5_000, 100, 2_000)


@pytest.mark.parametrize("format_", ["csv", "xlsx", "hledger", "beancount"])
async def test_journal_is_written_in_every_format(db: Database, worker_db: Database, format_: str):
    await _post(db, [sale(5_000)])

    content = await file_of(db, worker_db, a_list(kind="journal", format=format_))

    assert len(content) > 200
