from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import a_transaction
from molam.kernel.clock import SystemClock
from molam.payments.banks.connectors.assembly import connectors_of
from molam.payments.banks.http import BankHttp
from molam.payments.banks.model import Instruction, Outcome
from molam.payments.banks.secrets import BankSecrets
from molam.payments.banks.teller import Teller
from molam.payments.statements import commands, jobs, matching, model, queries
from molam.payments.statements.commands import Sent
from molam.payments.statements.matching import ByHand
from molam.payments.statements.telling import confirm_with
from molam.platform.db import Database, Tx
from reconciling import (
    BANK,
    a_bank,
    a_day,
    an_attempt,
    books,
    ledger_balance,
    lines_of,
    send,
)
from statement_files import a_line, camt053, wave


@pytest.fixture(autouse=True)
async def _books(db: Database) -> None:
    await books(db)


def _hand(done: commands.Imported, **changed: object) -> ByHand:
    fields: dict[str, object] = {
        "statement_id": done.ids[0],
        "line_no": 1,
        "kind": "payout",
        "object_id": "po_1",
        "reason": "",
        "by": "finance-user-1",
    }
    return ByHand(**(fields | changed))  # type: ignore[arg-type]


async def test_a_line_with_our_reference_is_matched_at_once(db: Database, ops_db: Database):
    await an_attempt(db)

    done = await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    [line] = await lines_of(ops_db, done)
    assert (line.state, line.status, line.tier, line.object_id) == (
        "matched",
        "matched",
        "exact_ref",
        "po_1",
    )
    assert line.score == 1.0


async def test_each_match_is_explained_in_both_languages(db: Database, ops_db: Database):
    await an_attempt(db)

    done = await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    [line] = await lines_of(ops_db, done)
    assert line.explanation == {
        "en": "The bank gives the reference that we sent with it.",
        "fr": "La banque donne la référence envoyée avec le paiement.",
    }


async def test_a_line_with_the_banks_own_reference_is_matched_by_it(db: Database, ops_db: Database):
    await an_attempt(db, provider_ref="BK-77")

    done = await send(ops_db, a_line(bank_ref="BK-77"))

    assert [each.tier for each in await lines_of(ops_db, done)] == ["provider_ref"]


async def test_a_line_that_names_our_key_in_its_text_is_matched_by_it(
    db: Database, ops_db: Database
):
    await an_attempt(db)

    done = await send(ops_db, a_line(text="VIR REF payout-po_1 FATOU"))

    assert [each.tier for each in await lines_of(ops_db, done)] == ["provider_ref"]


async def test_amount_day_and_name_suffice_where_nothing_else_fits(db: Database, ops_db: Database):
    await an_attempt(db, holder="Fatou Sarr")

    done = await send(ops_db, a_line(counterparty="MME FATOU SARR", booked_on=a_day(1)))

    [line] = await lines_of(ops_db, done)
    assert (line.tier, line.score) == ("fuzzy_amount_date", 0.89)


async def test_two_that_fit_equally_well_are_left_to_people(db: Database, ops_db: Database):
    await an_attempt(db, "po_1")
    await an_attempt(db, "po_2")

    done = await send(ops_db, a_line(counterparty="FATOU SARR"))

    [found] = await queries.open_lines(ops_db)
    assert found.line.statement_id == done.ids[0]
    assert {each.object_id for each in found.candidates} == {"po_1", "po_2"}


async def test_amount_alone_is_no_match(db: Database, ops_db: Database):
    await an_attempt(db, holder="Fatou Sarr")

    done = await send(ops_db, a_line(counterparty="MOUSSA NDIAYE"))

    assert [each.state for each in await lines_of(ops_db, done)] == ["posted"]


async def test_an_expectation_is_matched_once(db: Database, ops_db: Database):
    await an_attempt(db)

    done = await send(
        ops_db, a_line(end_to_end_id="payout-po_1"), a_line(end_to_end_id="payout-po_1")
    )

    lines = await lines_of(ops_db, done)
    assert [(each.state, each.mismatch) for each in lines] == [
        ("matched", None),
        ("mismatched", "duplicate"),
    ]


async def test_the_database_forbids_what_matching_twice_would_need(db: Database, ops_db: Database):
    await an_attempt(db)
    await send(ops_db, a_line(end_to_end_id="payout-po_1"), a_line(bank_ref="other"))

    with pytest.raises(asyncpg.UniqueViolationError, match="expectation_matched_once"):
        async with db.transaction("tests.twin") as tx:
            await tx.connection.execute(
                "insert into payments.statement_matches (line_id, statement_id, bank_profile_id,"
                " currency, kind, expectation, amount, tier, score, explanation, matched_by)"
                " select l.id, l.statement_id, l.bank_profile_id, l.currency, m.kind, m.expectation,"
                " l.amount, 'manual', 1, m.explanation, 'tests'"
                " from payments.statement_lines l, payments.statement_matches m where l.line_no = 2"
            )


async def test_without_its_index_an_expectation_would_be_matched_twice(
    db: Database, ops_db: Database
):
    await an_attempt(db)
    await send(ops_db, a_line(end_to_end_id="payout-po_1"), a_line(bank_ref="other"))

    async with db.transaction("tests.twin") as tx:
        await tx.connection.execute("drop index payments.expectation_matched_once")
        await tx.connection.execute(
            "insert into payments.statement_matches (line_id, statement_id, bank_profile_id,"
            " currency, kind, expectation, amount, tier, score, explanation, matched_by)"
            " select l.id, l.statement_id, l.bank_profile_id, l.currency, m.kind, m.expectation,"
            " l.amount, 'manual', 1, m.explanation, 'tests'"
            " from payments.statement_lines l, payments.statement_matches m where l.line_no = 2"
        )
        twice = await tx.connection.fetchval(
            "select max(n) from (select count(*) n from payments.statement_matches"
            " group by expectation) c"
        )
    assert twice == 2


async def test_another_amount_under_our_reference_is_a_mismatch(db: Database, ops_db: Database):
    await an_attempt(db)

    done = await send(ops_db, a_line(amount=-80_000, end_to_end_id="payout-po_1"))

    [line] = await lines_of(ops_db, done)
    assert (line.state, line.status, line.mismatch) == ("mismatched", "suspicious", "amount")


async def test_money_that_left_after_a_refusal_is_a_mismatch(db: Database, ops_db: Database):
    await an_attempt(db, state="rejected", posted=False)

    done = await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    assert [each.mismatch for each in await lines_of(ops_db, done)] == ["refused"]


async def test_what_the_bank_may_keep_back_becomes_a_fee(db: Database, ops_db: Database):
    await an_attempt(db)

    done = await send(ops_db, a_line(amount=-75_100, end_to_end_id="payout-po_1"))

    [line] = await lines_of(ops_db, done)
    assert (line.state, line.difference) == ("matched", -100)
    assert await ledger_balance(db, f"fees:bank:{BANK}:XOF") == -100


async def test_a_charge_of_the_banks_own_becomes_a_fee(db: Database, ops_db: Database):
    done = await send(ops_db, a_line(amount=-2_500, text="FRAIS DE TENUE DE COMPTE"))

    [line] = await lines_of(ops_db, done)
    assert (line.state, line.kind, line.tier) == ("matched", "fee", "fee")
    assert await ledger_balance(db, f"fees:bank:{BANK}:XOF") == -2_500
    assert await ledger_balance(db, f"banks:{BANK}:XOF") == 2_500


async def test_a_transfer_of_the_platforms_is_no_merchants_to_see(
    db: Database, ops_db: Database, web_db: Database
):
    await send(ops_db, a_line(amount=-2_500, text="FRAIS DE TENUE DE COMPTE"))

    async with web_db.transaction("tests.see", merchant_id="merchant-123") as tx:
        seen = await tx.connection.fetchval("select count(*) from ledger.transfers")

    assert seen == 0


async def test_only_named_causes_may_be_nobodys(db: Database):
    async with db.transaction("tests.accounts") as tx:
        await tx.connection.execute(
            "insert into ledger.accounts (id, kind, currency) values"
            " ('a:XOF', 'tests', 'XOF'), ('b:XOF', 'tests', 'XOF')"
        )

    with pytest.raises(asyncpg.CheckViolationError, match="transfer_has_one_owner"):
        await _gift(db)


async def _gift(db: Database) -> None:
    async with db.transaction("tests.gift") as tx:
        await tx.connection.execute(
            "insert into ledger.transfers (id, source, target, amount, currency, cause,"
            " cause_id, occurred_at)"
            " values (gen_random_uuid(), 'a:XOF', 'b:XOF', 1, 'XOF', 'gift', 'x', now())"
        )


async def test_money_that_comes_back_is_matched_with_what_left(db: Database, ops_db: Database):
    await an_attempt(db, state="settled")

    done = await send(
        ops_db,
        a_line(end_to_end_id="payout-po_1"),
        a_line(amount=75_000, end_to_end_id="payout-po_1", is_return=True),
    )

    assert [each.leg for each in await lines_of(ops_db, done)] == ["sent", "returned"]


async def test_a_collection_is_matched_with_its_payment_and_its_fee_counted(
    db: Database, ops_db: Database
):
    await a_bank(db, id_=BANK, collects=["wave"])
    await a_transaction(db, id_="tx_123", amount=75_000)
    async with db.transaction("tests.provider") as tx:
        await tx.connection.execute("update payments.wallet_transactions set provider = 'wave'")
    content = wave([("tx_123", 75_000, 750, "2026-11-16T10:15:00Z", "+221771234567")])

    done = await send(ops_db, content=content)

    [line] = await lines_of(ops_db, done)
    assert (line.kind, line.tier, line.merchant_id) == (
        "collection",
        "provider_ref",
        "merchant-123",
    )
    assert await ledger_balance(db, f"banks:{BANK}:XOF") == -74_250
    assert await ledger_balance(db, f"fees:bank:{BANK}:XOF") == -750


async def test_the_same_file_again_changes_nothing(db: Database, ops_db: Database):
    await an_attempt(db)
    first = await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    again = await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    assert (again.ids, again.is_new) == (first.ids, False)
    assert len(await queries.statements(ops_db)) == 1


async def test_a_preview_keeps_nothing(ops_db: Database):
    sent = Sent(bank_profile_id=BANK, content=camt053([a_line()], opening=100_000))

    [found] = await commands.preview(ops_db, sent)

    assert (found.lines, found.money_out, found.closing) == (1, 75_000, 25_000)
    assert await queries.statements(ops_db) == []


async def test_a_match_is_told_to_its_owner_once(db: Database, ops_db: Database):
    attempt = await an_attempt(db)
    await send(ops_db, a_line(end_to_end_id="payout-po_1", bank_ref="BK9"))
    told: list[tuple[UUID, str, str | None]] = []

    async def confirm(_tx: Tx, attempt_id: UUID, outcome: Outcome) -> None:
        told.append((attempt_id, outcome.state, outcome.provider_ref))

    assert await jobs.tell_all(ops_db, confirm) == 1
    assert await jobs.tell_all(ops_db, confirm) == 0

    assert told == [(attempt, "settled", "BK9")]


class _Payouts:
    """Stands in for whoever owns payouts."""

    kind = "payout"

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def claim(self, _tx: Tx, object_id: str) -> Instruction | None:
        raise NotImplementedError

    async def settle(self, _tx: Tx, object_id: str, outcome: Outcome) -> None:
        self.told.append((object_id, outcome.state))


async def _tell(worker_db: Database, payouts: _Payouts) -> None:
    async with BankHttp() as http:
        owners = {"payout": payouts}
        teller = Teller(connectors_of(http), owners, BankSecrets({}), "", SystemClock())
        await jobs.tell_all(worker_db, confirm_with(teller))


async def test_a_payout_in_doubt_is_settled_by_the_statement(db: Database, worker_db: Database):
    attempt = await an_attempt(db, state="unknown")
    await send(worker_db, a_line(end_to_end_id="payout-po_1", bank_ref="BK9"))
    payouts = _Payouts()

    await _tell(worker_db, payouts)

    assert payouts.told == [("po_1", "settled")]
    async with db.transaction("tests.attempt") as tx:
        row = await tx.connection.fetchrow(
            "select state, confirmed_by, provider_ref from payments.bank_attempts where id = $1",
            attempt,
        )
    assert tuple(row) == ("settled", "statement", "BK9")


async def test_money_that_came_back_returns_the_payout(db: Database, worker_db: Database):
    await an_attempt(db, state="settled")
    back = a_line(amount=75_000, end_to_end_id="payout-po_1", is_return=True)
    await send(worker_db, a_line(end_to_end_id="payout-po_1"), back)
    payouts = _Payouts()

    await _tell(worker_db, payouts)

    assert payouts.told == [("po_1", "returned")]


async def test_what_could_not_be_told_is_told_later(db: Database, ops_db: Database):
    await an_attempt(db)
    await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    async def fail(_tx: Tx, _attempt_id: UUID, _outcome: Outcome) -> None:
        raise ZeroDivisionError

    async def succeed(_tx: Tx, _attempt_id: UUID, _outcome: Outcome) -> None:
        return

    with pytest.raises(ZeroDivisionError):
        await jobs.tell_all(ops_db, fail)

    assert await jobs.tell_all(ops_db, succeed) == 1


async def test_a_person_matches_what_the_rules_could_not(db: Database, ops_db: Database):
    await an_attempt(db, holder="Fatou Sarr")
    done = await send(ops_db, a_line(counterparty="SARR F"))

    await matching.match(ops_db, _hand(done))

    [line] = await lines_of(ops_db, done)
    assert (line.state, line.tier, line.matched_by) == ("matched", "manual", "finance-user-1")


async def test_the_same_match_by_hand_twice_is_one(db: Database, ops_db: Database):
    await an_attempt(db)
    done = await send(ops_db, a_line())
    await matching.match(ops_db, _hand(done))

    await matching.match(ops_db, _hand(done))

    assert [each.state for each in await lines_of(ops_db, done)] == ["matched"]


async def test_a_difference_needs_force_and_force_a_reason(db: Database, ops_db: Database):
    await an_attempt(db)
    done = await send(ops_db, a_line(amount=-76_000))

    with pytest.raises(model.MatchRefused, match="difference of -1000 XOF"):
        await matching.match(ops_db, _hand(done))
    with pytest.raises(model.ReasonMissing):
        await matching.match(ops_db, _hand(done, forces=True))

    await matching.match(ops_db, _hand(done, forces=True, reason="fee agreed by phone"))

    [line] = await lines_of(ops_db, done)
    assert (line.tier, line.difference, line.reason) == ("forced", -1_000, "fee agreed by phone")


async def test_beyond_the_limit_one_person_cannot_force(db: Database, ops_db: Database):
    await an_attempt(db, amount=2_000_000)
    done = await send(ops_db, a_line(amount=-2_000_001), opening=9_000_000)

    with pytest.raises(model.ForceNeedsApproval, match="1000000 XOF"):
        await matching.match(ops_db, _hand(done, forces=True, reason="rounding"))


async def test_a_write_off_balances_the_books(db: Database, ops_db: Database):
    done = await send(ops_db, a_line(amount=-500, text="DIVERS"))

    await matching.match(ops_db, _hand(done, kind=None, object_id=None, reason="unknown debit"))

    [line] = await lines_of(ops_db, done)
    assert (line.state, line.status) == ("archived", "manual_review")
    assert await ledger_balance(db, f"suspense:bank:{BANK}:XOF") == -500


async def test_undoing_a_match_takes_its_money_back_and_keeps_the_record(
    db: Database, ops_db: Database
):
    done = await send(ops_db, a_line(amount=-2_500, text="FRAIS DE TENUE DE COMPTE"))

    await matching.undo(ops_db, done.ids[0], 1, reason="it is no fee", by="finance-user-2")

    [line] = await lines_of(ops_db, done)
    assert line.state == "posted"
    assert await ledger_balance(db, f"fees:bank:{BANK}:XOF") == 0
    async with db.transaction("tests.kept") as tx:
        kept = await tx.connection.fetchrow(
            "select undone_by, undo_reason from payments.statement_matches"
        )
    assert tuple(kept) == ("finance-user-2", "it is no fee")


async def test_the_other_direction_is_never_a_match(db: Database, ops_db: Database):
    await a_transaction(db, id_="tx_1", amount=75_000)
    done = await send(ops_db, a_line(amount=-75_000))

    with pytest.raises(model.MatchRefused, match="other way"):
        await matching.match(
            ops_db,
            _hand(
                done, kind="collection", object_id="merchant-123/tx_1", forces=True, reason="x y"
            ),
        )


async def test_a_discarded_statement_can_come_again(ops_db: Database):
    first = await send(ops_db, a_line())
    await commands.discard(ops_db, first.ids[0], reason="wrong account", by="finance-user-1")

    again = await send(ops_db, a_line())

    assert again.is_new
    assert [each.state for each in await lines_of(ops_db, first)] == ["void"]


async def test_a_statement_with_matches_is_not_discarded(db: Database, ops_db: Database):
    await an_attempt(db)
    done = await send(ops_db, a_line(end_to_end_id="payout-po_1"))

    with pytest.raises(model.StatementInUse):
        await commands.discard(ops_db, done.ids[0], reason="wrong account", by="finance-user-1")


async def test_a_later_run_matches_what_was_not_there_yet(db: Database, ops_db: Database):
    done = await send(ops_db, a_line(end_to_end_id="payout-po_1"))
    await an_attempt(db)

    matched = await jobs.match_all(ops_db)

    assert matched == 1
    assert [each.state for each in await lines_of(ops_db, done)] == ["matched"]


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["exact", "wrong", "fuzzy", "fee", "none"]), st.integers(1, 500_000)
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 10**6),
)
async def test_matched_and_unmatched_add_up_to_the_file(
    db: Database, ops_db: Database, drawn: list[tuple[str, int]], seed: int
):
    lines = []
    for number, (sort, amount) in enumerate(drawn):
        key = f"po_{seed}_{number}_{len(await queries.statements(ops_db))}"
        if sort in {"exact", "wrong", "fuzzy"}:
            await an_attempt(db, key, amount=amount, holder=f"NAME{number}X{seed}")
        lines.append(
            a_line(
                amount=-(amount + (9_999 if sort == "wrong" else 0)),
                end_to_end_id=f"payout-{key}" if sort in {"exact", "wrong"} else "",
                counterparty=f"NAME{number}X{seed}" if sort == "fuzzy" else "",
                text="FRAIS" if sort == "fee" else f"{seed}",
                bank_ref=f"{seed}-{number}",
            )
        )

    done = await send(ops_db, *lines)

    if not done.is_new:
        return
    sums = await queries.sums(ops_db, done.ids[0])
    matched, unmatched = sums.of("matched", "archived"), sums.of("posted", "mismatched")
    assert matched[0] + unmatched[0] == len(lines)
    assert matched[1] + unmatched[1] == sum(each.amount for each in lines)
    async with db.transaction("tests.balanced") as tx:
        assert (
            await tx.connection.fetchval("select coalesce(sum(amount), 0) from ledger.entries") == 0
        )


async def test_a_thousand_lines_are_matched_in_one_go(db: Database, ops_db: Database):
    for number in range(40):
        await an_attempt(db, f"po_{number}", amount=1_000 + number)
    lines = [
        a_line(
            amount=-(1_000 + n % 40),
            end_to_end_id=f"payout-po_{n}" if n < 40 else "",
            bank_ref=f"B{n}",
        )
        for n in range(1_000)
    ]

    done = await send(ops_db, *lines, opening=10_000_000)

    assert (done.lines, done.matched) == (1_000, 40)
