"""Statements, exceptions and books, as finance operations use them in the console and over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from ops_console import ABSENT, Console

from molam.payments.statements.model import FILE_BYTES_MAX
from molam.platform.db import Database
from reconciling import BANK, a_bank, an_attempt
from statement_files import a_line, camt053

FINANCE, AUDITOR, OUTSIDER = "ousmane.sow", "seynabou.mbaye", "alioune.sy"
TODAY = datetime.now(UTC).date()
PAST = TODAY - timedelta(days=3)
XML = "application/xml"


@pytest.fixture(autouse=True)
async def _bank(console: Console, db: Database) -> None:
    await a_bank(db)


def _file(*amounts: int, text: str = "DIVERS", opening: int = 1_000_000) -> bytes:
    lines = [
        a_line(line_no=no, amount=amount, text=text, booked_on=PAST, value_on=PAST)
        for no, amount in enumerate(amounts, start=1)
    ]
    return camt053(lines, opening=opening)


async def _imported(console: Console, content: bytes) -> str:
    """Send a file, look at it, take it in; return the path of the statement."""
    shown = await console.send_file(
        "/ops/statements/preview", FINANCE, file=("relevé.xml", content, XML), bank=BANK
    )
    assert shown.status_code == 200, shown.text
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown.text))
    kept = {name: fields[name] for name in ("bank", "currency", "name", "file")}
    answer = await console.post("/ops/statements", FINANCE, **kept)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].partition("?")[0]


async def test_without_a_statement_the_page_says_what_to_do(console: Console) -> None:
    page = await console.page("/ops/statements", FINANCE)

    assert "No statement yet" in page
    assert "Add a statement" in page


async def test_a_file_is_looked_at_before_it_is_kept(console: Console) -> None:
    shown = await console.send_file(
        "/ops/statements/preview", FINANCE, file=("r.xml", _file(-500), XML), bank=BANK
    )

    assert "It reads well and adds up. Nothing is kept yet." in shown.text
    assert "No statement yet" in await console.page("/ops/statements", FINANCE)


async def test_what_was_taken_in_shows_its_lines_and_why_they_are_open(console: Console) -> None:
    path = await _imported(console, _file(-500))

    page = await console.page(path, FINANCE)

    assert "Nothing of ours has its reference" in page
    assert "0 / 1" in page


async def test_the_same_file_again_says_so(console: Console) -> None:
    first = await _imported(console, _file(-500))
    again = await _imported(console, _file(-500))

    assert first == again


async def test_a_file_that_does_not_add_up_is_refused_on_the_page(console: Console) -> None:
    lines = [a_line(amount=-500, booked_on=PAST, value_on=PAST)]

    answer = await console.send_file(
        "/ops/statements/preview",
        FINANCE,
        file=("r.xml", camt053(lines, opening=1_000, closing=1), XML),
        bank=BANK,
    )

    assert answer.status_code == 422
    assert "a difference of 499 XOF" in answer.text


async def test_a_file_that_is_too_large_is_refused_by_its_announced_length(
    console: Console,
) -> None:
    answer = await console.send_file(
        "/ops/statements/preview",
        FINANCE,
        file=("r.csv", b"x" * (FILE_BYTES_MAX + 128 * 1024), "text/csv"),
        bank=BANK,
    )

    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/ops/statements", "/ops/exceptions", "/ops/books"])
async def test_auditors_read_and_others_do_not(console: Console, path: str) -> None:
    assert (await console.get(path, AUDITOR)).status_code == 200
    assert (await console.get(path, OUTSIDER)).status_code == 403


async def test_auditors_have_no_forms(console: Console) -> None:
    path = await _imported(console, _file(-500))

    page = await console.page(f"{path}/lines/1", AUDITOR)

    assert "Write it off" not in page
    assert (
        await console.post(f"{path}/lines/1/match", AUDITOR, kind="none", force="yes", reason="no")
    ).status_code == 403


async def test_the_queue_shows_what_a_line_might_be_and_a_person_matches_it(
    console: Console, db: Database
) -> None:
    await an_attempt(db, "po_7", amount=500, on=PAST)
    path = await _imported(console, _file(-500))

    queue = await console.page("/ops/exceptions", FINANCE)
    answer = await console.post(f"{path}/lines/1/match", FINANCE, kind="payout", object_id="po_7")
    after = await console.page(answer.headers["location"], FINANCE)

    assert "Nearest: Payout po_7, same amount" in queue
    assert "The line is accounted for." in after
    assert "Somebody compared the two and found them the same." in after
    assert "Every line is accounted for" in await console.page("/ops/exceptions", FINANCE)


async def test_beyond_the_limit_the_page_leads_to_an_action(console: Console, db: Database) -> None:
    await an_attempt(db, "po_8", amount=2_000_000, on=PAST)
    path = await _imported(console, _file(-2_000_500, opening=9_000_000))

    answer = await console.post(
        f"{path}/lines/1/match",
        FINANCE,
        kind="payout",
        object_id="po_8",
        force="yes",
        reason="urgent transfer",
    )

    assert answer.status_code == 422
    [link] = re.findall(r'href="(/ops/propose/FORCE_RECONCILE[^"]+)"', answer.text)
    form = await console.page(link.replace("&amp;", "&"), FINANCE)
    assert "Force a reconciliation" in form


async def test_a_match_is_taken_back_with_a_reason(console: Console) -> None:
    path = await _imported(console, _file(-2_500, text="FRAIS DE TENUE DE COMPTE"))

    without = await console.post(f"{path}/lines/1/undo", FINANCE, reason="x")
    answer = await console.post(f"{path}/lines/1/undo", FINANCE, reason="it is no fee")

    assert without.status_code == 422
    assert "the line is open again" in await console.page(answer.headers["location"], FINANCE)


async def test_a_day_is_closed_once_its_items_are_explained(console: Console) -> None:
    await _imported(console, _file(-500))
    where = f"/ops/books?bank={BANK}&currency=XOF"
    form = {"bank": BANK, "currency": "XOF", "day": PAST.isoformat()}

    before = await console.page(where, FINANCE)
    refused = await console.post("/ops/books/close", FINANCE, **form)
    [item] = set(re.findall(r'name="item" value="([^"]+)"', before))
    await console.post("/ops/books/explain", FINANCE, **form, item=item, reason="being asked")
    closed = await console.post("/ops/books/close", FINANCE, **form)

    assert refused.status_code == 422
    assert closed.status_code == 303
    assert "The day is closed." in await console.page(closed.headers["location"], FINANCE)


async def test_a_statement_is_discarded_with_a_reason(console: Console) -> None:
    path = await _imported(console, _file(-500))

    await console.post(f"{path}/discard", FINANCE, reason="wrong bank")

    assert "wrong bank" in await console.page(path, FINANCE)


async def test_the_pages_are_french_for_who_reads_french(console: Console) -> None:
    path = await _imported(console, _file(-500))

    page = await console.page(f"{path}/lines/1", FINANCE, lang="fr")

    assert "Rien de chez nous n\u2019a sa référence" in page


async def test_over_http_a_dry_run_keeps_nothing(console: Console) -> None:
    answer = await console.send_file(
        "/api/ops/statements",
        FINANCE,
        file=("r.xml", _file(-500), XML),
        bank_profile_id=BANK,
        dry_run="yes",
    )
    listed = await console.get("/api/ops/statements", FINANCE)

    assert answer.json()["statements"][0]["money_out"] == 500
    assert listed.json()["statements"] == []


async def test_over_http_a_statement_is_imported_listed_and_matched(
    console: Console, db: Database
) -> None:
    await an_attempt(db, "po_9", amount=500, on=PAST)
    answer = await console.send_file(
        "/api/ops/statements", FINANCE, file=("r.xml", _file(-500), XML), bank_profile_id=BANK
    )
    [id_] = answer.json()["statement_ids"]
    path = f"/api/ops/statements/{id_}"

    line = (await console.get(f"{path}/lines/1", FINANCE)).json()["line"]
    lines = (await console.get(f"{path}/lines?state=posted", FINANCE)).json()["lines"]
    shown = (await console.get(path, AUDITOR)).json()

    assert [each["object_id"] for each in line["candidates"]] == ["po_9"]
    assert [each["status"] for each in lines] == ["unmatched"]
    assert shown["sums"] == [{"state": "posted", "lines": 1, "amount": -500, "fees": 0}]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/ops/statements/{ABSENT}", 404),
        (f"/api/ops/statements/{ABSENT}/lines/1", 404),
        (f"/api/ops/statements/{ABSENT}/lines/99999999999999", 404),
        ("/api/ops/books?bank_profile_id=none&currency=XOF&day=2026-11-16", 404),
        ("/api/ops/books?bank_profile_id=none&currency=XOF&day=16.11.2026", 400),
        ("/api/ops/statements?limit=-1", 400),
        (f"/ops/statements/{ABSENT}", 404),
        (f"/ops/statements/{ABSENT}/lines/1", 404),
    ],
)
async def test_what_is_not_there_is_said_to_be_absent(
    console: Console, path: str, status: int
) -> None:
    assert (await console.get(path, FINANCE)).status_code == status


async def test_an_upload_for_a_bank_that_is_not_there_is_refused(console: Console) -> None:
    answer = await console.send_file(
        "/api/ops/statements", FINANCE, file=("r.xml", _file(-5), XML), bank_profile_id="nobody"
    )

    assert answer.status_code == 404
