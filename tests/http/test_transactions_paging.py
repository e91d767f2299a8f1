"""Cursors of the transactions list: every row once, in both directions, whatever arrives meanwhile."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from callers import bearer

from builders import a_merchant
from facts import both, refund, succeeded
from molam.payments import list_store, queries
from molam.platform.db import Database, Query
from molam.simulator.issuer_keys import IssuerKeys

PATH = "/api/merchant/transactions"
TIED = "2026-11-16T12:00:00Z"


class Pages:
    """Walks through one list."""

    def __init__(self, client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
        self._client = client
        self._headers = headers

    async def get(self, query: str) -> Any:
        answer = await self._client.get(f"{PATH}?{query}", headers=self._headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refusal(self, query: str) -> str:
        answer = await self._client.get(f"{PATH}?{query}", headers=self._headers)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["code"])

    async def older(self, query: str) -> list[list[str]]:
        """Return the ids of every page, from the newest on."""
        page = await self.get(query)
        seen = [_ids(page)]
        while page["next_cursor"] is not None:
            page = await self.get(f"{query}&cursor={page['next_cursor']}")
            seen.append(_ids(page))
        return seen


def _ids(page: Any) -> list[str]:
    return [f"{row['type']}/{row['id']}" for row in page["rows"]]


@pytest.fixture
async def pages(
    client: httpx2.AsyncClient, db: Database, worker_db: Database, keys: IssuerKeys
) -> Pages:
    """A list of 23 rows; 12 of them happened at the same instant, some under one id."""
    await a_merchant(db)
    await both(
        worker_db,
        [succeeded(f"tx_{n:02}", amount=n + 1, occurred_at=TIED) for n in range(8)]
        + [refund(f"tx_{n:02}", "tx_00", amount=1, occurred_at=TIED) for n in range(4)]
        + [succeeded(f"old_{n:02}", occurred_at=f"2026-11-15T12:00:{n:02}Z") for n in range(11)],
    )
    return Pages(client, bearer(keys, sub="somebody"))


@pytest.mark.parametrize("limit", [1, 2, 5, 7, 23, 24])
async def test_every_row_appears_once_also_where_instants_are_equal(pages: Pages, limit: int):
    whole = _ids(await pages.get("limit=200"))

    seen = await pages.older(f"limit={limit}")

    assert [id_ for page in seen for id_ in page] == whole
    assert len(whole) == len(set(whole)) == 23
    assert all(len(page) == limit for page in seen[:-1])


async def test_order_by_time_alone_would_lose_rows(pages: Pages, monkeypatch: pytest.MonkeyPatch):
    careless = list_store.LIST_OLDER.sql.replace(
        "(occurred_at, id, type) < (:at::timestamptz, :id::text, :of_type::text)",
        "occurred_at < :at::timestamptz and :id::text is not null and :of_type::text is not null",
    )
    monkeypatch.setattr(list_store, "LIST_OLDER", Query(careless, row=list_store.TransactionRow))
    assert queries.store is list_store

    seen = await pages.older("limit=5")

    assert len([id_ for page in seen for id_ in page]) < 23


@pytest.mark.parametrize(
    "filters",
    ["", "&type=payment", "&status=succeeded", "&q=tx_0&type=payment", "&from=2026-11-15"],
)
async def test_going_back_shows_the_same_pages(pages: Pages, filters: str):
    there = await pages.older(f"limit=5{filters}")
    page = await pages.get(f"limit=5{filters}")
    while page["next_cursor"] is not None:
        page = await pages.get(f"limit=5{filters}&cursor={page['next_cursor']}")

    back = [_ids(page)]
    while page["previous_cursor"] is not None:
        page = await pages.get(f"limit=5{filters}&cursor={page['previous_cursor']}")
        back.append(_ids(page))

    assert back[::-1] == there


async def test_rows_that_arrive_meanwhile_move_nothing(pages: Pages, worker_db: Database):
    before = await pages.older("limit=5")
    first = await pages.get("limit=5")
    await both(
        worker_db, [succeeded(f"new_{n}", occurred_at="2026-11-16T13:00:00Z") for n in range(7)]
    )

    second = await pages.get(f"limit=5&cursor={first['next_cursor']}")
    back = await pages.get(f"limit=5&cursor={second['previous_cursor']}")
    newer = await pages.get(f"limit=50&cursor={back['previous_cursor']}")

    assert _ids(second) == before[1]
    assert _ids(back) == before[0]
    assert len(newer["rows"]) == 7
    assert newer["previous_cursor"] is None


async def test_offset_shows_a_row_twice_where_a_cursor_does_not(pages: Pages, worker_db: Database):
    first = await pages.get("limit=5")
    await both(worker_db, [succeeded("new", occurred_at="2026-11-16T13:00:00Z")])

    by_offset = await pages.get("limit=5&offset=5")
    by_cursor = await pages.get(f"limit=5&cursor={first['next_cursor']}")

    assert set(_ids(by_offset)) & set(_ids(first))
    assert not set(_ids(by_cursor)) & set(_ids(first))


async def test_the_page_size_may_change_on_the_way(pages: Pages):
    first = await pages.get("limit=5")

    rest = await pages.get(f"limit=200&cursor={first['next_cursor']}")

    assert len(rest["rows"]) == 18


async def test_a_cursor_continues_from_an_offset(pages: Pages):
    whole = _ids(await pages.get("limit=200"))

    page = await pages.get("limit=5&offset=5")
    following = await pages.get(f"limit=5&cursor={page['next_cursor']}")
    previous = await pages.get(f"limit=5&cursor={page['previous_cursor']}")

    assert _ids(following) == whole[10:15]
    assert _ids(previous) == whole[:5]


@pytest.mark.parametrize(
    "other", ["&status=succeeded", "&currency=XOF", "&q=tx_0", "&amount_min=1", "&to=2026-11-16"]
)
async def test_a_cursor_with_other_filters_is_refused(pages: Pages, other: str):
    cursor = (await pages.get("limit=5"))["next_cursor"]
    narrowed = (await pages.get(f"limit=1{other}"))["next_cursor"]

    assert await pages.refusal(f"limit=5{other}&cursor={cursor}") == "cursor-refused"
    assert narrowed is None or await pages.refusal(f"cursor={narrowed}") == "cursor-refused"


async def test_a_cursor_of_another_merchant_is_refused(
    pages: Pages, client: httpx2.AsyncClient, db: Database, keys: IssuerKeys
):
    await a_merchant(db, id_="merchant-other")
    cursor = (await pages.get("limit=5"))["next_cursor"]
    thief = Pages(client, bearer(keys, sub="thief", merchant_id="merchant-other"))

    assert await thief.refusal(f"limit=5&cursor={cursor}") == "cursor-refused"


async def test_an_altered_cursor_is_refused(pages: Pages):
    cursor = (await pages.get("limit=5"))["next_cursor"]

    for at in range(0, len(cursor), 7):
        other = "A" if cursor[at] != "A" else "B"
        altered = cursor[:at] + other + cursor[at + 1 :]
        assert await pages.refusal(f"limit=5&cursor={altered}") == "cursor-refused"
    for made_up in ("é", "%00", "====", cursor * 4, cursor[:10]):
        code = await pages.refusal(f"limit=5&cursor={made_up}")
        assert code in {"cursor-refused", "query-malformed"}
