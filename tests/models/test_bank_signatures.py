"""Signatures and secrets of banks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from molam.payments.banks.model import CallbackRefused
from molam.payments.banks.secrets import BankSecrets, check_timed_signature, read_secrets
from molam.platform.settings import Secret, SettingsRefused
from molam.simulator.banks.dialects import signature

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
STAMP = int(NOW.timestamp())
KEY = Secret("a secret that is long enough")
BODY = b'{"a": 1}'


def check(header: str, body: bytes = BODY, *, now: datetime = NOW, separator: bytes = b".") -> None:
    check_timed_signature(header, body, KEY, now, separator=separator)


@pytest.mark.parametrize("separator", [b".", b""])
def test_right_signature_passes(separator: bytes):
    header = signature(BODY, KEY.reveal(), STAMP, separator=separator)

    assert check(header, separator=separator) is None


def test_signature_of_either_secret_passes_while_one_replaces_the_other():
    header = signature(BODY, KEY.reveal(), STAMP, separator=b".")

    assert check(header.replace("v1=", "v1=" + "0" * 64 + ",v1=")) is None


@pytest.mark.parametrize("minutes", [-6, 6])
def test_signature_of_another_time_is_refused(minutes: int):
    header = signature(BODY, KEY.reveal(), STAMP, separator=b".")

    with pytest.raises(CallbackRefused, match="five minutes"):
        check(header, now=NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    "header", ["", "t=1", "v1=aa", "t=,v1=aa", "t=\u0661,v1=aa", f"t={STAMP},t={STAMP},v1=aa"]
)
def test_malformed_header_is_refused(header: str):
    with pytest.raises(CallbackRefused):
        check(header)


def test_changed_byte_is_refused():
    header = signature(BODY, KEY.reveal(), STAMP, separator=b".")

    with pytest.raises(CallbackRefused, match="does not fit"):
        check(header, b'{"a": 2}')


def test_given_secrets_win_over_derived_ones_and_none_is_shown():
    text = '{"bp_1": {"api_key": "0123456789abcdef", "callback_secret": "fedcba9876543210"}}'

    secrets = read_secrets(Secret(text), root=KEY)

    assert secrets.of("bp_1").api_key.reveal() == "0123456789abcdef"
    assert secrets.of("bp_2").api_key.reveal() != secrets.of("bp_3").api_key.reveal()
    assert "0123456789" not in repr(secrets)


def test_bank_without_secrets_has_none_where_nothing_is_derived():
    assert BankSecrets().of("bp_1") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"bp_1": {"api_key": "short-secret"}}'])
def test_malformed_secrets_are_refused_without_repeating_them(text: str):
    with pytest.raises(SettingsRefused) as refused:
        read_secrets(Secret(text), root=None)

    assert "short-secret" not in str(refused.value)
