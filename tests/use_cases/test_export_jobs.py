"""Files are written by jobs that may be killed, repeated, or out of luck."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import hypothesis
import pytest
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore

from builders import NOW, a_merchant, a_transaction
from export_runs import a_list, asked_for, file_of, found, rows_of, written
from molam.kernel.refusals import Outage
from molam.merchant import queries
from molam.payments.queries import Filters
from molam.platform.db import Database


@pytest.fixture(autouse=True)
async def shop(db: Database) -> None:
    await a_merchant(db)


async def test_job_that_was_killed_half_way_begins_again(db: Database, worker_db: Database):
    await a_transaction(db)
    row = await asked_for(db, a_list())
    async with db.transaction("tests.killed") as tx:
        await tx.connection.execute(
            "update merchant.exports set state = 'running', rows_done = 500, rows_total = 1000"
        )

    done = await written(worker_db, row, MemoryStore(), attempt=2)

    assert (done.state, done.rows_done, done.rows_total) == ("done", 1, 1)


async def test_job_that_comes_twice_leaves_the_first_file(db: Database, worker_db: Database):
    row = await asked_for(db, a_list())
    files = MemoryStore()
    first = await written(worker_db, row, files)
    await a_transaction(db)

    second = await written(worker_db, row, files)

    assert second == first


async def test_job_is_tried_again_while_the_storage_is_away(
    db: Database, worker_db: Database, tmp_path
):
    row = await asked_for(db, a_list())
    files = LocalStore(prefix=tmp_path)
    (tmp_path / "exports").write_text("in the way")

    with pytest.raises(Outage):
        await written(worker_db, row, files, attempt=1)
    between = await found(db, row.merchant_id, row.id)
    (tmp_path / "exports").unlink()
    after = await written(worker_db, row, files, attempt=2)

    assert (between.state, after.state) == ("running", "done")


async def test_file_that_failed_the_last_time_says_so(db: Database, worker_db: Database, tmp_path):
    row = await asked_for(db, a_list())
    (tmp_path / "exports").write_text("in the way")

    with pytest.raises(Outage):
        await written(worker_db, row, LocalStore(prefix=tmp_path), attempt=4)

    assert (await found(db, row.merchant_id, row.id)).state == "failed"


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["succeeded", "pending", "failed", "refunded"]),
        "type": st.sampled_from(["payment", "refund"]),
        "channel": st.sampled_from(["wallet", "card"]),
        "currency": st.sampled_from(["XOF", "GHS"]),
        "amount_min": st.integers(0, 100),
        "amount_max": st.integers(0, 100),
        "from_at": st.integers(0, 40).map(lambda hours: NOW - timedelta(hours=hours)),
        "to_at": st.integers(0, 40).map(lambda hours: NOW - timedelta(hours=hours)),
        "search": st.sampled_from(["awa", "moussa", "ref-1", "tx_7"]),
    },
)


@pytest.fixture
async def many(db: Database) -> None:
    """Sixty transactions of every kind, several at the same instant."""
    async with db.transaction("tests.many") as tx:
        await tx.connection.execute(
            "insert into payments.wallet_transactions (merchant_id, id, type, state, amount, currency,"
            " channel, occurred_at, reference_code, customer, refunded_amount, version)"
            " select 'merchant-123', 'tx_' || n, case when n % 5 = 0 then 'refund' else 'payment' end,"
            " (array['succeeded', 'pending', 'failed', 'abandoned'])[1 + n % 4], n % 97,"
            " (array['XOF', 'GHS'])[1 + n % 2], (array['wallet', 'card'])[1 + n % 2],"
            " $1::timestamptz - make_interval(hours => n / 3), 'REF-' || n,"
            " jsonb_build_object('name', (array['Awa Diop', 'Moussa Fall'])[1 + n % 2]),"
            " case when n % 8 = 1 then n % 97 else 0 end, 1 from generate_series(1, 60) n",
            NOW,
        )


@pytest.mark.usefixtures("many")
@hypothesis.settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(asked=FILTERS)
async def test_file_holds_exactly_what_the_list_shows(
    db: Database, worker_db: Database, asked: Mapping[str, object]
):
    page = await queries.transactions(
        db, merchant_id="merchant-123", filters=Filters(**asked), beyond=None, limit=200
    )
    async with db.transaction("tests.forget") as tx:
        await tx.connection.execute("delete from merchant.exports")

    rows = rows_of(await file_of(db, worker_db, a_list(**asked)))

    assert [row["Transaction"] for row in rows] == [row.id for row in page.rows]
    assert [row["Status"] for row in rows] == [row.status for row in page.rows]


async def test_row_says_which_payout_paid_it_out_and_when(db: Database, worker_db: Database):
    await a_transaction(db, id_="paid")
    await a_transaction(db, id_="unpaid")
    async with db.transaction("tests.payout") as tx:
        await tx.connection.execute(
            "insert into payments.payouts (merchant_id, id, state, amount, currency, occurred_at,"
            " version) values ('merchant-123', 'po_1', 'paid', 75000, 'XOF', $1, 1)",
            NOW,
        )
        await tx.connection.execute(
            "insert into payments.payout_entries (transfer_id, merchant_id, payout_id, amount, cause,"
            " cause_id, occurred_at, posted_at) values (gen_random_uuid(), 'merchant-123', 'po_1',"
            " 75000, 'payment', 'paid', $1, $1)",
            NOW,
        )

    rows = {row["Transaction"]: row for row in rows_of(await file_of(db, worker_db, a_list()))}

    assert (rows["paid"]["Payout"], rows["paid"]["Payout date"]) == ("po_1", "2026-11-16")
    assert rows["unpaid"]["Payout"] == ""
