"""Questions about transactions and disputes; every one names its merchant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from molam.kernel import searches
from molam.kernel.clock import Instant
from molam.kernel.refusals import Kind, Refusal
from molam.payments import list_store as store
from molam.platform.db import Tx

LIMIT_MAX = 200
TOTAL_MAX = 10_000

# PostgreSQL reads these as -infinity and infinity.
BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)


class TransactionAbsent(Refusal):
    code = "transaction-not-found"
    kind = Kind.ABSENT
    title = "No such transaction"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: strictly beyond this row, in the order newest first."""

    occurred_at: Instant
    id: str
    type: str
    newer: bool = False


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list; None does not filter. Dates are half-open instants."""

    status: str | None = None
    type: str | None = None
    channel: str | None = None
    currency: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    from_at: Instant | None = None
    to_at: Instant | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[store.TransactionRow]
    has_older: bool
    has_newer: bool


async def list_transactions(
    tx: Tx,
    *,
    merchant_id: str,
    filters: Filters,
    beyond: Position | None,
    limit: int,
    offset: int = 0,
) -> Page:
    """List up to *limit* transactions, newest first, whichever way the page was reached."""
    assert 1 <= limit <= LIMIT_MAX
    newer = beyond is not None and beyond.newer
    params = filtering(merchant_id, filters) | {
        "at": beyond.occurred_at if beyond else END,
        "id": beyond.id if beyond else "",
        "of_type": beyond.type if beyond else "",
        "limit": limit + 1,
        "offset": offset,
    }
    if filters.search is not None:
        statement = store.SEARCH_NEWER if newer else store.SEARCH_OLDER
    elif filters.status is not None:
        statement = store.LIST_STATUS_NEWER if newer else store.LIST_STATUS_OLDER
    else:
        statement = store.LIST_NEWER if newer else store.LIST_OLDER

    rows = await tx.all(statement, **params)
    more = len(rows) > limit
    rows = rows[:limit]
    if newer:
        return Page(rows[::-1], has_older=True, has_newer=more)
    return Page(rows, has_older=more, has_newer=beyond is not None or offset > 0)


async def count_transactions(tx: Tx, *, merchant_id: str, filters: Filters) -> int:
    """Count what `list_transactions` would list, up to `TOTAL_MAX`."""
    if filters.search is not None:
        statement = store.COUNT_FOUND
    elif filters.status is not None:
        statement = store.COUNT_STATUS
    else:
        statement = store.COUNT_ALL
    row = await tx.one(statement, **filtering(merchant_id, filters), limit=TOTAL_MAX)
    assert row is not None
    return row.count


def filtering(merchant_id: str, filters: Filters) -> dict[str, object]:
    """Return the parameters of every list statement that these filters choose."""
    params: dict[str, object] = {
        "merchant_id": merchant_id,
        "type": filters.type,
        "channel": filters.channel,
        "currency": filters.currency,
        "amount_min": filters.amount_min,
        "amount_max": filters.amount_max,
        "from_at": filters.from_at or BEGINNING,
        "to_at": filters.to_at or END,
    }
    if filters.search is not None:
        params |= _search(filters.search) | {"status": filters.status}
    elif filters.status is not None:
        params["status"] = filters.status
    return params


async def get_transaction(tx: Tx, *, merchant_id: str, id_: str) -> store.TransactionRow:
    """
    Raises:
        TransactionAbsent: the merchant has no such transaction.
    """
    row = await tx.one(store.FIND_TRANSACTION, merchant_id=merchant_id, id=id_)
    if row is None:
        raise TransactionAbsent("Check the reference, or search by customer.")
    return row


async def refunds_of(tx: Tx, *, merchant_id: str, id_: str) -> list[store.TransactionRow]:
    return await tx.all(store.LIST_REFUNDS, merchant_id=merchant_id, id=id_)


async def disputes_of(tx: Tx, *, merchant_id: str, id_: str) -> list[store.DisputeRow]:
    return await tx.all(store.LIST_DISPUTES, merchant_id=merchant_id, id=id_)


async def open_disputes(tx: Tx, *, merchant_id: str) -> int:
    row = await tx.one(store.COUNT_OPEN_DISPUTES, merchant_id=merchant_id)
    assert row is not None
    return row.count


def _search(text: str) -> dict[str, object]:
    low = text.strip().lower()
    assert low, "a blank search is none"
    return {"low": low, "high": searches.beyond(low), "exact": text.strip()}


async def search_transactions(tx: Tx, text: str, *, limit: int) -> list[store.AnyTransactionRow]:
    """
    Find transactions of every merchant whose id or reference begins with *text*.

    Only for those who may see every merchant; exact ids come first.
    """
    assert 1 <= limit <= LIMIT_MAX
    exact = text.strip()
    if not exact:
        return []
    low = exact.lower()
    return await tx.all(
        store.SEARCH_EVERYWHERE,
        exact=exact,
        exact_beyond=searches.beyond(exact),
        low=low,
        high=searches.beyond(low),
        limit=limit,
    )


async def newest_transactions(
    tx: Tx, *, merchant_id: str, limit: int
) -> list[store.AnyTransactionRow]:
    """List a merchant's newest transactions, for those who may see every merchant."""
    assert 1 <= limit <= LIMIT_MAX
    return await tx.all(store.LIST_NEWEST, merchant_id=merchant_id, limit=limit)
