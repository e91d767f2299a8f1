"""Decisions about webhooks: names, retries, signatures, and how secrets are kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from molam.platform.settings import Secret
from molam.webhooks.model import (
    EVENTS,
    RETRY_AFTER_MAX_S,
    SCHEDULES,
    EventUnknown,
    Told,
    canonical_event,
    judge,
    read_retry_after,
)
from molam.webhooks.signing import new_secret, sign
from molam.webhooks.vault import SecretUnreadable, Vault

NOW = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)
CHANCE = random.Random(20261116)


def judged(told: Told, attempts: int = 1, schedule: str = "standard", *, is_test: bool = False):
    return judge(told, attempts=attempts, schedule=schedule, is_test=is_test, chance=CHANCE)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("refund.created", "merchant.refund.created"),
        ("merchant.refund.created", "merchant.refund.created"),
        ("merchant.payout.paid", "payout.paid"),
        ("metrics.updated", "merchant.metrics.updated"),
        (" transaction.succeeded ", "transaction.succeeded"),
    ],
)
def test_names_with_and_without_merchant_mean_the_same_event(said: str, meant: str):
    assert canonical_event(said) == meant
    assert meant in EVENTS


@pytest.mark.parametrize("said", ["", "merchant.", "refund", "REFUND.CREATED", "webhook.test", "*"])
def test_other_names_are_refused(said: str):
    with pytest.raises(EventUnknown):
        canonical_event(said)


@pytest.mark.parametrize("status", [500, 400, 301, 199, 429, None])
def test_the_default_is_exactly_three_retries(status: int | None):
    states = [judged(Told(status, 0.1), attempts).state for attempts in range(1, 6)]

    assert states == ["waiting", "waiting", "waiting", "dead", "dead"]


def test_the_long_schedule_lasts_for_three_days():
    states = [judged(Told(500, 0.1), attempts, "long").state for attempts in range(1, 11)]

    assert states == ["waiting"] * 9 + ["dead"]
    assert 3 * 86_400 < sum(SCHEDULES["long"]) < 4 * 86_400


@given(st.integers(1, 9), st.integers(0, 2**32))
def test_a_wait_is_a_random_part_of_the_schedules_step(attempts: int, seed: int):
    verdict = judge(
        Told(500, 0.1),
        attempts=attempts,
        schedule="long",
        is_test=False,
        chance=random.Random(seed),
    )

    assert 1.0 <= verdict.retry_in_s <= SCHEDULES["long"][attempts - 1]


def test_steps_grow_exponentially():
    for steps in SCHEDULES.values():
        assert all(later > earlier for earlier, later in pairwise(steps))
    assert [later / earlier for earlier, later in pairwise(SCHEDULES["standard"])] == [6, 6]


def test_what_a_receiver_asks_for_is_waited_for_within_bounds():
    polite = judged(Told(429, 0.1, retry_after_s=1234))
    greedy = judged(Told(503, 0.1, retry_after_s=10**9))

    assert (polite.retry_in_s, polite.pause_s) == (1234, 1234)
    assert (greedy.retry_in_s, greedy.pause_s) == (RETRY_AFTER_MAX_S, RETRY_AFTER_MAX_S)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_endpoint_that_is_overloaded_is_left_alone_for_a_moment(status: int):
    assert judged(Told(status, 0.1)).pause_s >= 10
    assert judged(Told(500, 0.1)).pause_s == 0


def test_gone_is_final_and_a_test_is_tried_once():
    assert judged(Told(410, 0.1)) == judged(Told(410, 0.1), 4)
    assert (judged(Told(410, 0.1)).state, judged(Told(410, 0.1)).gone) == ("dead", True)
    once = judged(Told(500, 0.1), is_test=True)
    assert (once.state, once.pause_s, once.gone) == ("dead", 0, False)
    assert not judged(Told(410, 0.1), is_test=True).gone


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Mon, 16 Nov 2026 12:01:00 GMT", 60.0),
        ("Mon, 16 Nov 2026 11:00:00 GMT", 0.0),
        ("9" * 400, RETRY_AFTER_MAX_S),
        ("-1", None),
        ("1e9", None),
        ("soon", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(text: str | None, seconds: float | None):
    assert read_retry_after(text, NOW) == seconds


@given(st.binary(max_size=2000))
def test_the_off_the_shelf_library_accepts_our_signature(body: bytes):
    secret = new_secret()
    document = json.dumps({"held": body.hex()}).encode()
    headers = sign(document, id_="evt_1", at=datetime.now(UTC), keys=[secret])

    assert Webhook(secret.reveal()).verify(document, headers) == {"held": body.hex()}


@pytest.mark.parametrize("changed", ["body", "id", "timestamp", "secret"])
def test_the_control_whatever_is_changed_breaks_the_signature(changed: str):
    secret = new_secret()
    headers = sign(b"{}", id_="evt_1", at=datetime.now(UTC), keys=[secret])
    body = b"{ }" if changed == "body" else b"{}"
    if changed == "id":
        headers["webhook-id"] = "evt_2"
    if changed == "timestamp":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    known = new_secret() if changed == "secret" else secret

    with pytest.raises(WebhookVerificationError):
        Webhook(known.reveal()).verify(body, headers)


def test_an_old_signature_is_refused_by_its_time():
    secret = new_secret()
    headers = sign(b"{}", id_="evt_1", at=datetime.now(UTC) - timedelta(minutes=6), keys=[secret])

    with pytest.raises(WebhookVerificationError):
        Webhook(secret.reveal()).verify(b"{}", headers)


def test_during_an_overlap_both_secrets_verify_and_the_older_signs_the_older_header():
    newer, older = new_secret(), new_secret()
    headers = sign(b"{}", id_="evt_1", at=datetime.now(UTC), keys=[newer, older])

    assert headers["webhook-signature"].count("v1,") == 2
    for each in (newer, older):
        Webhook(each.reveal()).verify(b"{}", headers)
    by_older = hmac.new(older.reveal().encode(), b"{}", hashlib.sha256).hexdigest()
    assert headers["X-Molam-Signature"] == by_older


def test_a_sealed_secret_opens_for_its_endpoint_and_key_alone():
    vault, secret = Vault(Secret("one-key-0123456789")), new_secret()
    sealed = vault.seal(secret, endpoint_id="we_1")

    assert Vault(Secret("one-key-0123456789")).open(sealed, endpoint_id="we_1") == secret
    for other, endpoint in (("one-key-0123456789", "we_2"), ("another-key-012345", "we_1")):
        with pytest.raises(SecretUnreadable):
            Vault(Secret(other)).open(sealed, endpoint_id=endpoint)
    assert vault.seal(secret, endpoint_id="we_1") != sealed
