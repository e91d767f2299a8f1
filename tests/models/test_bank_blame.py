"""Whose fault an outcome is: one row for each thing that a bank may say."""

from __future__ import annotations

import pytest

from molam.kernel.refusals import Outage
from molam.payments.banks import iso20022
from molam.payments.banks.connectors import http_bank, wave
from molam.payments.banks.http import NotReached
from molam.payments.banks.model import SurprisingAnswer
from molam.payments.banks.signals import blame, code_of


@pytest.mark.parametrize(
    ("state", "code", "fault"),
    [
        ("accepted", None, "ok"),
        ("settled", None, "ok"),
        ("settled", "statement", "ok"),
        ("accepted", "waiting-for-file", None),
        ("unknown", "no-answer", "bank_timeout_unknown"),
        ("unknown", "not-reached", "network_local"),
        ("unknown", "surprising-answer", "bank_technical"),
        ("unknown", "amount-differs", "bank_technical"),
        ("unknown", "sender-lost", None),
        ("unknown", None, "bank_timeout_unknown"),
        ("rejected", "never-seen", "bank_technical"),
        ("rejected", "not-a-wallet", None),
        ("rejected", "not-an-account", None),
        ("needs_details", "account-missing", None),
        ("rejected", "limit-exceeded", "customer"),
        ("rejected", "account-closed", "customer"),
        ("rejected", "expired", "customer"),
        ("rejected", "AC04", "customer"),
        ("rejected", "AM14", "customer"),
        ("rejected", "compliance", "compliance"),
        ("rejected", "RR04", "compliance"),
        ("rejected", "LEGL", "compliance"),
        ("rejected", "insufficient-funds", "liquidity"),
        ("rejected", "AM04", "liquidity"),
        ("rejected", "failed", "bank_technical"),
        ("rejected", "E-4711", "bank_technical"),
        ("rejected", "AB06", "bank_technical"),
        ("rejected", None, "bank_technical"),
        ("needs_details", "account-closed", "customer"),
        ("needs_details", "a-detail-of-tomorrow", "customer"),
        ("returned", "returned-by-beneficiary-bank", "customer"),
        ("returned", None, "customer"),
        ("returned", "RR04", "compliance"),
    ],
)
def test_outcome_is_somebodys_doing(state, code, fault):
    assert blame(state, code) == fault


def test_every_code_that_asks_for_other_details_is_the_customers():
    known = http_bank._DETAILS | wave._DETAILS | iso20022._DETAILS
    assert {blame("rejected", code) for code in known} == {"customer"}


def test_silence_is_named_by_how_far_the_request_came():
    assert code_of(NotReached("bank")) == "not-reached"
    assert code_of(Outage("bank")) == "no-answer"
    assert code_of(SurprisingAnswer("?")) == "surprising-answer"
