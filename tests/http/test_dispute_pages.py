"""The pages of disputes: what they show, and that nothing is sent unseen."""

from __future__ import annotations

import re

import httpx2
import pytest
from callers import bearer

from builders import a_merchant, a_person
from disputing import PDF, a_file, add, balances, late, report, stands, submit
from facts import succeeded, take_in
from molam.payments.disputes.model import State
from molam.platform.db import Database
from molam.simulator.issuer_keys import IssuerKeys

PAGE = "/disputes/dp_1"


@pytest.fixture(autouse=True)
async def shop(db: Database, worker_db: Database) -> None:
    await a_merchant(db)
    await a_person(db)
    customer = {"name": "<b>Élodie</b>", "phone": "+221770000001"}
    await take_in(worker_db, [succeeded("tx_1", amount=75_000, customer=customer)])
    await report(worker_db, transaction_id="tx_1", reason="not_received", amount=75_000)


class Desk:
    """Somebody at the pages of disputes."""

    def __init__(self, client: httpx2.AsyncClient, keys: IssuerKeys, **claims: object) -> None:
        self._client = client
        self._headers = {**bearer(keys, **claims), "Accept": "text/html"}

    async def open(self, path: str = PAGE) -> httpx2.Response:
        return await self._client.get(path, headers=self._headers)

    async def send(self, path: str, **fields: str) -> httpx2.Response:
        return await self._client.post(
            f"{PAGE}{path}", headers=self._headers, data={"csrf_token": "x", **fields}
        )

    async def upload(self, content: bytes, name: str = "reçu.pdf") -> httpx2.Response:
        files = {"file": (name, content, "application/pdf")}
        return await self._client.post(
            f"{PAGE}/evidence", headers=self._headers, files=files, data={"kind": "receipt"}
        )

    async def reviewed(self) -> dict[str, str]:
        """What the form of the review would send."""
        text = (await self.open(f"{PAGE}/review")).text
        return dict(re.findall(r'name="(idempotency_key|manifest_sha256)" value="([^"]+)"', text))


@pytest.fixture
def desk(client: httpx2.AsyncClient, keys: IssuerKeys) -> Desk:
    return Desk(client, keys, lang="en")


async def test_the_list_shows_who_how_much_and_how_long(desk: Desk) -> None:
    answer = await desk.open("/disputes")

    assert answer.status_code == 200
    assert "&lt;b&gt;Élodie&lt;/b&gt;" in answer.text
    assert re.search(r"[67] days left", answer.text)
    assert "How much is at risk?" in answer.text
    assert "1 waits for you" in answer.text


async def test_a_list_without_disputes_says_what_to_do(desk: Desk, worker_db: Database) -> None:
    await report(worker_db, status="won", transaction_id="tx_1", amount=75_000)

    waiting, everything = await desk.open("/disputes"), await desk.open("/disputes?show=all")

    assert "No dispute waits for you" in waiting.text
    assert "&lt;b&gt;Élodie" in everything.text


@pytest.mark.parametrize(
    ("language", "sentence"), [("fr", "Que dit le client"), ("en", "What does")]
)
async def test_the_page_speaks_the_readers_language(
    client: httpx2.AsyncClient, keys: IssuerKeys, language: str, sentence: str
) -> None:
    answer = await Desk(client, keys, lang=language).open()

    assert answer.status_code == 200
    assert sentence in answer.text


async def test_the_page_says_what_happens_to_the_money_and_what_is_missing(desk: Desk) -> None:
    text = (await desk.open()).text.replace("\u00a0", " ")

    assert "The customer says that nothing was received." in text
    assert "Missing: without it such disputes are mostly lost." in text
    assert re.search("You get 75.000 F.CFA back: 75.000 F.CFA", text)
    assert "contests dispute dp_1" in text
    assert "Accept for good" in text


async def test_support_may_answer_but_not_accept(
    client: httpx2.AsyncClient, keys: IssuerKeys
) -> None:
    support = Desk(client, keys, lang="en", sub="moussa", roles=["merchant_support"])

    text = (await support.open()).text

    assert "Review and send" in text
    assert "Accept for good" not in text


async def test_a_file_is_added_listed_and_removed_without_scripts(desk: Desk, db: Database) -> None:
    added = await desk.upload(PDF)
    shown = (await desk.open(added.headers["location"])).text
    remove = re.search(rf'action="{PAGE}(/evidence/[0-9a-f-]+/remove)"', shown)
    assert remove is not None

    removed = await desk.send(remove[1])

    assert (added.status_code, removed.status_code) == (303, 303)
    assert "The file was added." in shown
    assert "reçu.pdf" in shown
    assert "No file yet." in (await desk.open()).text


async def test_a_file_that_is_no_evidence_is_refused_on_the_page(desk: Desk) -> None:
    answer = await desk.upload(b"GIF89a" + b"\0" * 30, "photo.pdf")
    none = await desk.send("/evidence")

    assert answer.status_code == 409
    assert "This file cannot be evidence" in answer.text
    assert none.status_code in {400, 409, 415}


async def test_the_review_shows_exactly_what_is_then_sent(desk: Desk, db: Database) -> None:
    await desk.upload(PDF)
    await desk.send("/draft", statement="Livré le 12.\r\nSigné.", then="review")
    review = (await desk.open(f"{PAGE}/review")).text

    sent = await desk.send("/submit", **await desk.reviewed())

    assert "Livré le 12.\nSigné." in review
    assert "once and for good" in review
    assert sent.headers["location"] == f"{PAGE}?said=submitted"
    shown = (await desk.open()).text
    assert "What was sent" in shown
    assert "Review and send" not in shown
    assert "Next: the network decides" in shown


async def test_the_review_says_why_nothing_can_be_sent_yet_and_times_are_the_shops(
    desk: Desk,
) -> None:
    review = (await desk.open(f"{PAGE}/review")).text

    assert "It cannot be sent yet" in review
    assert "disabled" in review.partition("Hash of all of it")[2]
    facts = review.partition("Added by us")[2].partition("Hash of all of it")[0]
    assert re.search(r"<time[^>]*>[^<]+</time>", facts)
    assert not re.search(r"<dd>20\d\d-\d\d-\d\dT", facts)


async def test_what_changed_after_the_review_is_shown_again_and_not_sent(
    desk: Desk, worker_db: Database, money_db: Database
) -> None:
    await desk.send("/draft", statement="Delivered.", then="review")
    fields = await desk.reviewed()
    await add(money_db, a_file())

    answer = await desk.send("/submit", **fields)

    assert answer.status_code == 409
    assert "no longer what you looked at" in answer.text
    assert (await stands(worker_db)).state is State.NEEDS_RESPONSE


async def test_accepting_takes_the_amount_typed_as_people_type_it(
    desk: Desk, db: Database, worker_db: Database
) -> None:
    wrong = await desk.send("/accept", idempotency_key="k1", confirmation="7500")
    right = await desk.send("/accept", idempotency_key="k2", confirmation="75 000")

    assert wrong.status_code == 409
    assert "does not confirm it" in wrong.text
    assert right.headers["location"] == f"{PAGE}?said=accepted"
    assert (await stands(worker_db)).state is State.ACCEPTED
    # The payment's amount came from the customer, and has gone back there.
    assert await balances(db) == {}


async def test_a_page_that_is_too_old_says_so(desk: Desk, db: Database) -> None:
    fields = {"idempotency_key": "k1", "confirmation": "75 000"}
    await late(db)

    answer = await desk.send("/accept", **fields)

    assert answer.status_code == 409
    assert "The time to answer this dispute is over" in answer.text


async def test_the_review_of_a_sent_answer_leads_back_to_the_dispute(
    desk: Desk, money_db: Database
) -> None:
    await submit(money_db)

    answer = await desk.open(f"{PAGE}/review")

    assert answer.status_code == 409
    assert "has been sent" in answer.text


async def test_a_dispute_that_is_not_there_is_a_page_that_says_so(desk: Desk) -> None:
    assert (await desk.open("/disputes/none")).status_code == 404


async def test_the_pages_hold_no_inline_script_or_style(desk: Desk) -> None:
    for path in (PAGE, "/disputes", f"{PAGE}/review"):
        text = (await desk.open(path)).text
        assert "<style" not in text
        assert " style=" not in text
        assert not re.search(r"<script(?![^>]*\bsrc=)", text)
