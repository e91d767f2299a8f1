"""Every alert says itself in a sentence and leads to the rows of which it was counted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from ops_console import Console

import builders
from alerting import a_transition, one
from molam.alerts.rules.book import RuleBook
from molam.alerts.rules.model import Rule
from molam.ops import alert_rows
from molam.platform.db import Database
from molam.sira.anomaly import Kind, rate_test
from molam.sira.sentences import facts_of

MERCHANT, OTHER, AGENT = "m-behind", "m-other", "agent-123"
HOUR = timedelta(hours=1)
BEHIND = {
    "float_low": "Mouvement du float",
    "recon_match_drop": "Ouverte",
    "refund_spike": "Remboursement rf_behind",
    "payout_fail_rate": "Versement po_behind",
    "dlq_growth": "Événement",
    "fraud_score_high": "91 / 100",
    "conversion_drop": "Paiement tx_behind",
    "chargeback_spike": "Litige dp_behind",
}
ELSEWHERE = ("rf_other", "rf_old", "po_paid", "po_old", "12 / 100", "tx_old", "dp_other", "dp_old")


@pytest.fixture
async def bank(console: Console, db: Database) -> str:
    """A bank and two merchants, with one row of each kind that counts, and some that do not."""
    now = datetime.now(UTC)
    for id_ in (MERCHANT, OTHER):
        await builders.a_merchant(db, id_=id_)
    await builders.a_transaction(
        db, id_="tx_behind", merchant_id=MERCHANT, state="failed", occurred_at=now - HOUR
    )
    await builders.a_transaction(
        db, id_="tx_old", merchant_id=MERCHANT, state="failed", occurred_at=now - 40 * HOUR
    )
    async with db.transaction("tests.behind") as tx:
        run = tx.connection.execute
        await tx.connection.execute("set local session_replication_role = replica")
        bank = "bank-behind"
        await run(
            "insert into payments.bank_profiles (id, name, country, currency_codes, rails, provider_type,"
            " connector) values ($1, 'Banque', 'SN', '{XOF}', '{bank}', 'bank', 'http_bank')",
            bank,
        )
        for id_, whose, ago in (
            ("rf_behind", MERCHANT, 1),
            ("rf_other", OTHER, 1),
            ("rf_old", MERCHANT, 40),
        ):
            await run(
                "insert into payments.wallet_transactions (merchant_id, id, type, state, amount, currency,"
                " occurred_at, version) values ($1, $2, 'refund', 'succeeded', 500, 'XOF', $3, 1)",
                *(whose, id_, now - ago * HOUR),
            )
        for id_, whose, ago in (
            ("dp_behind", MERCHANT, 1),
            ("dp_other", OTHER, 1),
            ("dp_old", MERCHANT, 24 * 40),
        ):
            await run(
                "insert into payments.disputes (merchant_id, id, reported_state, state, stage, amount,"
                " currency, occurred_at, opened_at, version)"
                " values ($1, $2, 'open', 'needs_response', 1, 700, 'XOF', $3, $3, 1)",
                *(whose, id_, now - ago * HOUR),
            )
        for id_, state, ago in (
            ("po_behind", "rejected", 0),
            ("po_paid", "settled", 0),
            ("po_old", "rejected", 9),
        ):
            await run(
                "insert into payments.bank_attempts (id, kind, object_id, merchant_id, attempt_no,"
                " bank_profile_id, outward_key, wire_key, amount, currency, destination, reference, state,"
                " request_hash, lease_until, next_inquiry_at, updated_at) values (gen_random_uuid(),"
                " 'payout', $1, $2, 1, $3, $1, $1, 900, 'XOF', '{}', 'r', $4, '\\x00', now(), now(), $5)",
                *(id_, MERCHANT, bank, state, now - ago * HOUR),
            )
        for whose, score in ((MERCHANT, 91), (OTHER, 12)):
            await run(
                "insert into approvals.approvals_action (id, action_type, origin_module, payload, payload_hash,"
                " created_by, request_hash, status, sira_score, created_at, updated_at, expires_at)"
                " values ($1, 'refund', 'pay', $2, $3, 'x', $3, 'held', $4, now(), now(), now())",
                *(uuid4(), {"merchant_id": whose}, b"x" * 32, score),
            )
        statement = uuid4()
        await run(
            "insert into payments.statements (id, bank_profile_id, currency, format, sha256, part, file_name,"
            " first_day, last_day, lines, money_in, money_out, fees, imported_by, matched_at)"
            " values ($1, $2, 'XOF', 'csv', $3, 1, 'a.csv', now()::date, now()::date, 2, 2, 0, 0, 'x', now())",
            *(statement, bank, b"x" * 32),
        )
        await run(
            "insert into payments.statement_lines (statement_id, line_no, bank_profile_id, currency, booked_on,"
            " value_on, amount, text, state) values ($1, 1, $2, 'XOF', now()::date, now()::date, 5, 'FROM AWA',"
            " 'posted'), ($1, 2, $2, 'XOF', now()::date, now()::date, 5, '', 'matched')",
            *(statement, bank),
        )
        await run(
            'insert into platform.dead_letters ("group", topic, part, pos, payload, reason)'
            " values ('kpi', 'payments', 0, 1, '{}', 'broken')"
        )
    return bank


async def rules(db: Database) -> list[Rule]:
    async with db.transaction("tests.rules", readonly=True) as tx:
        return list((await RuleBook().current(tx)).all)


def tenant_of(rule: Rule, bank: str) -> str | None:
    return {"merchant": MERCHANT, "agent": AGENT, "bank": bank}.get(rule.tenant_type)


async def opened(worker_db: Database, rule: Rule, bank: str) -> str:
    known: dict[str, Any] = {"tenant_id": tenant_of(rule, bank), "value": Decimal(rule.fire_at)}
    if rule.unit == "score":
        found = rate_test(
            Kind.REFUNDS_HIGH, hits=60, trials=100, usual_hits=50, usual_trials=5000, hours=3
        )
        assert found is not None
        known |= {"value": Decimal(8), "context": facts_of(found)}
    alert = await one(worker_db, [a_transition(rule=rule, at=datetime.now(UTC), **known)])
    return str(alert.id)


async def test_every_alert_says_itself_and_leads_to_the_rows_it_counted(
    console: Console, worker_db: Database, bank: str
) -> None:
    missing = []
    chosen = [each for each in await rules(worker_db) if each.currency in {None, "XOF"}]
    for rule in chosen:
        id_ = await opened(worker_db, rule, bank)
        page = await console.page(f"/alerts/{id_}")
        (link,) = re.findall(r'id="behind" href="([^"]+)"', page)
        said = {}
        for language in ("en", "fr"):
            rows = await console.page(link, "ousmane.sow", lang=language)
            (said[language],) = re.findall(r'<p class="lead">(.+?)</p>', rows)
        listed = rows.partition('id="rows"')[2]
        # What is strange altogether is no one figure: the payments are behind it.
        wanted = BEHIND["conversion_drop" if "joint" in rule.metric else rule.alert_type]
        if wanted not in listed or not _fits(listed, rule):
            missing.append((rule.id, listed[:300]))
        assert said["en"] in page
        assert said["en"] != said["fr"], rule.id

    assert missing == []
    assert {each.alert_type for each in chosen} == set(BEHIND)
    assert len(chosen) >= 16


def _fits(listed: str, rule: Rule) -> bool:
    """Tell whether nothing of another tenant or another time stands among them."""
    others = () if rule.tenant_type == "platform" else ELSEWHERE
    return not any(each in listed for each in others)


async def test_who_pays_us_is_read_by_those_who_reconcile(
    console: Console, worker_db: Database, bank: str
) -> None:
    (rule,) = [each for each in await rules(worker_db) if each.id == "recon_match_drop"]
    path = f"/alerts/{await opened(worker_db, rule, bank)}/rows"
    reconciles = await console.page(path, "ousmane.sow")
    other = await console.page(path, "mariama.cisse")

    assert "FROM AWA" in reconciles
    assert "/lines/1" in reconciles
    assert "FROM AWA" not in other
    assert "/lines/1" not in other
    assert "Open line" in other
    merchant = await console.get(path, "awa.diop", roles=["merchant_admin"])
    assert merchant.status_code == 403
    assert (await console.get(f"/alerts/{uuid4()}/rows")).status_code == 404


async def test_without_its_window_rows_of_another_time_would_stand_there(
    console: Console, worker_db: Database, bank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (rule,) = [each for each in await rules(worker_db) if each.id == "refund_spike"]
    id_ = await opened(worker_db, rule, bank)
    monkeypatch.setattr(
        alert_rows, "window_of", lambda row, *, now: (row.fired_at - 90 * 24 * HOUR, now)
    )

    assert "rf_old" in await console.page(f"/alerts/{id_}/rows")
