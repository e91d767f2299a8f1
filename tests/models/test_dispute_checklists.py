"""What each reason for a dispute asks for, how soon, and the answer we prepare."""

from __future__ import annotations

from datetime import timedelta

import pytest

from builders import NOW
from molam.payments.disputes import folding, preparing, reasons
from molam.payments.disputes.known_store import HistoryRow, PaymentRow, RefundRow
from molam.payments.disputes.model import MOVES, Dispute, Report, State
from molam.payments.disputes.preparing import Known


def _payment(**metadata: object) -> PaymentRow:
    return PaymentRow(
        id="tx_1",
        amount=75_000,
        currency="XOF",
        reference_code="CMD-1",
        channel="wallet",
        provider="wave",
        occurred_at=NOW,
        customer={"name": "Élodie Ndiaye", "phone": "+221 77 000 00 01"},
        metadata=dict(metadata),
        refunded_amount=0,
        state="succeeded",
    )


def _dispute(reason: str = "not_received", **metadata: object) -> Dispute:
    report = Report(
        version=1,
        word="open",
        amount=75_000,
        fee=0,
        currency="XOF",
        reason=reason,
        transaction_id="tx_1",
        provider="wave",
        occurred_at=NOW,
        received_at=NOW,
        metadata=metadata,
    )
    return folding.read("merchant-123", "dp_1", [report], None)


@pytest.mark.parametrize(
    ("case", "time"),
    [
        (reasons.Case("chargeback", "visa", "10.4"), timedelta(days=20)),
        (reasons.Case("chargeback", None, None), timedelta(days=7)),
        (reasons.Case("chargeback", "wave", "not_received"), timedelta(hours=48)),
        (reasons.Case("merchant_dispute", "visa", None), timedelta(hours=48)),
        (reasons.Case("retrieval_request", "wave", None), timedelta(days=10)),
    ],
)
def test_the_time_to_answer_is_that_of_the_network(case: reasons.Case, time: timedelta):
    assert reasons.time_to_answer(case) == time


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ("2026-11-20T12:00:00Z", NOW + timedelta(days=4)),
        ("2026-11-20T13:00:00+01:00", NOW + timedelta(days=4)),
        ("2026-11-20T12:00:00", NOW + timedelta(hours=48)),
        ("2026-13-45", NOW + timedelta(hours=48)),
        (17, NOW + timedelta(hours=48)),
        ("9999-01-01T00:00:00Z", NOW + timedelta(hours=48)),
    ],
)
def test_the_networks_own_deadline_counts_if_it_is_one(said: object, due: object):
    assert _dispute(evidence_due_at=said).evidence_due_at == due


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("13.1", "not_received"),
        ("4837", "fraudulent"),
        ("Not Received", "not_received"),
        ("unrecognized", "unrecognised"),
        (None, "general"),
        ("something new", "general"),
    ],
)
def test_network_codes_fall_under_our_reasons(code: str | None, reason: str):
    assert reasons.reason_of(code).code == reason


def test_every_kind_a_reason_asks_for_can_be_uploaded():
    asked = {
        kind
        for reason in reasons.REASONS.values()
        for group in (*reason.required, reason.recommended)
        for kind in group
    }

    assert asked <= set(reasons.KINDS)


def test_the_checklist_says_what_is_missing_and_what_we_prove():
    reason = reasons.REASONS["not_received"]

    items = reasons.checklist(reason, given={"identity"}, known={"receipt"})

    assert [(item.kinds[0], item.required, item.satisfied, item.by_us) for item in items] == [
        ("delivery_proof", True, False, False),
        ("receipt", True, True, True),
        ("customer_communication", False, False, False),
        ("identity", False, True, False),
    ]
    assert not reasons.is_complete(items)
    complete = reasons.checklist(reason, given={"delivery_proof"}, known={"receipt"})
    assert reasons.is_complete(complete)


def test_the_prepared_answer_says_what_we_know_and_nothing_more():
    known = Known(
        _payment(),
        (RefundRow("rf_1", 5_000, "XOF", NOW, "succeeded"),),
        HistoryRow(4, NOW - timedelta(days=300), NOW, 1),
        {"tracking_number": "SN-42", "delivery_phone": "770000001"},
    )

    text = preparing.write(_dispute(), known, "fr", merchant="Boutique Sandaga")

    assert "Boutique Sandaga conteste le litige dp_1" in text
    assert "CMD-1" in text
    assert "SN-42" in text
    assert "3 fois" in text
    assert "celui qui a payé" in text
    bare = preparing.write(_dispute(), Known(None, (), None, {}), "en", merchant="Shop")
    assert "Delivery" not in bare
    assert "before" not in bare


def test_a_delivery_is_proved_by_us_only_once_it_has_happened():
    shipped = Known(_payment(), (), None, {"tracking_number": "SN-42"})
    delivered = Known(_payment(), (), None, {"delivered_at": "2026-11-17"})

    assert "delivery_proof" not in shipped.kinds
    assert "delivery_proof" in delivered.kinds


def test_only_what_is_open_moves_by_the_merchant_or_the_clock():
    moving = {state for state, following in MOVES.items() if following}

    assert moving == {State.EARLY_WARNING, State.NEEDS_RESPONSE, State.EXPIRED}
