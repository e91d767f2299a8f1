"""What simulated banks have booked, in a file: a restart must not make them forget a payment."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from uuid import uuid4

_TRANSFERS_MAX = 200_000

_SCHEMA = """
create table if not exists transfers (
    id text primary key, bank text not null, dialect text not null, key text not null,
    amount integer not null, currency text not null, beneficiary text not null, name text not null,
    reference text not null, callback_url text not null, token text not null,
    rejected_code text, booked_at real not null, settle_at real not null, return_at real
);
create index if not exists transfers_key on transfers (bank, key, booked_at);
create index if not exists transfers_day on transfers (bank, booked_at);
create table if not exists callbacks (
    id integer primary key, transfer_id text not null, status text not null,
    due_at real not null, sent_at real
);
create index if not exists callbacks_due on callbacks (due_at) where sent_at is null;
create table if not exists recalls (
    bank text not null, key text not null, transfer_id text not null,
    code text, answer_at real not null, primary key (bank, key)
);
create table if not exists files (path text primary key);
"""

_COLUMNS = (
    "id, bank, dialect, key, amount, currency, beneficiary, name, reference, callback_url, "
    "token, rejected_code, booked_at, settle_at, return_at"
)


@dataclass(frozen=True, slots=True)
class Transfer:
    id: str
    bank: str
    dialect: str
    key: str
    amount: int
    """Minor units."""
    currency: str
    beneficiary: str
    name: str
    reference: str
    callback_url: str
    token: str
    rejected_code: str | None
    booked_at: float
    settle_at: float
    return_at: float | None

    def status(self, at: float) -> str:
        """Say where it stands; a bank's books need nobody to move them."""
        if self.rejected_code is not None:
            return "rejected"
        if at < self.settle_at:
            return "accepted"
        if self.return_at is not None and at >= self.return_at:
            return "returned"
        return "settled"


@dataclass(frozen=True, slots=True)
class Recall:
    """A request to give a transfer back, and what is answered when; no code: it is granted."""

    bank: str
    key: str
    transfer_id: str
    code: str | None
    answer_at: float

    def status(self, at: float) -> str:
        if at < self.answer_at:
            return "pending"
        return "accepted" if self.code is None else "rejected"


@dataclass(frozen=True, slots=True)
class Due:
    id: int
    transfer: Transfer
    status: str


class Books:
    """The books of all simulated banks. Every write is on disk before anybody is answered."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma busy_timeout = 5000")
        # Survives whatever happens to the process, which is what happens to a demo.
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_SCHEMA)
        self._lock = Lock()

    def close(self) -> None:
        self._connection.close()

    def find(self, bank: str, key: str) -> Transfer | None:
        """Find the latest try under a key."""
        rows = self._all(
            f"select {_COLUMNS} from transfers where bank = ? and key = ?"
            " order by booked_at desc, rowid desc limit 1",
            bank,
            key,
        )
        return rows[0] if rows else None

    def get(self, id_: str) -> Transfer:
        return self._all(f"select {_COLUMNS} from transfers where id = ?", id_)[0]

    def find_by_id(self, bank: str, id_: str) -> Transfer | None:
        rows = self._all(f"select {_COLUMNS} from transfers where bank = ? and id = ?", bank, id_)
        return rows[0] if rows else None

    def book(self, transfer: Transfer, *, retry_rejected: bool) -> tuple[Transfer, bool]:
        """
        Write *transfer*, or return what stands under its key already; say whether it is new.

        A key is carried out once. Where *retry_rejected*, one that was rejected is tried anew.
        """
        with self._writing():
            known = self.find(transfer.bank, transfer.key)
            if known is not None and not (retry_rejected and known.rejected_code is not None):
                return known, False
            made = replace(transfer, id=f"{transfer.dialect[:2].upper()}{uuid4().hex[:24]}")
            values = tuple(getattr(made, name.strip()) for name in _COLUMNS.split(","))
            self._connection.execute(
                f"insert into transfers ({_COLUMNS}) values ({', '.join('?' * len(values))})",
                values,
            )
            self._connection.execute(
                "delete from transfers where rowid <= (select max(rowid) from transfers) - ?",
                (_TRANSFERS_MAX,),
            )
        return made, True

    def plan_callback(self, transfer_id: str, status: str, due_at: float) -> None:
        with self._writing():
            self._connection.execute(
                "insert into callbacks (transfer_id, status, due_at) values (?, ?, ?)",
                (transfer_id, status, due_at),
            )

    def due_callbacks(self, now: float, *, limit: int) -> list[Due]:
        rows = self._connection.execute(
            "select c.id, c.transfer_id, c.status from callbacks c where c.sent_at is null"
            " and c.due_at <= ? order by c.due_at, c.id limit ?",
            (now, limit),
        ).fetchall()
        return [Due(id_, self.get(transfer_id), status) for id_, transfer_id, status in rows]

    def set_sent(self, callback_id: int) -> None:
        with self._writing():
            self._connection.execute(
                "update callbacks set sent_at = ? where id = ?", (time.time(), callback_id)
            )

    def entries(self, bank: str, start: float, end: float) -> list[Transfer]:
        """List what was paid out or came back between two moments, oldest first."""
        return self._all(
            f"select {_COLUMNS} from transfers where bank = ? and rejected_code is null"
            " and ((settle_at >= ? and settle_at < ?) or (return_at >= ? and return_at < ?))"
            " order by settle_at, rowid",
            bank,
            start,
            end,
            start,
            end,
        )

    def moved_before(self, bank: str, currency: str, moment: float) -> int:
        """Add up what had left, less what had come back, before *moment*."""
        row = self._connection.execute(
            "select coalesce(sum(case when settle_at < ? then amount else 0 end), 0)"
            " - coalesce(sum(case when return_at < ? then amount else 0 end), 0)"
            " from transfers where bank = ? and currency = ? and rejected_code is null",
            (moment, moment, bank, currency),
        ).fetchone()
        return int(row[0])

    def find_recall(self, bank: str, key: str) -> Recall | None:
        row = self._connection.execute(
            "select bank, key, transfer_id, code, answer_at from recalls where bank = ? and key = ?",
            (bank, key),
        ).fetchone()
        return None if row is None else Recall(*row)

    def keep_recall(self, recall: Recall, *, return_at: float | None) -> Recall:
        """
        Keep a request, or return what stands under its key; money goes back at *return_at*.

        What was not paid yet is paid and returned in the same moment.
        """
        with self._writing():
            known = self.find_recall(recall.bank, recall.key)
            if known is not None:
                return known
            self._connection.execute(
                "insert into recalls (bank, key, transfer_id, code, answer_at)"
                " values (?, ?, ?, ?, ?)",
                (recall.bank, recall.key, recall.transfer_id, recall.code, recall.answer_at),
            )
            if return_at is not None:
                self._connection.execute(
                    "update transfers set return_at = ?, settle_at = min(settle_at, ?)"
                    " where id = ? and return_at is null",
                    (return_at, return_at, recall.transfer_id),
                )
                self._connection.execute(
                    "insert into callbacks (transfer_id, status, due_at) values (?, 'returned', ?)",
                    (recall.transfer_id, return_at),
                )
        return recall

    def count_recalls(self, bank: str) -> int:
        """Count the requests that a bank was told of, each once: for tests."""
        row = self._connection.execute(
            "select count(*) from recalls where bank = ?", (bank,)
        ).fetchone()
        return int(row[0])

    def count_booked(self, bank: str, key: str) -> int:
        """Count how often money left under a key: for tests, and it is never more than one."""
        row = self._connection.execute(
            "select count(*) from transfers where bank = ? and key = ? and rejected_code is null",
            (bank, key),
        ).fetchone()
        return int(row[0])

    def recent(self, bank: str, *, limit: int) -> list[Transfer]:
        return self._all(
            f"select {_COLUMNS} from transfers where bank = ?"
            " order by booked_at desc, rowid desc limit ?",
            bank,
            limit,
        )

    def forget_everything(self) -> None:
        """Lose all books, as no bank should: for tests of what happens then."""
        with self._writing():
            self._connection.execute("delete from transfers")

    def take_file(self, path: str) -> bool:
        """Say whether a file is new, and remember it."""
        with self._writing():
            written = self._connection.execute(
                "insert into files (path) values (?) on conflict do nothing", (path,)
            )
            return written.rowcount == 1

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def _all(self, sql: str, *values: object) -> list[Transfer]:
        return [Transfer(*row) for row in self._connection.execute(sql, values)]
