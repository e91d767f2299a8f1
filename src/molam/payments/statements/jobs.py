"""What statements have done for them: owners are told, open lines tried again, books checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from molam.notices import commands as notices
from molam.payments.statements import auditing, books_store, matching
from molam.payments.statements.auditing import Finding
from molam.payments.statements.matching import TELL, Confirm
from molam.payments.statements.notices import differs, finance_people
from molam.platform.db import Database
from molam.platform.jobs import Cron, Job, JobHandler

_ROUNDS_MAX = 400


async def tell_all(db: Database, confirm: Confirm) -> int:
    """Tell every owner that waits to hear of a match; return how many were."""
    told = 0
    for _ in range(_ROUNDS_MAX):
        some = await matching.tell(db, confirm)
        told += some
        if not some:
            break
    return told


async def match_all(db: Database) -> int:
    """Try the open lines of every account again: what they are about may have come since."""
    matched = 0
    for book in await db.read(books_store.LIST_BOOKS):
        matched += await matching.run(
            db, bank_profile_id=book.bank_profile_id, currency=book.currency
        )
    return matched


async def check_books(db: Database) -> list[Finding]:
    """Check the books, and tell finance operations what is wrong with them, once a day."""
    found = await auditing.check(db)
    today = datetime.now(UTC).date()
    if found:
        async with db.transaction("statements.tell_books") as tx:
            people = await finance_people(tx)
            for finding in found:
                await notices.tell(tx, differs(finding, people, today))
    return found


def handlers(confirm: Confirm) -> list[JobHandler]:
    """*confirm* tells whoever owns an attempt what a statement shows of it."""

    async def tell(job: Job) -> None:
        await tell_all(job.db, confirm)

    return [JobHandler(TELL, tell, at_once_max=1)]


def crons(confirm: Confirm) -> list[Cron]:
    """Repeat what waits: lines hourly, owners every ten minutes, books every night."""

    async def tell(db: Database) -> None:
        await tell_all(db, confirm)

    return [
        Cron("payments.tell_untold", "*/10 * * * *", tell),
        Cron("payments.match_open_lines", "23 * * * *", _ignoring(match_all)),
        Cron("payments.check_books", "17 3 * * *", _ignoring(check_books)),
    ]


def _ignoring(
    run: Callable[[Database], Awaitable[object]],
) -> Callable[[Database], Awaitable[None]]:
    async def ran(db: Database) -> None:
        await run(db)

    return ran
