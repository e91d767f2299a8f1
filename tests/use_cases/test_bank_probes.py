"""Each answer of a bank leaves exactly one signal, and each member is probed every minute."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bank_desk import BankDesk, a_bank_desk
from bank_health import noted
from molam.mesh.signals import probes
from molam.payments.banks.model import BankAccount
from molam.platform.jobs import Job
from molam.sira import health_filter

BANKS = ("bp_http", "bp_wave", "bp_orange")


@pytest.fixture
async def desk(worker_db, db, tmp_path) -> AsyncIterator[BankDesk]:
    async with a_bank_desk(worker_db, db, tmp_path, timeout_s=0.5) as opened:
        yield opened


async def join(desk: BankDesk, *banks: str) -> None:
    for bank in banks:
        await desk.rows(
            "insert into mesh.mesh_members (id, mesh_region_id, bank_profile_id, status, capabilities,"
            " kyc_verified, contract_signed, compliance_status)"
            " values ($1, 'region_cedeao', $1, 'active', '{}', true, true, 'approved')",
            bank,
        )


async def told(desk: BankDesk) -> list[tuple[str, str, str]]:
    return [(each.kind, each.outcome, each.rail) for each in await noted(desk.db)]


async def test_payment_leaves_one_signal_for_its_answer_and_one_for_its_end(desk: BankDesk):
    desk.temper(settle_after_s=0.3)
    await desk.owned("po_1", 75_000)

    await desk.send("po_1")
    await desk.until_paid("po_1")

    first, last = await noted(desk.db)
    assert (first.kind, first.outcome, first.rail) == ("payout", "ok", "wallet:wave")
    assert (first.amount, first.observed_by) == (75_000, "molam")
    assert first.latency_ms is not None
    assert last.outcome == "ok"


async def test_inquiry_that_finds_the_end_leaves_one_signal_and_others_none(desk: BankDesk):
    desk.temper(callbacks="lost", settle_after_s=60)
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    for _ in range(3):
        await desk.inquire("po_1")

    assert await told(desk) == [("payout", "ok", "wallet:wave")]


async def test_answer_is_blamed_on_whoever_it_comes_from(desk: BankDesk):
    cases: list[tuple[dict[str, Any], str]] = [
        ({"die": "after", "callbacks": "lost"}, "bank_timeout_unknown"),
        ({"die": "before"}, "bank_timeout_unknown"),
        ({"latency_s": 1.0, "callbacks": "lost"}, "bank_timeout_unknown"),
        ({"answers": "garbage", "callbacks": "lost"}, "bank_technical"),
        ({"answers": "wrong_amount", "callbacks": "lost"}, "bank_technical"),
        ({"maintenance": True}, "bank_technical"),
        ({"reject_rate": 1.0}, "customer"),
        ({"reject_rate": 1.0, "reject_code": "insufficient-funds"}, "liquidity"),
        ({"reject_rate": 1.0, "reject_code": "compliance"}, "compliance"),
        ({"reject_rate": 1.0, "reject_code": "E-17"}, "bank_technical"),
    ]
    for number, (temper, _) in enumerate(cases):
        desk.temper(**temper)
        await desk.owned(f"po_{number}", 75_000)
        await desk.send(f"po_{number}")

    answers = [each for each in await noted(desk.db) if each.observed_by == "molam"]
    assert {each.kind for each in answers} == {"payout"}
    assert [each.outcome for each in answers] == [outcome for _, outcome in cases]


async def test_bank_that_is_not_there_is_not_yet_to_blame(desk: BankDesk):
    await desk.rows(
        "update payments.bank_profiles set endpoint_url = 'http://127.0.0.1:1' where id = 'bp_http'"
    )
    await desk.owned("po_1", 75_000)

    await desk.send("po_1")
    await desk.inquire("po_1")

    assert await told(desk) == [
        ("payout", "network_local", "wallet:wave"),
        ("status_inquiry", "network_local", "wallet:wave"),
    ]
    assert [each.code for each in await desk.attempts("po_1")] == ["not-reached"]


async def test_silence_when_asked_is_one_signal_for_each_question(desk: BankDesk):
    desk.temper(die="after", callbacks="lost")
    await desk.owned("po_1", 75_000)
    await desk.send("po_1")
    desk.temper(maintenance=True)

    await desk.inquire("po_1")
    await desk.inquire("po_1")

    assert [each[:2] for each in await told(desk)] == [
        ("payout", "bank_timeout_unknown"),
        ("status_inquiry", "bank_technical"),
        ("status_inquiry", "bank_technical"),
    ]


async def test_order_that_waits_for_a_file_says_nothing_of_its_bank(desk: BankDesk):
    account = BankAccount("Awa Diop", "SN", account_number="SN123456789")
    await desk.owned("po_1", 75_000, bank="bp_file", destination=account)

    await desk.send("po_1")

    assert await told(desk) == []


async def test_every_member_is_probed_once_for_all_it_serves(desk: BankDesk):
    await join(desk, *BANKS, "bp_file")

    probed = await probes.probe_all(desk.teller, desk.db)

    assert {(each.bank.id, each.outcome) for each in probed} == {(bank, "ok") for bank in BANKS}
    signals = await noted(desk.db)
    assert {each.kind for each in signals} == {"active_probe"}
    assert sorted((each.bank_profile_id, each.rail, each.currency) for each in signals) == sorted(
        (bank, rail, currency)
        for bank in BANKS
        for rail in ("bank", "wallet:wave", "wallet:orange_money")
        for currency in ("XOF", "EUR")
    )


async def test_bank_that_is_no_member_is_left_alone(desk: BankDesk):
    assert await probes.probe_all(desk.teller, desk.db) == []


async def test_probe_feels_the_temper_of_its_bank(desk: BankDesk):
    await join(desk, *BANKS)
    found = []
    for temper in ({"maintenance": True}, {"fail_rate": 1.0}, {}):
        for bank in BANKS:
            desk.temper(bank, **temper)
        found.append({each.outcome for each in await probes.probe_all(desk.teller, desk.db)})

    assert found[0] == {"bank_technical"}
    assert found[1] <= {"bank_technical", "bank_timeout_unknown"}
    assert found[2] == {"ok"}


async def test_slow_bank_is_given_up_and_the_others_do_not_wait_for_it(
    desk: BankDesk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(probes, "TIMEOUT_S", 0.3)
    await join(desk, "bp_http", "bp_wave")
    desk.temper("bp_http", latency_s=5)

    probed = {each.bank.id: each for each in await probes.probe_all(desk.teller, desk.db)}

    assert probed["bp_http"].outcome == "bank_timeout_unknown"
    assert probed["bp_wave"].outcome == "ok"


async def test_bank_that_fails_all_requests_pays_once_when_it_is_back(desk: BankDesk):
    for bank in BANKS:
        desk.temper(bank, fail_rate=1.0)
        await desk.owned(bank, 75_000, bank=bank)
        await desk.send(bank)
        await desk.inquire(bank)

        assert (await desk.attempts(bank))[0].state == "unknown"

        desk.temper(bank)
        await desk.until_paid(bank)

        assert desk.booked(bank, bank) == 1


async def believe(
    desk: BankDesk, bank: str, p_down: float, *, answered: int = 0, mode: str = "serving"
) -> None:
    await desk.rows(
        "insert into mesh.member_health (bank_profile_id, rail, currency, belief, p_down, score,"
        " score_low, score_high, probes_ok_in_row, mode, left_at)"
        " values ($1, 'bank', 'XOF', '{}', $2, 50, 40, 60, $3, $4,"
        " case when $4 = 'left' then now() end)",
        *(bank, p_down, answered, mode),
    )


async def waiting_probes(desk: BankDesk) -> list[tuple[str, int]]:
    rows = await desk.rows(
        "select convert_from(payload, 'UTF8')::json ->> 'bank_profile_id',"
        " round(extract(epoch from execute_after - now()))::int from jobs.pgqueuer"
        " where entrypoint = 'mesh.probe_again' order by execute_after"
    )
    return [(row[0], row[1]) for row in rows]


async def test_bank_in_trouble_is_asked_every_ten_seconds_and_others_are_not(desk: BankDesk):
    await join(desk, "bp_http", "bp_wave")
    await believe(desk, "bp_http", 0.9)
    await believe(desk, "bp_wave", 0.1)

    for _ in range(2):
        await probes.enqueue_again(desk.db)

    found = await waiting_probes(desk)
    assert [bank for bank, _ in found] == ["bp_http"] * 5
    assert all(abs(seconds - 10 * turn) <= 4 for turn, (_, seconds) in enumerate(found, 1)), (
        "each ten seconds, with some spread"
    )


async def asked_faster(desk: BankDesk, **how: Any) -> bool:
    await join(desk, "bp_http")
    await believe(desk, "bp_http", 0.9, **how)
    return bool(await probes.enqueue_again(desk.db))


async def test_answered_probes_do_not_drown_what_payments_say(desk: BankDesk):
    assert not await asked_faster(desk, answered=5)


async def test_answered_probes_drown_it_where_nobody_counts_them(
    desk: BankDesk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(probes, "_ANSWERED_MAX", 10**6)

    assert await asked_faster(desk, answered=5)


async def test_bank_that_was_left_is_asked_faster_until_it_is_believed_well(desk: BankDesk):
    assert await asked_faster(desk, answered=7, mode="left")


async def test_probe_that_comes_when_the_bank_is_well_asks_nothing(desk: BankDesk):
    await join(desk, "bp_http")
    await believe(desk, "bp_http", 0.9)
    (again,) = probes.handlers(desk.teller)
    job = Job(7, again.name, b'{"bank_profile_id": "bp_http"}', 1, desk.db)

    await again.run(job)
    asked = len(await noted(desk.db))
    await desk.rows("update mesh.member_health set p_down = 0.1")
    await again.run(job)

    assert asked > 0
    assert len(await noted(desk.db)) == asked


def test_return_is_seen_minutes_sooner():
    """Until a bank that was dead, or half dead, is believed to be well: six times sooner."""
    for pattern in ([1], [1, 1, 0]):
        assert _seconds_until_well(pattern, every_s=10) <= 90
        assert _seconds_until_well(pattern, every_s=60) >= 180


def _seconds_until_well(pattern: list[int], *, every_s: int) -> int:
    belief = health_filter.fresh(0.005)
    belief = health_filter.observe_many(belief, failures=0, oks=2000, at=0)
    at = 7200
    for fails in pattern * 12:
        at += 10
        belief = health_filter.observe_many(belief, failures=fails, oks=1 - fails, at=at)
    began = at
    while health_filter.p_down(belief) > 0.2:
        at += every_s
        belief = health_filter.observe_many(belief, failures=0, oks=1, at=at)
    return at - began
